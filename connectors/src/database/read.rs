//! Rows into what a user sees.

use super::text;
use ports::{
    DeadLetterRow, NextRun, STAGES, StageRow, VideoFilter, VideoPage, VideoRow, VideoState, Viewer,
};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, FromRow, Row};
use std::collections::BTreeSet;

/// What a dead letter is about, the gravest first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Concern {
    /// The recording cannot come without it.
    Recording,
    /// The search.
    Search,
    /// What is told of a recording, shown of it and left behind by it.
    Keeping,
}

impl Concern {
    fn of(dead: &DeadLetterRow) -> Self {
        match dead.processor.as_str() {
            "label" | "index" => Self::Search,
            "catalog" | "sweep" | "thumbnail" => Self::Keeping,
            _ => Self::Recording,
        }
    }
}

/// Videos on a page.
const MAX_PAGE_SIZE: u32 = 100;

pub(super) async fn video(
    db: &mut AnyConnection,
    viewer: &Viewer,
    video_id: &str,
) -> Result<Option<VideoRow>, sqlx::Error> {
    match viewer {
        Viewer::Local => {}
    }
    let found: Option<Listed> = sqlx::query_as(
        "SELECT video_id, owner, assessment, title, visibility, recorded_at_ms, uploaded_at_ms,
                bytes
         FROM shown_videos WHERE video_id = $1",
    )
    .bind(text(video_id))
    .fetch_optional(&mut *db)
    .await?;
    let Some(listed) = found else { return Ok(None) };
    complete(db, listed).await.map(Some)
}

pub(super) async fn videos(
    db: &mut AnyConnection,
    filter: &VideoFilter,
) -> Result<VideoPage, sqlx::Error> {
    match filter.viewer {
        Viewer::Local => {}
    }
    let size = i64::from(filter.page_size.clamp(1, MAX_PAGE_SIZE));
    let (owner, assessment) =
        (filter.owner.as_deref().map(text), filter.assessment.as_deref().map(text));
    let total: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM shown_videos
         WHERE ($1 IS NULL OR owner = $1) AND ($2 IS NULL OR assessment = $2)",
    )
    .bind(&owner)
    .bind(&assessment)
    .fetch_one(&mut *db)
    .await?;
    let listed: Vec<Listed> = sqlx::query_as(
        "SELECT video_id, owner, assessment, title, visibility, recorded_at_ms, uploaded_at_ms,
                bytes
         FROM shown_videos
         WHERE ($1 IS NULL OR owner = $1) AND ($2 IS NULL OR assessment = $2)
         ORDER BY uploaded_at_ms DESC, video_id LIMIT $3 OFFSET $4",
    )
    .bind(&owner)
    .bind(&assessment)
    .bind(size)
    .bind(i64::from(filter.page) * size)
    .fetch_all(&mut *db)
    .await?;
    let mut videos = Vec::with_capacity(listed.len());
    for row in listed {
        videos.push(complete(db, row).await?);
    }
    Ok(VideoPage { total, videos })
}

pub(super) async fn dead_letters(
    db: &mut AnyConnection,
    video_id: Option<&str>,
    limit: u32,
) -> Result<Vec<DeadLetterRow>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT topic, partition, \"offset\", processor, video_id, reason, detail,
                dead_letters.at_ms AS at_ms, redriven.at_ms AS redriven_at_ms
         FROM dead_letters LEFT JOIN redriven USING (topic, partition, \"offset\")
         WHERE $1 IS NULL OR video_id = $1
         ORDER BY dead_letters.at_ms DESC, topic, partition, \"offset\" DESC LIMIT $2",
    )
    .bind(video_id.map(text))
    .bind(i64::from(limit))
    .fetch_all(db)
    .await?;
    rows.iter().map(dead_letter).collect()
}

/// A video as it is kept.
#[derive(FromRow)]
struct Listed {
    video_id: String,
    owner: String,
    assessment: String,
    title: String,
    visibility: String,
    recorded_at_ms: i64,
    uploaded_at_ms: i64,
    bytes: Option<i64>,
}

#[derive(FromRow)]
struct Recording {
    run_id: String,
    bucket: String,
    key: String,
    receipt_key: String,
    duration_ms: i64,
    bytes: i64,
    at_ms: i64,
}

/// Adds what is derived from the other facts.
async fn complete(db: &mut AnyConnection, listed: Listed) -> Result<VideoRow, sqlx::Error> {
    let video_id = listed.video_id;
    let recording: Option<Recording> = sqlx::query_as(
        "SELECT run_id, bucket, key, receipt_key, duration_ms, bytes, at_ms
         FROM recordings WHERE video_id = $1 ORDER BY at_ms DESC, run_id DESC LIMIT 1",
    )
    .bind(&video_id)
    .fetch_optional(&mut *db)
    .await?;
    let searchable_since: Option<i64> =
        sqlx::query_scalar("SELECT max(at_ms) FROM searchable WHERE video_id = $1")
            .bind(&video_id)
            .fetch_one(&mut *db)
            .await?;
    let ready_since = recording.as_ref().map(|recording| recording.at_ms);
    let mut dead = unanswered(db, &video_id, ready_since, searchable_since).await?;
    let stopped: BTreeSet<_> = dead.iter().map(|dead| dead.processor.clone()).collect();
    dead.sort_by_key(Concern::of);
    let runs = runs(db, &video_id).await?;
    let newest = runs.first();
    let run_id = match &recording {
        Some(recording) => recording.run_id.clone(),
        None => newest.map(|begun| begun.run_id.clone()).unwrap_or_default(),
    };
    let next_run = match newest.filter(|begun| recording.is_some() && begun.run_id != run_id) {
        Some(begun) => {
            let failed = dead.iter().any(|dead| {
                Concern::of(dead) == Concern::Recording && dead.at_ms >= begun.since_ms
            });
            Some(NextRun {
                run_id: begun.run_id.clone(),
                state: if failed { VideoState::Failed } else { VideoState::Processing },
                stages: stages(db, &video_id, &begun.run_id).await?,
            })
        }
        None => None,
    };
    let retried_at_ms: Option<i64> = sqlx::query_scalar(
        "SELECT max(redriven.at_ms) FROM redriven
         JOIN dead_letters USING (topic, partition, \"offset\") WHERE video_id = $1",
    )
    .bind(&video_id)
    .fetch_one(&mut *db)
    .await?;
    let stages = stages(db, &video_id, &run_id).await?;
    let death = dead.into_iter().next();
    let state = match (&recording, &death) {
        (Some(_), _) => VideoState::Ready,
        (None, Some(dead)) if Concern::of(dead) == Concern::Recording => VideoState::Failed,
        // The recording may still come.
        (None, _) => VideoState::Processing,
    };
    let (reason, detail) = death.map(|dead| (dead.reason, dead.detail)).unzip();
    let mut row = VideoRow {
        video_id,
        run_id,
        owner: listed.owner,
        assessment: listed.assessment,
        title: listed.title,
        visibility: listed.visibility,
        recorded_at_ms: listed.recorded_at_ms,
        uploaded_at_ms: listed.uploaded_at_ms,
        state,
        reason,
        detail,
        bytes: listed.bytes,
        duration_ms: None,
        recording_bucket: None,
        recording_key: None,
        receipt_key: None,
        searchable: searchable_since.is_some(),
        retried_at_ms,
        stopped: stopped.into_iter().collect(),
        stages,
        runs: u32::try_from(runs.len()).unwrap_or(u32::MAX),
        next_run,
    };
    if let Some(recording) = recording {
        row.bytes = Some(recording.bytes);
        row.duration_ms = Some(recording.duration_ms);
        row.recording_bucket = Some(recording.bucket);
        row.recording_key = Some(recording.key);
        row.receipt_key = Some(recording.receipt_key);
    }
    Ok(row)
}

#[derive(FromRow)]
struct Begun {
    run_id: String,
    since_ms: i64,
}

/// The runs of a video, the one that began last first.
async fn runs(db: &mut AnyConnection, video_id: &str) -> Result<Vec<Begun>, sqlx::Error> {
    sqlx::query_as(
        "SELECT run_id, min(at_ms) AS since_ms FROM progress WHERE video_id = $1
         GROUP BY run_id ORDER BY min(at_ms) DESC, run_id DESC",
    )
    .bind(video_id)
    .fetch_all(db)
    .await
}

/// The dead letters that nothing has answered and nobody has sent back, the newest first.
async fn unanswered(
    db: &mut AnyConnection,
    video_id: &str,
    ready_since: Option<i64>,
    searchable_since: Option<i64>,
) -> Result<Vec<DeadLetterRow>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT topic, partition, \"offset\", processor, video_id, reason, detail, at_ms,
                CAST(NULL AS BIGINT) AS redriven_at_ms
         FROM dead_letters
         WHERE video_id = $1
           AND NOT EXISTS (SELECT 1 FROM redriven
                           WHERE redriven.topic = dead_letters.topic
                             AND redriven.partition = dead_letters.partition
                             AND redriven.\"offset\" = dead_letters.\"offset\")
         ORDER BY at_ms DESC, topic, partition, \"offset\" DESC",
    )
    .bind(video_id)
    .fetch_all(db)
    .await?;
    let mut dead = rows.iter().map(dead_letter).collect::<Result<Vec<_>, _>>()?;
    dead.retain(|dead| {
        let answered = match Concern::of(dead) {
            Concern::Search => searchable_since,
            Concern::Recording | Concern::Keeping => ready_since,
        };
        answered.is_none_or(|answered| dead.at_ms > answered)
    });
    Ok(dead)
}

fn dead_letter(row: &AnyRow) -> Result<DeadLetterRow, sqlx::Error> {
    Ok(DeadLetterRow {
        topic: row.try_get("topic")?,
        partition: row.try_get("partition")?,
        offset: row.try_get("offset")?,
        processor: row.try_get("processor")?,
        video_id: row.try_get("video_id")?,
        reason: row.try_get("reason")?,
        detail: row.try_get("detail")?,
        at_ms: row.try_get("at_ms")?,
        redriven_at_ms: row.try_get("redriven_at_ms")?,
    })
}

#[derive(FromRow)]
struct Told {
    stage: String,
    done: i64,
    total: Option<i64>,
    frames: i64,
    first_at_ms: i64,
    last_at_ms: i64,
}

/// Every stage of the mill, and behind them those it did not have when this was written.
async fn stages(
    db: &mut AnyConnection,
    video_id: &str,
    run_id: &str,
) -> Result<Vec<StageRow>, sqlx::Error> {
    let told: Vec<Told> = sqlx::query_as(
        "SELECT stage, count(*) AS done, max(total) AS total,
                CAST(sum(frames) AS BIGINT) AS frames,
                min(at_ms) AS first_at_ms, max(at_ms) AS last_at_ms
         FROM progress WHERE video_id = $1 AND run_id = $2 GROUP BY stage ORDER BY stage",
    )
    .bind(video_id)
    .bind(run_id)
    .fetch_all(db)
    .await?;
    let is_clip_stage =
        |name: &str| STAGES.iter().any(|stage| stage.per_clip && stage.name == name);
    // How many clips there are is known to all stages as soon as one tells.
    let clips =
        told.iter().filter(|told| is_clip_stage(&told.stage)).filter_map(|told| told.total).max();

    let known = STAGES.iter().map(|stage| stage.name);
    let is_known = |stage: &str| known.clone().any(|known| known == stage);
    let others = told.iter().map(|told| told.stage.as_str()).filter(|stage| !is_known(stage));
    let row = |stage: &str| {
        let told = told.iter().find(|told| told.stage == stage);
        StageRow {
            stage: stage.to_owned(),
            done: told.map_or(0, |told| told.done),
            total: if is_clip_stage(stage) {
                clips
            } else {
                told.and_then(|told| told.total).or(clips.map(|_| 1))
            },
            frames: told.map_or(0, |told| told.frames),
            first_at_ms: told.map(|told| told.first_at_ms),
            last_at_ms: told.map(|told| told.last_at_ms),
        }
    };
    Ok(known.clone().chain(others).map(row).collect())
}
