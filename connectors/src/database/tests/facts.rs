//! What the tests tell a catalogue, and how they look at it.

use crate::database::{Address, Database};
use ports::{Catalog, DeadLetterRow, Fact, StageRow, VideoFilter, VideoRow, Viewer};

pub(super) fn uploaded(
    video_id: &str,
    title: &str,
    uploaded_at_ms: i64,
    bytes: Option<i64>,
) -> Fact {
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

pub(super) fn progress(
    run: &str,
    stage: &'static str,
    index: i64,
    total: Option<i64>,
    at_ms: i64,
) -> Fact {
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

pub(super) fn ready(run: &str, at_ms: i64) -> Fact {
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

pub(super) fn searchable(run: &str, at_ms: i64) -> Fact {
    Fact::Searchable { video_id: "v".to_owned(), run_id: run.to_owned(), at_ms }
}

pub(super) fn dead(processor: &str, offset: i64, reason: &str, at_ms: i64) -> Fact {
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

pub(super) async fn seen(catalog: &Database, facts: &[Fact]) -> VideoRow {
    catalog.record(facts).await.unwrap();
    catalog.video(&Viewer::Local, "v").await.unwrap().unwrap()
}

pub(super) fn all(page: u32, page_size: u32) -> VideoFilter {
    VideoFilter { viewer: Viewer::Local, owner: None, assessment: None, page, page_size }
}

pub(super) fn stage<'a>(row: &'a VideoRow, name: &str) -> &'a StageRow {
    row.stages.iter().find(|stage| stage.stage == name).unwrap()
}

/// A video of three clips whose second run failed in `label`, with everything told twice over.
pub(super) fn a_whole_life() -> Vec<Fact> {
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

/// The same, of another video. A dead letter's place is its name, so that each video has its own.
pub(super) fn life_of(video: &str, number: i64) -> Vec<Fact> {
    let renamed = |mut fact: Fact| {
        match &mut fact {
            Fact::Uploaded { video_id, .. }
            | Fact::Progress { video_id, .. }
            | Fact::Ready { video_id, .. }
            | Fact::Searchable { video_id, .. }
            | Fact::StandIn { video_id } => video.clone_into(video_id),
            Fact::Dead(dead) => {
                dead.video_id = Some(video.to_owned());
                dead.offset += 10 * number;
            }
            Fact::Redriven { offset, .. } => *offset += 10 * number,
        }
        fact
    };
    a_whole_life().into_iter().map(renamed).collect()
}

/// The row of that video in a catalogue nothing ever happens to.
pub(super) async fn row_of(video: &str) -> VideoRow {
    let dir = tempfile::tempdir().unwrap();
    let calm = Database::open(&Address::file(dir.path().join("calm.db"))).await.unwrap();
    VideoRow { video_id: video.to_owned(), ..seen(&calm, &a_whole_life()).await }
}
