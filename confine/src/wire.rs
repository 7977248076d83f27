//! What a program and its helper say to each other: a line each of JSON.
//!
//! To the helper: a [`Request`], then the work's input. From the helper: its [`Line::Fenced`], what
//! it [`Line::Used`], then how the work ended. What it writes to standard error goes into the log.

use crate::{Allowance, Failure, Fence};
use media::MediaError;
use serde::{Deserialize, Serialize};

/// The first line to a helper.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) work: String,
    pub(crate) allowance: Allowance,
}

/// A line from a helper.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Line<T> {
    /// What holds it; nothing of the footage was read before.
    Fenced(Fence),
    /// The highest resident memory of the helper, bytes. Linux counts what a process's parent had
    /// when it was started towards what is told after its end (`getrusage(2)`).
    Used(u64),
    /// The work's output.
    Done(T),
    /// The work's error.
    Failed(Told),
}

/// A failure as a helper tells it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Told {
    reason: String,
    message: String,
    blames_input: bool,
}

impl From<MediaError> for Told {
    fn from(error: MediaError) -> Self {
        Self {
            reason: error.reason().to_owned(),
            message: error.to_string(),
            blames_input: error.blames_input(),
        }
    }
}

impl From<Told> for Failure {
    fn from(told: Told) -> Self {
        if told.reason == MediaError::OutOfMemory.reason() {
            return MediaError::OutOfMemory.into();
        }
        match MediaError::REASONS.into_iter().find(|reason| *reason == told.reason) {
            Some(reason) => {
                Self::Media { reason, message: told.message, blames_input: told.blames_input }
            }
            // Only a helper that is no longer ours says other words.
            None => Self::Crashed { how: format!("its helper said {:.100}", told.reason) },
        }
    }
}
