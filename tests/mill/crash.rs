//! kill -9 at any moment after the 201: exactly one recording, one set of documents, nothing left over.

use crate::support::{Mill, footage};
use std::{thread::sleep, time::Duration};

/// Spread over the few seconds a video of this size takes; a prime step keeps them off any beat.
fn moments() -> impl Iterator<Item = Duration> {
    (0..5u64).map(|n| Duration::from_millis(50 + n * 1_093))
}

#[test]
fn a_mill_killed_at_five_moments_still_makes_exactly_one_recording() {
    for moment in moments() {
        let mut mill = Mill::start(&["--clip-seconds", "10"]);
        let video = mill.upload(&footage("talk_360p.mp4"), "assessment=crash");
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
