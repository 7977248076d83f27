//! Failures are sorted by blame, because blame decides what to do next.

use std::time::Duration;

/// The event is to blame, or nobody is. Trying again cannot help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Well formed, but not for us. Counted, and passed over.
    #[error("skipped: {0}")]
    Skip(&'static str),
    /// Can never succeed. Dead-lettered at once.
    #[error(transparent)]
    Poison(#[from] Poison),
}

/// Why an event can never succeed: a word for the metrics, a sentence for the reader.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct Poison {
    /// One of a small closed set of words, `snake_case`.
    pub reason: &'static str,
    /// The cause and the next step, for a person.
    pub detail: String,
}

impl Poison {
    /// A poison from its word and its sentence.
    pub fn new(reason: &'static str, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

/// What a port or a connector may report.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// The event is to blame: the far side will never accept it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The world is to blame, and may recover. Wait (at least `after`), then try again.
    #[error("{reason}: {detail}")]
    Transient {
        reason: &'static str,
        detail: String,
        after: Option<Duration>,
        /// Whether it counts as one of the event's attempts. What would have happened to every
        /// other event too says nothing about this one, and does not.
        counted: bool,
    },
    /// We are to blame: credentials, configuration, a bug. No event can succeed.
    #[error(transparent)]
    Fatal(#[from] Fatal),
}

impl Trouble {
    /// The event's fault, by word and sentence.
    pub fn poison(reason: &'static str, detail: impl Into<String>) -> Self {
        Refusal::from(Poison::new(reason, detail)).into()
    }

    /// The world's fault, with no wish about how long to wait.
    pub fn transient(reason: &'static str, detail: impl Into<String>) -> Self {
        Self::Transient { reason, detail: detail.into(), after: None, counted: true }
    }

    /// A service is away, full or busy for whoever asks, or others have to finish first: waited
    /// for, however often, without counting attempts.
    pub fn away(reason: &'static str, detail: impl Into<String>) -> Self {
        Self::Transient { reason, detail: detail.into(), after: None, counted: false }
    }

    /// The same, not to be tried again earlier than this.
    #[must_use]
    pub fn not_before(self, wait: Option<Duration>) -> Self {
        match self {
            Self::Transient { reason, detail, after, counted } => {
                Self::Transient { reason, detail, after: wait.or(after), counted }
            }
            other => other,
        }
    }

    /// Our fault.
    pub fn fatal(detail: impl Into<String>) -> Self {
        Self::Fatal(Fatal(detail.into()))
    }
}

/// Stops the processor before any offset moves.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Fatal(pub String);

impl From<schemas::Malformed> for Refusal {
    fn from(malformed: schemas::Malformed) -> Self {
        Poison::new("malformed_event", malformed.to_string()).into()
    }
}

impl From<schemas::Malformed> for Trouble {
    fn from(malformed: schemas::Malformed) -> Self {
        Refusal::from(malformed).into()
    }
}
