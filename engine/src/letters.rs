//! Records that carry an event on when it could not be answered: to the retry topic, or to the
//! dead letters.

use crate::arrival::Arrival;
use ports::{Headers, Poison, Position, Record};

/// Names of the headers on retries and dead letters.
pub mod header {
    /// All headers of retries start with this.
    pub const RETRY_PREFIX: &str = "reelmill.retry.";
    /// Which attempt this record is for, from 2.
    pub const ATTEMPT: &str = "reelmill.retry.attempt";
    /// Not to be tried earlier, ms since 1970.
    pub const NOT_BEFORE: &str = "reelmill.retry.not-before";
    /// When the first attempt was, ms since 1970.
    pub const SINCE: &str = "reelmill.retry.since";
    /// Why the last attempt failed: a word.
    pub const REASON: &str = "reelmill.retry.reason";
    pub const ORIGIN_TOPIC: &str = "reelmill.retry.origin.topic";
    pub const ORIGIN_PARTITION: &str = "reelmill.retry.origin.partition";
    pub const ORIGIN_OFFSET: &str = "reelmill.retry.origin.offset";
    /// The origin's record time, ms since 1970.
    pub const ORIGIN_TIMESTAMP: &str = "reelmill.retry.origin.timestamp";

    /// Kafka Connect's names, so that its tools read our dead letters.
    pub const DEAD_TOPIC: &str = "__connect.errors.topic";
    pub const DEAD_PARTITION: &str = "__connect.errors.partition";
    pub const DEAD_OFFSET: &str = "__connect.errors.offset";
    /// The processor.
    pub const DEAD_PROCESSOR: &str = "__connect.errors.connector.name";
    /// Where in the event's life: read, plan, gather, perform, conclude, store or emit.
    pub const DEAD_STAGE: &str = "__connect.errors.stage";
    /// The reason: a word.
    pub const DEAD_REASON: &str = "__connect.errors.exception.class.name";
    /// The detail: a sentence.
    pub const DEAD_DETAIL: &str = "__connect.errors.exception.message";
    /// The origin's record time, ms since 1970, for which Kafka Connect has no name.
    pub const DEAD_TIMESTAMP: &str = "reelmill.dead.origin.timestamp";
    /// All headers that make a record a dead letter start with one of these.
    pub const DEAD_PREFIXES: [&str; 2] = ["__connect.errors.", "reelmill.dead."];

    /// On the mark a redriven dead letter leaves behind: where in this topic the letter is.
    pub const REDRIVEN_PARTITION: &str = "reelmill.redriven.partition";
    pub const REDRIVEN_OFFSET: &str = "reelmill.redriven.offset";
}

/// Longer details are cut: a dead letter must fit wherever its event did.
const DETAIL_BYTES: usize = 2048;

/// Where a processor's events wait for their next attempt.
#[must_use]
pub fn retry_topic(processor: &str) -> String {
    format!("reelmill.retry.{processor}")
}

/// Where a processor's hopeless events end.
#[must_use]
pub fn dead_topic(processor: &str) -> String {
    format!("reelmill.dead.{processor}")
}

/// The event, to be tried again as this attempt.
pub(crate) fn retry(
    arrival: &Arrival,
    processor: &str,
    attempt: u32,
    reason: &'static str,
    not_before_ms: i64,
) -> Record {
    waiting(arrival, processor, attempt, reason.to_owned(), not_before_ms)
}

/// The event as it came from the retry topic, to wait there again for the rest of its time.
pub(crate) fn postponed(arrival: Arrival, processor: &str) -> Record {
    let reason = arrival.reason.clone().unwrap_or_default();
    waiting(&arrival, processor, arrival.attempt, reason, arrival.not_before_ms)
}

fn waiting(
    arrival: &Arrival,
    processor: &str,
    attempt: u32,
    reason: String,
    not_before_ms: i64,
) -> Record {
    let Arrival { record, origin, .. } = arrival;
    let headers = record
        .headers
        .clone()
        .with(header::ATTEMPT, attempt.to_string())
        .with(header::NOT_BEFORE, not_before_ms.to_string())
        .with(header::SINCE, arrival.since_ms.to_string())
        .with(header::REASON, reason)
        .with(header::ORIGIN_TOPIC, origin.topic.clone())
        .with(header::ORIGIN_PARTITION, origin.partition.to_string())
        .with(header::ORIGIN_OFFSET, origin.offset.to_string())
        .with(header::ORIGIN_TIMESTAMP, arrival.at_ms.to_string());
    Record {
        topic: retry_topic(processor),
        headers,
        timestamp_ms: None,
        position: None,
        ..record.clone()
    }
}

/// The event, given up.
pub(crate) fn dead(
    arrival: &Arrival,
    processor: &str,
    stage: &'static str,
    poison: &Poison,
) -> Record {
    let Arrival { record, origin, .. } = arrival;
    let headers = record
        .headers
        .clone()
        .with(header::DEAD_TOPIC, origin.topic.clone())
        .with(header::DEAD_PARTITION, origin.partition.to_string())
        .with(header::DEAD_OFFSET, origin.offset.to_string())
        .with(header::DEAD_PROCESSOR, processor.to_owned())
        .with(header::DEAD_STAGE, stage)
        .with(header::DEAD_REASON, poison.reason)
        .with(header::DEAD_DETAIL, cut(&poison.detail).to_owned())
        .with(header::DEAD_TIMESTAMP, arrival.at_ms.to_string());
    Record {
        topic: dead_topic(processor),
        headers,
        timestamp_ms: None,
        position: None,
        ..record.clone()
    }
}

fn cut(detail: &str) -> &str {
    let mut end = detail.len().min(DETAIL_BYTES);
    while !detail.is_char_boundary(end) {
        end -= 1;
    }
    &detail[..end]
}

/// A dead letter on its way back: both records belong into one transaction.
#[derive(Debug, Clone, PartialEq)]
pub struct Redrive {
    /// The event as it first came, for the processor that gave it up and no other: its patience
    /// begins anew.
    pub event: Record,
    /// Says in the topic of dead letters that this one was sent back.
    pub mark: Record,
}

/// Sends a dead letter back. `None` for what is no dead letter of a processor of ours, for marks
/// too.
#[must_use]
pub fn redrive(letter: &Record) -> Option<Redrive> {
    let position = letter.position.as_ref()?;
    let text = |name: &str| letter.headers.text(name);
    let processor = text(header::DEAD_PROCESSOR)?;
    if letter.topic != dead_topic(processor) || redriven(letter).is_some() {
        return None;
    }
    let at_ms = text(header::DEAD_TIMESTAMP)
        .and_then(|ms| ms.parse().ok())
        .or(letter.timestamp_ms)
        .unwrap_or_default();
    let mut headers = letter.headers.clone();
    headers.0.retain(|(name, _)| !header::DEAD_PREFIXES.iter().any(|p| name.starts_with(p)));
    let headers = headers
        .with(header::ORIGIN_TOPIC, text(header::DEAD_TOPIC)?.to_owned())
        .with(header::ORIGIN_PARTITION, text(header::DEAD_PARTITION)?.to_owned())
        .with(header::ORIGIN_OFFSET, text(header::DEAD_OFFSET)?.to_owned())
        .with(header::ORIGIN_TIMESTAMP, at_ms.to_string());
    let bare = Record { timestamp_ms: None, position: None, ..letter.clone() };
    let mark = Headers::default()
        .with(header::REDRIVEN_PARTITION, position.partition.to_string())
        .with(header::REDRIVEN_OFFSET, position.offset.to_string());
    Some(Redrive {
        event: Record { topic: retry_topic(processor), headers, ..bare.clone() },
        mark: Record { value: None, headers: mark, ..bare },
    })
}

/// The dead letter a mark speaks of; `None` for a dead letter itself.
#[must_use]
pub fn redriven(record: &Record) -> Option<Position> {
    let partition = record.headers.text(header::REDRIVEN_PARTITION)?.parse().ok()?;
    let offset = record.headers.text(header::REDRIVEN_OFFSET)?.parse().ok()?;
    Some(Position { topic: record.topic.clone(), partition, offset })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn record() -> Record {
        Record {
            topic: "video-uploaded".to_owned(),
            key: Some(Bytes::from_static(b"k")),
            value: Some(Bytes::from_static(b"\0\xff")),
            headers: Headers::default().with("mine", "x"),
            timestamp_ms: Some(77),
            position: None,
        }
    }

    fn at(topic: &str, partition: i32, offset: i64) -> Position {
        Position { topic: topic.to_owned(), partition, offset }
    }

    #[test]
    fn an_event_looks_the_same_after_a_way_through_the_retry_topic() {
        let first = Arrival::read(record(), &at("video-uploaded", 2, 9), 1_000);
        let sent = retry(&first, "cut", 2, "throttled", 6_000);
        assert_eq!(sent.topic, "reelmill.retry.cut");
        let sent = Record { timestamp_ms: Some(1_001), ..sent };
        let again = Arrival::read(sent.clone(), &at("reelmill.retry.cut", 0, 3), 6_500);
        let reason = Some("throttled".to_owned());
        let (not_before_ms, retried_at) = (6_000, Some((0, 3)));
        let second = Arrival { attempt: 2, not_before_ms, reason, retried_at, ..first.clone() };
        assert_eq!(again, second);
        assert_eq!(postponed(again.clone(), "cut"), Record { timestamp_ms: None, ..sent });
        assert_eq!(again.origin, at("video-uploaded", 2, 9));
        assert_eq!((again.at_ms, again.since_ms), (77, 1_000));
        assert_eq!(again.id, schemas::ids::foreign("video-uploaded", 2, 9));
    }

    #[test]
    fn a_dead_letter_keeps_the_bytes_and_names_the_origin() {
        let first = Arrival::read(record(), &at("video-uploaded", 2, 9), 1_000);
        let sent = retry(&first, "cut", 2, "throttled", 6_000);
        let again = Arrival::read(sent, &at("reelmill.retry.cut", 0, 3), 6_500);
        let poison = Poison::new("no_video", "x".repeat(5_000));
        let dead = dead(&again, "cut", "perform", &poison);
        assert_eq!(dead.topic, "reelmill.dead.cut");
        assert_eq!((&dead.key, &dead.value), (&record().key, &record().value));
        let text = |name| dead.headers.text(name);
        assert_eq!(text("mine"), Some("x"));
        assert_eq!(text("__connect.errors.topic"), Some("video-uploaded"));
        assert_eq!(text("__connect.errors.partition"), Some("2"));
        assert_eq!(text("__connect.errors.offset"), Some("9"));
        assert_eq!(text("__connect.errors.connector.name"), Some("cut"));
        assert_eq!(text("__connect.errors.stage"), Some("perform"));
        assert_eq!(text("__connect.errors.exception.class.name"), Some("no_video"));
        assert_eq!(text("__connect.errors.exception.message").map(str::len), Some(DETAIL_BYTES));
        assert!(!dead.headers.0.iter().any(|(name, _)| name.starts_with("reelmill.retry.")));
    }

    #[test]
    fn a_redriven_dead_letter_arrives_as_it_first_came_with_patience_anew() {
        let first = Arrival::read(record(), &at("video-uploaded", 2, 9), 1_000);
        let late = Arrival { attempt: 8, not_before_ms: 9, ..first.clone() };
        let letter = dead(&late, "cut", "perform", &Poison::new("throttled", "x"));
        let place = at("reelmill.dead.cut", 1, 4);
        let letter = Record { timestamp_ms: Some(2_000), position: Some(place.clone()), ..letter };
        let Redrive { event, mark } = redrive(&letter).unwrap();
        assert_eq!((event.topic.as_str(), &event.key), ("reelmill.retry.cut", &record().key));
        let again = Arrival::read(event, &at("reelmill.retry.cut", 0, 0), 3_000);
        assert_eq!(again, Arrival { since_ms: 3_000, retried_at: Some((0, 0)), ..first });
        assert_eq!((mark.topic.as_str(), &mark.value), ("reelmill.dead.cut", &None));
        assert_eq!((redriven(&mark), redriven(&letter)), (Some(place), None));
        assert_eq!(redrive(&Record { position: letter.position.clone(), ..mark }), None);
        assert_eq!(redrive(&Record { topic: "reelmill.dead.blur".to_owned(), ..letter }), None);
    }

    #[test]
    fn a_cut_never_splits_a_character() {
        let detail = format!("x{}", "é".repeat(2_000));
        assert_eq!(cut(&detail).len(), DETAIL_BYTES - 1);
    }
}
