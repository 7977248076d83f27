//! The headers of an event of ours: CloudEvents in Kafka's binary mode, and the trace.

use crate::traceparent::{TRACEPARENT, Traceparent, is_traceparent};
use bytes::Bytes;
use ports::{Headers, Record};
use std::sync::{Mutex, PoisonError};

/// What all events of a processor have in common.
#[derive(Debug)]
pub(crate) struct Letterhead {
    source: Bytes,
    kind: Bytes,
    /// The last time that was asked for, ms since 1970, and its text: many events share theirs.
    time: Mutex<(i64, Bytes)>,
}

impl Letterhead {
    pub(crate) fn new(processor: &str, topic: &str) -> Self {
        Self {
            source: format!("reelmill/{processor}").into(),
            kind: type_name(topic).into(),
            time: Mutex::new((0, rfc3339(0).into())),
        }
    }

    fn time(&self, now_ms: i64) -> Bytes {
        let mut last = self.time.lock().unwrap_or_else(PoisonError::into_inner);
        if last.0 != now_ms {
            *last = (now_ms, rfc3339(now_ms).into());
        }
        last.1.clone()
    }
}

/// An event about to be sent.
#[derive(Debug)]
pub(crate) struct Envelope<'a> {
    pub(crate) id: String,
    pub(crate) letterhead: &'a Letterhead,
    pub(crate) topic: &'static str,
    /// The headers of the event it answers.
    pub(crate) cause: &'a Headers,
    /// The id of the event it answers.
    pub(crate) cause_id: &'a str,
    /// The span it comes from, where spans are told of.
    pub(crate) span: Option<Traceparent>,
    /// Milliseconds since 1970.
    pub(crate) now_ms: i64,
}

impl Envelope<'_> {
    pub(crate) fn seal(self, key: String, value: Vec<u8>) -> Record {
        let cause = || self.cause.0.iter().find(|(name, _)| name == TRACEPARENT);
        let trace = match self.span {
            Some(span) => span.to_string().into(),
            None => match cause() {
                Some((_, trace)) if is_traceparent(trace) => trace.clone(),
                _ => Traceparent::of(self.cause_id).to_string().into(),
            },
        };
        let headers = [
            ("ce_specversion", Bytes::from_static(b"1.0")),
            ("ce_id", self.id.into()),
            ("ce_source", self.letterhead.source.clone()),
            ("ce_type", self.letterhead.kind.clone()),
            ("ce_time", self.letterhead.time(self.now_ms)),
            ("content-type", Bytes::from_static(b"application/avro")),
            (TRACEPARENT, trace),
        ];
        Record {
            topic: self.topic.to_owned(),
            key: Some(Bytes::from(key)),
            value: Some(Bytes::from(value)),
            headers: Headers(headers.map(|(name, value)| (name.into(), value)).into()),
            timestamp_ms: None,
            position: None,
        }
    }
}

/// `clips-ready` becomes `ClipsReady`.
fn type_name(topic: &str) -> String {
    topic
        .split('-')
        .flat_map(|word| {
            let mut letters = word.chars();
            letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters)
        })
        .collect()
}

/// A time as RFC 3339 in UTC with milliseconds. Days to dates after Howard Hinnant,
/// "chrono-compatible low-level date algorithms".
pub(crate) fn rfc3339(ms: i64) -> String {
    let (days, of_day) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (h, m, s) = (of_day / 3_600_000, of_day / 60_000 % 60, of_day / 1_000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{:03}Z", of_day % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(1_709_210_096_789), "2024-02-29T12:34:56.789Z");
        assert_eq!(rfc3339(1_735_689_599_999), "2024-12-31T23:59:59.999Z");
        assert_eq!(rfc3339(-1), "1969-12-31T23:59:59.999Z");
        assert_eq!(rfc3339(253_402_300_800_000), "10000-01-01T00:00:00.000Z");
    }

    #[test]
    fn a_letterhead_tells_the_time_it_is_asked_for() {
        let letterhead = Letterhead::new("label", "labels-detected");
        for ms in [0, 1, 1, 0, 1_709_210_096_789] {
            assert_eq!(letterhead.time(ms), rfc3339(ms));
        }
    }

    #[test]
    fn the_type_is_the_topic_in_camel_case() {
        assert_eq!(type_name("clips-ready"), "ClipsReady");
    }
}
