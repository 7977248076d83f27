//! A video is worked on again from a stage on, and what it has stays until the new run is verified.

use crate::{
    foreign_clients::put,
    support::{Mill, PATIENCE, ffmpeg, footage, is_done},
};
use ports::Put;
use serde_json::{Value, json};
use std::{
    fs,
    thread::sleep,
    time::{Duration, Instant},
};

fn get(mill: &Mill, path: &str) -> Value {
    let (status, answer) = mill.get(path);
    assert_eq!(status, 200, "{path}: {answer:#}");
    answer
}

fn receipt(mill: &Mill, video: &str) -> Value {
    get(mill, &format!("/api/videos/{video}/receipt"))
}

/// What the command says, and how it ends.
fn replay(mill: &Mill, arguments: &[&str]) -> (Option<i32>, String) {
    let output = mill.run(&[&["replay"], arguments].concat());
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

/// Looks at the video until it is as wanted; its recording can be played all the while.
fn until(mill: &Mill, video: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let since = Instant::now();
    loop {
        let row = get(mill, &format!("/api/videos/{video}"));
        assert_eq!((&row["state"], &row["searchable"]), (&"ready".into(), &true.into()));
        mill.recording(video);
        if is_so(&row) {
            return row;
        }
        assert!(since.elapsed() < PATIENCE, "{row:#}\n{}", mill.log());
        sleep(Duration::from_millis(100));
    }
}

fn stage<'a>(run: &'a Value, name: &str) -> &'a Value {
    run["stages"].as_array().unwrap().iter().find(|stage| stage["stage"] == name).unwrap()
}

/// Replays and waits until the new run is what is shown, and found. Answers what the command said
/// and the run's manifest.
fn replayed(mill: &Mill, video: &str, arguments: &[&str]) -> (String, Value) {
    let before = receipt(mill, video)["run_id"].clone();
    let (code, said) = replay(mill, arguments);
    assert_eq!(code, Some(0), "{said}");
    let row = until(mill, video, |row| {
        row["run_id"] != before && ["label", "index"].iter().all(|name| done(row, name))
    });
    assert_eq!(receipt(mill, video)["run_id"], row["run_id"]);
    let run = row["run_id"].as_str().unwrap();
    let manifest = fs::read(working(mill, video, run, "manifest.json")).unwrap();
    (said, serde_json::from_slice(&manifest).unwrap())
}

fn done(run: &Value, name: &str) -> bool {
    is_done(stage(run, name))
}

/// A working object of a run.
fn working(mill: &Mill, video: &str, run: &str, name: &str) -> std::path::PathBuf {
    mill.data().join(format!("store/objects/reelmill/work/{video}/{run}/{name}"))
}

/// The tracks of a run's first clip.
fn tracks(mill: &Mill, video: &str, run: &Value) -> Vec<schemas::Track> {
    let file = working(mill, video, run.as_str().unwrap(), "tracks/0.avro");
    schemas::Tracks::from_avro(&fs::read(file).unwrap()).unwrap().tracks
}

#[test]
fn a_replay_takes_over_what_is_known_and_publishes_a_run_of_its_own() {
    let mill = Mill::start(&[]);
    let film = mill.dir().join("short.mp4");
    let whole = footage("head-pose-two.mp4");
    ffmpeg(&["-i", &whole.to_string_lossy(), "-t", "2", "-c", "copy"], &film);
    let video = mill.upload(&film, "filename=a.mp4");
    mill.ready(&video);
    let first = receipt(&mill, &video);
    let found = get(&mill, "/api/search?q=face")["hits"][0]["moments"].clone();

    let from_blur = ["--from", "blur", "--video", &video];
    let (said, manifest) = replayed(&mill, &video, &from_blur);
    assert!(said.contains("replay 1 begins, with the faces and labels found before"), "{said}");
    assert_eq!(manifest["replay"], 1);
    assert_eq!(
        (&manifest["faces_of"], &manifest["labels_of"]),
        (&first["run_id"], &first["run_id"])
    );
    let taken = tracks(&mill, &video, &manifest["run_id"]);
    assert_eq!(taken, tracks(&mill, &video, &first["run_id"]));
    assert!(!taken.is_empty());
    let second = receipt(&mill, &video);
    assert_eq!((&second["checks"], &second["masking"]), (&first["checks"], &first["masking"]));
    assert_eq!(get(&mill, "/api/search?q=face")["hits"][0]["moments"], found);
    assert!(mill.thumbnail(&video).starts_with(b"\xff\xd8"));

    let (said, manifest) = replayed(&mill, &video, &["--from", "label", "--video", &video]);
    assert!(said.contains("replay 2 begins, with the faces found before"), "{said}");
    assert_eq!((&manifest["faces_of"], &manifest["labels_of"]), (&second["run_id"], &Value::Null));

    // Only what is newer; of all that was done, nothing but the source is taken.
    let later = get(&mill, &format!("/api/videos/{video}"))["uploaded_at_ms"].as_i64().unwrap() + 1;
    let later = jiff::Timestamp::from_millisecond(later).unwrap().to_string();
    let (code, said) = replay(&mill, &["--since", &later]);
    assert_eq!(
        (code, said.contains("no video was uploaded since then")),
        (Some(0), true),
        "{said}"
    );
    let (said, manifest) = replayed(&mill, &video, &["--since", "2000-01-01"]);
    assert!(said.contains("replay 3 begins\n"), "{said}");
    assert_eq!((&manifest["faces_of"], &manifest["labels_of"]), (&Value::Null, &Value::Null));
    let found = get(&mill, "/api/search?q=face");
    assert_eq!(found["total"], 1, "{found:#}");
    mill.at_rest(&video);
    let keys = mill.keys();
    let kept = |prefix: &str| keys.iter().filter(|key| key.starts_with(prefix)).count();
    assert_eq!((kept("recordings/"), kept("receipts/"), kept("thumbnails/")), (1, 1, 1));
    assert!(!keys.iter().any(|key| key.contains("/masked/")), "{keys:?}");
}

/// All that a user sees of a video, but for what tells of its next run.
fn shown(mill: &Mill, video: &str) -> Value {
    let mut row = get(mill, &format!("/api/videos/{video}"));
    let mut listed = get(mill, "/api/videos");
    for row in [&mut row, &mut listed["videos"][0]] {
        for told in ["next_run", "reason", "detail", "dead_letters"] {
            row.as_object_mut().unwrap().remove(told);
        }
    }
    let mut found = get(mill, "/api/search?q=face");
    // It is signed anew in every second.
    found["hits"][0].as_object_mut().unwrap().remove("signed_url");
    let recording = media::file_sha256(&mill.recording(video)).unwrap();
    json!([row, listed, found, receipt(mill, video), recording, mill.thumbnail(video)])
}

/// How many videos have something of this name.
fn found(mill: &Mill, name: &str) -> Value {
    get(mill, &format!("/api/search?q={name}"))["total"].clone()
}

#[test]
fn a_replay_that_fails_leaves_all_that_is_shown_and_one_that_is_verified_replaces_it() {
    let mill = Mill::start(&[]);
    let film = footage("head-pose-two.mp4");
    let video = mill.upload(&film, "filename=a.mp4");
    mill.at_rest(&video);
    let before = shown(&mill, &video);
    assert_eq!(before[2]["total"], 1, "{before:#}");

    // What the next run takes over is told apart from what is found now.
    let run = before[3]["run_id"].as_str().unwrap();
    let labels = schemas::keys::labels(&video, run, 0);
    let at = mill.data().join("store/objects/reelmill").join(&labels);
    let mut known = schemas::Labels::from_avro(&fs::read(at).unwrap()).unwrap();
    let zebra = schemas::Label { name: "Zebra".to_owned(), ..known.labels[0].clone() };
    known.labels.push(zebra);
    let file = mill.dir().join("labels.avro");
    fs::write(&file, known.to_avro().unwrap()).unwrap();
    put(&mill, &file, &labels, Put::default());

    let source = mill.keys().into_iter().find(|key| key.starts_with("uploads/")).unwrap();
    let again = ["--from", "blur", "--video", video.as_str()];
    let (code, said) = replay(&mill, &again);
    assert_eq!(code, Some(0), "{said}");
    let next = until(&mill, &video, |row| row["next_run"].is_object());
    put(&mill, &footage("talk_360p.mp4"), &source, Put::default());
    let (code, said) = replay(&mill, &again);
    assert_eq!((code, said.contains("still worked on")), (Some(1), true), "{said}");
    let failed = until(&mill, &video, |row| {
        assert_eq!((found(&mill, "face"), found(&mill, "zebra")), (1.into(), 0.into()));
        row["next_run"]["state"] == "failed" && done(&row["next_run"], "label")
    });
    assert_eq!(failed["next_run"]["run_id"], next["next_run"]["run_id"]);
    assert_eq!(failed["reason"], "source_changed", "{failed:#}");
    let (code, said) = replay(&mill, &again);
    assert_eq!((code, said.contains("another file now")), (Some(1), true), "{said}");
    let status = mill.run(&["status", &video]);
    let status = String::from_utf8(status.stdout).unwrap();
    assert!(status.contains("state       ready") && status.contains(", failed; "), "{status}");
    assert_eq!(shown(&mill, &video), before);

    put(&mill, &film, &source, Put::default());
    let (said, manifest) = replayed(&mill, &video, &again);
    assert!(said.contains("replay 2 begins"), "{said}");
    assert_ne!(manifest["run_id"], failed["next_run"]["run_id"]);
    assert_eq!((found(&mill, "face"), found(&mill, "zebra")), (1.into(), 1.into()));
    let row = get(&mill, &format!("/api/videos/{video}"));
    assert_eq!((&row["next_run"], &row["reason"]), (&Value::Null, &Value::Null));
    assert!(mill.thumbnail(&video).starts_with(b"\xff\xd8"));
}

#[test]
fn what_cannot_be_worked_on_again_is_refused_with_cause_and_next_step() {
    let mill = Mill::start(&[]);
    let text = mill.dir().join("text.mp4");
    fs::write(&text, b"this is no film").unwrap();
    let video = mill.upload(&text, "filename=a.mp4");
    assert_eq!(mill.settled(&video)["state"], "failed");
    for (arguments, code, expected) in [
        (&[][..], 64, "--since"),
        (&["--since", "soon"], 64, "must be a day"),
        (&["--since", "2026-02-30"], 64, "must be a day"),
        (&["--video", "v", "--since", "2000-01-01"], 64, "cannot be used with"),
        (&["--since", "2999-12-31"], 0, "no video was uploaded since then"),
        (&["--video", "none-such"], 1, "none-such"),
        (&["--from", "blurr", "--video", &video], 1, "did you mean `blur`"),
        (&["--from", "cut", "--video", &video], 1, "was never cut"),
        // One that cannot be helped keeps no other from being asked for.
        (&["--video", "none-such", "--video", &video], 1, "was never cut"),
        (&["--since", "2000-01-01"], 1, "upload the footage again"),
    ] {
        let (actual, said) = replay(&mill, arguments);
        assert_eq!((actual, said.contains(expected)), (Some(code), true), "{arguments:?}: {said}");
    }
}
