//! What failed is tried again, and what was never announced is.

use crate::{
    ports_in_memory::video_row,
    support::{Mill, problem},
};
use ports::{DeadLetterRow, ObjectRef, Put, VideoRow, VideoState};
use serde_json::Value;
use std::{collections::BTreeMap, sync::atomic::Ordering, time::Duration};

const VIDEO: &str = "37f09aac-7af9-5bcd-b0cd-2ce4a8ddbdf7";

fn letter(processor: &str, offset: i64) -> DeadLetterRow {
    DeadLetterRow {
        topic: format!("reelmill.dead.{processor}"),
        partition: 0,
        offset,
        processor: processor.to_owned(),
        video_id: Some("v".to_owned()),
        reason: "throttled".to_owned(),
        detail: "for eight attempts".to_owned(),
        at_ms: 7,
        redriven_at_ms: None,
    }
}

async fn failed(letters: &[DeadLetterRow]) -> Mill {
    let mill = Mill::start().await;
    mill.catalog.add(VideoRow { state: VideoState::Failed, ..video_row("v") });
    mill.catalog.letters.lock().unwrap().extend_from_slice(letters);
    mill
}

async fn retried(mill: &Mill, path: &str) -> Value {
    let answer = mill.post(path, "").send().await.unwrap();
    assert_eq!(answer.status(), 202);
    answer.json().await.unwrap()
}

#[tokio::test]
async fn all_dead_letters_of_a_video_go_back_and_twice_is_once() {
    let mill = failed(&[letter("blur", 3), letter("blur", 4), letter("label", 0)]).await;
    let done = retried(&mill, "/api/videos/v/retry").await;
    assert_eq!((&done["redriven"], &done["already_redriven"]), (&3.into(), &0.into()));
    assert_eq!((&done["stages"]["blur"], &done["stages"]["label"]), (&2.into(), &1.into()));
    assert_eq!(mill.letters.sent.lock().unwrap().len(), 3);
    let told = problem(mill.post("/api/videos/v/retry", ""), 409, "nothing_to_retry").await;
    assert_eq!(told["state"], "failed");
}

#[tokio::test]
async fn one_stage_alone_can_be_retried() {
    let mill = failed(&[letter("blur", 3), letter("label", 0)]).await;
    problem(mill.post("/api/videos/v/retry?stage=cut", ""), 409, "nothing_to_retry").await;
    let done = retried(&mill, "/api/videos/v/retry?stage=label").await;
    assert_eq!(done["redriven"], 1);
    let sent: Vec<_> = mill.letters.sent.lock().unwrap().iter().cloned().collect();
    assert_eq!((sent.len(), sent[0].topic.as_str()), (1, "reelmill.dead.label"));
}

#[tokio::test]
async fn a_stage_that_there_is_none_of_is_refused_with_the_nearest_name() {
    let mill = failed(&[letter("blur", 3)]).await;
    for (word, nearest) in [("blurr", "blur"), ("Detect", "detect")] {
        let path = format!("/api/videos/v/retry?stage={word}");
        let told = problem(mill.post(&path, ""), 400, "bad_parameter").await;
        assert_eq!(told["detail"], format!("there is no stage `{word}`"));
        let next = told["next_step"].as_str().unwrap();
        assert!(next.contains(&format!("did you mean `{nearest}`")), "{next}");
        assert!(next.contains("thumbnail"), "{next}");
    }
    assert!(mill.letters.sent.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_letter_that_somebody_else_sent_back_is_not_counted_as_ours() {
    let mill = failed(&[letter("blur", 3)]).await;
    mill.letters.sent.lock().unwrap().insert(ports::Position {
        topic: "reelmill.dead.blur".to_owned(),
        partition: 0,
        offset: 3,
    });
    let done = retried(&mill, "/api/videos/v/retry").await;
    assert_eq!((&done["redriven"], &done["already_redriven"]), (&0.into(), &1.into()));
}

#[tokio::test]
async fn a_retry_that_cannot_be_sent_leaves_the_video_failed() {
    let mill = failed(&[letter("blur", 3)]).await;
    mill.letters.down.store(true, Ordering::SeqCst);
    problem(mill.post("/api/videos/v/retry", ""), 503, "broker_unavailable").await;
    mill.letters.down.store(false, Ordering::SeqCst);
    assert_eq!(retried(&mill, "/api/videos/v/retry").await["redriven"], 1);
    problem(mill.post("/api/videos/w/retry", ""), 404, "no_such_video").await;
    problem(mill.post("/api/videos/v/retry?stag=x", ""), 400, "bad_parameter").await;
}

/// A source as an upload leaves it when the mill dies before its event.
fn orphan(mill: &Mill, owner_folder: &str, title: &str) -> ObjectRef {
    let object = ObjectRef::new("mill", format!("uploads/{owner_folder}/{VIDEO}/source.mp4"));
    let metadata = [
        ("video-id", VIDEO),
        ("owner", "local"),
        ("assessment", ""),
        ("title", title),
        ("blur", "none"),
        ("visibility", "listed"),
        ("recorded-at-ms", "1000"),
    ];
    let metadata: BTreeMap<_, _> =
        metadata.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    mill.store.insert(&object, b"film", Put { metadata, ..Put::default() });
    object
}

#[tokio::test]
async fn a_source_without_an_event_is_announced_once_as_its_upload_would_have_been() {
    let mill = Mill::start().await;
    let object = orphan(&mill, "local", "M%C3%BCller%20%26%20co");
    // Neither of these is a source of ours.
    for key in ["uploads/local/x/source", "uploads/local/x/parts/1", "uploads/stray"] {
        mill.store.insert(&ObjectRef::new("mill", key), b"?", Put::default());
    }
    let age = Duration::from_secs(600);
    assert_eq!(api::announce_orphans(&mill.services, age).await, Ok(1));
    assert_eq!(api::announce_orphans(&mill.services, age).await, Ok(0));
    let announced = mill.uploads.announced.lock().unwrap();
    let [(event, id, _)] = &announced[..] else { panic!("{announced:?}") };
    assert_eq!((event.bucket.as_str(), &event.key), ("mill", &object.key));
    assert_eq!((event.title.as_str(), event.blur.as_str()), ("Müller & co", "none"));
    assert_eq!((event.video_id.as_deref(), event.recorded_at_ms), (Some(VIDEO), Some(1000)));
    assert_eq!(event.size_bytes, Some(4));
    assert_eq!(*id, schemas::ids::output(VIDEO, "upload", 0));
}

#[tokio::test]
async fn a_source_that_is_young_or_known_is_left_alone() {
    let mill = Mill::start().await;
    orphan(&mill, "local", "t");
    let centuries = Duration::from_secs(1 << 40);
    assert_eq!(api::announce_orphans(&mill.services, centuries).await, Ok(0));
    mill.catalog.add(video_row(VIDEO));
    assert_eq!(api::announce_orphans(&mill.services, Duration::from_secs(1)).await, Ok(0));
    assert!(mill.uploads.announced.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_orphan_that_cannot_be_announced_stays_for_the_next_time() {
    let mill = Mill::start().await;
    orphan(&mill, "local", "t");
    mill.uploads.down.store(true, Ordering::SeqCst);
    let age = Duration::from_millis(20);
    assert!(api::announce_orphans(&mill.services, age).await.is_err());
    mill.uploads.down.store(false, Ordering::SeqCst);
    tokio::time::sleep(age * 2).await;
    assert_eq!(api::announce_orphans(&mill.services, age).await, Ok(1));
}
