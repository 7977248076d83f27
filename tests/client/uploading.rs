//! `upload`, and waiting for what comes of it.

use super::{Mill, text, waiting};
use api::UploadLimits;
use ports::{DeadLetterRow, StageRow, VideoState};
use reelmill::client::{self, UploadOptions};
use std::{
    io::{self, IsTerminal},
    sync::atomic::Ordering,
    time::Duration,
};

#[tokio::test]
async fn upload_sends_the_file_with_its_name_and_choices() {
    let mill = Mill::start().await;
    let file = mill.file("größe & co.mp4", "film");
    let options = UploadOptions {
        assessment: "exam 7".to_owned(),
        blur: "none".to_owned(),
        ..UploadOptions::default()
    };
    let mut out = Vec::new();
    let uploaded = client::upload(&mill.client, &[file], options, &mut out).await.unwrap();
    assert_eq!(uploaded[0].title, "größe & co");
    assert_eq!(text(out), format!("uploaded größe & co as {}\n", uploaded[0].video_id));
    let announced = mill.uploads.announced.lock().unwrap();
    let event = &announced[0].0;
    assert_eq!((event.assessment.as_str(), event.blur.as_str()), ("exam 7", "none"));
    assert_eq!(event.size_bytes, Some(4));
    assert!(event.key.ends_with("/source.mp4"));
}

#[tokio::test]
async fn waiting_tells_each_change_once_and_ends_when_the_video_can_be_found() {
    let mill = Mill::start().await;
    let (file, mut out) = (mill.file("talk.mp4", "film"), Vec::new());
    let turn = async {
        let stage = |done, frames| StageRow {
            stage: "detect".to_owned(),
            done,
            total: Some(3),
            frames,
            first_at_ms: Some(1000),
            last_at_ms: Some(1000 + 500 * done),
        };
        mill.change(0, |row| row.stages = vec![stage(2, 600)]).await;
        tokio::time::sleep(Duration::from_millis(1000)).await;
        // A database that is busy for a moment is no end of the wait.
        mill.catalog.down.store(true, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(700)).await;
        mill.catalog.down.store(false, Ordering::SeqCst);
        mill.change(0, |row| {
            row.stages = vec![stage(3, 900)];
            row.state = VideoState::Ready;
        })
        .await;
        tokio::time::sleep(Duration::from_millis(1000)).await;
        mill.change(0, |row| row.searchable = true).await;
    };
    let upload = client::upload(&mill.client, std::slice::from_ref(&file), waiting(), &mut out);
    let (uploaded, ()) = tokio::join!(upload, turn);
    let uploaded = uploaded.unwrap();
    let told = text(out);
    let mut lines: Vec<_> = told.lines().skip(1).collect();
    let end = lines.pop().unwrap();
    assert!(end.starts_with("ready talk after "), "{told}");
    assert!(end.ends_with(&uploaded[0].recording_url), "{told}");
    // On a terminal there are bars instead.
    let changes =
        ["talk: detect 2/3 clips, 600 frames, 1.0 s", "talk: detect 3/3 clips, 900 frames, 1.5 s"];
    assert_eq!(lines, if io::stderr().is_terminal() { &[][..] } else { &changes[..] });
}

#[tokio::test]
async fn a_video_that_fails_ends_the_wait_with_its_reason_and_keeps_no_other() {
    let mill = Mill::start().await;
    let files = [mill.file("bad.mp4", "text"), mill.file("good.mp4", "film")];
    let mut out = Vec::new();
    let turn = async {
        mill.change(0, |row| {
            row.state = VideoState::Failed;
            row.reason = Some("not_a_video".to_owned());
            row.detail = Some("the file is a text".to_owned());
        })
        .await;
        mill.change(1, |row| {
            row.state = VideoState::Ready;
            row.searchable = true;
        })
        .await;
    };
    let (ended, ()) = tokio::join!(client::upload(&mill.client, &files, waiting(), &mut out), turn);
    let error = ended.unwrap_err().to_string();
    assert!(error.starts_with("1 of 2 videos failed"), "{error}");
    assert!(error.contains("not_a_video: the file is a text"), "{error}");
    assert!(text(out).contains("ready good"));
}

#[tokio::test]
async fn a_recording_that_will_never_be_found_ends_the_wait_and_says_why() {
    let mill = Mill::start().await;
    let (file, mut out) = (mill.file("talk.mp4", "film"), Vec::new());
    let turn = async {
        mill.change(0, |row| {
            row.state = VideoState::Ready;
            row.reason = Some("index_failed".to_owned());
            row.detail = Some("the disk is full".to_owned());
            mill.catalog.letters.lock().unwrap().push(DeadLetterRow {
                topic: "reelmill.dead.index".to_owned(),
                partition: 0,
                offset: 0,
                processor: "index".to_owned(),
                video_id: Some(row.video_id.clone()),
                reason: "index_failed".to_owned(),
                detail: "the disk is full".to_owned(),
                at_ms: 5,
                redriven_at_ms: None,
            });
        })
        .await;
    };
    let upload = client::upload(&mill.client, std::slice::from_ref(&file), waiting(), &mut out);
    let upload = tokio::time::timeout(Duration::from_secs(20), upload);
    let (ended, ()) = tokio::join!(upload, turn);
    let error = ended.unwrap().unwrap_err().to_string();
    let said = "is ready but not searchable: index_failed: the disk is full";
    assert!(error.ends_with(said), "{error}");
    assert!(text(out).contains(said));
}

#[tokio::test]
async fn a_file_that_is_missing_or_too_large_is_not_sent() {
    let mill = Mill::with_limits(UploadLimits { max_bytes: 8, ..UploadLimits::default() }).await;
    for (file, named) in [
        (mill.folder.path().join("none.mp4"), "none.mp4: No such file"),
        (mill.file("large.mp4", "nine bytes"), "10 bytes and the mill takes 8"),
        (mill.file("larger.mp4", "eleven bytes"), "with a higher --scratch-max-bytes"),
        (mill.folder.path().to_owned(), "is a directory: name the video files in it"),
    ] {
        let options = UploadOptions::default();
        let error = client::upload(&mill.client, &[file], options, &mut Vec::new()).await;
        let error = error.unwrap_err().to_string();
        assert!(error.contains(named), "{error}");
    }
    assert_eq!(mill.store.begun.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_empty_file_is_refused_with_the_cause_and_the_next_step() {
    let mill = Mill::start().await;
    let file = mill.file("empty.mp4", "");
    let options = UploadOptions::default();
    let error = client::upload(&mill.client, &[file], options, &mut Vec::new()).await;
    let error = error.unwrap_err().to_string();
    assert!(error.starts_with("empty_body: the body has no bytes; send the file"), "{error}");
}
