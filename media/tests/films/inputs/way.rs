//! One input on its whole way, and all that a film must keep of it.

use std::path::Path;

use media::{
    AudioOutcome, Limits, MaskStyle, MediaError, Region, Render, RenderMode, compare,
    mask_evidence, probe,
};

use super::eye::{self, Seen};
use super::menu::{Expected, Input};
use super::table::Row;
use crate::support::{Film, Studio, assert_gapless, strict_decode};

/// Holds edges of the test picture's bars however it is turned.
pub(super) const REGION: Region = Region { left: 0.1, top: 0.05, width: 0.6, height: 0.6 };
/// Least likeness of what no mask touches, dB.
const LEAST_PSNR: f64 = 24.0;
/// Longest that sound may be apart from where it was, s.
const SOUND_TOLERANCE: f64 = 0.04;
const CLIP_SECONDS: f64 = 1.0;

/// The regions to be masked at a time of the source.
type RegionsAt<'a> = &'a dyn Fn(i64) -> Vec<Region>;

/// Makes the input, sends it through twice and says how it ended.
pub(super) fn go(studio: &Studio, input: &Input) -> Row {
    let source = make(studio, input);
    let name = source.file_name().unwrap().to_string_lossy().into_owned();
    let found = match input.expected {
        Expected::Refused(reason) => {
            let error = refusal(studio, &source).expect(&name);
            assert_eq!(error.reason(), reason, "{name}: {error}");
            return Row::refused(input, &error);
        }
        Expected::Whole => probe(&source, &Limits::default()),
    };
    let found = found.unwrap_or_else(|error| panic!("{name}: {error}"));
    let (start, third) = (found.start_pts, found.duration_ticks / 3);
    let everywhere = |_: i64| vec![REGION];
    let in_the_middle = |pts: i64| {
        let is_there = (third..2 * third).contains(&(pts - start));
        if is_there { vec![REGION] } else { Vec::new() }
    };
    let masks: [(&str, RegionsAt<'_>); 2] =
        [("everywhere", &everywhere), ("in the middle", &in_the_middle)];
    let before = Seen::of(&source);
    let mut films = Vec::new();
    for (word, regions_at) in masks {
        let what = format!("{name}, masks {word}");
        let film = studio.whole_way(&source, CLIP_SECONDS, &render(), regions_at);
        assert_masked(&what, &source, &film, regions_at);
        if films.is_empty() {
            let after = Seen::of(&film.path);
            assert_times(&what, &before, &after, &film);
            assert_sound(&what, &source, &before, &after, &film);
            assert_shape(&what, &before, &after, &film);
        } else {
            assert_eq!(strict_decode(&film.path), "", "{what}");
        }
        films.push(film);
    }
    Row::whole(input, &films)
}

/// Every clip is masked by the rule that the program uses.
pub(super) fn render() -> Render {
    Render { preset: "ultrafast".to_owned(), mode: RenderMode::Smart, ..Render::default() }
}

fn make(studio: &Studio, input: &Input) -> std::path::PathBuf {
    studio.write("words.srt", b"1\n00:00:00,500 --> 00:00:02,000\nwords\n");
    for (list, extension) in [
        ("s", "ts"),
        ("h", "ts"),
        ("m", "ts"),
        ("p", "ts"),
        ("f", "ts"),
        ("v", "webm"),
        ("w", "webm"),
    ] {
        let parts = format!("file {list}1.{extension}\nduration 3\nfile {list}2.{extension}\n");
        studio.write(&format!("{list}.txt"), parts.as_bytes());
    }
    let mut made = None;
    for call in input.made_by {
        made = Some(match call.strip_prefix("EDITS=") {
            Some(edits) => super::edits::edited(studio, edits),
            None => studio.make_spelled(call, super::menu::WORDS),
        });
    }
    made.unwrap()
}

/// The error of the first step that refuses a film.
fn refusal(studio: &Studio, source: &Path) -> Option<MediaError> {
    studio.try_whole_way(source, CLIP_SECONDS, &render(), &|_| vec![REGION]).err()
}

/// Every frame is there, at its time, and the last one ends when it did.
fn assert_times(what: &str, before: &Seen, after: &Seen, film: &Film) {
    let probe = &film.plan.probe;
    assert_gapless(&film.plan);
    let (times, found) = (before.times_shown(probe), after.frame_times());
    assert_eq!(times.len(), found.len(), "{what}");
    assert_eq!(found.len() as i64, probe.frames, "{what}");
    for (number, (before, after)) in times.iter().zip(&found).enumerate() {
        // ffprobe prints microseconds, and both clocks may be rounded.
        assert!((before - after).abs() <= 2, "{what}: frame {number} at {before} is at {after} us");
    }
    let seconds = |us: i64| us as f64 / 1e6;
    let whole = seconds(times[times.len() - 1] - times[0]);
    let expected = whole + whole / (times.len() - 1).max(1) as f64;
    let one_frame = times.windows(2).map(|pair| seconds(pair[1] - pair[0])).fold(0.04, f64::max);
    for (word, found) in
        [("the film", after.duration()), ("the probe", probe.duration_ms as f64 / 1e3)]
    {
        let difference = (found - expected).abs();
        assert!(difference <= one_frame, "{what}: {word} says {found} s instead of {expected} s");
    }
}

/// Where a mask was asked for it hides, everything else is as it was.
pub(super) fn assert_masked(what: &str, source: &Path, film: &Film, regions_at: RegionsAt<'_>) {
    let style = MaskStyle::default();
    let (mut frames, mut masked) = (0, 0);
    compare(source, &film.path, &Limits::default(), &mut |pair| {
        let regions = regions_at(pair.source.pts());
        let psnr = eye::psnr_outside(&pair.source.luma()?, &pair.output.luma()?, &regions);
        assert!(psnr >= LEAST_PSNR, "{what}: frame {frames} has {psnr:.1} dB outside of masks");
        for found in mask_evidence(&mut pair.source, &mut pair.output, &regions, style)? {
            assert!(found.is_masked(), "{what}: frame {frames} is clear: {found:?}");
            assert!(found.contrast > 5.0, "{what}: frame {frames} has nothing to hide: {found:?}");
        }
        frames += 1;
        masked += u32::from(!regions.is_empty());
        Ok(())
    })
    .unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(frames, film.plan.probe.frames, "{what}");
    let reported: u32 = film.masked.iter().map(|part| part.masked_frames).sum();
    assert_eq!(masked, reported, "{what}");
}

/// The sound is as long as it was and each beep where it was; nothing in the film is damaged.
fn assert_sound(what: &str, source: &Path, before: &Seen, after: &Seen, film: &Film) {
    let was = before.sound();
    assert_eq!(was.is_some(), film.report.audio != AudioOutcome::None, "{what}");
    assert_eq!(after.sound(), was.map(|_| "aac"), "{what}");
    if was.is_none() {
        assert_eq!(strict_decode(&film.path), "", "{what}");
        return;
    }
    let mut heard = eye::hear(&film.path, true);
    assert_eq!(heard.complaints, "", "{what}");
    if film.report.audio == AudioOutcome::Transcoded {
        // The encoder fills its last frame up; the track says where the sound ends.
        heard.end = heard.end.min(after.end_of_sound());
    }
    let expected = eye::hear(source, false);
    // Both are counted from the start of the first stream, where that is not the film's 0.
    let origin = if before.clock_runs_on(&film.plan.probe) { 0.0 } else { before.start().max(0.0) };
    let shift = origin - after.start().max(0.0);
    let ends_as_before = (expected.end + shift - heard.end).abs() <= SOUND_TOLERANCE;
    let beeps = expected.beeps.iter().zip(&heard.beeps);
    let beeps_as_before = expected.beeps.len() == heard.beeps.len()
        && beeps.into_iter().all(|(a, b)| (a + shift - b).abs() <= SOUND_TOLERANCE);
    assert!(
        expected.beeps.len() >= 2 && ends_as_before && beeps_as_before,
        "{what}: {expected:?} became {heard:?}, {shift} s apart"
    );
}

/// Size, shape of the pixels and turn are those of the source; H.264 in mp4.
fn assert_shape(what: &str, before: &Seen, after: &Seen, film: &Film) {
    let output = probe(&film.path, &Limits::default()).unwrap();
    let probe = &film.plan.probe;
    assert_eq!((output.container.as_str(), output.video_codec.as_str()), ("mp4", "h264"), "{what}");
    assert!(["yuv420p", "yuvj420p"].contains(&output.pixel_format.as_str()), "{what}");
    let even = |side: u32| side.next_multiple_of(2);
    assert_eq!((output.width, output.height), (even(probe.width), even(probe.height)), "{what}");
    assert_eq!(output.rotation, probe.rotation, "{what}");
    let size = (probe.coded_width, probe.coded_height);
    assert_eq!(before.shape(Some(size)), after.shape(None), "{what}");
}
