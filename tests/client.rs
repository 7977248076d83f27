//! The commands of the command line, against the real API over ports kept in memory.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first surprise")]

#[path = "../api/tests/http/ports_in_memory.rs"]
mod ports_in_memory;

use api::{Health, Reach, Services, UploadLimits, router, serve};
use ports::{
    DeadLetterRow, Hit, Moment, MomentKind, ObjectRef, Put, StageRow, VideoRow, VideoState,
};
use ports_in_memory::{
    MemoryCatalog, MemoryLetters, MemorySearch, MemoryStore, MemoryUploads, video_row,
};
use reelmill::client::{self, Client, ClientError, UploadOptions};
use std::{
    fs,
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_util::sync::{CancellationToken, DropGuard};

struct Mill {
    client: Client,
    base: String,
    store: Arc<MemoryStore>,
    catalog: Arc<MemoryCatalog>,
    search: Arc<MemorySearch>,
    uploads: Arc<MemoryUploads>,
    folder: TempDir,
    _stop: DropGuard,
}

impl Mill {
    async fn start() -> Self {
        Self::with_limits(UploadLimits::default()).await
    }

    async fn with_limits(limits: UploadLimits) -> Self {
        let store = Arc::new(MemoryStore::default());
        let catalog = Arc::new(MemoryCatalog::default());
        let search = Arc::new(MemorySearch::default());
        let uploads = Arc::new(MemoryUploads::new(Arc::clone(&store)));
        let stopping = CancellationToken::new();
        let services = Arc::new(Services {
            store: store.clone(),
            catalog: catalog.clone(),
            search: search.clone(),
            uploads: uploads.clone(),
            letters: Arc::new(MemoryLetters::default()),
            bucket: "mill".to_owned(),
            owner: "local".to_owned(),
            limits,
            health: Health {
                metrics: Arc::new(String::new),
                readiness: Arc::new(Vec::new),
                answered: Arc::new(|_| {}),
            },
            stopping: stopping.clone(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let shutdown = stopping.clone().cancelled_owned();
        tokio::spawn(serve(listener, router(services), Reach::Loopback, shutdown));
        let (client, folder) = (Client::new(&base).unwrap(), TempDir::new().unwrap());
        let _stop = stopping.drop_guard();
        Self { client, base, store, catalog, search, uploads, folder, _stop }
    }

    fn file(&self, name: &str, body: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, body).unwrap();
        path
    }

    /// A video with a recording in the store.
    fn publish(&self, video_id: &str, title: &str, body: &[u8]) {
        let key = format!("recordings/local/{video_id}.mp4");
        self.store.insert(&ObjectRef::new("mill", &key), body, Put::default());
        self.catalog.add(VideoRow {
            title: title.to_owned(),
            state: VideoState::Ready,
            searchable: true,
            recording_bucket: Some("mill".to_owned()),
            recording_key: Some(key),
            ..video_row(video_id)
        });
    }

    /// Changes the `index`-th uploaded video, once it is there.
    async fn change(&self, index: usize, change: impl Fn(&mut VideoRow)) {
        for _ in 0..1000 {
            if let Some(row) = self.catalog.rows.lock().unwrap().get_mut(index) {
                return change(row);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("video {index} was not uploaded within 10 s");
    }
}

fn waiting() -> UploadOptions {
    UploadOptions { wait: true, ..UploadOptions::default() }
}

fn text(out: Vec<u8>) -> String {
    String::from_utf8(out).unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

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

#[tokio::test]
async fn get_writes_the_recording_under_its_title_and_over_nothing() {
    let mill = Mill::start().await;
    let film: Vec<u8> = (0..100_000_u32).map(|n| (n % 251) as u8).collect();
    mill.publish("v", "a/b größe", &film);
    let (folder, mut out) = (mill.folder.path().to_owned(), Vec::new());
    let path = client::get(&mill.client, "v", Some(folder.clone()), &mut out).await.unwrap();
    assert_eq!(path, folder.join("a_b größe.mp4"));
    assert_eq!(fs::read(&path).unwrap(), film);
    assert_eq!(text(out), format!("{}\n", path.display()));

    let again = client::get(&mill.client, "v", Some(folder.clone()), &mut Vec::new()).await;
    assert!(matches!(again, Err(ClientError::AlreadyThere(_))));
    fs::write(&path, "old").unwrap();
    client::get(&mill.client, "v", Some(path.clone()), &mut Vec::new()).await.unwrap();
    assert_eq!(fs::read(&path).unwrap(), film, "a file named by the user is replaced");
    assert_eq!(names(&folder), ["a_b größe.mp4"]);
}

#[tokio::test]
async fn a_download_that_breaks_off_leaves_no_file() {
    let mill = Mill::start().await;
    mill.publish("v", "talk", &[7; 100_000]);
    mill.store.breaks.store(true, Ordering::SeqCst);
    let folder = mill.folder.path().to_owned();
    let error = client::get(&mill.client, "v", Some(folder.clone()), &mut Vec::new()).await;
    assert!(matches!(error, Err(ClientError::Broken(_))));
    assert!(names(&folder).is_empty());
}

#[tokio::test]
async fn get_before_the_recording_is_ready_says_so_and_writes_nothing() {
    let mill = Mill::start().await;
    mill.catalog.add(video_row("v"));
    let folder = mill.folder.path().to_owned();
    let error = client::get(&mill.client, "v", Some(folder.clone()), &mut Vec::new()).await;
    let error = error.unwrap_err().to_string();
    assert!(error.starts_with("not_ready: the video is still being processed"), "{error}");
    assert!(error.contains("watch its stages"), "{error}");
    assert!(names(&folder).is_empty());
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
