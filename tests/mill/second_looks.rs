//! What a second look leaves in the store.

use crate::support::{Mill, ffmpeg};
use schemas::{BoundingBox, TimeBase, Track, TrackPoint, Tracks};
use std::{fs, thread::sleep, time::Duration};

#[test]
fn what_an_attempt_before_has_seen_is_not_asked_of_a_clip_that_is_masked_without_it() {
    let mill = Mill::start(&["--clip-seconds", "60"]);
    let film = mill.dir().join("empty.mp4");
    let picture = "testsrc2=size=640x360:rate=25:duration=20";
    ffmpeg(&["-f", "lavfi", "-i", picture, "-pix_fmt", "yuv420p", "-c:v", "libx264"], &film);
    let video = mill.upload(&film, "assessment=attempts");
    let run = loop {
        let found = mill
            .keys()
            .into_iter()
            .find_map(|key| Some(key.strip_suffix("/manifest.json")?.to_owned()));
        match found {
            Some(run) => break run,
            None => sleep(Duration::from_millis(20)),
        }
    };
    let region = BoundingBox { left: 0.4, top: 0.4, width: 0.2, height: 0.2 };
    let seen = |pts| TrackPoint { pts, region, confidence: 61.0 };
    let before = Tracks {
        video_id: video.clone(),
        run_id: run.rsplit('/').next().unwrap().to_owned(),
        index: 0,
        time_base: TimeBase { num: 1, den: 12_800 },
        frame_ticks: 512,
        looked_every_ms: Some(0),
        tracks: vec![Track { id: 0, points: vec![seen(0), seen(12_800)] }],
    };
    let at = mill.data().join("store/objects/reelmill").join(&run).join("second/0.avro");
    fs::create_dir_all(at.parent().unwrap()).unwrap();
    fs::write(&at, before.to_avro().unwrap()).unwrap();
    let is_masked = |key: &String| key.starts_with(&format!("{run}/masked/"));
    assert!(!mill.keys().iter().any(is_masked), "it came too late");
    let row = mill.settled(&video);
    assert_eq!(row["state"], "ready", "{row:#}\n{}", mill.log());
}
