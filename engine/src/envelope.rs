//! The headers of an event of ours: CloudEvents in Kafka's binary mode, and the trace.

use bytes::Bytes;
use ports::{Headers, Record};
use uuid::Uuid;

/// An event about to be sent.
#[derive(Debug)]
pub(crate) struct Envelope<'a> {
    pub(crate) id: String,
    pub(crate) processor: &'static str,
    pub(crate) topic: &'static str,
    /// The headers of the event it answers.
    pub(crate) cause: &'a Headers,
    /// The id of the event it answers.
    pub(crate) cause_id: &'a str,
    /// Milliseconds since 1970.
    pub(crate) now_ms: i64,
}

impl Envelope<'_> {
    pub(crate) fn seal(self, key: String, value: Vec<u8>) -> Record {
        let trace = match self.cause.text("traceparent") {
            Some(trace) if is_traceparent(trace) => trace.to_owned(),
            _ => traceparent(self.cause_id),
        };
        let headers = Headers::default()
            .with("ce_specversion", "1.0")
            .with("ce_id", self.id)
            .with("ce_source", format!("reelmill/{}", self.processor))
            .with("ce_type", type_name(self.topic))
            .with("ce_time", rfc3339(self.now_ms))
            .with("content-type", "application/avro")
            .with("traceparent", trace);
        Record {
            topic: self.topic.to_owned(),
            key: Some(Bytes::from(key)),
            value: Some(Bytes::from(value)),
            headers,
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

/// W3C Trace Context, version 00.
fn is_traceparent(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let hex = |part: &str, digits: usize| {
        part.len() == digits && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    matches!(parts[..], ["00", trace, span, flags] if hex(trace, 32) && hex(span, 16)
        && hex(flags, 2) && trace != "0".repeat(32) && span != "0".repeat(16))
}

/// A trace of its own for an event that came without, the same whenever it comes again.
fn traceparent(id: &str) -> String {
    let trace = Uuid::new_v5(&Uuid::NAMESPACE_OID, id.as_bytes()).simple().to_string();
    let span = Uuid::new_v5(&Uuid::NAMESPACE_URL, id.as_bytes()).simple().to_string();
    format!("00-{trace}-{}-01", &span[..16])
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
    }

    #[test]
    fn the_type_is_the_topic_in_camel_case() {
        assert_eq!(type_name("clips-ready"), "ClipsReady");
    }

    #[test]
    fn a_trace_is_passed_on_and_nonsense_is_replaced() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert!(is_traceparent(good));
        for bad in ["", "00-x-y-01", "00-00000000000000000000000000000000-00f067aa0ba902b7-01"] {
            assert!(!is_traceparent(bad), "{bad}");
        }
        assert!(is_traceparent(&traceparent("an id")));
        assert_eq!(traceparent("an id"), traceparent("an id"));
    }
}
