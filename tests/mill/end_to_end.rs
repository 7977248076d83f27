//! The main job, through the doors a user has: footage in, verified blurred recording and search out.

use crate::support::{Mill, ffmpeg, footage};
use media::{Limits, Region, Track};
use serde_json::Value;
use std::{
    ops::ControlFlow,
    path::Path,
    time::{Duration, Instant},
};
use vision::{FaceDetector, Models};

/// Surer than the mask's threshold: what the detector is surely able to see.
const SURE: f32 = 0.6;

fn limits() -> Limits {
    Limits { threads: 2, ..Limits::default() }
}

/// Every face the detector finds in the source must be hidden in the film. By pixels: inside its
/// box the film differs from its source by several levels and by far more than where there is no mask.
pub(crate) fn assert_faces_are_hidden(source: &Path, film: &Path) -> usize {
    let models = Models::find(None).unwrap();
    let mut detector = FaceDetector::new(&models, 2).unwrap();
    let mut boxes = 0;
    media::compare(source, film, &limits(), &mut |pair| {
        let before = pair.source.rgb(640)?;
        let after = pair.output.rgb(640)?;
        // What encoding changes. Of the four corners one is without a mask, whatever else is taken for
        // a face in the middle.
        let corner = |left, top| Region { left, top, width: 0.2, height: 0.2 };
        let corners = [corner(0.0, 0.0), corner(0.8, 0.0), corner(0.0, 0.8), corner(0.8, 0.8)];
        let encoding = corners.map(|region| difference(&before, &after, &region));
        let encoding = encoding.into_iter().fold(f64::INFINITY, f64::min);
        for face in detector.detect(&before, SURE).unwrap() {
            boxes += 1;
            let region = Region {
                left: face.region.left,
                top: face.region.top,
                width: face.region.width,
                height: face.region.height,
            };
            let there = difference(&before, &after, &region);
            assert!(
                there > 4.0 && there > 3.0 * encoding,
                "frame {}: a face at {region:?} differs by {there:.1} levels, a corner by {encoding:.1}",
                pair.source.index()
            );
        }
        Ok(())
    })
    .unwrap();
    boxes
}

/// Mean absolute difference of green inside a box, in levels of 256.
fn difference(a: &media::RgbImage, b: &media::RgbImage, region: &Region) -> f64 {
    let pixel = |share: f32, side: u32| (share.clamp(0.0, 1.0) * side as f32) as usize;
    let columns = pixel(region.left, a.width)..pixel(region.left + region.width, a.width);
    let rows = pixel(region.top, a.height)..pixel(region.top + region.height, a.height);
    let count = (columns.len() * rows.len()).max(1);
    let sum: u64 = rows
        .flat_map(|y| columns.clone().map(move |x| (y * a.width as usize + x) * 3 + 1))
        .map(|at| u64::from(a.data[at].abs_diff(b.data[at])))
        .sum();
    sum as f64 / count as f64
}

/// The thumbnail shows what the film shows at a third of its duration.
fn assert_is_still_of(film: &Path, thumbnail: &[u8]) {
    let shown = image::load_from_memory(thumbnail).unwrap().to_rgb8();
    let probe = media::probe(film, &limits()).unwrap();
    let third = probe.duration_ms / 3;
    let wanted = media::still(film, &probe, third, (360, 200), &limits()).unwrap().image;
    assert_eq!((shown.width(), shown.height()), (wanted.width, wanted.height));
    let shown = media::RgbImage { data: shown.into_raw(), ..wanted.clone() };
    let everywhere = Region { left: 0.0, top: 0.0, width: 1.0, height: 1.0 };
    let off = difference(&shown, &wanted, &everywhere);
    assert!(off < 4.0, "the thumbnail differs by {off:.1} levels from the film");
}

fn frames(film: &Path) -> u32 {
    media::decode(film, &limits(), &mut |_| Ok(ControlFlow::Continue(()))).unwrap().frames
}

fn duration_ms(film: &Path) -> i64 {
    media::probe(film, &limits()).unwrap().duration_ms
}

fn sound(film: &Path) -> media::Elementary {
    media::elementary_sha256(film, Track::Audio, &limits()).unwrap()
}

/// The whole job on one file, and everything that must be true of its result.
fn turn(mill: &Mill, source: &Path, clips: Option<i64>) -> usize {
    let video = mill.upload(source, "assessment=e2e");
    let row = mill.at_rest(&video);
    let film = mill.recording(&video);
    if let Some(clips) = clips {
        let cut = row["stages"].as_array().unwrap().iter().find(|s| s["stage"] == "cut").unwrap();
        assert_eq!(cut["done"], clips, "{row:#}");
    }
    assert_eq!(frames(&film), frames(source));
    let frame_ms = 1000 * duration_ms(source) / i64::from(frames(source)).max(1) / 1000 + 1;
    assert!((duration_ms(&film) - duration_ms(source)).abs() <= frame_ms);

    let (_, receipt) = mill.get(&format!("/api/videos/{video}/receipt"));
    let checks = &receipt["checks"];
    assert_eq!(checks["boxes"], checks["boxes_masked"], "{receipt:#}");
    assert_eq!(checks["leaks"], 0, "{receipt:#}");
    assert!(receipt["statement"].as_str().unwrap().contains("at threshold 0.6"), "{receipt:#}");

    assert_is_still_of(&film, &mill.thumbnail(&video));
    assert_faces_are_hidden(source, &film)
}

#[test]
fn a_talk_in_one_three_and_seven_clips_comes_out_whole_and_masked() {
    let talk = footage("talk_360p.mp4");
    for (clip_seconds, clips) in [("60", 1), ("10", 3), ("4.5", 7)] {
        let mill = Mill::start(&["--clip-seconds", clip_seconds]);
        let boxes = turn(&mill, &talk, Some(clips));
        assert!(boxes > 500, "the detector saw only {boxes} faces in the source");
        let video = mill.get("/api/videos").1["videos"][0]["video_id"].as_str().unwrap().to_owned();
        assert_eq!(sound(&mill.recording(&video)), sound(&talk), "the sound is the source's");

        let found = mill.get("/api/search?q=person").1;
        let hit = &found["hits"][0];
        assert_eq!(hit["video_id"], video.as_str(), "{found:#}");
        assert!(!hit["moments"].as_array().unwrap().is_empty(), "{found:#}");
        let nothing = mill.get("/api/search?q=person%20AND%20zebra").1;
        assert_eq!(nothing["total"], 0, "{nothing:#}");
    }
}

#[test]
fn a_fast_mill_publishes_films_with_faces_that_are_there_for_a_moment() {
    let mill = Mill::start(&["--clip-seconds", "5", "--profile", "fast"]);
    let film = mill.dir().join("moments.mp4");
    // Two frames each, anywhere in the cells of what is looked at, in three clips.
    let moments = [1.32, 3.9, 6.06, 6.6, 7.86, 9.14, 11.02];
    let moments = moments.map(|at| format!("between(t,{at},{})", at + 0.06)).join("+");
    let face = footage("obama.jpg").display().to_string();
    let graph = format!("[1:v]scale=240:-2[f];[0:v][f]overlay=200:20:enable='{moments}'[v]");
    let wall = "color=0x405060:size=640x360:rate=25:duration=13";
    let inputs = ["-f", "lavfi", "-i", wall, "-loop", "1", "-t", "13", "-i", &face];
    let encode = "-map [v] -r 25 -pix_fmt yuv420p -c:v libx264 -g 25".split(' ');
    let arguments: Vec<_> =
        inputs.into_iter().chain(["-filter_complex", &graph]).chain(encode).collect();
    ffmpeg(&arguments, &film);
    let video = mill.upload(&film, "assessment=moments");
    let row = mill.settled(&video);
    assert_eq!(row["state"], "ready", "{row:#}\n{}", mill.log());
}

#[test]
fn a_fast_mill_hides_the_talk_looks_at_fewer_frames_and_says_so() {
    let talk = footage("talk_360p.mp4");
    let mill = Mill::start(&["--clip-seconds", "10", "--profile", "fast"]);
    let boxes = turn(&mill, &talk, Some(3));
    assert!(boxes > 500, "the detector saw only {boxes} faces in the source");
    let video = mill.get("/api/videos").1["videos"][0]["video_id"].as_str().unwrap().to_owned();
    let (_, receipt) = mill.get(&format!("/api/videos/{video}/receipt"));
    let statement = receipt["statement"].as_str().unwrap();
    assert!(statement.contains(", fast: a frame in 150 ms"), "{statement}");
    let metrics = mill.text("/metrics");
    let detected = metrics
        .lines()
        .find_map(|line| line.strip_prefix(r#"reelmill_frames_total{kind="detected"} "#))
        .unwrap();
    let (looked_at, all) = (detected.parse::<u32>().unwrap(), frames(&talk));
    // The photos move all the time; the margins of clips are looked at, too.
    assert!(looked_at * 4 < all * 3, "{looked_at} of {all} frames were looked at");
}

#[test]
fn real_people_and_hands_before_a_face_are_masked_frame_by_frame() {
    let mill = Mill::start(&["--clip-seconds", "2"]);
    for name in ["head-pose-two.mp4", "signing-again.mkv"] {
        let boxes = turn(&mill, &footage(name), None);
        assert!(boxes > 20, "the detector saw only {boxes} faces in {name}");
    }
}

#[test]
fn a_face_that_appears_one_frame_after_a_clip_border_is_masked_from_its_first_frame() {
    let mill = Mill::start(&["--clip-seconds", "2"]);
    let source = mill.dir().join("appears.mp4");
    let (rocket, face) = (footage("rocket.jpg"), footage("obama.jpg"));
    let (rocket, face) = (rocket.to_string_lossy(), face.to_string_lossy());
    // 25 frames a second, a key frame every 2 s: frame 50 opens the second clip, 51 shows the face.
    ffmpeg(
        &[
            "-loop",
            "1",
            "-r",
            "25",
            "-t",
            "6",
            "-i",
            &rocket,
            "-loop",
            "1",
            "-r",
            "25",
            "-t",
            "6",
            "-i",
            &face,
            "-filter_complex",
            "[0]scale=640:360,setsar=1[a];[1]scale=640:360:force_original_aspect_ratio=decrease,pad=640:360:-1:-1,setsar=1[b];[a][b]overlay=enable='gte(n,51)'",
            "-c:v",
            "libx264",
            "-pix_fmt",
            "yuv420p",
            "-g",
            "50",
            "-keyint_min",
            "50",
            "-sc_threshold",
            "0",
            "-r",
            "25",
            "-t",
            "6",
        ],
        &source,
    );
    let boxes = turn(&mill, &source, Some(3));
    assert!(boxes >= 90, "the detector saw only {boxes} faces in the source");
}

#[test]
fn a_last_frame_that_lasts_long_is_no_reason_to_keep_a_film_back() {
    let mill = Mill::start(&["--clip-seconds", "60"]);
    let (film, talk) = (mill.dir().join("screen.mp4"), mill.dir().join("talk.mp4"));
    // As screens are recorded: no frame is reordered, and each has its own time. The last of the 75 lasts half a second.
    let lasts = "setts=duration=if(eq(N\\,74)\\,0.5/TB\\,DURATION)";
    let codec = ["-an", "-t", "3", "-c:v", "libx264", "-g", "25", "-bf", "0"];
    let source = footage("talk_360p.mp4");
    ffmpeg(&[&["-i", &source.to_string_lossy()][..], &codec].concat(), &talk);
    ffmpeg(&["-i", &talk.to_string_lossy(), "-c", "copy", "-bsf:v", lasts], &film);
    assert!(duration_ms(&film) > 3400, "{}", duration_ms(&film));
    let video = mill.upload(&film, "assessment=screen");
    let row = mill.settled(&video);
    assert_eq!(row["state"], "ready", "{row:#}\n{}", mill.log());
    assert!(assert_faces_are_hidden(&film, &mill.recording(&video)) > 20);
}

#[test]
fn blur_none_gives_back_every_packet_as_it_was() {
    let mill = Mill::start(&["--clip-seconds", "10"]);
    let talk = footage("talk_360p.mp4");
    let video = mill.upload(&talk, "blur=none&assessment=open");
    mill.ready(&video);
    let film = mill.recording(&video);
    for track in [Track::Video, Track::Audio] {
        assert_eq!(
            media::elementary_sha256(&film, track, &limits()).unwrap(),
            media::elementary_sha256(&talk, track, &limits()).unwrap(),
            "{track:?}"
        );
    }
}

#[test]
fn the_command_line_does_the_whole_job() {
    let mill = Mill::start(&["--clip-seconds", "10"]);
    let file = footage("head-pose-two.mp4");
    let file = file.to_string_lossy();
    let upload = mill.run(&["upload", "--wait", "--assessment", "cli", &file]);
    assert!(upload.status.success(), "{}", String::from_utf8_lossy(&upload.stderr));

    let status = mill.run(&["status", "--json"]);
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    let video = status["videos"][0]["video_id"].as_str().unwrap();
    let out = mill.dir().join("out.mp4");
    let get = mill.run(&["get", video, "-o", &out.to_string_lossy()]);
    assert!(get.status.success(), "{}", String::from_utf8_lossy(&get.stderr));
    assert_eq!(frames(&out), 56);

    let metrics = reqwest::blocking::get(mill.url("/metrics")).unwrap().text().unwrap();
    for line in [
        r#"reelmill_events_total{processor="verify",reason="",verdict="emitted"} 1"#,
        r#"reelmill_frames_total{kind="verified"} 56"#,
        r#"reelmill_frames_total{kind="detected"} "#,
        r#"reelmill_media_seconds_total{processor="detect"} "#,
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }

    let search = mill.run(&["search", "person"]);
    assert!(String::from_utf8_lossy(&search.stdout).contains(video));
    let wrong = mill.run(&["search", "person AND"]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(!wrong.stderr.is_empty());
}

#[test]
fn the_mill_stops_when_asked_and_says_that_it_is_alive_until_then() {
    let mut mill = Mill::start(&[]);
    for path in ["/healthz", "/readyz"] {
        assert_eq!(mill.get(path).0, 200, "{path}");
    }
    // The machine may be busy with other tests: one stop of three shows what the mill itself takes.
    let mut took = Vec::new();
    loop {
        let started = Instant::now();
        assert!(mill.stop().success());
        took.push(started.elapsed());
        assert!(!mill.data().join("endpoints.env").exists());
        if took.last().is_some_and(|took| *took < Duration::from_secs(2)) {
            break;
        }
        assert!(took.len() < 3, "{took:?}\n{}", mill.log());
        mill.start_again();
    }
}

#[test]
fn a_request_that_the_store_refuses_is_no_error_of_the_mills_in_its_log() {
    let mill = Mill::start(&[]);
    let store = &mill.endpoints["REELMILL_S3"];
    let answer = reqwest::blocking::get(format!("{store}/reelmill/recordings/none.mp4")).unwrap();
    assert_eq!(answer.status(), 403);
    let log = mill.log();
    assert!(log.contains("REELMILL_S3="), "this is no log of a mill: {log}");
    assert!(!log.contains("ERROR"), "{log}");
}
