//! What is known of the videos.

use crate::{
    ports_in_memory::video_row,
    support::{Mill, problem},
};
use ports::{DeadLetterRow, ObjectRef, Put, StageRow, VideoRow, VideoState};
use std::sync::atomic::Ordering;

#[tokio::test]
async fn a_list_is_filtered_and_paged() {
    let mill = Mill::start().await;
    for n in 0..5 {
        let assessment = if n < 3 { "exam" } else { "talk" }.to_owned();
        mill.catalog.add(VideoRow { assessment, ..video_row(&format!("v{n}")) });
    }
    let all = mill.json("/api/videos?owner=&assessment=").await;
    assert_eq!((&all["total"], &all["page_size"]), (&5.into(), &30.into()));
    let page = mill.json("/api/videos?assessment=exam&page=1&page_size=2").await;
    assert_eq!(page["total"], 3);
    assert_eq!(page["videos"].as_array().unwrap().len(), 1);
    assert_eq!(page["videos"][0]["video_id"], "v2");
    assert_eq!(page["videos"][0]["links"]["self"], format!("{}/api/videos/v2", mill.base));
    assert_eq!(mill.json("/api/videos?owner=somebody").await["total"], 0);
}

#[tokio::test]
async fn a_page_is_of_1_to_100_within_the_first_10000() {
    let mill = Mill::start().await;
    for path in ["/api/videos", "/api/search"] {
        for query in ["page_size=0", "page_size=101", "page=-1", "page=4294967295", "pages=1"] {
            problem(mill.get(&format!("{path}?{query}")), 400, "bad_parameter").await;
        }
        mill.json(&format!("{path}?page=99&page_size=100")).await;
    }
}

#[tokio::test]
async fn a_video_shows_its_stages_and_why_it_failed() {
    let mill = Mill::start().await;
    let stage = StageRow {
        stage: "cut".to_owned(),
        done: 1,
        total: Some(3),
        frames: 90,
        first_at_ms: Some(5),
        last_at_ms: Some(6),
    };
    mill.catalog.add(VideoRow {
        state: VideoState::Failed,
        reason: Some("not_a_video".to_owned()),
        detail: Some("the file is a text".to_owned()),
        stages: vec![stage],
        ..video_row("v")
    });
    mill.catalog.letters.lock().unwrap().push(DeadLetterRow {
        topic: "reelmill.dead.cut".to_owned(),
        partition: 0,
        offset: 4,
        processor: "cut".to_owned(),
        video_id: Some("v".to_owned()),
        reason: "not_a_video".to_owned(),
        detail: "the file is a text".to_owned(),
        at_ms: 7,
        redriven_at_ms: None,
    });
    let video = mill.json("/api/videos/v").await;
    assert_eq!(video["state"], "failed");
    assert_eq!(video["reason"], "not_a_video");
    assert_eq!(video["detail"], "the file is a text");
    assert_eq!(video["stages"][0]["frames"], 90);
    assert_eq!(video["stages"][0]["total"], 3);
    assert_eq!(video["dead_letters"][0]["reason"], "not_a_video", "the same on the dead letter");
    assert!(video["links"]["recording"].is_null());
}

#[tokio::test]
async fn a_ready_video_points_to_its_recording_and_its_receipt() {
    let mill = Mill::start().await;
    mill.publish("v", "talk", b"film");
    let receipt = ObjectRef::new("mill", "receipts/v.json");
    mill.store.insert(&receipt, b"{\"statement\":\"verified\"}", Put::default());
    let video = mill.json("/api/videos/v").await;
    assert_eq!(video["recording"], "s3://mill/recordings/local/exam-7-1000.mp4");
    assert_eq!(video["links"]["recording"], format!("{}/api/videos/v/recording", mill.base));
    assert_eq!(video["links"]["thumbnail"], format!("{}/api/videos/v/thumbnail", mill.base));
    assert_eq!(mill.json("/api/videos/v/receipt").await["statement"], "verified");
}

#[tokio::test]
async fn a_video_that_nobody_works_on_is_overdue() {
    let mill = Mill::start().await;
    let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    let stages = ["cut", "detect"].map(|stage| StageRow {
        stage: stage.to_owned(),
        done: i64::from(stage == "cut"),
        total: Some(1),
        frames: 10,
        first_at_ms: None,
        last_at_ms: None,
    });
    for (id, minutes) in [("late", 12), ("fresh", 8)] {
        let uploaded_at_ms = now - minutes * 60_000;
        mill.catalog.add(VideoRow { uploaded_at_ms, stages: stages.to_vec(), ..video_row(id) });
    }
    let late = mill.json("/api/videos/late").await;
    assert_eq!(late["overdue"]["stage"], "detect", "{late:#}");
    assert_eq!(late["overdue"]["waiting_since_ms"], now - 12 * 60_000);
    assert_eq!(late["overdue"]["due_ms"], now - 12 * 60_000 + 605_000);
    assert!(mill.json("/api/videos/fresh").await["overdue"].is_null());
    let listed = mill.json("/api/videos").await;
    let overdue: Vec<_> =
        listed["videos"].as_array().unwrap().iter().map(|v| &v["overdue"]).collect();
    assert_eq!(overdue.iter().filter(|o| o["stage"] == "detect").count(), 1, "{listed:#}");
}

#[tokio::test]
async fn a_thumbnail_is_shown_of_the_run_that_is_shown_and_no_other() {
    let mill = Mill::start().await;
    mill.catalog.add(video_row("w"));
    problem(mill.get("/api/videos/w/thumbnail"), 409, "not_ready").await;
    let of = |run: &str| Put {
        metadata: [("reelmill-run".to_owned(), run.to_owned())].into(),
        ..Put::default()
    };
    let row = mill.publish("v", "talk", b"");
    let recording = ObjectRef::new("mill", row.recording_key.unwrap());
    let thumbnail = ObjectRef::new("mill", "thumbnails/v.jpg");
    mill.store.insert(&recording, b"masked film", of("second"));
    let told = problem(mill.get("/api/videos/v/thumbnail"), 409, "no_thumbnail").await;
    assert!(told["detail"].as_str().unwrap().contains("thumbnail"));

    mill.store.insert(&thumbnail, b"a clear face", of("first"));
    problem(mill.get("/api/videos/v/thumbnail"), 409, "no_thumbnail").await;
    mill.store.insert(&thumbnail, b"a mask", of("second"));
    let answer = mill.get("/api/videos/v/thumbnail").send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "image/jpeg");
    let etag = answer.headers()["etag"].clone();
    assert_eq!(answer.bytes().await.unwrap(), "a mask");
    let again = mill.get("/api/videos/v/thumbnail").header("if-none-match", etag);
    assert_eq!(again.send().await.unwrap().status(), 304);

    mill.store.insert(&recording, b"clear film", Put::default());
    problem(mill.get("/api/videos/v/thumbnail"), 409, "no_thumbnail").await;
}

#[tokio::test]
async fn a_video_without_a_receipt_says_why() {
    let mill = Mill::start().await;
    mill.catalog.add(video_row("v"));
    problem(mill.get("/api/videos/v/receipt"), 409, "not_ready").await;
    mill.publish("w", "", b"film");
    problem(mill.get("/api/videos/w/receipt"), 404, "missing_object").await;
}

#[tokio::test]
async fn a_video_that_is_not_there_is_not_found() {
    let mill = Mill::start().await;
    for path in ["", "/recording", "/receipt", "/thumbnail"] {
        let told =
            problem(mill.get(&format!("/api/videos/n%C3%B6%0A{path}")), 404, "no_such_video");
        assert!(told.await["detail"].as_str().unwrap().contains("nö\\n"));
    }
}

#[tokio::test]
async fn a_database_that_is_away_is_an_answer_to_try_again() {
    let mill = Mill::start().await;
    mill.catalog.down.store(true, Ordering::SeqCst);
    let answer = mill.get("/api/videos").send().await.unwrap();
    assert_eq!(answer.headers()["retry-after"], "2");
    problem(mill.get("/api/videos/v"), 503, "database_busy").await;
}
