use super::*;
use ports::{StageRow, VideoState};
use tempfile::TempDir;

async fn empty() -> (Sqlite, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let catalog = Sqlite::open(dir.path().join("catalogue.db")).await.unwrap();
    (catalog, dir)
}

fn uploaded(video_id: &str, title: &str, uploaded_at_ms: i64, bytes: Option<i64>) -> Fact {
    Fact::Uploaded {
        video_id: video_id.to_owned(),
        owner: "ann".to_owned(),
        assessment: "exam-1".to_owned(),
        title: title.to_owned(),
        visibility: "private".to_owned(),
        recorded_at_ms: uploaded_at_ms - 50,
        uploaded_at_ms,
        bytes,
    }
}

fn progress(run: &str, stage: &'static str, index: i64, total: Option<i64>, at_ms: i64) -> Fact {
    Fact::Progress {
        video_id: "v".to_owned(),
        run_id: run.to_owned(),
        stage,
        index,
        total,
        frames: 10 + index,
        at_ms,
    }
}

fn ready(run: &str, at_ms: i64) -> Fact {
    Fact::Ready {
        video_id: "v".to_owned(),
        run_id: run.to_owned(),
        bucket: "media".to_owned(),
        key: format!("recordings/ann/{run}.mp4"),
        receipt_key: "receipts/v.json".to_owned(),
        duration_ms: 25_000,
        bytes: 777,
        at_ms,
    }
}

fn searchable(run: &str, at_ms: i64) -> Fact {
    Fact::Searchable { video_id: "v".to_owned(), run_id: run.to_owned(), at_ms }
}

fn dead(processor: &str, offset: i64, reason: &str, at_ms: i64) -> Fact {
    Fact::Dead(DeadLetterRow {
        topic: format!("reelmill.dead.{processor}"),
        partition: 2,
        offset,
        processor: processor.to_owned(),
        video_id: Some("v".to_owned()),
        reason: reason.to_owned(),
        detail: format!("{reason} of {processor}, look there"),
        at_ms,
        redriven_at_ms: None,
    })
}

async fn seen(catalog: &Sqlite, facts: &[Fact]) -> VideoRow {
    catalog.record(facts).await.unwrap();
    catalog.video(&Viewer::Local, "v").await.unwrap().unwrap()
}

fn all(page: u32, page_size: u32) -> VideoFilter {
    VideoFilter { viewer: Viewer::Local, owner: None, assessment: None, page, page_size }
}

fn stage<'a>(row: &'a VideoRow, name: &str) -> &'a StageRow {
    row.stages.iter().find(|stage| stage.stage == name).unwrap()
}

/// A video of three clips whose second run failed in `label`, with everything told twice over.
fn a_whole_life() -> Vec<Fact> {
    let mut facts = vec![
        uploaded("v", "first", 100, None),
        uploaded("v", "told by clips-ready", 130, Some(5_000)),
        ready("run-2", 400),
        searchable("run-1", 300),
        dead("detect", 0, "unreadable_clip", 210),
        dead("label", 0, "label_failed", 420),
        dead("label", 1, "label_failed_again", 421),
        progress("run-1", "cut", 0, None, 131),
        progress("run-1", "stitch", 0, Some(1), 499),
        progress("run-2", "cut", 0, None, 310),
        progress("run-2", "cut", 0, Some(3), 311),
        progress("run-2", "verify", 0, Some(1), 400),
    ];
    for index in 1..3 {
        facts.push(progress("run-2", "cut", index, Some(3), 320 + index));
        facts.push(progress("run-2", "detect", index, None, 330 + index));
    }
    facts
}

#[tokio::test]
async fn facts_in_any_order_and_number_give_the_same_rows() {
    let (catalog, _dir) = empty().await;
    let in_order = seen(&catalog, &a_whole_life()).await;
    let dead_letters = catalog.dead_letters(Some("v"), 10).await.unwrap();
    let page = catalog.videos(&all(0, 10)).await.unwrap();
    for seed in 1..=40_u64 {
        let mut facts = a_whole_life();
        facts.extend(a_whole_life());
        // Fisher-Yates with a linear congruential generator, so that a seed can be run again.
        let mut state = seed;
        for i in (1..facts.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            facts.swap(i, (state >> 33) as usize % (i + 1));
        }
        let (catalog, _dir) = empty().await;
        for batch in facts.chunks(1 + seed as usize % 9) {
            catalog.record(batch).await.unwrap();
        }
        assert_eq!(seen(&catalog, &[]).await, in_order, "seed {seed}");
        assert_eq!(catalog.dead_letters(Some("v"), 10).await.unwrap(), dead_letters, "{seed}");
        assert_eq!(catalog.videos(&all(0, 10)).await.unwrap(), page, "seed {seed}");
    }
    assert_eq!((in_order.title.as_str(), in_order.uploaded_at_ms), ("first", 100));
    assert_eq!((in_order.run_id.as_str(), in_order.state), ("run-2", VideoState::Ready));
    assert_eq!(in_order.recording_key.as_deref(), Some("recordings/ann/run-2.mp4"));
    assert_eq!(in_order.reason.as_deref(), Some("label_failed_again"));
    assert!(in_order.searchable);
}

#[tokio::test]
async fn stages_come_in_the_order_of_the_mill_and_count_each_part_once() {
    let (catalog, _dir) = empty().await;
    let row = seen(&catalog, &[uploaded("v", "t", 100, None)]).await;
    assert!(row.stages.iter().all(|stage| (stage.done, stage.total) == (0, None)));

    let row = seen(
        &catalog,
        &[
            progress("run-1", "blur", 1, None, 140),
            progress("run-1", "cut", 0, Some(3), 110),
            progress("run-1", "cut", 1, Some(3), 120),
            progress("run-1", "cut", 1, Some(3), 125),
            progress("run-1", "captions", 0, Some(1), 150),
        ],
    )
    .await;
    let names: Vec<_> = row.stages.iter().map(|stage| stage.stage.as_str()).collect();
    let (mill, more) = names.split_at(ports::STAGES.len());
    assert_eq!(mill, ports::STAGES.map(|stage| stage.name));
    assert_eq!(more, ["captions"]);
    let cut = StageRow {
        stage: "cut".to_owned(),
        done: 2,
        total: Some(3),
        frames: 21,
        first_at_ms: Some(110),
        last_at_ms: Some(120),
    };
    assert_eq!(stage(&row, "cut"), &cut);
    assert_eq!((stage(&row, "blur").done, stage(&row, "blur").total), (1, Some(3)));
    assert_eq!((stage(&row, "label").done, stage(&row, "label").total), (0, Some(3)));
    assert_eq!((stage(&row, "verify").done, stage(&row, "verify").total), (0, Some(1)));
    assert_eq!(stage(&row, "label").first_at_ms, None);
}

#[tokio::test]
async fn a_late_event_of_an_older_run_changes_nothing_a_user_sees() {
    let (catalog, _dir) = empty().await;
    let row = seen(
        &catalog,
        &[
            uploaded("v", "t", 100, None),
            progress("run-old", "cut", 0, Some(1), 110),
            progress("run-new", "cut", 0, Some(2), 200),
        ],
    )
    .await;
    assert_eq!(row.run_id, "run-new");
    let before = seen(&catalog, &[ready("run-new", 300)]).await;
    assert_eq!(before.state, VideoState::Ready);
    let late = [progress("run-old", "detect", 0, Some(1), 900), ready("run-old", 290)];
    assert_eq!(seen(&catalog, &late).await, before);
    let row = seen(&catalog, &[ready("run-newest", 400)]).await;
    assert_eq!(row.run_id, "run-newest");
}

#[tokio::test]
async fn a_late_event_of_an_older_run_does_not_make_it_current_before_a_recording() {
    let (catalog, _dir) = empty().await;
    let facts = [
        progress("run-old", "cut", 0, Some(1), 110),
        progress("run-new", "cut", 0, Some(2), 200),
        progress("run-old", "detect", 0, Some(1), 900),
    ];
    assert_eq!(seen(&catalog, &facts).await.run_id, "run-new");
}

#[tokio::test]
async fn a_dead_letter_fails_a_video_until_its_recording_is_there() {
    let (catalog, _dir) = empty().await;
    let row = seen(
        &catalog,
        &[
            uploaded("v", "t", 100, Some(9)),
            dead("blur", 0, "scratch_full", 150),
            dead("blur", 1, "unreadable_clip", 160),
        ],
    )
    .await;
    assert_eq!(row.state, VideoState::Failed);
    assert_eq!(row.reason.as_deref(), Some("unreadable_clip"));
    assert_eq!(row.detail.as_deref(), Some("unreadable_clip of blur, look there"));
    assert_eq!(row.bytes, Some(9));

    let row = seen(&catalog, &[ready("run-1", 170)]).await;
    assert_eq!((row.state, row.reason), (VideoState::Ready, None), "its recording answers it");
    assert_eq!((row.bytes, row.duration_ms), (Some(777), Some(25_000)));
    assert_eq!(row.recording_bucket.as_deref(), Some("media"));
    assert_eq!(row.receipt_key.as_deref(), Some("receipts/v.json"));
}

#[tokio::test]
async fn a_dead_letter_that_cannot_stop_the_recording_gives_a_reason_and_leaves_the_state() {
    for processor in ["label", "index", "catalog", "sweep"] {
        let (catalog, _dir) = empty().await;
        let facts = [uploaded("v", "t", 100, None), dead(processor, 0, "no", 150)];
        let row = seen(&catalog, &facts).await;
        assert_eq!(row.state, VideoState::Processing, "{processor}");
        assert_eq!(row.reason.as_deref(), Some("no"), "{processor}");

        // One that stops it counts, even as the older of the two.
        let row = seen(&catalog, &[dead("verify", 0, "leak", 140)]).await;
        assert_eq!(row.state, VideoState::Failed, "{processor}");
        assert_eq!(row.reason.as_deref(), Some("leak"), "{processor}");

        let row = seen(&catalog, &[ready("run-1", 200)]).await;
        assert_eq!(row.state, VideoState::Ready, "{processor}");
    }
}

#[tokio::test]
async fn a_reason_the_search_has_is_not_hidden_by_a_later_one_of_the_sweep() {
    let (catalog, _dir) = empty().await;
    let facts = [
        uploaded("v", "t", 100, None),
        ready("run-1", 200),
        dead("index", 0, "index_full", 210),
        dead("sweep", 0, "sweep_failed", 220),
    ];
    assert_eq!(seen(&catalog, &facts).await.reason.as_deref(), Some("index_full"));
}

#[tokio::test]
async fn a_published_video_stays_published_and_says_why_it_is_not_searchable() {
    for processor in ["label", "index"] {
        for at_ms in [150, 250] {
            let (catalog, _dir) = empty().await;
            let facts = [
                uploaded("v", "t", 100, None),
                ready("run-1", 200),
                dead(processor, 0, "no", at_ms),
            ];
            let row = seen(&catalog, &facts).await;
            assert_eq!((row.state, row.searchable), (VideoState::Ready, false));
            assert_eq!(row.reason.as_deref(), Some("no"), "{processor} at {at_ms}");

            let row = seen(&catalog, &[searchable("run-1", 300)]).await;
            assert_eq!((row.reason, row.searchable), (None, true), "the index entry answers it");
        }
    }
}

#[tokio::test]
async fn a_dead_letter_of_an_unknown_video_shows_it_as_failed_until_its_upload_is_told() {
    let (catalog, _dir) = empty().await;
    let row = seen(&catalog, &[dead("cut", 7, "not_a_video", 500)]).await;
    assert_eq!((row.title.as_str(), row.state), ("", VideoState::Failed));
    assert_eq!((row.uploaded_at_ms, row.run_id.as_str()), (500, ""));
    assert_eq!(catalog.videos(&all(0, 10)).await.unwrap().total, 1);

    let row = seen(&catalog, &[uploaded("v", "holiday", 450, Some(3))]).await;
    assert_eq!((row.title.as_str(), row.owner.as_str()), ("holiday", "ann"));
    assert_eq!((row.uploaded_at_ms, row.recorded_at_ms), (450, 400));
    assert_eq!(row.state, VideoState::Failed);
}

#[tokio::test]
async fn an_upload_fills_in_a_row_even_when_it_is_told_of_later_than_the_facts() {
    let (catalog, _dir) = empty().await;
    let facts = [progress("run-1", "cut", 0, Some(1), 110), uploaded("v", "holiday", 900, None)];
    let row = seen(&catalog, &facts).await;
    assert_eq!((row.title.as_str(), row.uploaded_at_ms), ("holiday", 900));
    let row = seen(&catalog, &[progress("run-1", "detect", 0, Some(1), 90)]).await;
    assert_eq!(row.uploaded_at_ms, 900);
}

#[tokio::test]
async fn a_dead_letter_that_was_sent_back_fails_its_video_no_more() {
    let sent_back = || Fact::Redriven {
        topic: "reelmill.dead.cut".to_owned(),
        partition: 2,
        offset: 1,
        at_ms: 40,
    };
    let state = async |facts: &[Fact]| {
        let (catalog, _dir) = empty().await;
        let row = seen(&catalog, facts).await;
        let letters = catalog.dead_letters(Some("v"), 10).await.unwrap();
        let redriven: Vec<_> = letters.iter().map(|letter| letter.redriven_at_ms).collect();
        (row.state, row.reason, redriven)
    };
    let letter = || dead("cut", 1, "a", 10);
    let (processing, failed) = (VideoState::Processing, VideoState::Failed);
    assert_eq!(state(&[letter()]).await, (failed, Some("a".to_owned()), vec![None]));
    assert_eq!(state(&[letter(), sent_back()]).await, (processing, None, vec![Some(40)]));
    assert_eq!(state(&[sent_back(), letter()]).await, (processing, None, vec![Some(40)]));
    let again = dead("cut", 2, "b", 50);
    let dead_again = state(&[letter(), sent_back(), again]).await;
    assert_eq!(dead_again, (failed, Some("b".to_owned()), vec![None, Some(40)]));
}

#[tokio::test]
async fn a_row_that_stands_for_dead_letters_is_gone_when_they_were_sent_back() {
    let (catalog, _dir) = empty().await;
    let facts = [dead("cut", 1, "missing", 10), Fact::StandIn { video_id: "v".to_owned() }];
    assert_eq!(seen(&catalog, &facts).await.state, VideoState::Failed);
    let sent_back =
        Fact::Redriven { topic: "reelmill.dead.cut".to_owned(), partition: 2, offset: 1, at_ms: 2 };
    catalog.record(&[sent_back]).await.unwrap();
    assert_eq!(catalog.video(&Viewer::Local, "v").await.unwrap(), None);
    assert_eq!(catalog.videos(&all(0, 10)).await.unwrap().total, 0);
    let again = seen(&catalog, &[dead("cut", 2, "missing", 30)]).await;
    assert_eq!(again.state, VideoState::Failed);
}

#[tokio::test]
async fn dead_letters_are_newest_first_with_and_without_a_video() {
    let (catalog, _dir) = empty().await;
    let nobodys = Fact::Dead(DeadLetterRow {
        topic: "reelmill.dead.cut".to_owned(),
        partition: 0,
        offset: 3,
        processor: "cut".to_owned(),
        video_id: None,
        reason: "malformed_event".to_owned(),
        detail: "not avro".to_owned(),
        at_ms: 20,
        redriven_at_ms: None,
    });
    let facts = [dead("cut", 1, "a", 10), nobodys, dead("blur", 1, "b", 30)];
    catalog.record(&facts).await.unwrap();
    catalog.record(&facts).await.unwrap();
    let reasons = async |video: Option<&str>, limit| -> Vec<String> {
        let rows = catalog.dead_letters(video, limit).await.unwrap();
        rows.into_iter().map(|row| row.reason).collect()
    };
    assert_eq!(reasons(None, 10).await, ["b", "malformed_event", "a"]);
    assert_eq!(reasons(None, 2).await, ["b", "malformed_event"]);
    assert_eq!(reasons(Some("v"), 10).await, ["b", "a"]);
    assert!(reasons(Some("other"), 10).await.is_empty());
    assert_eq!(catalog.videos(&all(0, 10)).await.unwrap().total, 1);
}

#[tokio::test]
async fn listings_are_newest_first_in_pages_and_filtered_exactly() {
    let (catalog, _dir) = empty().await;
    let facts: Vec<Fact> = (0..25)
        .map(|n| Fact::Uploaded {
            video_id: format!("v{n:02}"),
            owner: if n % 5 == 0 { "ben" } else { "ann" }.to_owned(),
            assessment: format!("exam-{}", n % 2),
            title: String::new(),
            visibility: "private".to_owned(),
            recorded_at_ms: 0,
            uploaded_at_ms: n / 2,
            bytes: None,
        })
        .collect();
    catalog.record(&facts).await.unwrap();
    let mut ids = Vec::new();
    for (page, count) in [(0, 10), (1, 10), (2, 5), (3, 0), (u32::MAX, 0)] {
        let page = catalog.videos(&all(page, 10)).await.unwrap();
        assert_eq!((page.total, page.videos.len()), (25, count));
        assert!(page.videos.iter().all(|video| video.stages.len() == ports::STAGES.len()));
        ids.extend(page.videos.into_iter().map(|video| video.video_id));
    }
    let mut expected: Vec<String> = (0..25).map(|n| format!("v{n:02}")).collect();
    expected.sort_by_key(|id| (-(id[1..].parse::<i64>().unwrap() / 2), id.clone()));
    assert_eq!(ids, expected);

    let of = |owner: Option<&str>, assessment: Option<&str>| VideoFilter {
        owner: owner.map(str::to_owned),
        assessment: assessment.map(str::to_owned),
        ..all(0, 100)
    };
    let total = async |filter| catalog.videos(&filter).await.unwrap().total;
    assert_eq!(total(of(Some("ben"), None)).await, 5);
    assert_eq!(total(of(Some("ben"), Some("exam-1"))).await, 2);
    assert_eq!(total(of(Some("Ben"), None)).await, 0);
    assert_eq!(total(of(None, Some("exam-0"))).await, 13);
}

#[tokio::test]
async fn a_batch_is_recorded_whole_or_not_at_all() {
    let (catalog, _dir) = empty().await;
    // The second fact is refused; the first must not stay.
    sqlx::query(
        "CREATE TRIGGER refuse BEFORE INSERT ON searchable BEGIN SELECT RAISE(ABORT, 'no'); END",
    )
    .execute(&catalog.pool)
    .await
    .unwrap();
    let facts = [uploaded("v", "t", 100, None), searchable("run-1", 200)];
    assert!(matches!(catalog.record(&facts).await, Err(Trouble::Fatal(_))));
    assert_eq!(catalog.video(&Viewer::Local, "v").await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_at_once_wait_for_each_other() {
    let (catalog, dir) = empty().await;
    let other = Sqlite::open(dir.path().join("catalogue.db")).await.unwrap();
    let writers: Vec<_> = (0..40)
        .map(|n| {
            let catalog = if n % 2 == 0 { catalog.clone() } else { other.clone() };
            tokio::spawn(async move {
                catalog.record(&[progress("run-1", "detect", n, Some(40), 100 + n)]).await
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap().unwrap();
    }
    assert_eq!(stage(&seen(&catalog, &[]).await, "detect").done, 40);
}

#[tokio::test]
async fn what_was_recorded_is_there_after_reopening() {
    let (catalog, dir) = empty().await;
    let before = seen(&catalog, &a_whole_life()).await;
    catalog.close().await;
    let closed = catalog.record(&[]).await;
    assert!(matches!(closed, Err(Trouble::Transient { reason: "database_gone", .. })));
    let catalog = Sqlite::open(dir.path().join("catalogue.db")).await.unwrap();
    assert_eq!(seen(&catalog, &a_whole_life()).await, before);
}

#[tokio::test]
async fn a_locked_file_is_the_worlds_fault() {
    let (catalog, dir) = empty().await;
    let options = SqliteConnectOptions::new()
        .filename(dir.path().join("catalogue.db"))
        .create_if_missing(false);
    let other = SqlitePool::connect_with(options.clone()).await.unwrap();
    let lock = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let impatient = SqlitePool::connect_with(options.busy_timeout(Duration::ZERO)).await.unwrap();
    let impatient = Sqlite { path: catalog.path.clone(), pool: impatient };
    let refused = impatient.record(&[uploaded("v", "t", 1, None)]).await;
    assert!(matches!(refused, Err(Trouble::Transient { reason: "database_busy", .. })));
    assert_eq!(impatient.videos(&all(0, 1)).await.unwrap().total, 0, "reading needs no lock");
    drop(lock);
}

#[tokio::test]
async fn what_is_no_catalogue_of_ours_is_refused_with_a_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalogue.db");
    std::fs::write(&path, "this is a text file, and a long one, but no database. ".repeat(40))
        .unwrap();
    let error = Sqlite::open(&path).await.unwrap_err();
    assert!(matches!(error, OpenError::Trouble { trouble: Trouble::Fatal(_), .. }), "{error:?}");
    assert!(error.to_string().contains("move it away"), "{error}");

    let error = Sqlite::open(dir.path().join("missing/catalogue.db")).await.unwrap_err();
    assert!(error.to_string().contains("directory exists"), "{error}");

    let (catalog, dir) = empty().await;
    sqlx::query("UPDATE _sqlx_migrations SET version = 9999 WHERE version = 1")
        .execute(&catalog.pool)
        .await
        .unwrap();
    catalog.close().await;
    let error = Sqlite::open(dir.path().join("catalogue.db")).await.unwrap_err();
    assert!(matches!(error, OpenError::Incompatible { .. }), "{error:?}");
    assert!(error.to_string().contains("another version"), "{error}");
}
