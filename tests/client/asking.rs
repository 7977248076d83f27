//! `status`, `retry` and `search`, also where there is no mill.

use super::{Mill, text};
use crate::ports_in_memory::video_row;
use ports::{
    DeadLetterRow, Hit, Moment, MomentKind, ObjectRef, Put, StageRow, VideoRow, VideoState,
};
use reelmill::client::{self, Client, ClientError};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

#[tokio::test]
async fn status_says_which_stage_of_a_video_is_overdue() {
    let mill = Mill::start().await;
    let cut = StageRow {
        stage: "cut".to_owned(),
        done: 0,
        total: None,
        frames: 0,
        first_at_ms: None,
        last_at_ms: None,
    };
    let row = VideoRow { title: String::new(), stages: vec![cut], ..video_row("v") };
    mill.catalog.add(VideoRow { uploaded_at_ms: 0, ..row });
    for (video, line) in [(None, "v  overdue"), (Some("v"), "overdue     cut has not moved for")] {
        let mut out = Vec::new();
        client::status(&mill.client, video, false, &mut out).await.unwrap();
        let told = text(out);
        assert!(told.contains(line), "{told}");
    }
}

#[tokio::test]
async fn status_of_a_ready_video_tells_what_was_checked_and_the_seconds_of_each_stage() {
    let mill = Mill::start().await;
    mill.publish("v", "talk", b"film");
    let stage = |name: &str, (first, last), parts| StageRow {
        stage: name.to_owned(),
        done: parts,
        total: Some(parts),
        frames: 0,
        first_at_ms: Some(first),
        last_at_ms: Some(last),
    };
    mill.change(0, |row| {
        row.uploaded_at_ms = 1000;
        row.receipt_key = Some("receipts/v.json".to_owned());
        row.stages = vec![
            stage("cut", (2500, 2500), 1),
            stage("blur", (3000, 5000), 2),
            stage("verify", (9200, 9200), 1),
            // It waits for no recording.
            stage("index", (5700, 5700), 1),
        ];
    })
    .await;
    let said = async || {
        let mut out = Vec::new();
        client::status(&mill.client, Some("v"), false, &mut out).await.unwrap();
        text(out)
    };
    let without = said().await;
    assert!(without.contains("\nchecked     unknown: "), "{without}");
    let receipt = serde_json::json!({
        "statement": "verified against detector yunet",
        "checks": {
            "frames_source": 900, "frames_output": 899, "sound": "identical", "tracks": 2,
            "boxes": 1500, "boxes_masked": 1498, "detections_under_mask": 40,
            "detections_unconfirmed": 3, "leaks": 1,
        },
    });
    let object = ObjectRef::new("mill", "receipts/v.json");
    mill.store.insert(&object, receipt.to_string().as_bytes(), Put::default());
    let shown = "
  cut       done, 1.5 s
  blur      2/2 clips, 2.0 s
  verify    done, 4.2 s
  index     done, 0.7 s
checked     verified against detector yunet
  tracks    2
  boxes     1500, 1498 masked
  frames    900 source, 899 output
  sound     identical
  detected  40 under masks, 3 unconfirmed
  leaks     1
";
    let one = said().await;
    assert!(one.contains(shown), "{one}");
}

#[tokio::test]
async fn status_lists_videos_and_shows_one_with_its_stages_and_reason() {
    let mill = Mill::start().await;
    let said = |video, json| {
        let client = mill.client.clone();
        async move {
            let mut out = Vec::new();
            client::status(&client, video, json, &mut out).await.unwrap();
            text(out)
        }
    };
    assert!(said(None, false).await.contains("no videos yet"));
    mill.publish("v", "a\u{1b}[2Jtalk", b"film");
    mill.catalog.add(VideoRow {
        state: VideoState::Failed,
        reason: Some("not_a_video".to_owned()),
        detail: Some("the file is a text".to_owned()),
        stages: vec![StageRow {
            stage: "cut".to_owned(),
            done: 0,
            total: Some(1),
            frames: 0,
            first_at_ms: None,
            last_at_ms: None,
        }],
        ..video_row("w")
    });
    assert_eq!(said(None, false).await, "v  ready       a [2Jtalk\nw  failed        not_a_video\n");
    let one = said(Some("w"), false).await;
    assert!(one.contains("reason      not_a_video: the file is a text\n"), "{one}");
    assert!(!one.contains("  cut"), "nothing of it was done, and nothing is under way: {one}");
    let one = said(Some("v"), false).await;
    assert!(one.contains(&format!("recording   {}/api/videos/v/recording", mill.base)), "{one}");
    let json: serde_json::Value = serde_json::from_str(&said(Some("w"), true).await).unwrap();
    assert_eq!(json["reason"], "not_a_video");
}

#[tokio::test]
async fn status_of_a_failed_video_tells_where_it_failed_what_was_done_and_what_to_do() {
    let mill = Mill::start().await;
    let stage = |name: &str, done, total| StageRow {
        stage: name.to_owned(),
        done,
        total,
        frames: 0,
        first_at_ms: (done > 0).then_some(1000),
        last_at_ms: (done > 0).then_some(990 + 10 * done),
    };
    let stages = vec![
        stage("cut", 1, Some(1)),
        stage("detect", 2, Some(3)),
        stage("blur", 0, Some(3)),
        stage("stitch", 0, None),
    ];
    let letter = |video: &str, processor: &str, reason: &str, redriven_at_ms| DeadLetterRow {
        topic: format!("reelmill.dead.{processor}"),
        partition: 0,
        offset: 0,
        processor: processor.to_owned(),
        video_id: Some(video.to_owned()),
        reason: reason.to_owned(),
        detail: "for eight attempts".to_owned(),
        at_ms: 7,
        redriven_at_ms,
    };
    for (video, reason) in [("world", "throttled"), ("film", "broken")] {
        mill.catalog.add(VideoRow {
            state: VideoState::Failed,
            reason: Some(reason.to_owned()),
            detail: Some("for eight attempts".to_owned()),
            uploaded_at_ms: 0,
            stages: stages.clone(),
            ..video_row(video)
        });
        let letters = [
            // The newest first: neither of these is why.
            letter(video, "cut", reason, Some(8)),
            letter(video, "label", "disk_full", None),
            letter(video, "detect", reason, None),
        ];
        mill.catalog.letters.lock().unwrap().extend(letters);
    }
    let told = async |video| {
        let mut out = Vec::new();
        client::status(&mill.client, Some(video), false, &mut out).await.unwrap();
        text(out)
    };
    let world = told("world").await;
    let shown = "
state       failed in detect
reason      throttled: for eight attempts
  cut       done, 1.0 s
  detect    stopped after 2 of 3 clips
next        mend what the reason names, then `reelmill retry world`
";
    assert!(world.ends_with(shown), "{world}");
    let film = told("film").await;
    let next = "\nnext        upload another file, as the reason says: ";
    assert!(film.contains(next) && !film.contains("retry"), "{film}");
}

#[tokio::test]
async fn retry_says_what_is_tried_again_and_nothing_more_than_once() {
    let mill = Mill::start().await;
    mill.catalog.add(VideoRow { state: VideoState::Failed, ..video_row("v") });
    for (processor, offset) in [("blur", 1), ("blur", 2), ("index", 0)] {
        mill.catalog.letters.lock().unwrap().push(DeadLetterRow {
            topic: format!("reelmill.dead.{processor}"),
            partition: 0,
            offset,
            processor: processor.to_owned(),
            video_id: Some("v".to_owned()),
            reason: "timed_out".to_owned(),
            detail: "no answer".to_owned(),
            at_ms: 1,
            redriven_at_ms: None,
        });
    }
    let mut out = Vec::new();
    client::retry(&mill.client, "v", Some("blur"), &mut out).await.unwrap();
    let said = text(out);
    assert!(said.starts_with("blur: 2 tried again\n"), "{said}");
    let unknown = client::retry(&mill.client, "v", Some("blurr"), &mut Vec::new()).await;
    let unknown = unknown.unwrap_err().to_string();
    assert!(unknown.contains("there is no stage `blurr`; did you mean `blur`?"), "{unknown}");
    let nothing = client::retry(&mill.client, "v", Some("blur"), &mut Vec::new()).await;
    assert!(nothing.unwrap_err().to_string().contains("not sent back already"));
}

#[tokio::test]
async fn search_shows_moments_as_a_player_counts_them() {
    let mill = Mill::start().await;
    mill.publish("v", "talk", b"film");
    mill.search.hits.lock().unwrap().push(Hit {
        video_id: "v".to_owned(),
        title: "talk".to_owned(),
        owner: "local".to_owned(),
        assessment: String::new(),
        recorded_at_ms: 0,
        duration_ms: 90_000,
        score: 1.0,
        moments: vec![Moment {
            kind: MomentKind::Label,
            name: "Person".to_owned(),
            start_ms: 61_040,
            end_ms: 75_500,
            confidence: 91.4,
            region: None,
        }],
    });
    let mut out = Vec::new();
    client::search(&mill.client, "person AND NOT tie", false, &mut out).await.unwrap();
    let url = format!("{}/api/videos/v/recording", mill.base);
    assert_eq!(text(out), format!("talk  v\n  1:01.040-1:15.500  Person 91 %\n  {url}\n"));
    let wrong = client::search(&mill.client, "(person", false, &mut Vec::new()).await;
    assert!(wrong.unwrap_err().to_string().starts_with("bad_query: query is wrong at character"));
}

#[tokio::test]
async fn without_a_mill_the_error_says_how_to_start_one() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let client = Client::new(&base).unwrap();
    let error = client::status(&client, None, false, &mut Vec::new()).await.unwrap_err();
    let said = format!("no mill answers at {base}: start one with `reelmill up`");
    assert_eq!(error.to_string(), said);
    assert!(matches!(Client::new("localhost:8080"), Err(ClientError::Address(_))));
}

#[tokio::test]
async fn another_server_is_not_taken_for_a_mill() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _request = stream.read(&mut [0; 1024]).await.unwrap();
        let answer =
            b"HTTP/1.1 404 Not Found\r\ncontent-length: 3\r\nconnection: close\r\n\r\nno\n";
        stream.write_all(answer).await.unwrap();
        stream.shutdown().await.unwrap();
    });
    let client = Client::new(&base).unwrap();
    let error = client::status(&client, None, false, &mut Vec::new()).await.unwrap_err();
    assert!(matches!(error, ClientError::NotAMill(..)), "{error}");
}
