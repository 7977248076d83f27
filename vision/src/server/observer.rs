//! Who hears what the server does. What becomes of it is not for this crate to know.

use std::{fmt, time::Duration};

/// What is looked at, and for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Looked {
    /// A video, for faces.
    Faces,
    /// A video, for things.
    Labels,
    Photo,
}

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    Succeeded,
    /// By the video's fault.
    Refused,
    /// By another's.
    Failed,
}

/// What is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// Videos, waiting or looked at.
    Jobs,
    /// Photographs, the same.
    Photos,
}

/// Hears what the server does, on its threads: nothing here may take long.
pub trait Observer: fmt::Debug + Send + Sync {
    /// A photograph, or so many frames of a video, were looked at, and it took so long.
    fn looked(&self, _at: Looked, _frames: u32, _took: Duration) {}

    /// So many jobs wait or are looked at now.
    fn open(&self, _waiting: usize, _running: usize) {}

    fn ended(&self, _job: Looked, _how: Ended) {}

    /// A request was sent away, to come again later.
    fn turned_away(&self, _full: Full) {}

    /// What `/metrics` answers; there is no such page where this is `None`.
    fn page(&self) -> Option<String> {
        None
    }
}

/// Nobody hears.
impl Observer for () {}
