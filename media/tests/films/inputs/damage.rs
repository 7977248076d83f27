//! Damage in the middle of a file: the film is masked on every frame, or refused.

use std::collections::BTreeMap;
use std::path::Path;

use super::table::{self, Row};
use super::way::{REGION, assert_masked, render};
use crate::support::Studio;

const SEEDS: std::ops::RangeInclusive<u64> = 1..=6;

/// What is done to the middle third of a file.
#[derive(Debug, Clone, Copy)]
enum Damage {
    /// 40 bytes are replaced by others.
    Noise,
    /// 700 bytes in a row become 0.
    Zeros,
    /// 1300 bytes in a row are lost.
    Hole,
    /// The file ends there.
    Cut,
}

/// Numbers that look random (xorshift64*, S. Vigna, 2016).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit
    }
}

fn damaged(bytes: &[u8], damage: Damage, seed: u64) -> Vec<u8> {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut bytes = bytes.to_vec();
    let (start, third) = (bytes.len() / 3, bytes.len() / 3);
    let mut place = || start + dice.below(third - 1300);
    match damage {
        Damage::Noise => {
            for step in 0..40 {
                let at = place();
                bytes[at] = bytes[at].wrapping_mul(31).wrapping_add(7 + step);
            }
        }
        Damage::Zeros => {
            let at = place();
            bytes[at..at + 700].fill(0);
        }
        Damage::Hole => {
            let at = place();
            bytes.drain(at..at + 1300);
        }
        Damage::Cut => bytes.truncate(place()),
    }
    bytes
}

/// `masked`, or the word of the refusal.
fn outcome(studio: &Studio, source: &Path) -> &'static str {
    match studio.try_whole_way(source, 1.0, &render(), &|_| vec![REGION]) {
        Ok(film) => {
            assert_masked(&source.display().to_string(), source, &film, &|_| vec![REGION]);
            "masked"
        }
        Err(error) => {
            assert!(error.blames_input(), "{}: {error}", source.display());
            error.reason()
        }
    }
}

fn check(section: &str, inputs: &[(&'static str, &'static str)]) {
    let studio = Studio::new();
    let mut rows = Vec::new();
    for (what, made_by) in inputs {
        let source = studio.make_spelled(made_by, super::menu::WORDS);
        let whole = std::fs::read(&source).unwrap();
        for damage in [Damage::Noise, Damage::Zeros, Damage::Hole, Damage::Cut] {
            let mut outcomes: BTreeMap<&str, u32> = BTreeMap::new();
            for seed in SEEDS {
                let bytes = damaged(&whole, damage, seed);
                let path = studio
                    .write(&format!("damaged-{}", source.file_name().unwrap().display()), &bytes);
                *outcomes.entry(outcome(&studio, &path)).or_default() += 1;
            }
            let words: Vec<String> =
                outcomes.iter().map(|(word, count)| format!("{count} {word}")).collect();
            let name = format!("{damage:?}").to_lowercase();
            rows.push(Row::damaged(what, made_by, &name, &words.join(", ")));
        }
    }
    table::check(section, &rows);
}

#[test]
fn damage_in_mp4_and_mkv_is_masked_or_refused() {
    check(
        "damaged mp4 and mkv",
        &[
            ("mp4, H.264", "PICTURE BEEPS H264 -c:a aac d264.mp4"),
            ("mov, HEVC", "PICTURE HEVC d265.mov"),
            ("webm, VP9", "PICTURE BEEPS VP9 -c:a libopus d9.webm"),
        ],
    );
}

#[test]
fn damage_in_avi_and_ts_is_masked_or_refused() {
    check(
        "damaged avi and ts",
        &[
            ("avi, MPEG-4", "PICTURE BEEPS -c:v mpeg4 -bf 2 -g 25 -c:a libmp3lame d4.avi"),
            ("ts, H.264", "PICTURE BEEPS H264 -c:a aac d264.ts"),
        ],
    );
}
