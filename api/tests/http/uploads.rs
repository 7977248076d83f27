//! Footage comes in whole and announced, or not at all.

use crate::{
    ports_in_memory::MemoryStore,
    support::{Mill, checked, eventually, problem},
};
use api::UploadLimits;
use futures::stream;
use std::{io, sync::atomic::Ordering, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

async fn all_writes_ended(store: &MemoryStore) {
    eventually("a streamed write began and ended", || async {
        let begun = store.begun.load(Ordering::SeqCst);
        begun > 0 && begun == store.ended.load(Ordering::SeqCst)
    })
    .await;
}

async fn status_line(connection: &mut TcpStream) -> Vec<u8> {
    let mut line = vec![0; 12];
    let read = connection.read_exact(&mut line);
    tokio::time::timeout(Duration::from_secs(10), read).await.unwrap().unwrap();
    line
}

fn chunked(pieces: Vec<&'static str>) -> reqwest::Body {
    reqwest::Body::wrap_stream(stream::iter(pieces.into_iter().map(io::Result::Ok)))
}

#[tokio::test]
async fn an_upload_is_stored_first_and_then_announced() {
    let mill = Mill::start().await;
    let path = "/api/videos?assessment=exam%207&title=A%20talk&blur=none&visibility=listed\
                &filename=talk.MP4&recorded_at_ms=1700000000000";
    let answer = mill.post(path, "film").send().await.unwrap();
    assert_eq!(answer.status(), 201);
    let location = answer.headers()["location"].to_str().unwrap().to_owned();
    let told: serde_json::Value = answer.json().await.unwrap();
    let id = told["video_id"].as_str().unwrap();
    assert_eq!(location, format!("/api/videos/{id}"));
    assert_eq!(told["bytes"], 4);

    let announced = mill.uploads.announced.lock().unwrap().clone();
    let [(event, event_id, stored)] = announced.as_slice() else { panic!("{announced:?}") };
    let key = format!("uploads/local/{id}/source.mp4");
    assert_eq!(stored, &[format!("s3://mill/{key}")], "the object was there before the event");
    assert_eq!((event.bucket.as_str(), &event.key), ("mill", &key));
    assert_eq!(event.video_id.as_deref(), Some(id));
    assert_eq!((event.owner.as_str(), event.assessment.as_str()), ("local", "exam 7"));
    assert_eq!((event.title.as_str(), event.blur.as_str()), ("A talk", "none"));
    assert_eq!(event.visibility, "listed");
    assert_eq!(event.recorded_at_ms, Some(1_700_000_000_000));
    assert_eq!(event.size_bytes, Some(4));
    assert_eq!(event_id, &schemas::ids::output(id, "upload", 0));
    let objects = mill.store.objects.lock().unwrap();
    let (info, body) = objects.values().next().unwrap();
    assert_eq!(&body[..], b"film");
    assert_eq!(info.metadata["title"], "A%20talk", "metadata is ascii");
}

#[tokio::test]
async fn the_location_of_an_upload_answers_at_once() {
    let mill = Mill::start().await;
    let answer = mill.post("/api/videos?filename=talk.mp4", "film").send().await.unwrap();
    let location = answer.headers()["location"].to_str().unwrap().to_owned();
    let video = mill.json(&location).await;
    assert_eq!(video["state"], "processing");
    assert_eq!(video["title"], "talk");
}

#[tokio::test]
async fn a_catalogue_that_is_down_does_not_lose_an_upload() {
    let mill = Mill::start().await;
    mill.catalog.down.store(true, Ordering::SeqCst);
    assert_eq!(mill.post("/api/videos", "film").send().await.unwrap().status(), 201);
    assert_eq!(mill.uploads.announced.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn the_answer_waits_for_the_brokers_acknowledgement() {
    let mill = Mill::start().await;
    mill.uploads.acks.forget_permits(usize::MAX);
    let answer = tokio::spawn(mill.post("/api/videos", "film").send());
    eventually("the upload is announced", || async {
        !mill.uploads.announced.lock().unwrap().is_empty()
    })
    .await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!answer.is_finished());
    mill.uploads.acks.add_permits(1);
    assert_eq!(answer.await.unwrap().unwrap().status(), 201);
}

#[tokio::test]
async fn an_upload_that_cannot_be_announced_leaves_nothing() {
    let mill = Mill::start().await;
    mill.uploads.down.store(true, Ordering::SeqCst);
    let told = problem(mill.post("/api/videos", "film"), 503, "not_announced").await;
    assert!(told["detail"].as_str().unwrap().contains("no broker answers"));
    assert!(mill.store.keys().is_empty());
    assert!(mill.catalog.rows.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_empty_body_is_refused_with_and_without_a_declared_length() {
    let mill = Mill::start().await;
    problem(mill.post("/api/videos", ""), 400, "empty_body").await;
    problem(mill.post("/api/videos", chunked(vec![])), 400, "empty_body").await;
    problem(mill.post("/api/videos", chunked(vec!["", ""])), 400, "empty_body").await;
    assert!(mill.store.keys().is_empty());
}

#[tokio::test]
async fn a_body_declared_too_large_is_refused_before_it_is_sent() {
    let mill = Mill::start().await;
    let mut connection = TcpStream::connect(mill.address).await.unwrap();
    let head = format!(
        "POST /api/videos HTTP/1.1\r\nhost: {}\r\ncontent-length: {}\r\n\r\n",
        mill.address,
        (10_u64 << 30) + 1
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = connection.read_to_end(&mut answer);
    tokio::time::timeout(Duration::from_secs(5), read).await.unwrap().unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("\"code\":\"too_large\""), "{answer}");
    assert_eq!(mill.store.begun.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_body_that_grows_too_large_is_refused_and_not_kept() {
    let limits = UploadLimits { max_bytes: 8, ..UploadLimits::default() };
    let mill = Mill::with_limits(limits).await;
    let fits = mill.post("/api/videos", chunked(vec!["four", "four"])).send().await.unwrap();
    assert_eq!(fits.status(), 201);
    let kept = mill.store.keys();
    let larger = mill.post("/api/videos", chunked(vec!["four", "four", "1"]));
    let told = problem(larger, 413, "too_large").await;
    assert!(told["next_step"].as_str().unwrap().contains("--scratch-max-bytes"), "{told}");
    assert_eq!(told["max_bytes"], 8);
    assert_eq!(mill.store.keys(), kept);
    assert_eq!(mill.uploads.announced.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_nothing() {
    for framing in ["content-length: 100", "transfer-encoding: chunked"] {
        let mill = Mill::start().await;
        let mut connection = TcpStream::connect(mill.address).await.unwrap();
        let head = format!(
            "POST /api/videos HTTP/1.1\r\nhost: localhost\r\n{framing}\r\n\r\n4\r\nfilm\r\n"
        );
        connection.write_all(head.as_bytes()).await.unwrap();
        eventually("the body arrives", || async { mill.store.begun.load(Ordering::SeqCst) == 1 })
            .await;
        drop(connection);
        all_writes_ended(&mill.store).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(mill.store.keys().is_empty(), "{framing}");
        assert!(mill.uploads.announced.lock().unwrap().is_empty(), "{framing}");
    }
}

#[tokio::test]
async fn a_client_that_goes_away_after_its_last_byte_takes_nothing_back() {
    let mill = Mill::start().await;
    mill.uploads.acks.forget_permits(usize::MAX);
    let mut connection = TcpStream::connect(mill.address).await.unwrap();
    let upload = "POST /api/videos HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4\r\n\r\nfilm";
    connection.write_all(upload.as_bytes()).await.unwrap();
    eventually("the upload is announced", || async {
        !mill.uploads.announced.lock().unwrap().is_empty()
    })
    .await;
    drop(connection);
    tokio::time::sleep(Duration::from_millis(100)).await;
    mill.uploads.acks.add_permits(1);
    eventually("the video is in the catalogue", || async {
        !mill.catalog.rows.lock().unwrap().is_empty()
    })
    .await;
    assert_eq!(mill.store.keys().len(), 1);
}

#[tokio::test]
async fn a_client_that_stands_still_is_given_up() {
    let limits =
        UploadLimits { max_silence: Duration::from_millis(100), ..UploadLimits::default() };
    let mill = Mill::with_limits(limits).await;
    let mut connection = TcpStream::connect(mill.address).await.unwrap();
    let head = "POST /api/videos HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\nfilm";
    connection.write_all(head.as_bytes()).await.unwrap();
    let answer = status_line(&mut connection).await;
    assert_eq!(answer, b"HTTP/1.1 408");
    all_writes_ended(&mill.store).await;
    assert!(mill.store.keys().is_empty());
}

#[tokio::test]
async fn an_upload_under_way_is_aborted_when_the_mill_stops() {
    let mill = Mill::start().await;
    let mut connection = TcpStream::connect(mill.address).await.unwrap();
    let head = "POST /api/videos HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\nfilm";
    connection.write_all(head.as_bytes()).await.unwrap();
    eventually("the body arrives", || async { mill.store.begun.load(Ordering::SeqCst) == 1 }).await;
    mill.stopping.cancel();
    let answer = status_line(&mut connection).await;
    assert_eq!(answer, b"HTTP/1.1 503");
    all_writes_ended(&mill.store).await;
    assert!(mill.store.keys().is_empty());
}

#[tokio::test]
async fn odd_names_become_titles_and_never_paths() {
    let mill = Mill::start().await;
    for (name, extension, title) in [
        ("../../etc/größe mit leer.mkv", ".mkv", "größe mit leer"),
        ("C:\\films\\a b.mov", ".mov", "a b"),
        ("notes.txt", "", "notes.txt"),
        ("映画\u{1b}[2J.webm", ".webm", "映画 [2J"),
        ("..", "", ".."),
    ] {
        let mut url = reqwest::Url::parse(&format!("{}/api/videos", mill.base)).unwrap();
        url.query_pairs_mut().append_pair("filename", name).append_pair("assessment", "../x y");
        let answer = mill.http.post(url).body("film").send().await.unwrap();
        assert_eq!(answer.status(), 201, "{name}");
        let told: serde_json::Value = answer.json().await.unwrap();
        assert_eq!(told["title"], title);
        assert_eq!(told["assessment"], "../x y");
        let id = told["video_id"].as_str().unwrap();
        let key = format!("s3://mill/uploads/local/{id}/source{extension}");
        assert!(mill.store.keys().contains(&key), "{key}");
    }
    let objects = mill.store.objects.lock().unwrap();
    for (info, _) in objects.values() {
        assert!(info.metadata.values().all(|value| value.is_ascii()));
        let bytes: usize = info.metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
        assert!(bytes < 2048);
    }
}

#[tokio::test]
async fn wrong_parameters_are_named() {
    let mill = Mill::start().await;
    let long = "x".repeat(301);
    for (query, named) in [
        ("blur=some", "blur"),
        ("visibility=public", "visibility"),
        ("recorded_at_ms=-1", "recorded_at_ms"),
        ("recorded_at_ms=99999999999999999", "recorded_at_ms"),
        ("recorded_at_ms=soon", "recorded_at_ms"),
        ("assesment=7", "assesment"),
        (&format!("title={long}"), "title"),
    ] {
        let request = mill.post(&format!("/api/videos?{query}"), "film");
        let told = problem(request, 400, "bad_parameter").await;
        assert!(told["detail"].as_str().unwrap().contains(named), "{told}");
    }
    assert!(mill.store.keys().is_empty());
}

#[tokio::test]
async fn a_form_is_refused_because_its_boundaries_are_no_film() {
    let mill = Mill::start().await;
    let form = mill.post("/api/videos", "film");
    let answer = form.header("content-type", "Multipart/form-data; boundary=x").send().await;
    checked(answer.unwrap(), 415, "raw_body_wanted").await;
}

#[tokio::test]
async fn the_limits_of_uploads_are_published() {
    let mill = Mill::start().await;
    let config = mill.json("/api/uploads/config").await;
    assert_eq!(config["max_bytes"], 10_u64 << 30);
    let types = ["mp4", "m4v", "mov", "mkv", "webm", "avi", "ts", "m2ts", "mts"];
    assert_eq!(config["types"], serde_json::json!(types));
    assert_eq!(config["blur"][0], "all");
}

#[tokio::test]
async fn two_uploads_of_one_file_are_two_videos() {
    let mill = Mill::start().await;
    for _ in 0..2 {
        mill.post("/api/videos?filename=a.mp4", "film").send().await.unwrap();
    }
    assert_eq!(mill.store.keys().len(), 2);
    assert_eq!(mill.json("/api/videos").await["total"], 2);
}
