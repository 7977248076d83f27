//! What was sent into the mill, and what must come of it.

use std::collections::BTreeMap;

/// What an upload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    /// A film: becomes one recording. The number is its film.
    Film(usize),
    /// Its object is no film.
    Text,
    /// Its object is not there.
    Missing,
    /// Its object is in a bucket that is not allowed.
    Foreign,
    /// Its message is no event.
    Garbage,
}

impl Kind {
    /// The reason of its dead letter, where it must end in one.
    pub(crate) fn reason(self) -> Option<&'static str> {
        match self {
            Self::Film(_) => None,
            Self::Text => Some("not_media"),
            Self::Missing => Some("missing_object"),
            Self::Foreign => Some("foreign_bucket"),
            Self::Garbage => Some("malformed_event"),
        }
    }
}

/// What comes of a film whenever nothing goes wrong: learned from the first ones, before the
/// faults begin.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Expected {
    pub(crate) clips: usize,
    /// SHA-256 of the recording.
    pub(crate) recording: String,
    /// Moments of its search document.
    pub(crate) moments: usize,
}

/// All uploads by video, and what each film gives.
#[derive(Debug, Clone, Default)]
pub(crate) struct Model {
    pub(crate) uploads: BTreeMap<String, Kind>,
    pub(crate) films: BTreeMap<usize, Expected>,
}

impl Model {
    /// Uploads that end as a recording.
    pub(crate) fn good(&self) -> usize {
        self.uploads.values().filter(|kind| kind.reason().is_none()).count()
    }
}
