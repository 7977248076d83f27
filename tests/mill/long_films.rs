//! What a stop and a crash cost in the middle of a long film: what was done is not done again.

use crate::support::{Mill, ffmpeg, footage};
use std::{
    collections::BTreeMap,
    thread::sleep,
    time::{Duration, Instant},
};

const CLIP_SECONDS: u64 = 10;
/// What is asked for each clip.
const CLIP_STAGES: [&str; 3] = ["detect", "label", "blur"];
/// What is asked once.
const VIDEO_STAGES: [&str; 4] = ["cut", "stitch", "verify", "thumbnail"];

/// Effects that processors have finished.
#[derive(Debug, Clone, Default)]
struct Effects(BTreeMap<String, u64>);

impl Effects {
    /// Since this mill was started.
    fn of(mill: &Mill) -> Self {
        let metrics = mill.text("/metrics");
        let counts = metrics.lines().filter_map(|line| {
            let start = "reelmill_effect_seconds_count{outcome=\"answered\",processor=\"";
            let (processor, count) = line.strip_prefix(start)?.split_once("\"} ")?;
            Some((processor.to_owned(), count.parse().ok()?))
        });
        Self(counts.collect())
    }

    fn get(&self, processor: &str) -> u64 {
        self.0.get(processor).copied().unwrap_or(0)
    }

    fn and(mut self, other: &Self) -> Self {
        for (processor, count) in &other.0 {
            *self.0.entry(processor.clone()).or_default() += count;
        }
        self
    }
}

/// Waits until so many clips are blurred, in this life and those before it.
fn blurred(mill: &Mill, before: &Effects, clips: u64) -> Effects {
    let started = Instant::now();
    loop {
        let all = Effects::of(mill).and(before);
        if all.get("blur") >= clips {
            return all;
        }
        assert!(started.elapsed() < Duration::from_secs(60 * clips), "{all:?}\n{}", mill.log());
        sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_stop_at_half_and_a_kill_at_nine_tenths_of_a_film_redo_one_clip_at_most() {
    let long = std::env::var_os("REELMILL_LONG").is_some();
    let clips = if long { 60 } else { 10 };
    let mut mill = Mill::start(&["--clip-seconds", &CLIP_SECONDS.to_string()]);
    let film = mill.dir().join("long.mp4");
    let (talk, seconds) = (footage("talk_360p.mp4"), (clips * CLIP_SECONDS).to_string());
    // Ten frames a second, a key frame each second.
    let source = ["-stream_loop", "-1", "-i", talk.to_str().unwrap(), "-t", &seconds];
    let codec = ["-vf", "fps=10", "-c:v", "libx264", "-preset", "ultrafast", "-g", "10"];
    ffmpeg(&[&source[..], &codec, &["-c:a", "aac"]].concat(), &film);
    let video = mill.upload(&film, "title=long");

    let before_stop = blurred(&mill, &Effects::default(), clips / 2);
    let stopping = Instant::now();
    assert!(mill.stop().success());
    let stopped = stopping.elapsed();
    println!("stopped in {stopped:?} with work under way");
    // Twice the goal: the machine may be busy with other tests.
    assert!(stopped < Duration::from_secs(20), "{stopped:?}\n{}", mill.log());
    mill.start_again();

    let before_kill = blurred(&mill, &before_stop, clips * 9 / 10);
    mill.kill_and_restart();
    mill.ready(&video);
    mill.thumbnail(&video);
    let all = Effects::of(&mill).and(&before_kill);
    println!("up to the stop {before_stop:?}, up to the kill {before_kill:?}, in all {all:?}");

    for stage in CLIP_STAGES {
        let redone = all.get(stage).saturating_sub(clips);
        assert!(redone <= 1, "{stage} was done {redone} times too often: {all:?}");
    }
    for stage in VIDEO_STAGES {
        assert_eq!(all.get(stage), 1, "{stage}: {all:?}");
    }
}
