//! Facts into rows. Each statement merges by least or greatest, so that facts may come in any
//! order, any number of times.

use ports::{DeadLetterRow, Fact};
use sqlx::{SqliteConnection, SqlitePool};

/// Applies facts in one transaction.
pub(super) async fn record(pool: &SqlitePool, facts: &[Fact]) -> Result<(), sqlx::Error> {
    // Takes the write lock at once: a transaction that read first could not wait for it.
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
    for fact in facts {
        apply(&mut transaction, fact).await?;
    }
    transaction.commit().await
}

async fn apply(db: &mut SqliteConnection, fact: &Fact) -> Result<(), sqlx::Error> {
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
                "INSERT INTO searchable (video_id, run_id, at_ms) VALUES (?, ?, ?)
                 ON CONFLICT DO UPDATE SET at_ms = min(at_ms, excluded.at_ms)",
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
            sqlx::query("UPDATE videos SET stand_in = 1 WHERE video_id = ?")
                .bind(video_id)
                .execute(db)
                .await?;
            Ok(())
        }
        Fact::Redriven { topic, partition, offset, at_ms } => {
            sqlx::query(
                "INSERT INTO redriven (topic, partition, \"offset\", at_ms) VALUES (?, ?, ?, ?)
                 ON CONFLICT DO UPDATE SET at_ms = min(at_ms, excluded.at_ms)",
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
async fn stand_in(db: &mut SqliteConnection, video: &str, at_ms: i64) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO videos (video_id, known, owner, assessment, title, visibility,
                             recorded_at_ms, uploaded_at_ms)
         VALUES (?1, 0, '', '', '', 'private', ?2, ?2)
         ON CONFLICT DO UPDATE SET
             recorded_at_ms = excluded.recorded_at_ms, uploaded_at_ms = excluded.uploaded_at_ms
         WHERE known = 0 AND excluded.uploaded_at_ms < uploaded_at_ms",
    )
    .bind(video)
    .bind(at_ms)
    .execute(db)
    .await?;
    Ok(())
}

async fn uploaded(db: &mut SqliteConnection, fact: &Fact) -> Result<(), sqlx::Error> {
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
         VALUES (?, 1, ?, ?, ?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET
             known = 1, owner = excluded.owner, assessment = excluded.assessment,
             title = excluded.title, visibility = excluded.visibility,
             recorded_at_ms = excluded.recorded_at_ms, uploaded_at_ms = excluded.uploaded_at_ms
         WHERE known = 0
            OR (excluded.uploaded_at_ms, excluded.recorded_at_ms, excluded.owner,
                excluded.assessment, excluded.title, excluded.visibility)
             < (uploaded_at_ms, recorded_at_ms, owner, assessment, title, visibility)",
    )
    .bind(video_id)
    .bind(owner)
    .bind(assessment)
    .bind(title)
    .bind(visibility)
    .bind(recorded_at_ms)
    .bind(uploaded_at_ms)
    .execute(&mut *db)
    .await?;
    // An upload may be told without its size first, and with it later.
    if let Some(bytes) = bytes {
        sqlx::query("UPDATE videos SET bytes = max(ifnull(bytes, ?1), ?1) WHERE video_id = ?2")
            .bind(bytes)
            .bind(video_id)
            .execute(db)
            .await?;
    }
    Ok(())
}

async fn progress(db: &mut SqliteConnection, fact: &Fact) -> Result<(), sqlx::Error> {
    let Fact::Progress { video_id, run_id, stage, index, total, frames, at_ms } = fact else {
        return Ok(());
    };
    sqlx::query(
        "INSERT INTO progress (video_id, run_id, stage, part, total, frames, at_ms)
         VALUES (?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET
             total = coalesce(max(total, excluded.total), total, excluded.total),
             frames = max(frames, excluded.frames),
             at_ms = min(at_ms, excluded.at_ms)",
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

async fn ready(db: &mut SqliteConnection, fact: &Fact) -> Result<(), sqlx::Error> {
    let Fact::Ready { video_id, run_id, bucket, key, receipt_key, duration_ms, bytes, at_ms } =
        fact
    else {
        return Ok(());
    };
    sqlx::query(
        "INSERT INTO recordings (video_id, run_id, bucket, key, receipt_key, duration_ms, bytes,
                                 at_ms)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET
             bucket = excluded.bucket, key = excluded.key, receipt_key = excluded.receipt_key,
             duration_ms = excluded.duration_ms, bytes = excluded.bytes, at_ms = excluded.at_ms
         WHERE (excluded.at_ms, excluded.bucket, excluded.key, excluded.receipt_key,
                excluded.duration_ms, excluded.bytes)
             < (at_ms, bucket, key, receipt_key, duration_ms, bytes)",
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

async fn died(db: &mut SqliteConnection, dead: &DeadLetterRow) -> Result<(), sqlx::Error> {
    // Topic, partition and offset name one record for ever, so there is nothing to merge.
    sqlx::query(
        "INSERT INTO dead_letters (topic, partition, \"offset\", processor, video_id, reason,
                                   detail, at_ms)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT DO NOTHING",
    )
    .bind(&dead.topic)
    .bind(dead.partition)
    .bind(dead.offset)
    .bind(&dead.processor)
    .bind(&dead.video_id)
    .bind(&dead.reason)
    .bind(&dead.detail)
    .bind(dead.at_ms)
    .execute(db)
    .await?;
    Ok(())
}
