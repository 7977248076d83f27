//! What a stop and a crash cost in the middle of a long film. A stop finishes or abandons what is in
//! hand; a kill throws away, of each stage, the tries that had begun and had no result yet, one for each
//! core at most, and the result of a clip whose commit it came before.

use crate::support::{Mill, ffmpeg, footage};
use std::{
    collections::BTreeMap,
    thread::sleep,
    time::{Duration, Instant},
};

const CLIP_SECONDS: u64 = 10;
/// What is asked for each clip.
const CLIP_STAGES: [&str; 3] = ["detect", "label", "blur"];
/// What is asked once, after that.
const VIDEO_STAGES: [&str; 3] = ["stitch", "verify", "thumbnail"];

const FINISHED: &str = "reelmill_effect_seconds_count{outcome=\"answered\",processor=\"";
/// Begun, and neither finished nor failed.
const UNDER_WAY: &str = "reelmill_effects_running{processor=\"";

/// How many effects a processor has under way at most: as many as cores, and two to eight.
fn at_once() -> u64 {
    std::thread::available_parallelism().map_or(2, |cores| cores.get().clamp(2, 8) as u64)
}

/// Effects by processor, counted in some way.
#[derive(Debug, Clone, Default)]
struct Effects(BTreeMap<String, u64>);

impl Effects {
    /// Those that were finished since this mill was started.
    fn of(mill: &Mill) -> Self {
        Self::told(&mill.text("/metrics"), FINISHED)
    }

    /// The lines of a metric that begin in this way and go on with the processor.
    fn told(metrics: &str, start: &str) -> Self {
        let counts = metrics.lines().filter_map(|line| {
            let (processor, count) = line.strip_prefix(start)?.split_once("\"} ")?;
            Some((processor.to_owned(), count.parse().ok()?))
        });
        Self(counts.collect())
    }

    /// The parts of a video that have their result, as the catalogue has heard.
    fn with_results(mill: &Mill, video: &str) -> Self {
        let (_, row) = mill.get(&format!("/api/videos/{video}"));
        let counts = row["stages"].as_array().into_iter().flatten().filter_map(|stage| {
            Some((stage["stage"].as_str()?.to_owned(), stage["done"].as_u64()?))
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

    /// What these have more of.
    fn beyond(mut self, other: &Self) -> Self {
        for (processor, count) in &mut self.0 {
            *count = count.saturating_sub(other.get(processor));
        }
        self
    }

    /// The higher of both counts.
    fn or(mut self, other: &Self) -> Self {
        for (processor, count) in &other.0 {
            let own = self.0.entry(processor.clone()).or_default();
            *own = (*own).max(*count);
        }
        self
    }
}

/// Waits until so many clips have been blurred, and tells how many effects had their result before this
/// mill was started: the catalogue's count without what was finished since. It is behind now and then,
/// so the highest is it.
fn blurred(mill: &Mill, video: &str, clips: u64) -> Effects {
    let started = Instant::now();
    let mut earlier = Effects::default();
    loop {
        let results = Effects::with_results(mill, video);
        earlier = earlier.or(&results.clone().beyond(&Effects::of(mill)));
        if results.get("blur") >= clips {
            return earlier;
        }
        assert!(started.elapsed() < Duration::from_secs(60 * clips), "{results:?}\n{}", mill.log());
        sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_kill_of_a_long_film_redoes_one_finished_clip_and_what_each_core_had_in_hand_at_most() {
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

    blurred(&mill, &video, clips / 2);
    let first_life = Effects::of(&mill);
    let stopping = Instant::now();
    assert!(mill.stop().success());
    let stopped = stopping.elapsed();
    println!("stopped in {stopped:?} with work under way");
    // The goal. What is not over by then is left behind after 9.5 seconds, which clocks count and not
    // the load of the machine.
    assert!(stopped < Duration::from_secs(10), "{stopped:?}\n{}", mill.log());
    mill.start_again();

    let before_stop = blurred(&mill, &video, clips * 9 / 10);
    // One page for both: what is finished in it is not under way.
    let metrics = mill.text("/metrics");
    mill.kill();
    let before_kill = Effects::told(&metrics, FINISHED).and(&before_stop);
    let in_hand = Effects::told(&metrics, UNDER_WAY);
    mill.start_again();
    mill.ready(&video);
    mill.thumbnail(&video);
    let all = Effects::of(&mill).and(&before_kill);
    println!("up to the stop {before_stop:?}, up to the kill {before_kill:?}, in all {all:?}");
    println!("begun and not finished at the kill: {in_hand:?}");

    assert!(!in_hand.0.is_empty(), "nothing tells what is under way: {metrics}");
    for stage in CLIP_STAGES {
        // With a result, which was lost.
        let redone = all.get(stage).saturating_sub(clips);
        assert!(redone <= 1, "{stage} was done {redone} times too often: {all:?}");
        // Without one yet.
        let lost = in_hand.get(stage);
        assert!(lost <= at_once(), "{stage} lost {lost} clips in hand: {in_hand:?}");
    }
    for stage in VIDEO_STAGES {
        assert_eq!(all.get(stage), 1, "{stage}: {all:?}");
        assert!(in_hand.get(stage) <= 1, "{stage} has one effect for a video: {in_hand:?}");
    }
    // The catalogue counts clips here, and it was cut long before the stop: all lives by their own count.
    let later = Effects::told(&metrics, FINISHED).and(&Effects::of(&mill));
    assert_eq!(first_life.and(&later).get("cut"), 1, "{later:?}");
    assert_eq!(in_hand.get("cut"), 0, "it was done long before: {in_hand:?}");
}
