//! Whose fault an error of the index is.

use ports::Trouble;
use serde_json::Value;
use std::{error::Error, time::Duration};

/// The longest wait a server may ask for; it is asked again after that.
const LONGEST_WISH: Duration = Duration::from_secs(300);

/// What went wrong with a request, or with one item of a bulk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Problem {
    /// No answer, or one cut short.
    Unreachable(String),
    TimedOut(String),
    /// There are no credentials to sign it with.
    Unsigned(Trouble),
    /// The answer is not OpenSearch's: something else listens there, or stands between.
    Foreign(String),
    /// An error of OpenSearch: HTTP status, type and reason.
    Refused {
        status: u16,
        kind: String,
        reason: String,
        /// How long it asks to be left alone.
        after: Option<Duration>,
    },
}

impl Problem {
    pub(super) fn of_client(error: &::opensearch::Error) -> Self {
        let said = chain(error);
        if error.is_timeout() { Self::TimedOut(said) } else { Self::Unreachable(said) }
    }

    /// The error of an answer or of an item: `{"type": …, "reason": …}`, or a text.
    pub(super) fn refused(status: u16, error: Option<&Value>) -> Self {
        let text = |name: &str| {
            error.and_then(|e| e.get(name)).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        // The reason of a document that does not fit is in its cause.
        let cause = error
            .and_then(|e| e.pointer("/caused_by/reason"))
            .and_then(Value::as_str)
            .map(|cause| format!(" ({cause})"))
            .unwrap_or_default();
        let reason = match error.and_then(Value::as_str) {
            Some(plain) => plain.to_owned(),
            None => text("reason") + &cause,
        };
        Self::Refused { status, kind: text("type"), reason, after: None }
    }

    /// With the wait that the answer asks for (Retry-After, in seconds), within reason.
    pub(super) fn asking_for(self, seconds: Option<&str>) -> Self {
        let wait = seconds.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
        match self {
            Self::Refused { status, kind, reason, after } => {
                let after = wait.map(|wait| wait.min(LONGEST_WISH)).or(after);
                Self::Refused { status, kind, reason, after }
            }
            other => other,
        }
    }

    pub(super) fn is_missing_index(&self) -> bool {
        matches!(self, Self::Refused { status: 404, kind, .. } if kind == "index_not_found_exception")
    }

    pub(super) fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            Self::Unreachable(_) | Self::TimedOut(_) | Self::Unsigned(_) | Self::Foreign(_) => None,
        }
    }
}

/// An error and its causes: the client's own words end before they say why.
fn chain(error: &dyn Error) -> String {
    let mut said = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !said.contains(&text) {
            said = format!("{said}: {text}");
        }
        next = cause.source();
    }
    said
}

/// Sorts a problem by blame; `at` names the address.
pub(super) fn blame(at: &str, problem: &Problem) -> Trouble {
    let (status, kind, reason, after) = match problem {
        Problem::Unreachable(said) => {
            return Trouble::away(
                "index_unreachable",
                format!(
                    "OpenSearch at {at} does not answer ({said}); see whether it runs, and check --opensearch"
                ),
            );
        }
        Problem::TimedOut(said) => {
            return Trouble::away(
                "index_timed_out",
                format!("OpenSearch at {at} took too long ({said}); see how busy it is"),
            );
        }
        Problem::Unsigned(trouble) => return trouble.clone(),
        Problem::Foreign(said) => {
            return Trouble::away(
                "index_unreachable",
                format!(
                    "what answers at {at} does not speak as OpenSearch does ({said}); check --opensearch, and proxies on the way"
                ),
            );
        }
        Problem::Refused { status, kind, reason, after } => {
            (*status, kind.as_str(), reason, *after)
        }
    };
    let said = format!("OpenSearch at {at} answered {status} {kind}: {reason}");
    match (status, kind) {
        // Before 403: a full disk is told with that status, too.
        (_, "cluster_block_exception") => Trouble::away(
            "index_blocked",
            format!(
                "{said}; most often its disk is full: make room, and lift the block; or a rebuild was killed in its midst: run `reelmill index rebuild`"
            ),
        ),
        (
            _,
            "index_not_found_exception" | "index_closed_exception" | "aliases_not_found_exception",
        ) => Trouble::away(
            super::MISSING,
            format!("{said}; fill a new one with `reelmill index rebuild`"),
        ),
        (401, _) => Trouble::fatal(format!(
            "{said}; set --opensearch-user and --opensearch-password to a user it knows, or --opensearch-iam"
        )),
        (403, _) => Trouble::fatal(format!(
            "{said}; let the user or the role manage index templates, aliases and the indexes of the mill"
        )),
        (429, _) => Trouble::away("index_busy", said).not_before(after),
        (413, _) => Trouble::poison(
            "document_too_large",
            format!("{said}; raise http.max_content_length of OpenSearch"),
        ),
        (502..=504, _) => Trouble::away("index_failed", said).not_before(after),
        (408 | 500.., _) => Trouble::transient("index_failed", said),
        (400, "strict_dynamic_mapping_exception") => Trouble::fatal(format!(
            "{said}; the index has another layout: run `reelmill index rebuild`"
        )),
        (
            400,
            "mapper_parsing_exception"
            | "document_parsing_exception"
            | "illegal_argument_exception"
            | "max_bytes_length_exceeded_exception",
        ) => Trouble::poison("document_refused", said),
        _ => Trouble::fatal(format!("{said}; this is a bug, please report it")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ports::Refusal;

    fn refused(status: u16, kind: &str) -> Problem {
        Problem::Refused {
            status,
            kind: kind.to_owned(),
            reason: "said so".to_owned(),
            after: None,
        }
    }

    #[test]
    fn every_error_has_its_blame() {
        let table = [
            (Problem::Unreachable("refused".to_owned()), "transient index_unreachable"),
            (Problem::TimedOut("30 s".to_owned()), "transient index_timed_out"),
            (Problem::Foreign("<html>".to_owned()), "transient index_unreachable"),
            (refused(429, "opensearch_rejected_execution_exception"), "transient index_busy"),
            (refused(429, "circuit_breaking_exception"), "transient index_busy"),
            (refused(429, "cluster_block_exception"), "transient index_blocked"),
            (refused(403, "cluster_block_exception"), "transient index_blocked"),
            (refused(404, "index_not_found_exception"), "transient index_missing"),
            (refused(400, "index_closed_exception"), "transient index_missing"),
            (refused(404, "aliases_not_found_exception"), "transient index_missing"),
            (refused(408, ""), "transient index_failed"),
            (refused(500, "exception"), "transient index_failed"),
            (refused(502, ""), "transient index_failed"),
            (refused(503, "unavailable_shards_exception"), "transient index_failed"),
            (refused(400, "mapper_parsing_exception"), "poison document_refused"),
            (refused(400, "illegal_argument_exception"), "poison document_refused"),
            (refused(413, ""), "poison document_too_large"),
            (refused(401, ""), "fatal"),
            (refused(403, "security_exception"), "fatal"),
            (refused(400, "strict_dynamic_mapping_exception"), "fatal"),
            (refused(400, "parsing_exception"), "fatal"),
            (refused(404, ""), "fatal"),
            (refused(418, ""), "fatal"),
        ];
        for (problem, expected) in table {
            let word = match blame("http://index", &problem) {
                Trouble::Transient { reason, .. } => format!("transient {reason}"),
                Trouble::Refused(Refusal::Poison(poison)) => format!("poison {}", poison.reason),
                Trouble::Refused(Refusal::Skip(reason)) => format!("skip {reason}"),
                Trouble::Fatal(_) => "fatal".to_owned(),
            };
            assert_eq!(word, expected, "{problem:?}");
        }
    }

    #[test]
    fn a_wait_that_the_server_asks_for_is_kept_within_reason() {
        let asked = |status, seconds| match blame(
            "http://index",
            &refused(status, "").asking_for(Some(seconds)),
        ) {
            Trouble::Transient { after, counted, .. } => {
                (after.map(|wait| wait.as_secs()), counted)
            }
            other => unreachable!("{other:?}"),
        };
        assert_eq!(asked(429, "30"), (Some(30), false));
        assert_eq!(asked(503, " 7 "), (Some(7), false));
        assert_eq!(asked(503, "864000"), (Some(300), false));
        assert_eq!(asked(429, "Fri, 31 Dec 1999 23:59:59 GMT"), (None, false));
        assert_eq!(asked(500, "30"), (None, true), "it may be about this document");
    }
}
