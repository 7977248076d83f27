//! The recording, whole and in ranges.

use crate::{
    ports_in_memory::video_row,
    support::{Mill, problem},
};
use ports::{VideoRow, VideoState};
use reqwest::{Response, StatusCode};
use std::sync::atomic::Ordering;

const PATH: &str = "/api/videos/v/recording";

fn film() -> Vec<u8> {
    (0..1000_u32).map(|n| (n % 251) as u8).collect()
}

fn header(answer: &Response, name: &str) -> String {
    answer.headers()[name].to_str().unwrap().to_owned()
}

async fn published() -> Mill {
    let mill = Mill::start().await;
    mill.publish("v", "A \"talk\" für/alle", &film());
    mill
}

#[tokio::test]
async fn the_whole_recording_comes_with_its_type_length_and_name() {
    let mill = published().await;
    let answer = mill.get(PATH).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(header(&answer, "content-type"), "video/mp4");
    assert_eq!(header(&answer, "content-length"), "1000");
    assert_eq!(header(&answer, "accept-ranges"), "bytes");
    assert_eq!(
        header(&answer, "content-disposition"),
        "inline; filename=\"A _talk_ f_r_alle.mp4\"; \
         filename*=UTF-8''A%20%22talk%22%20f%C3%BCr_alle.mp4"
    );
    assert_eq!(answer.bytes().await.unwrap(), film());
}

#[tokio::test]
async fn a_range_of_the_recording_is_those_bytes() {
    let mill = published().await;
    for (range, told, expected) in [
        ("bytes=0-0", "bytes 0-0/1000", 0..1),
        ("bytes=100-299", "bytes 100-299/1000", 100..300),
        ("bytes=900-", "bytes 900-999/1000", 900..1000),
        ("bytes=-10", "bytes 990-999/1000", 990..1000),
        ("bytes=990-5000", "bytes 990-999/1000", 990..1000),
    ] {
        let answer = mill.get(PATH).header("range", range).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::PARTIAL_CONTENT, "{range}");
        assert_eq!(header(&answer, "content-range"), told);
        assert_eq!(header(&answer, "content-length"), expected.len().to_string());
        assert_eq!(answer.bytes().await.unwrap(), film()[expected], "{range}");
    }
}

#[tokio::test]
async fn a_range_beyond_the_end_is_416_with_the_length() {
    let mill = published().await;
    let request = || mill.get(PATH).header("range", "bytes=1000-");
    problem(request(), 416, "range_not_satisfiable").await;
    assert_eq!(header(&request().send().await.unwrap(), "content-range"), "bytes */1000");
}

#[tokio::test]
async fn head_tells_the_length_without_the_bytes() {
    let mill = published().await;
    let url = format!("{}{PATH}", mill.base);
    let whole = mill.http.head(&url).send().await.unwrap();
    assert_eq!(whole.status(), StatusCode::OK);
    assert_eq!(header(&whole, "content-length"), "1000");
    let part = mill.http.head(&url).header("range", "bytes=5-9").send().await.unwrap();
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(header(&part, "content-length"), "5");
    assert!(part.bytes().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_resumed_download_gets_a_range_only_of_the_same_object() {
    let mill = published().await;
    let etag = header(&mill.get(PATH).send().await.unwrap(), "etag");
    let resume = |tag: &str| mill.get(PATH).header("range", "bytes=500-").header("if-range", tag);
    assert_eq!(resume(&etag).send().await.unwrap().status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(resume("\"another\"").send().await.unwrap().status(), StatusCode::OK);
    let same = mill.get(PATH).header("if-none-match", format!("\"x\", {etag}"));
    assert_eq!(same.send().await.unwrap().status(), StatusCode::NOT_MODIFIED);
}

#[tokio::test]
async fn before_it_is_ready_there_is_a_state_instead() {
    let mill = Mill::start().await;
    mill.catalog.add(video_row("v"));
    assert_eq!(problem(mill.get(PATH), 409, "not_ready").await["state"], "processing");
}

#[tokio::test]
async fn of_a_failed_video_there_is_the_reason() {
    let mill = Mill::start().await;
    mill.catalog.add(VideoRow {
        state: VideoState::Failed,
        reason: Some("no_video_stream".to_owned()),
        detail: Some("the file has sound only".to_owned()),
        ..video_row("v")
    });
    let told = problem(mill.get(PATH), 409, "failed").await;
    assert_eq!((&told["state"], &told["reason"]), (&"failed".into(), &"no_video_stream".into()));
    assert_eq!(told["detail"], "no_video_stream: the file has sound only");
}

#[tokio::test]
async fn a_published_recording_stays_while_a_later_run_fails() {
    let mill = published().await;
    mill.catalog.rows.lock().unwrap()[0].state = VideoState::Failed;
    assert_eq!(mill.get(PATH).send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn a_recording_the_store_has_lost_is_said_to_be_gone() {
    let mill = published().await;
    mill.store.objects.lock().unwrap().clear();
    problem(mill.get(PATH), 404, "missing_object").await;
}

#[tokio::test]
async fn a_download_that_breaks_off_does_not_look_complete() {
    let mill = published().await;
    mill.store.breaks.store(true, Ordering::SeqCst);
    let whole = async { mill.get(PATH).send().await?.bytes().await };
    assert!(whole.await.is_err());
}
