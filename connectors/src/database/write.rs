//! Facts into rows. Each statement merges by least or greatest, so that facts may come in any
//! order, any number of times.

use super::text;
use ports::{DeadLetterRow, Fact};
use sqlx::AnyConnection;

/// Applies facts; the caller's transaction is around all of them.
pub(super) async fn record(db: &mut AnyConnection, facts: &[Fact]) -> Result<(), sqlx::Error> {
    // Whoever writes of several videos locks them in the same order, so that no two wait for each
    // other. Stable: what is told of one video stays in its order.
    let mut facts: Vec<&Fact> = facts.iter().collect();
    facts.sort_by_key(|fact| video_of(fact));
    for fact in facts {
        apply(db, fact).await?;
    }
    Ok(())
}

fn video_of(fact: &Fact) -> Option<&str> {
    match fact {
        Fact::Uploaded { video_id, .. }
        | Fact::Progress { video_id, .. }
        | Fact::Ready { video_id, .. }
        | Fact::Searchable { video_id, .. }
        | Fact::StandIn { video_id } => Some(video_id),
        Fact::Dead(dead) => dead.video_id.as_deref(),
        Fact::Redriven { .. } => None,
    }
}

async fn apply(db: &mut AnyConnection, fact: &Fact) -> Result<(), sqlx::Error> {
    match fact {
        Fact::Uploaded { .. } => uploaded(db, fact).await,
        Fact::Progress { video_id, at_ms, .. } => {
            stand_in(db, video_id, *at_ms).await?;
            progress(db, fact).await
        }
        Fact::Ready { video_id, at_ms, .. } => {
            stand_in(db, video_id, *at_ms).await?;
            ready(db, fact).await
        }
        Fact::Searchable { video_id, run_id, at_ms } => {
            stand_in(db, video_id, *at_ms).await?;
            sqlx::query(
                "INSERT INTO searchable (video_id, run_id, at_ms) VALUES ($1, $2, $3)
                 ON CONFLICT (video_id, run_id) DO UPDATE SET at_ms = excluded.at_ms
                 WHERE excluded.at_ms < searchable.at_ms",
            )
            .bind(video_id)
            .bind(run_id)
            .bind(at_ms)
            .execute(db)
            .await?;
            Ok(())
        }
        Fact::Dead(dead) => {
            if let Some(video_id) = &dead.video_id {
                stand_in(db, video_id, dead.at_ms).await?;
            }
            died(db, dead).await
        }
        Fact::StandIn { video_id } => {
            sqlx::query("UPDATE videos SET stand_in = 1 WHERE video_id = $1")
                .bind(video_id)
                .execute(db)
                .await?;
            Ok(())
        }
        Fact::Redriven { topic, partition, offset, at_ms } => {
            sqlx::query(
                "INSERT INTO redriven (topic, partition, \"offset\", at_ms) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (topic, partition, \"offset\") DO UPDATE SET at_ms = excluded.at_ms
                 WHERE excluded.at_ms < redriven.at_ms",
            )
            .bind(topic)
            .bind(partition)
            .bind(offset)
            .bind(at_ms)
            .execute(db)
            .await?;
            Ok(())
        }
    }
}

/// A row for a video whose upload is not known yet, at the time of the earliest fact.
async fn stand_in(db: &mut AnyConnection, video: &str, at_ms: i64) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO videos (video_id, known, owner, assessment, title, visibility,
                             recorded_at_ms, uploaded_at_ms)
         VALUES ($1, 0, '', '', '', 'private', $2, $2)
         ON CONFLICT (video_id) DO UPDATE SET
             recorded_at_ms = excluded.recorded_at_ms, uploaded_at_ms = excluded.uploaded_at_ms
         WHERE videos.known = 0 AND excluded.uploaded_at_ms < videos.uploaded_at_ms",
    )
    .bind(video)
    .bind(at_ms)
    .execute(db)
    .await?;
    Ok(())
}

async fn uploaded(db: &mut AnyConnection, fact: &Fact) -> Result<(), sqlx::Error> {
    let Fact::Uploaded {
        video_id,
        owner,
        assessment,
        title,
        visibility,
        recorded_at_ms,
        uploaded_at_ms,
        bytes,
    } = fact
    else {
        return Ok(());
    };
    sqlx::query(
        "INSERT INTO videos (video_id, known, owner, assessment, title, visibility,
                             recorded_at_ms, uploaded_at_ms)
         VALUES ($1, 1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (video_id) DO UPDATE SET
             known = 1, owner = excluded.owner, assessment = excluded.assessment,
             title = excluded.title, visibility = excluded.visibility,
             recorded_at_ms = excluded.recorded_at_ms, uploaded_at_ms = excluded.uploaded_at_ms
         WHERE videos.known = 0
            OR (excluded.uploaded_at_ms, excluded.recorded_at_ms, excluded.owner,
                excluded.assessment, excluded.title, excluded.visibility)
             < (videos.uploaded_at_ms, videos.recorded_at_ms, videos.owner,
                videos.assessment, videos.title, videos.visibility)",
    )
    .bind(video_id)
    .bind(text(owner))
    .bind(text(assessment))
    .bind(text(title))
    .bind(text(visibility))
    .bind(recorded_at_ms)
    .bind(uploaded_at_ms)
    .execute(&mut *db)
    .await?;
    // An upload may be told without its size first, and with it later.
    if let Some(bytes) = bytes {
        sqlx::query(
            "UPDATE videos SET bytes = $1 WHERE video_id = $2 AND (bytes IS NULL OR bytes < $1)",
        )
        .bind(bytes)
        .bind(video_id)
        .execute(db)
        .await?;
    }
    Ok(())
}

async fn progress(db: &mut AnyConnection, fact: &Fact) -> Result<(), sqlx::Error> {
    let Fact::Progress { video_id, run_id, stage, index, total, frames, at_ms } = fact else {
        return Ok(());
    };
    sqlx::query(
        "INSERT INTO progress (video_id, run_id, stage, part, total, frames, at_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (video_id, run_id, stage, part) DO UPDATE SET
             total = CASE WHEN progress.total IS NULL OR excluded.total > progress.total
                          THEN excluded.total ELSE progress.total END,
             frames = CASE WHEN excluded.frames > progress.frames
                           THEN excluded.frames ELSE progress.frames END,
             at_ms = CASE WHEN excluded.at_ms < progress.at_ms
                          THEN excluded.at_ms ELSE progress.at_ms END",
    )
    .bind(video_id)
    .bind(run_id)
    .bind(*stage)
    .bind(index)
    .bind(total)
    .bind(frames)
    .bind(at_ms)
    .execute(db)
    .await?;
    Ok(())
}

async fn ready(db: &mut AnyConnection, fact: &Fact) -> Result<(), sqlx::Error> {
    let Fact::Ready { video_id, run_id, bucket, key, receipt_key, duration_ms, bytes, at_ms } =
        fact
    else {
        return Ok(());
    };
    sqlx::query(
        "INSERT INTO recordings (video_id, run_id, bucket, key, receipt_key, duration_ms, bytes,
                                 at_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (video_id, run_id) DO UPDATE SET
             bucket = excluded.bucket, key = excluded.key, receipt_key = excluded.receipt_key,
             duration_ms = excluded.duration_ms, bytes = excluded.bytes, at_ms = excluded.at_ms
         WHERE (excluded.at_ms, excluded.bucket, excluded.key, excluded.receipt_key,
                excluded.duration_ms, excluded.bytes)
             < (recordings.at_ms, recordings.bucket, recordings.key, recordings.receipt_key,
                recordings.duration_ms, recordings.bytes)",
    )
    .bind(video_id)
    .bind(run_id)
    .bind(bucket)
    .bind(key)
    .bind(receipt_key)
    .bind(duration_ms)
    .bind(bytes)
    .bind(at_ms)
    .execute(db)
    .await?;
    Ok(())
}

async fn died(db: &mut AnyConnection, dead: &DeadLetterRow) -> Result<(), sqlx::Error> {
    // Topic, partition and offset name one record for ever, so there is nothing to merge.
    sqlx::query(
        "INSERT INTO dead_letters (topic, partition, \"offset\", processor, video_id, reason,
                                   detail, at_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT DO NOTHING",
    )
    .bind(&dead.topic)
    .bind(dead.partition)
    .bind(dead.offset)
    .bind(&dead.processor)
    .bind(&dead.video_id)
    .bind(text(&dead.reason))
    .bind(text(&dead.detail))
    .bind(dead.at_ms)
    .execute(db)
    .await?;
    Ok(())
}
