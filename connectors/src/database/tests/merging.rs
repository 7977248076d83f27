//! What is told more than once with different contents, in every order, and what others do
//! meanwhile; whichever engine keeps it.

use super::empty;
use crate::database::tests::facts::*;
use crate::database::{Database, Limits};
use ports::{Catalog, DeadLetterRow, Fact, VideoRow};
use sqlx::AssertSqlSafe;
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// The row and the dead letters of `v`, which must be the same after every order.
async fn in_every_order(facts: &[Fact]) -> Option<(VideoRow, Vec<DeadLetterRow>)> {
    let mut same = None;
    for order in orders(facts.len()) {
        let (catalog, _place) = empty().await?;
        for told in order {
            catalog.record(&facts[told..=told]).await.unwrap();
        }
        let now = (seen(&catalog, &[]).await, catalog.dead_letters(None, 10).await.unwrap());
        assert_eq!(same.get_or_insert_with(|| now.clone()), &now);
    }
    same
}

fn orders(of: usize) -> Vec<Vec<usize>> {
    let Some(last) = of.checked_sub(1) else { return vec![Vec::new()] };
    let insert =
        |order: Vec<usize>| (0..of).map(move |at| [&order[..at], &[last], &order[at..]].concat());
    orders(last).into_iter().flat_map(insert).collect()
}

#[tokio::test]
async fn a_video_nobody_uploaded_has_the_time_of_its_earliest_fact() {
    let facts = [
        progress("run-1", "cut", 0, None, 110),
        progress("run-1", "cut", 1, None, 90),
        dead("cut", 0, "not_a_video", 100),
    ];
    let Some((row, _)) = in_every_order(&facts).await else { return };
    assert_eq!((row.uploaded_at_ms, row.recorded_at_ms), (90, 90));
}

#[tokio::test]
async fn of_two_uploads_the_earlier_counts_and_of_their_sizes_the_greatest() {
    let facts = [
        uploaded("v", "late", 200, Some(9)),
        uploaded("v", "early", 100, None),
        uploaded("v", "later", 300, Some(5)),
    ];
    let Some((row, _)) = in_every_order(&facts).await else { return };
    assert_eq!((row.title.as_str(), row.uploaded_at_ms, row.bytes), ("early", 100, Some(9)));

    let twins = [uploaded("v", "b", 100, None), uploaded("v", "B", 100, None)];
    let Some((row, _)) = in_every_order(&twins).await else { return };
    assert_eq!(row.title, "B", "of two at the same time the lesser in bytes");
}

#[tokio::test]
async fn of_a_part_that_is_told_twice_the_earlier_time_and_the_greater_numbers_count() {
    let twice = |total, frames, at_ms| {
        let mut fact = progress("run-1", "cut", 0, total, at_ms);
        if let Fact::Progress { frames: told, .. } = &mut fact {
            *told = frames;
        }
        fact
    };
    let facts = [twice(None, 30, 120), twice(Some(3), 20, 110), twice(Some(2), 10, 130)];
    let Some((row, _)) = in_every_order(&facts).await else { return };
    let cut = stage(&row, "cut");
    assert_eq!((cut.done, cut.total, cut.frames), (1, Some(3), 30));
    assert_eq!((cut.first_at_ms, cut.last_at_ms), (Some(110), Some(110)));
}

#[tokio::test]
async fn of_two_recordings_of_one_run_the_earlier_is_shown() {
    let recording = |name: &str, at_ms| {
        let mut fact = ready("run-1", at_ms);
        if let Fact::Ready { key, .. } = &mut fact {
            name.clone_into(key);
        }
        fact
    };
    let key = |found: Option<(VideoRow, _)>| found.map(|(row, _)| row.recording_key.unwrap());
    let facts = [recording("a", 300), recording("b", 200), recording("c", 400)];
    let Some(first) = key(in_every_order(&facts).await) else { return };
    assert_eq!(first, "b");
    let twins = [recording("a", 300), recording("B", 300)];
    assert_eq!(key(in_every_order(&twins).await).as_deref(), Some("B"));
}

#[tokio::test]
async fn an_index_entry_told_again_later_answers_no_dead_letter_that_came_between() {
    let facts =
        [searchable("run-1", 300), searchable("run-1", 900), dead("index", 0, "index_failed", 500)];
    let Some((row, _)) = in_every_order(&facts).await else { return };
    assert_eq!((row.reason.as_deref(), row.searchable), (Some("index_failed"), true));
}

#[tokio::test]
async fn a_dead_letter_sent_back_twice_was_sent_back_at_the_first_time() {
    let sent_back = |at_ms| Fact::Redriven {
        topic: "reelmill.dead.cut".to_owned(),
        partition: 2,
        offset: 0,
        at_ms,
    };
    let facts = [sent_back(60), dead("cut", 0, "missing_object", 10), sent_back(40)];
    let Some((row, letters)) = in_every_order(&facts).await else { return };
    assert_eq!((row.retried_at_ms, letters[0].redriven_at_ms), (Some(40), Some(40)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_page_is_of_one_moment_however_much_is_told_while_it_is_read() {
    let Some((catalog, _place)) = empty().await else { return };
    let batch = |part| {
        let of_each = |n| of(&format!("v{n}"), progress("run-1", "cut", part, None, 100));
        (0..8).map(of_each).collect::<Vec<_>>()
    };
    catalog.record(&batch(0)).await.unwrap();
    let enough = Arc::new(AtomicBool::new(false));
    let writer = {
        let (catalog, enough) = (catalog.clone(), enough.clone());
        tokio::spawn(async move {
            let mut part = 1;
            while !enough.load(Ordering::Relaxed) {
                catalog.record(&batch(part)).await.unwrap();
                part += 1;
            }
        })
    };
    let mut seen_counts = BTreeSet::new();
    let until = Instant::now() + Duration::from_secs(60);
    while seen_counts.len() < 30 && Instant::now() < until && !writer.is_finished() {
        let videos = catalog.videos(&all(0, 10)).await.unwrap().videos;
        let done: Vec<_> = videos.iter().map(|video| stage(video, "cut").done).collect();
        assert!(done.iter().all(|of_one| *of_one == done[0]), "{done:?}");
        seen_counts.insert(done[0]);
    }
    enough.store(true, Ordering::Relaxed);
    writer.await.unwrap();
    assert!(seen_counts.len() > 3, "nothing was written while pages were read: {seen_counts:?}");
}

#[tokio::test]
async fn columns_that_a_newer_version_adds_disturb_nobody_who_works() {
    let Some((newer, place)) = empty().await else { return };
    // One connection, which has all statements prepared.
    let limits = Limits { connections: 1, ..Limits::default() };
    let catalog = Database::open_within(&place.address, limits).await.unwrap();
    let before = seen(&catalog, &a_whole_life()).await;
    let page = catalog.videos(&all(0, 10)).await.unwrap();
    let letters = catalog.dead_letters(None, 10).await.unwrap();
    for table in ["videos", "progress", "recordings", "searchable", "dead_letters", "redriven"] {
        let add = format!("ALTER TABLE {table} ADD COLUMN newer TEXT");
        sqlx::query(AssertSqlSafe(add)).execute(&newer.pool).await.unwrap();
    }
    assert_eq!(seen(&catalog, &a_whole_life()).await, before);
    assert_eq!(catalog.dead_letters(None, 10).await.unwrap(), letters);
    assert_eq!(catalog.videos(&all(0, 10)).await.unwrap(), page);
}
