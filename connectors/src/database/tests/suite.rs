//! What a catalogue must do, whichever engine keeps it.

use super::empty;
use crate::database::tests::facts::*;
use crate::database::{Database, OpenError};
use ports::{
    Catalog, DeadLetterRow, Fact, StageRow, Trouble, VideoFilter, VideoRow, VideoState, Viewer,
};

#[tokio::test]
async fn facts_in_any_order_and_number_give_the_same_rows() {
    let Some((catalog, _place)) = empty().await else { return };
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
        let Some((catalog, _place)) = empty().await else { return };
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
    let Some((catalog, _place)) = empty().await else { return };
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
    let Some((catalog, _place)) = empty().await else { return };
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
    let Some((catalog, _place)) = empty().await else { return };
    let facts = [
        progress("run-old", "cut", 0, Some(1), 110),
        progress("run-new", "cut", 0, Some(2), 200),
        progress("run-old", "detect", 0, Some(1), 900),
    ];
    assert_eq!(seen(&catalog, &facts).await.run_id, "run-new");
}

#[tokio::test]
async fn a_run_that_is_to_replace_a_recording_is_told_of_beside_what_is_shown() {
    let Some((catalog, _place)) = empty().await else { return };
    let facts = [
        uploaded("v", "t", 100, None),
        progress("run-1", "cut", 0, Some(1), 110),
        dead("blur", 0, "answered", 150),
        ready("run-1", 200),
        searchable("run-1", 210),
    ];
    let shown = seen(&catalog, &facts).await;
    assert_eq!((shown.runs, &shown.next_run), (1, &None));

    let begun = [uploaded("v", "again", 300, None), progress("run-2", "cut", 0, Some(2), 310)];
    let row = seen(&catalog, &begun).await;
    let next = row.next_run.clone().unwrap();
    assert_eq!((next.run_id.as_str(), next.state), ("run-2", VideoState::Processing));
    assert_eq!((next.stages[0].done, next.stages[0].total), (1, Some(2)));
    assert_eq!(VideoRow { runs: 1, next_run: None, ..row }, shown);

    let row = seen(&catalog, &[dead("label", 0, "no_labels", 320)]).await;
    assert_eq!(row.next_run.unwrap().state, VideoState::Processing, "its recording may come");
    let row = seen(&catalog, &[dead("verify", 0, "verify_leak", 330)]).await;
    assert_eq!(row.next_run.as_ref().unwrap().state, VideoState::Failed);
    assert_eq!(row.reason.as_deref(), Some("verify_leak"));
    let (stages, run_id) = (&row.stages, &row.run_id);
    assert_eq!((row.state, row.searchable), (VideoState::Ready, true));
    assert_eq!((run_id, stages), (&shown.run_id, &shown.stages));
    assert_eq!(row.recording_key, shown.recording_key);

    let row = seen(&catalog, &[progress("run-3", "cut", 0, Some(1), 400)]).await;
    assert_eq!(row.next_run.unwrap().state, VideoState::Processing, "that was another run");
    let row = seen(&catalog, &[ready("run-3", 500)]).await;
    assert_eq!((row.run_id.as_str(), row.runs, row.next_run), ("run-3", 3, None));
}

#[tokio::test]
async fn a_dead_letter_fails_a_video_until_its_recording_is_there() {
    let Some((catalog, _place)) = empty().await else { return };
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
        let Some((catalog, _place)) = empty().await else { return };
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
    let Some((catalog, _place)) = empty().await else { return };
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
            let Some((catalog, _place)) = empty().await else { return };
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
    let Some((catalog, _place)) = empty().await else { return };
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
    let Some((catalog, _place)) = empty().await else { return };
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
        let (catalog, _place) = empty().await?;
        let row = seen(&catalog, facts).await;
        let letters = catalog.dead_letters(Some("v"), 10).await.unwrap();
        let redriven: Vec<_> = letters.iter().map(|letter| letter.redriven_at_ms).collect();
        Some((row.state, row.reason, redriven))
    };
    let letter = || dead("cut", 1, "a", 10);
    let (processing, failed) = (VideoState::Processing, VideoState::Failed);
    let Some(first) = state(&[letter()]).await else { return };
    assert_eq!(first, (failed, Some("a".to_owned()), vec![None]));
    assert_eq!(state(&[letter(), sent_back()]).await, Some((processing, None, vec![Some(40)])));
    assert_eq!(state(&[sent_back(), letter()]).await, Some((processing, None, vec![Some(40)])));
    let again = dead("cut", 2, "b", 50);
    let dead_again = state(&[letter(), sent_back(), again]).await;
    assert_eq!(dead_again, Some((failed, Some("b".to_owned()), vec![None, Some(40)])));
}

#[tokio::test]
async fn a_row_that_stands_for_dead_letters_is_gone_when_they_were_sent_back() {
    let Some((catalog, _place)) = empty().await else { return };
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
    let Some((catalog, _place)) = empty().await else { return };
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
    let Some((catalog, _place)) = empty().await else { return };
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
    let Some((catalog, _place)) = empty().await else { return };
    // The second fact is refused; the first must not stay.
    sqlx::query("DROP TABLE searchable").execute(&catalog.pool).await.unwrap();
    let facts = [uploaded("v", "t", 100, None), searchable("run-1", 200)];
    assert!(matches!(catalog.record(&facts).await, Err(Trouble::Fatal(_))));
    assert_eq!(catalog.videos(&all(0, 1)).await.unwrap().total, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_at_once_wait_for_each_other() {
    let Some((catalog, place)) = empty().await else { return };
    let other = Database::open(&place.address).await.unwrap();
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
    let Some((catalog, place)) = empty().await else { return };
    let before = seen(&catalog, &a_whole_life()).await;
    catalog.close().await;
    let closed = catalog.record(&[]).await;
    assert!(matches!(closed, Err(Trouble::Transient { reason: "database_gone", .. })));
    let catalog = Database::open(&place.address).await.unwrap();
    assert_eq!(seen(&catalog, &a_whole_life()).await, before);
}

#[tokio::test]
async fn tables_of_another_version_are_refused_with_a_remedy() {
    let Some((catalog, place)) = empty().await else { return };
    sqlx::query("UPDATE _sqlx_migrations SET version = 9999 WHERE version = 1")
        .execute(&catalog.pool)
        .await
        .unwrap();
    catalog.close().await;
    let error = Database::open(&place.address).await.unwrap_err();
    assert!(matches!(error, OpenError::Incompatible { .. }), "{error:?}");
    assert!(error.to_string().contains("another version") && error.is_lasting(), "{error}");
}

#[tokio::test]
async fn text_is_ordered_by_its_bytes_and_a_nul_in_it_is_replaced() {
    let Some((catalog, _place)) = empty().await else { return };
    let ids = ["B", "Z-1", "Za", "a", "b", "\u{e9}"];
    let facts: Vec<_> = ids.iter().rev().map(|id| uploaded(id, "a\0b", 100, None)).collect();
    catalog.record(&facts).await.unwrap();
    let page = catalog.videos(&all(0, 10)).await.unwrap();
    let listed: Vec<_> = page.videos.iter().map(|video| video.video_id.as_str()).collect();
    assert_eq!(listed, ids);
    assert_eq!(page.videos[0].title, "a\u{fffd}b");
    // Of two uploads of a video told at the same time, the lesser title in bytes is the earlier.
    catalog.record(&[uploaded("a", "Z", 100, None), uploaded("a", "a", 100, None)]).await.unwrap();
    let video = catalog.video(&Viewer::Local, "a").await.unwrap().unwrap();
    assert_eq!(video.title, "Z");
    assert_eq!(catalog.video(&Viewer::Local, "\0").await.unwrap(), None);
    let nobodys = VideoFilter { owner: Some("\0".to_owned()), ..all(0, 10) };
    assert_eq!(catalog.videos(&nobodys).await.unwrap().total, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_at_once_lose_nothing_and_agree_with_one_that_had_all_the_time() {
    let Some((catalog, _place)) = empty().await else { return };
    let Some((patient, _place)) = empty().await else { return };
    let expected = seen(&patient, &a_whole_life()).await;
    let writers: Vec<_> = (0..8_usize)
        .map(|n| {
            let catalog = catalog.clone();
            let mut facts = a_whole_life();
            let middle = n * 5 % facts.len();
            facts.rotate_left(middle);
            if n % 2 == 0 {
                facts.reverse();
            }
            tokio::spawn(async move {
                for batch in facts.chunks(1 + n % 4) {
                    catalog.record(batch).await.unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(seen(&catalog, &[]).await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_that_name_the_same_videos_in_opposite_orders_do_not_block_each_other() {
    let Some((catalog, _place)) = empty().await else { return };
    let writers: Vec<_> = (0..4_i64)
        .map(|n| {
            let catalog = catalog.clone();
            tokio::spawn(async move {
                for round in 0..25_i64 {
                    let mut facts: Vec<_> = (0..8)
                        .map(|v| uploaded(&format!("v{v}"), "t", 1000 - round * 4 - n, None))
                        .collect();
                    if n % 2 == 0 {
                        facts.reverse();
                    }
                    catalog.record(&facts).await.unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let page = catalog.videos(&all(0, 10)).await.unwrap();
    assert!(page.videos.iter().all(|video| video.uploaded_at_ms == 1000 - 24 * 4 - 3));
}
