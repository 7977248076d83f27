//! Edit lists that ffmpeg does not write: the same seconds more than once.

use std::path::PathBuf;

use crate::support::Studio;

/// Does what `1-2,0.5-1 in.mp4 out.mp4` says: every track of the film shows these seconds of its
/// media, one stretch after the other. The film's index must be behind its data.
pub(super) fn edited(studio: &Studio, call: &str) -> PathBuf {
    let mut words = call.split(' ');
    let mut word = || words.next().unwrap();
    let seconds = |text: &str| text.parse::<f64>().unwrap();
    let stretches: Vec<(f64, f64)> = word()
        .split(',')
        .map(|stretch| stretch.split_once('-').unwrap())
        .map(|(from, to)| (seconds(from), seconds(to)))
        .collect();
    let film = std::fs::read(studio.path(word())).unwrap();
    studio.write(word(), &with_edits(&film, &stretches))
}

fn with_edits(film: &[u8], stretches: &[(f64, f64)]) -> Vec<u8> {
    let at = find(film, b"mvhd");
    let movie_scale = f64::from(number(film, at + 4 + 12));
    each(film, b"moov", &|moov| {
        each(moov, b"trak", &|track| {
            let media_scale = f64::from(number(track, find(track, b"mdhd") + 4 + 12));
            // The first frame's place in its media, which the list of ffmpeg names.
            let list = find(track, b"elst") + 4;
            let entries = number(track, list + 4) as usize;
            let first = f64::from(number(track, list + 8 + 12 * (entries - 1) + 4));
            let mut body = [0, stretches.len() as u32].map(u32::to_be_bytes).concat();
            for (from, to) in stretches {
                let length = ((to - from) * movie_scale).round() as u32;
                let start = (from * media_scale + first).round() as u32;
                body.extend([length, start, 1 << 16].map(u32::to_be_bytes).concat());
            }
            each(track, b"edts", &|_| [&size(body.len() + 8), &b"elst"[..], &body].concat())
        })
    })
}

/// Changes the body of every box `kind`, one level deep.
fn each(boxes: &[u8], kind: &[u8; 4], with: &dyn Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), boxes);
    while rest.len() >= 8 {
        let (one, others) = rest.split_at(number(rest, 0) as usize);
        rest = others;
        if &one[4..8] == kind {
            let body = with(&one[8..]);
            out.extend([&size(body.len() + 8), &kind[..], &body].concat());
        } else {
            out.extend(one);
        }
    }
    out
}

fn find(bytes: &[u8], kind: &[u8; 4]) -> usize {
    bytes.windows(4).position(|window| window == kind).unwrap()
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn size(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).unwrap().to_be_bytes()
}
