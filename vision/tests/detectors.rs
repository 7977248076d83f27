//! The models against photographs and footage. Needs ONNX Runtime (`make setup`).

#![expect(clippy::unwrap_used, reason = "a test that cannot prepare itself has failed")]

mod support;

use image::{ImageBuffer, ImageReader, Rgb, imageops};
use media::Limits;
use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
    process::Command,
};
use support::{footage, models};
use tempfile::TempDir;
use vision::{
    Embedding, FACE_THRESHOLD, FaceBox, FaceDetector, FaceEmbedder, FaceSample, LabelDetector,
    LabelSample, NOT_PLAIN, Profile, RgbImage, SAME_PERSON, VideoFaces, VisionError, distance,
    faces_in_video, labels_in_video,
};

fn photo(name: &str) -> RgbImage {
    let picture = ImageReader::open(footage(name)).unwrap().decode().unwrap().into_rgb8();
    let (width, height) = picture.dimensions();
    RgbImage { width, height, data: picture.into_raw() }
}

fn faces_of(picture: &RgbImage) -> Vec<FaceBox> {
    FaceDetector::new(&models(), 1).unwrap().detect(picture, FACE_THRESHOLD).unwrap()
}

/// Those of every frame.
fn faces_of_film(name: &str, progress: &mut (dyn FnMut(u32) + Send)) -> VideoFaces {
    faces_by(1, Profile::Careful, name, progress)
}

fn faces_by(
    threads: usize,
    profile: Profile,
    name: &str,
    progress: &mut (dyn FnMut(u32) + Send),
) -> VideoFaces {
    let (film, limits) = (footage(name), Limits { threads, ..Limits::default() });
    faces_in_video(&film, &models(), FACE_THRESHOLD, profile, &limits, progress).unwrap()
}

/// The whole picture in another size.
fn resized(picture: &RgbImage, width: u32, height: u32) -> RgbImage {
    let buffer: ImageBuffer<Rgb<u8>, Vec<u8>> =
        ImageBuffer::from_raw(picture.width, picture.height, picture.data.clone()).unwrap();
    let data = imageops::resize(&buffer, width, height, imageops::FilterType::Triangle);
    RgbImage { width, height, data: data.into_raw() }
}

fn embedding_of(name: &str) -> Embedding {
    let picture = photo(name);
    let faces = faces_of(&picture);
    FaceEmbedder::new(&models(), 1).unwrap().embed(&picture, &faces[0].landmarks).unwrap()
}

#[test]
fn a_portrait_has_one_face_with_eyes_above_nose_above_mouth_inside_its_box() {
    for name in ["obama.jpg", "obama2.jpg", "biden.jpg"] {
        let faces = faces_of(&photo(name));
        assert_eq!(faces.len(), 1, "{name}: {faces:?}");
        let FaceBox { region, confidence, landmarks } = &faces[0];
        assert!((50.0..=100.0).contains(confidence), "{name}: {confidence}");
        for (x, y) in landmarks {
            assert!((region.left..region.left + region.width).contains(x), "{name}: x {x}");
            assert!((region.top..region.top + region.height).contains(y), "{name}: y {y}");
        }
        let [left_eye, right_eye, nose, left_mouth, right_mouth] = landmarks;
        assert!(left_eye.0 < right_eye.0 && left_mouth.0 < right_mouth.0, "{name}");
        assert!(left_eye.1 < nose.1 && nose.1 < left_mouth.1, "{name}");
        assert!(right_eye.1 < nose.1 && nose.1 < right_mouth.1, "{name}");
    }
}

#[test]
fn a_rocket_has_no_face() {
    assert_eq!(faces_of(&photo("rocket.jpg")), []);
}

#[test]
fn a_face_is_at_the_same_relative_place_whatever_the_size_of_the_picture() {
    let picture = photo("obama.jpg");
    let full = &faces_of(&picture)[0].region.clone();
    for width in [320, 641, 1280] {
        let height = width * picture.height / picture.width;
        let small = faces_of(&resized(&picture, width, height));
        assert_eq!(small.len(), 1);
        let region = small[0].region;
        assert!((region.left - full.left).abs() < 0.03, "{region:?} is not {full:?}");
        assert!((region.top - full.top).abs() < 0.03, "{region:?} is not {full:?}");
        assert!((region.width - full.width).abs() < 0.05, "{region:?} is not {full:?}");
        assert!((region.height - full.height).abs() < 0.05, "{region:?} is not {full:?}");
    }
}

#[test]
fn a_face_cut_by_the_border_keeps_a_box_inside_the_picture() {
    let picture = photo("obama.jpg");
    let face = faces_of(&picture)[0].region;
    // From the middle of the face to the right: half a face at the left border.
    let from = ((face.left + face.width * 0.4) * picture.width as f32) as usize;
    let width = picture.width as usize - from;
    let rows = picture.data.chunks_exact(picture.width as usize * 3);
    let data: Vec<u8> = rows.flat_map(|row| &row[from * 3..]).copied().collect();
    let half = RgbImage { width: width as u32, height: picture.height, data };
    let faces = FaceDetector::new(&models(), 1).unwrap().detect(&half, 0.3).unwrap();
    let region = faces[0].region;
    assert!(region.left >= 0.0 && region.left < 0.05, "{region:?}");
    assert!(region.left + region.width <= 1.0 && region.top + region.height <= 1.0);
}

#[test]
fn two_photos_of_one_person_are_nearer_than_the_limit_and_two_people_farther() {
    let (obama, again, biden) =
        (embedding_of("obama.jpg"), embedding_of("obama2.jpg"), embedding_of("biden.jpg"));
    let same = distance(&obama, &again);
    let other = distance(&obama, &biden);
    println!("same person {same:.3}, others {other:.3} and {:.3}", distance(&again, &biden));
    assert!(same < SAME_PERSON, "{same}");
    assert!(other > SAME_PERSON, "{other}");
    assert!(distance(&again, &biden) > SAME_PERSON);
    assert_eq!(distance(&obama, &obama), 0.0);
}

#[test]
fn a_portrait_of_a_man_in_a_suit_shows_a_person_with_a_tie() {
    let labels = LabelDetector::new(&models(), 1).unwrap().detect(&photo("obama.jpg")).unwrap();
    let person = labels.iter().find(|l| l.name == "Person").unwrap();
    assert!(person.confidence > 70.0 && person.parents.is_empty(), "{person:?}");
    assert!(person.region.width > 0.5, "{person:?}");
    let tie = labels.iter().find(|l| l.name == "Tie").unwrap();
    assert_eq!(tie.parents, ["Accessories", "Formal Wear"]);
}

#[test]
fn every_frame_of_a_film_is_looked_at_and_its_times_are_those_of_its_frames() {
    let mut seen = 0;
    let found = faces_of_film("head-pose-two.mp4", &mut |n| seen = n);
    assert_eq!((found.samples.len(), seen), (56, 56));
    assert_eq!(found.samples[0].at_ms, 0);
    assert!(found.samples.is_sorted_by(|a, b| a.at_ms < b.at_ms));
    let frame_ms = found.samples[1].at_ms;
    assert!((83..=84).contains(&frame_ms), "12 frames a second: {frame_ms}");
    let with_two = found.samples.iter().filter(|s| s.faces.len() == 2).count();
    println!("two faces on {with_two} of 56 frames");
    assert!(with_two >= 50, "{with_two} of 56 frames show both faces");
}

#[test]
fn the_talk_has_a_face_then_none_then_two() {
    let found = faces_of_film("talk_360p.mp4", &mut |_| {});
    assert_eq!(found.samples.len(), 750);
    assert_eq!((found.video.width, found.video.height), (640, 360));
    for sample in &found.samples {
        let expected = match sample.at_ms {
            ..10_000 => 1,
            10_000..18_000 => 0,
            _ => 2,
        };
        assert_eq!(sample.faces.len(), expected, "at {} ms: {:?}", sample.at_ms, sample.faces);
    }
}

/// Some seconds of a ground before which a photo is for some of them, made by FFmpeg.
fn composed(
    (size, ground): (&str, &str),
    (photo, face): (&str, &str),
    (from, to, seconds): (u32, u32, u32),
) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let film = folder.path().join("film.mp4");
    let on = format!("overlay=300:50:enable='gte(t,{from})*lt(t,{to})'");
    let graph = format!("[0:v]scale={size},setsar=1,{ground}[a];[1:v]{face}[b];[a][b]{on}");
    let run = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-loop", "1", "-i"])
        .arg(footage("rocket.jpg"))
        .args(["-loop", "1", "-i"])
        .arg(footage(photo))
        .args(["-filter_complex", &format!("{graph}:format=gbrp,format=yuv420p")])
        .args(["-t", &seconds.to_string(), "-r", "25", "-g", "5", "-c:v", "libx264", "-crf", "12"])
        .arg(&film)
        .status();
    assert!(run.unwrap().success());
    (folder, film)
}

/// How many frames of a film a face is seen on.
fn samples(film: &Path, profile: Profile) -> Vec<FaceSample> {
    let limits = Limits { threads: 2, ..Limits::default() };
    let found =
        faces_in_video(film, &models(), FACE_THRESHOLD, profile, &limits, &mut |_| {}).unwrap();
    found.samples
}

fn frames_with_a_face(film: &Path, profile: Profile) -> usize {
    samples(film, profile).iter().filter(|sample| !sample.faces.is_empty()).count()
}

#[test]
fn a_face_that_the_detector_doubts_is_seen_by_a_closer_look() {
    for width in [70, 72, 76] {
        let face = format!("scale={width}:-2,format=gbrp");
        let (_folder, film) =
            composed(("1280:720", "format=gbrp"), ("obama.jpg", &face), (0, 1, 1));
        let mut plain = FaceDetector::new(&models(), 1).unwrap();
        let mut doubts = 0;
        media::decode(&film, &Limits::default(), &mut |frame| {
            let seen = plain.detect(&frame.rgb(640)?, FACE_THRESHOLD / 2.0).unwrap();
            let is_doubt = |face: &FaceBox| face.confidence < 100.0 * FACE_THRESHOLD;
            doubts += usize::from(!seen.is_empty() && seen.iter().all(is_doubt));
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
        assert!(doubts >= 20, "{width}: {doubts}");
        for profile in [Profile::Careful, Profile::Fast] {
            let samples = samples(&film, profile);
            let faces = samples.iter().filter_map(|sample| sample.faces.first());
            let is_closely_seen = |face: &&FaceBox| face.confidence <= NOT_PLAIN;
            assert!(faces.filter(is_closely_seen).count() >= doubts, "{width}");
        }
    }
}

#[test]
fn a_face_in_the_dark_is_seen_on_every_frame_it_is_there() {
    for photo in ["obama.jpg", "biden.jpg", "biden2.jpg"] {
        let (_folder, film) = in_the_dark(photo, (0, 1, 1));
        assert_eq!(frames_with_a_face(&film, Profile::Fast), 0, "{photo}: not dark enough");
        assert_eq!(frames_with_a_face(&film, Profile::Careful), 25, "{photo}");
    }
}

/// A dim photo before bright ground for some seconds.
fn in_the_dark(photo: &str, seconds: (u32, u32, u32)) -> (TempDir, PathBuf) {
    let dim = |by: &str| {
        let levels = format!("48+val*{by}");
        format!("format=gbrp,lutrgb=r={levels}:g={levels}:b={levels}")
    };
    let face = format!("scale=120:-2,{}", dim("0.05"));
    composed(("640:360", &dim("0.8")), (photo, &face), seconds)
}

#[test]
fn a_face_that_is_in_the_dark_for_a_while_is_seen_then_whoever_looks_at_which_part() {
    let (_folder, film) = in_the_dark("obama.jpg", (3, 7, 14));
    let look = |threads| {
        let limits = Limits { threads, ..Limits::default() };
        let profile = Profile::Careful;
        faces_in_video(&film, &models(), FACE_THRESHOLD, profile, &limits, &mut |_| {}).unwrap()
    };
    let alone = look(1);
    for (frame, sample) in alone.samples.iter().enumerate() {
        let is_there = (75..175).contains(&frame);
        assert_eq!(sample.faces.len(), usize::from(is_there), "{frame}: {sample:?}");
        // The photo lies between 300 and 420 px of 640, and from 50 of 360 px on.
        for FaceBox { region, .. } in &sample.faces {
            assert!(region.left > 0.46 && region.right() < 0.66 && region.top > 0.13, "{region:?}");
        }
    }
    assert_eq!(alone.samples.len(), 350);
    assert_eq!(look(2), alone);
}

#[test]
fn labels_are_looked_for_once_a_second_and_people_are_found() {
    let mut detector = LabelDetector::new(&models(), 1).unwrap();
    let film = footage("signing-again.mkv");
    let found = labels_in_video(&film, &mut detector, &Limits::default(), &mut |_| {}).unwrap();
    let seconds: Vec<i64> = found.samples.iter().map(|s| s.at_ms / 1000).collect();
    assert_eq!(seconds, (0..seconds.len() as i64).collect::<Vec<_>>());
    assert!(found.samples.len() >= 3, "{}", found.samples.len());
    for sample in &found.samples {
        assert!(sample.labels.iter().any(|l| l.name == "Person"), "{sample:?}");
    }
}

#[test]
fn people_who_walk_through_a_room_are_found_and_the_empty_room_is_empty() {
    let mut detector = LabelDetector::new(&models(), 1).unwrap();
    let film = footage("one-by-one-person-detection.mp4");
    let found = labels_in_video(&film, &mut detector, &Limits::default(), &mut |_| {}).unwrap();
    let person_in =
        |s: &LabelSample| s.labels.iter().any(|l| l.name == "Person" && l.confidence >= 50.0);
    let with = found.samples.iter().filter(|s| person_in(s)).count();
    println!("a person in {with} of {} seconds", found.samples.len());
    assert_eq!(found.samples.len(), found.video.duration_ms.unsigned_abs().div_ceil(1000) as usize);
    assert!((80..=120).contains(&with), "people are in about 103 of 140 seconds: {with}");
}

#[test]
fn several_eyes_see_what_one_pair_sees() {
    let mut frames = 0;
    let together = faces_by(3, Profile::Careful, "head-pose-two.mp4", &mut |n| frames = n);
    assert_eq!(together, faces_of_film("head-pose-two.mp4", &mut |_| {}));
    assert_eq!(together.samples.len(), frames as usize);
}

#[test]
fn a_fast_look_at_parts_sees_what_one_at_the_whole_does_and_a_little_more_where_they_meet() {
    let look = |threads| {
        let mut frames = 0;
        let faces = faces_by(threads, Profile::Fast, "talk_360p.mp4", &mut |n| frames = n);
        assert_eq!(frames, 750);
        faces.samples
    };
    let whole = look(1);
    for threads in [2, 3] {
        let parts = look(threads);
        assert!(parts.is_sorted_by(|one, next| one.at_ms < next.at_ms));
        assert!(whole.iter().all(|sample| parts.contains(sample)), "{threads}");
        // A stretch of 150 ms on each side.
        let more = parts.len() - whole.len();
        assert!((1..=8 * (threads - 1)).contains(&more), "{threads}: {more} frames more");
    }
}

#[test]
fn a_text_file_is_the_inputs_fault_and_a_cancelled_look_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("film.mp4");
    std::fs::write(&file, "no film at all").unwrap();
    let look = |file, limits: &Limits| {
        faces_in_video(file, &models(), FACE_THRESHOLD, Profile::Careful, limits, &mut |_| {})
            .unwrap_err()
    };
    assert!(look(&file, &Limits::default()).blames_input());
    let limits = Limits::default();
    limits.cancel.cancel();
    let stopped = look(&footage("head-pose-two.mp4"), &limits);
    assert!(!stopped.blames_input() && matches!(stopped, VisionError::Media(_)), "{stopped}");
}
