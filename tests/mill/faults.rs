//! What goes wrong goes wrong for that one video, with a reason, and holds nothing else up.

use crate::{
    foreign_clients::put,
    support::{Mill, PATIENCE, ffmpeg, footage},
};
use ports::Put;
use std::{fs, path::PathBuf, time::Duration};

/// A file that cannot become a recording, and the word its failure must carry.
fn bad_files(mill: &Mill) -> Vec<(PathBuf, &'static [&'static str])> {
    let file = |name: &str, body: &[u8]| {
        let path = mill.dir().join(name);
        fs::write(&path, body).unwrap();
        path
    };
    let secret = file("secret.txt", b"not for eyes");
    let talk = fs::read(footage("talk_360p.mp4")).unwrap();
    let playlist = format!(
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{}\n#EXT-X-ENDLIST\n",
        secret.display()
    );
    let concat = format!("ffconcat version 1.0\nfile '{}'\n", footage("talk_360p.mp4").display());
    let sound = mill.dir().join("sound.mp4");
    ffmpeg(&["-f", "lavfi", "-i", "sine=d=2", "-c:a", "aac"], &sound);
    vec![
        (file("text.mp4", b"this is no film"), &["not_media"]),
        (file("cut.mp4", &talk[..talk.len() / 2]), &["truncated"]),
        (file("playlist.mp4", playlist.as_bytes()), &["playlist", "not_media"]),
        (file("concat.mp4", concat.as_bytes()), &["playlist", "not_media"]),
        (sound, &["no_video"]),
    ]
}

#[test]
fn a_bad_file_fails_with_its_reason_and_nothing_else_waits_for_it() {
    let mill = Mill::start(&["--clip-seconds", "10"]);
    let mut bad = Vec::new();
    for (file, words) in bad_files(&mill) {
        bad.push((mill.upload(&file, "filename=a.mp4"), file, words));
    }
    let good = mill.upload(&footage("head-pose-two.mp4"), "filename=good.mp4");
    for (video, file, words) in &bad {
        let row = mill.settled(video);
        let reason = row["reason"].as_str().unwrap_or_default();
        assert_eq!(row["state"], "failed", "{file:?}: {row:#}");
        assert!(words.contains(&reason), "{file:?}: {row:#}");
        assert!(!row["detail"].as_str().unwrap_or_default().is_empty(), "{file:?}: {row:#}");
        let letters = row["dead_letters"].as_array().unwrap();
        assert!(letters.iter().any(|letter| letter["reason"] == reason), "{row:#}");

        let status = mill.run(&["status", video]);
        assert!(String::from_utf8_lossy(&status.stdout).contains(reason));
        assert_eq!(mill.get(&format!("/api/videos/{video}/recording")).0, 409);
    }
    mill.ready(&good);
}

#[test]
fn a_source_that_is_replaced_while_its_video_is_worked_on_is_not_published() {
    let mill = Mill::start(&[]);
    let video = mill.upload(&footage("talk_360p.mp4"), "filename=a.mp4");
    let (mut keys, since) = (Vec::new(), std::time::Instant::now());
    while !keys.iter().any(|key: &String| key.ends_with("/manifest.json")) {
        assert!(since.elapsed() < PATIENCE, "it is not cut: {keys:?}");
        std::thread::sleep(Duration::from_millis(50));
        keys = mill.keys();
    }
    let source = keys.iter().find(|key| key.starts_with("uploads/")).unwrap();
    put(&mill, &footage("talk_720p.mp4"), source, Put::default());
    let row = mill.settled(&video);
    assert_eq!((&row["state"], &row["reason"]), (&"failed".into(), &"source_changed".into()));
    assert_eq!(mill.get(&format!("/api/videos/{video}/recording")).0, 409);
    let keys = mill.keys();
    assert!(!keys.iter().any(|key| key.starts_with("recordings/")), "{keys:?}");
}

#[test]
fn an_empty_upload_is_refused_at_the_door() {
    let mill = Mill::start(&[]);
    let empty = mill.dir().join("empty.mp4");
    fs::write(&empty, b"").unwrap();
    let upload = mill.run(&["upload", &empty.to_string_lossy()]);
    assert_eq!(upload.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&upload.stderr).contains("empty"), "{upload:?}");
    assert!(mill.keys().iter().all(|key| !key.starts_with("uploads/")), "{:?}", mill.keys());
}

#[test]
fn a_film_of_one_frame_is_a_film() {
    let mill = Mill::start(&[]);
    let one = mill.dir().join("one.mp4");
    let face = footage("obama.jpg");
    ffmpeg(
        &[
            "-i",
            &face.to_string_lossy(),
            "-vf",
            "scale=640:-2",
            "-frames:v",
            "1",
            "-pix_fmt",
            "yuv420p",
        ],
        &one,
    );
    let video = mill.upload(&one, "filename=one.mp4");
    mill.ready(&video);
    let film = mill.recording(&video);
    assert_eq!(media::probe(&film, &media::Limits::default()).unwrap().frames, 1);
}
