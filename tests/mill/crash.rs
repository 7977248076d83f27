//! kill -9 at any moment after the 201: exactly one recording, one set of documents, nothing left over.

use crate::support::{Mill, footage};
use std::{
    thread::sleep,
    time::{Duration, SystemTime},
};

/// The longest wait before a kill: on two cores the video takes about this long.
const WITHIN_MS: u64 = 5_000;

/// Five moments: one in each fifth of the time, where in it by chance. The seed is printed.
fn moments() -> Vec<Duration> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let mut seed = u64::from(now.subsec_nanos()) | 1;
    println!("seed {seed}");
    (0..5)
        .map(|fifth| {
            // xorshift64, Marsaglia 2003.
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            Duration::from_millis((fifth * WITHIN_MS + seed % WITHIN_MS) / 5)
        })
        .collect()
}

#[test]
fn a_mill_killed_at_five_moments_still_makes_exactly_one_recording() {
    for moment in moments() {
        let mut mill = Mill::start(&["--clip-seconds", "2"]);
        let video = mill.upload(&footage("head-pose-two.mp4"), "assessment=crash");
        sleep(moment);
        mill.kill_and_restart();
        let row = mill.ready(&video);

        assert_eq!(mill.get("/api/videos").1["total"], 1, "killed after {moment:?}: {row:#}");
        let found = mill.get("/api/search?q=person").1;
        assert_eq!(found["total"], 1, "killed after {moment:?}: {found:#}");
        let moments = found["hits"][0]["moments"].as_array().unwrap();
        let mut unique = moments.clone();
        unique.dedup();
        assert_eq!(&unique, moments, "killed after {moment:?}");

        sleep(Duration::from_secs(3));
        let keys = mill.keys();
        let recordings = keys.iter().filter(|key| key.starts_with("recordings/")).count();
        assert_eq!(recordings, 1, "killed after {moment:?}: {keys:#?}");
        let leftovers: Vec<_> = keys
            .iter()
            .filter(|k| k.contains("/clips/") || k.contains("/masked/") || k.contains("staged"))
            .collect();
        assert!(leftovers.is_empty(), "killed after {moment:?}: {leftovers:?}");
    }
}
