//! Whose fault a registry's error is.

use super::words;
use ports::Trouble;
use schema_registry_converter::{error::SRCError, schema_registry_common::RawError};
use std::error::Error;

/// Bytes that are no event.
pub(super) fn damaged(detail: &str) -> Trouble {
    Trouble::poison("malformed_event", detail)
}

/// Sorts a failed look-up or registration by blame.
pub(super) fn blame(subject: &str, error: &SRCError) -> Trouble {
    // The library gives an answer's error code in no other way.
    let source = error.source();
    if let Some(answer) = source.and_then(|source| source.downcast_ref::<RawError>()) {
        return refused(subject, answer.error_code, &words(error));
    }
    let unreadable = source.is_some_and(|source| source.is::<reqwest::Error>());
    if error.retriable || unreadable {
        Trouble::away("registry_unreachable", format!("{subject}: {}", words(error)))
    } else {
        Trouble::poison(
            "unknown_schema",
            format!("{subject} is no Avro schema we can read: {}", words(error)),
        )
    }
}

/// Sorts an answer by its error code: an HTTP status, or one with two digits more.
pub(super) fn refused(subject: &str, code: u32, said: &str) -> Trouble {
    let detail = format!("{subject}: the registry answered {said}");
    let status = if code >= 10_000 { code / 100 } else { code };
    match (code, status) {
        (40401..=40403, _) => Trouble::poison(
            "unknown_schema",
            format!("{detail}; register the schema, or produce with this registry"),
        ),
        // 0: the answer was not the registry's own, so something between us is broken.
        (_, 429 | 502..=504) => Trouble::away("registry_failed", detail),
        (0, _) | (_, 408 | 500..) => Trouble::transient("registry_failed", detail),
        (_, 401 | 403) => Trouble::fatal(format!("{detail}; check the registry's credentials")),
        (_, 404) => Trouble::fatal(format!("{detail}; check the registry's URL and its path")),
        (_, 409) => Trouble::fatal(format!(
            "{detail}; the new schema must be able to read old events and the other way round"
        )),
        _ => Trouble::fatal(detail),
    }
}

pub(super) fn unusable(malformed: &schemas::Malformed) -> Trouble {
    Trouble::poison("unknown_schema", format!("the schema cannot be used: {malformed}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ports::Refusal;

    fn word(trouble: &Trouble) -> String {
        match trouble {
            Trouble::Refused(Refusal::Poison(poison)) => format!("poison {}", poison.reason),
            Trouble::Refused(Refusal::Skip(reason)) => format!("skip {reason}"),
            Trouble::Transient { reason, .. } => format!("transient {reason}"),
            Trouble::Fatal(_) => "fatal".to_owned(),
        }
    }

    #[test]
    fn every_answer_has_one_to_blame() {
        let table = [
            (40403, "poison unknown_schema"),
            (40401, "poison unknown_schema"),
            (404, "fatal"),
            (401, "fatal"),
            (40301, "fatal"),
            (409, "fatal"),
            (42201, "fatal"),
            (429, "transient registry_failed"),
            (500, "transient registry_failed"),
            (50001, "transient registry_failed"),
            (50003, "transient registry_failed"),
            (0, "transient registry_failed"),
        ];
        for (code, expected) in table {
            let raw: RawError =
                serde_json::from_value(serde_json::json!({"error_code": code, "message": "no"}))
                    .unwrap();
            let error = SRCError::non_retryable_with_cause(raw, "HTTP request failed");
            assert_eq!(word(&blame("topic-value", &error)), expected, "{code}");
        }
    }

    #[test]
    fn no_answer_is_the_worlds_fault_and_a_foreign_schema_the_events() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let error = SRCError::retryable_with_cause(refused, "http call failed");
        assert_eq!(word(&blame("topic-value", &error)), "transient registry_unreachable");
        let error = SRCError::non_retryable_without_cause("type Protobuf, is not correct");
        assert_eq!(word(&blame("schema 7", &error)), "poison unknown_schema");
    }
}
