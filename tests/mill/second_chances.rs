//! What failed is tried again, once; what a crash left unsaid is said.

use crate::{
    foreign_clients::{encode, put, video_of},
    support::{Mill, PATIENCE, footage},
};
use ports::Put;
use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::TcpStream,
    thread::sleep,
    time::{Duration, Instant},
};

const MISSING: &str = r#"{"bucket": "reelmill", "key": "uploads/eve/pose.mp4", "owner": "eve"}"#;

/// A mill with a video that failed because its source was not there.
fn mill_with_a_failure() -> (Mill, String) {
    let mill = Mill::start(&["--clip-seconds", "10"]);
    mill.produce("video-uploaded", &encode(&mill, MISSING));
    let row = video_of(&mill, "eve");
    assert_eq!((&row["state"], &row["reason"]), (&"failed".into(), &"missing_object".into()));
    let video = row["video_id"].as_str().unwrap().to_owned();
    (mill, video)
}

#[test]
fn a_second_copy_of_an_upload_after_the_end_changes_nothing() {
    let mill = Mill::start(&["--clip-seconds", "2"]);
    put(&mill, &footage("head-pose-two.mp4"), "uploads/eve/pose.mp4", Put::default());
    let event = encode(&mill, MISSING);
    mill.produce("video-uploaded", &event);
    let first = video_of(&mill, "eve");
    let video = first["video_id"].as_str().unwrap();
    mill.at_rest(video);
    let until = |what: &dyn Fn() -> bool| {
        let started = Instant::now();
        while !what() {
            assert!(started.elapsed() < PATIENCE, "{}", mill.log());
            sleep(Duration::from_millis(100));
        }
    };
    until(&|| {
        mill.text("/metrics").lines().any(|line| {
            line.starts_with("reelmill_events_total{processor=\"sweep\"")
                && line.contains("emitted")
                && !line.ends_with(" 0")
        })
    });
    let row = || mill.get(&format!("/api/videos/{video}")).1;
    let before = row();
    mill.produce("video-uploaded", &event);
    let skipped =
        "reelmill_events_total{processor=\"cut\",reason=\"already_done\",verdict=\"skipped\"} 1";
    until(&|| mill.text("/metrics").lines().any(|line| line == skipped));
    let after = row();
    assert_eq!(after["stages"], before["stages"]);
    assert_eq!((&after["state"], &after["reason"]), (&"ready".into(), &serde_json::Value::Null));
    assert!(said(&mill.run(&["dead-letters", "list"])).contains("no dead letters"));
}

fn said(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn a_video_whose_source_came_late_is_retried_and_becomes_ready() {
    let (mill, failed) = mill_with_a_failure();
    // Without the cause mended it fails again, and says so again.
    let retry = mill.run(&["retry", &failed]);
    assert!(retry.status.success(), "{}", said(&retry));
    assert!(said(&retry).contains("cut: 1"), "{}", said(&retry));
    let again = mill.settled(&failed);
    assert_eq!(again["reason"], "missing_object", "{again:#}");

    put(&mill, &footage("head-pose-two.mp4"), "uploads/eve/pose.mp4", Put::default());
    let retry = mill.run(&["retry", &failed, "--stage", "cut"]);
    assert!(retry.status.success(), "{}", said(&retry));
    // The source has bytes now, and so the video has the id that they give it.
    let started = Instant::now();
    let ready = loop {
        let (_, page) = mill.get("/api/videos?owner=eve");
        let videos = page["videos"].as_array().unwrap().clone();
        if let Some(video) = videos.iter().find(|video| video["state"] == "ready") {
            break video.clone();
        }
        assert!(started.elapsed() < PATIENCE, "{page:#}\n{}", mill.log());
        sleep(Duration::from_millis(200));
    };
    assert_ne!(ready["video_id"], failed.as_str());
    assert_eq!(mill.get("/api/videos?owner=eve").1["total"], 1, "the failed row has gone");
    let nothing = mill.run(&["retry", &failed]);
    assert_eq!(nothing.status.code(), Some(1), "{}", said(&nothing));
    assert!(said(&nothing).contains("no video has the id"), "{}", said(&nothing));
}

#[test]
fn dead_letters_are_listed_shown_and_sent_back_once() {
    let (mill, _) = mill_with_a_failure();
    mill.produce("video-uploaded", b"garbage");
    let started = Instant::now();
    let list = loop {
        let list = said(&mill.run(&["dead-letters", "list", "--json"]));
        if list.lines().count() == 2 {
            break list;
        }
        assert!(started.elapsed() < Duration::from_secs(30), "{list}");
        sleep(Duration::from_millis(100));
    };
    let letters: Vec<serde_json::Value> =
        list.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let with = |reason: &str| letters.iter().find(|l| l["reason"] == reason).unwrap();
    let (missing, garbage) = (with("missing_object"), with("malformed_event"));

    let id = missing["id"].as_str().unwrap();
    let shown: serde_json::Value =
        serde_json::from_slice(&mill.run(&["dead-letters", "show", id]).stdout).unwrap();
    assert_eq!(shown["event"]["key"], "uploads/eve/pose.mp4", "{shown:#}");
    assert_eq!(shown["origin"]["topic"], "video-uploaded");
    let garbage = mill.run(&["dead-letters", "show", garbage["id"].as_str().unwrap()]);
    let shown: serde_json::Value = serde_json::from_slice(&garbage.stdout).unwrap();
    assert_eq!(shown["event"]["text"], "garbage", "{shown:#}");

    put(&mill, &footage("head-pose-two.mp4"), "uploads/eve/pose.mp4", Put::default());
    let first = said(&mill.run(&["dead-letters", "redrive", id]));
    let second = said(&mill.run(&["dead-letters", "redrive", id]));
    assert!(first.contains("1 sent back, 0 had been before"), "{first}");
    assert!(second.contains("0 sent back, 1 had been before"), "{second}");
    let started = Instant::now();
    loop {
        let (_, page) = mill.get("/api/videos?owner=eve");
        if page["videos"].as_array().unwrap().iter().any(|v| v["state"] == "ready") {
            break;
        }
        assert!(started.elapsed() < PATIENCE, "{page:#}\n{}", mill.log());
        sleep(Duration::from_millis(200));
    }
    let recordings = mill.keys().iter().filter(|key| key.starts_with("recordings/")).count();
    assert_eq!(recordings, 1);

    for (arguments, code, word) in [
        (vec!["dead-letters", "redrive"], 64, "say which"),
        (vec!["dead-letters", "redrive", "cut/0"], 64, "PROCESSOR/PARTITION/OFFSET"),
        (vec!["dead-letters", "redrive", "cut/0/4711"], 64, "no dead letter"),
        (vec!["dead-letters", "list", "--processor", "blurr"], 64, "did you mean `blur`"),
    ] {
        let output = mill.run(&arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", said(&output));
        assert!(said(&output).contains(word), "{arguments:?}: {}", said(&output));
    }
}

#[test]
fn a_mill_killed_in_the_middle_of_an_upload_keeps_nothing_of_it() {
    let mut mill = Mill::start(&["--orphan-age", "1"]);
    let film = std::fs::read(footage("talk_360p.mp4")).unwrap();
    let address = mill.url("").trim_start_matches("http://").to_owned();
    let mut upload = TcpStream::connect(&address).unwrap();
    let head = format!(
        "POST /api/videos HTTP/1.1\r\nhost: {address}\r\ncontent-length: {}\r\n\r\n",
        film.len()
    );
    upload.write_all(head.as_bytes()).unwrap();
    upload.write_all(&film[..film.len() / 2]).unwrap();
    sleep(Duration::from_millis(300));
    mill.kill_and_restart();
    let mut answer = Vec::new();
    upload.read_to_end(&mut answer).ok();
    assert!(answer.is_empty(), "{}", String::from_utf8_lossy(&answer));
    sleep(Duration::from_secs(3));
    assert_eq!(mill.get("/api/videos").1["total"], 0);
    assert!(mill.keys().is_empty(), "{:?}", mill.keys());
}

#[test]
fn an_upload_that_a_crash_left_unannounced_is_announced_and_becomes_ready() {
    let mill = Mill::start(&["--orphan-age", "1"]);
    let video = "37f09aac-7af9-5bcd-b0cd-2ce4a8ddbdf7";
    // As the API stores it; the mill dies before the event.
    let metadata = [
        ("video-id", video),
        ("owner", "local"),
        ("assessment", "late"),
        ("title", "pose"),
        ("blur", "all"),
        ("visibility", "private"),
        ("recorded-at-ms", "1000"),
    ];
    let metadata: BTreeMap<_, _> =
        metadata.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let key = format!("uploads/local/{video}/source.mp4");
    put(&mill, &footage("head-pose-two.mp4"), &key, Put { metadata, ..Put::default() });
    let started = Instant::now();
    while mill.get(&format!("/api/videos/{video}")).0 == 404 {
        assert!(started.elapsed() < Duration::from_secs(30), "{}", mill.log());
        sleep(Duration::from_millis(100));
    }
    let row = mill.ready(video);
    assert_eq!((&row["title"], &row["assessment"]), (&"pose".into(), &"late".into()));
    assert_eq!(mill.get("/api/videos").1["total"], 1);
}
