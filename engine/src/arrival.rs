//! A record as an event arrives in it, the first time or through the retry topic.

use crate::letters::header;
use ports::{Position, Record};
use schemas::ids;

/// An event at the door. Whichever way it came, it looks as it did at its origin.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Arrival {
    /// Topic, position, time, key, value and headers of the origin.
    pub(crate) record: Record,
    pub(crate) origin: Position,
    /// The CloudEvents id; derived from the origin where the producer gave none.
    pub(crate) id: String,
    /// The origin's record time, ms since 1970.
    pub(crate) at_ms: i64,
    /// From 1.
    pub(crate) attempt: u32,
    /// When the first attempt was, ms since 1970.
    pub(crate) since_ms: i64,
    /// Not to be looked at earlier, ms since 1970; 0 for no wait.
    pub(crate) not_before_ms: i64,
    /// Why the last attempt failed.
    pub(crate) reason: Option<String>,
    /// Partition and offset in the retry topic, where it came through that.
    pub(crate) retried_at: Option<(i32, i64)>,
}

impl Arrival {
    /// Reads a record that was handed out at `position`.
    pub(crate) fn read(mut record: Record, position: &Position, now_ms: i64) -> Self {
        let is_retry = |name: &str| name.starts_with(header::RETRY_PREFIX);
        if !record.headers.0.iter().any(|(name, _)| is_retry(name)) {
            return Self::first(record, position, now_ms);
        }
        let number = |name: &str| record.headers.text(name)?.parse::<i64>().ok();
        let origin = match (
            record.headers.text(header::ORIGIN_TOPIC),
            number(header::ORIGIN_PARTITION).and_then(|n| i32::try_from(n).ok()),
            number(header::ORIGIN_OFFSET),
        ) {
            (Some(topic), Some(partition), Some(offset)) => {
                Position { topic: topic.to_owned(), partition, offset }
            }
            _ => position.clone(),
        };
        let at_ms = number(header::ORIGIN_TIMESTAMP).or(record.timestamp_ms).unwrap_or(now_ms);
        let attempt = number(header::ATTEMPT).and_then(|n| u32::try_from(n).ok()).unwrap_or(1);
        let since_ms = number(header::SINCE).unwrap_or(now_ms);
        let not_before_ms = number(header::NOT_BEFORE).unwrap_or(0);
        let reason = record.headers.text(header::REASON).map(str::to_owned);
        let id = id_of(&record, &origin);
        record.headers.0.retain(|(name, _)| !is_retry(name));
        record.topic.clone_from(&origin.topic);
        record.position = Some(origin.clone());
        record.timestamp_ms = Some(at_ms);
        let attempt = attempt.max(1);
        let retried_at = Some((position.partition, position.offset));
        Self { record, origin, id, at_ms, attempt, since_ms, not_before_ms, reason, retried_at }
    }

    /// One that was not tried before.
    fn first(record: Record, position: &Position, now_ms: i64) -> Self {
        let (origin, at_ms) = (position.clone(), record.timestamp_ms.unwrap_or(now_ms));
        let id = id_of(&record, &origin);
        let record = Record { position: Some(origin.clone()), timestamp_ms: Some(at_ms), ..record };
        Self {
            record,
            origin,
            id,
            at_ms,
            attempt: 1,
            since_ms: now_ms,
            not_before_ms: 0,
            reason: None,
            retried_at: None,
        }
    }
}

fn id_of(record: &Record, origin: &Position) -> String {
    match record.headers.text("ce_id") {
        Some(id) if !id.is_empty() => id.to_owned(),
        _ => ids::foreign(&origin.topic, origin.partition, origin.offset),
    }
}
