//! A detector that finds no faces, or loses them: what it tells of how it looked decides who is believed.

use super::{
    end_to_end::assert_faces_are_hidden,
    support::{Mill, ffmpeg, footage},
};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    thread,
};

/// Serves Rekognition's protocol until the test ends: every job has succeeded, and found these faces (JSON).
fn detector_that_tells(words: &'static str, faces: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            thread::spawn(move || answer(stream, words, faces));
        }
    });
    url
}

fn answer(mut stream: TcpStream, words: &str, faces: &str) {
    let mut request = BufReader::new(stream.try_clone().unwrap());
    let (mut line, mut length, mut operation) = (String::new(), 0, String::new());
    loop {
        line.clear();
        if request.read_line(&mut line).unwrap_or(0) <= 2 {
            break;
        }
        let lower = line.trim().to_lowercase();
        if let Some(value) = lower.strip_prefix("content-length: ") {
            length = value.parse().unwrap();
        }
        if let Some(value) = lower.strip_prefix("x-amz-target: rekognitionservice.") {
            operation = value.to_owned();
        }
    }
    let mut body = vec![0; length];
    request.read_exact(&mut body).unwrap();
    let body = match operation.as_str() {
        "getfacedetection" => {
            format!(r#"{{"JobStatus":"SUCCEEDED","StatusMessage":"{words}","Faces":[{faces}]}}"#)
        }
        "getlabeldetection" => r#"{"JobStatus":"SUCCEEDED","Labels":[]}"#.to_owned(),
        _ => r#"{"JobId":"job"}"#.to_owned(),
    };
    let length = body.len();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.1\r\nconnection: close";
    // Whoever went away does not want it.
    drop(write!(stream, "{head}\r\ncontent-length: {length}\r\n\r\n{body}"));
}

#[test]
fn where_the_detector_does_not_tell_that_it_looked_all_of_the_film_is_looked_at_again() {
    let talk = footage("talk_360p.mp4");
    let mill = Mill::start(&[
        "--clip-seconds",
        "10",
        "--rekognition",
        &detector_that_tells("all is well", ""),
    ]);
    let video = mill.upload(&talk, "assessment=blind");
    let row = mill.ready(&video);
    assert_eq!(row["state"], "ready", "{row:#}\n{}", mill.log());
    assert!(assert_faces_are_hidden(&talk, &mill.recording(&video)) > 500);
}

#[test]
fn a_detector_that_claims_to_have_looked_and_has_not_is_found_out_before_anything_is_published() {
    let url = detector_that_tells("looked at every frame", "");
    let mill = Mill::start(&["--clip-seconds", "10", "--rekognition", &url]);
    let video = mill.upload(&footage("talk_360p.mp4"), "assessment=liar");
    let row = mill.settled(&video);
    assert_eq!(
        (&row["state"], &row["reason"]),
        (&"failed".into(), &"verify_leak".into()),
        "{row:#}"
    );
    assert!(!mill.keys().iter().any(|key| key.starts_with("recordings/")), "{:?}", mill.keys());
}

#[test]
fn faces_that_move_half_out_of_masks_between_samples_are_masked_by_the_second_look() {
    // The left half of the picture, all the time: faces stand and move across its edge.
    const HALF: &str = r#"
        {"Timestamp":0,"Face":{"BoundingBox":{"Left":0,"Top":0,"Width":0.5,"Height":1},"Confidence":99}},
        {"Timestamp":500,"Face":{"BoundingBox":{"Left":0,"Top":0,"Width":0.5,"Height":1},"Confidence":99}}"#;
    let url = detector_that_tells("all is well", HALF);
    let mill = Mill::start(&["--clip-seconds", "10", "--rekognition", &url]);
    let film = mill.dir().join("half.mp4");
    let talk = footage("talk_360p.mp4").display().to_string();
    ffmpeg(&["-i", &talk, "-t", "8", "-c", "copy", "-an"], &film);
    let video = mill.upload(&film, "assessment=half");
    let row = mill.ready(&video);
    assert_eq!(row["state"], "ready", "{row:#}\n{}", mill.log());
    assert!(assert_faces_are_hidden(&film, &mill.recording(&video)) > 100);
}
