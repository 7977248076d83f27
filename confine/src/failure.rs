//! How work ends without a result, and whose fault it is.

use media::MediaError;
use std::time::Duration;

/// Why a piece of work gave no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The work says so itself.
    #[error("{message}")]
    Media {
        /// One of [`MediaError::REASONS`].
        reason: &'static str,
        /// The sentence.
        message: String,
        /// Whether the footage is at fault.
        blames_input: bool,
    },
    /// Its process died.
    #[error(
        "the video made its decoder fail ({how}); convert the file to H.264 in mp4 and upload it again"
    )]
    Crashed {
        /// The signal or the last words.
        how: String,
    },
    /// It asked for more than [`MEMORY`](crate::MEMORY).
    #[error("the video takes more than {mebibytes} MiB of memory; reduce its picture")]
    Memory {
        /// What it may use.
        mebibytes: u64,
    },
    /// It computed for longer than it may.
    #[error("the video takes more than {} s of computing time; upload it in parts", .allowed.as_secs())]
    Time {
        /// What it may use.
        allowed: Duration,
    },
    /// It wrote more than it may.
    #[error("the video grows beyond {allowed} bytes when it is rendered; upload it in parts")]
    Space {
        /// Bytes a file may have.
        allowed: u64,
    },
    /// It neither computed nor ended.
    #[error("media work stood still for {} s; look at the load of the machine", .waited.as_secs())]
    Stalled {
        /// How long it was waited for.
        waited: Duration,
    },
    /// Somebody else ended it, perhaps the kernel for want of memory.
    #[error(
        "media work was killed from outside; look for an out-of-memory message in the kernel's log"
    )]
    Killed,
    /// No helper could be started, or it could not be fenced in.
    #[error("media work could not be started: {detail}")]
    Unavailable {
        /// What was tried, and what the system said.
        detail: String,
        /// Trying again is no use.
        lasting: bool,
    },
    /// Nobody wanted the result any more.
    #[error("media work was cancelled")]
    Cancelled,
}

impl Failure {
    /// One word for metrics and dead letters.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Media { reason, .. } => reason,
            Self::Crashed { .. } => "media_crashed",
            Self::Memory { .. } => "media_memory",
            Self::Time { .. } => "media_timeout",
            Self::Space { .. } => "media_space",
            Self::Stalled { .. } => "media_stalled",
            Self::Killed => "media_killed",
            Self::Unavailable { .. } => "media_unavailable",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether the footage is at fault: the same file will fail in the same way every time.
    #[must_use]
    pub fn blames_input(&self) -> bool {
        match self {
            Self::Media { blames_input, .. } => *blames_input,
            Self::Crashed { .. } | Self::Memory { .. } | Self::Time { .. } | Self::Space { .. } => {
                true
            }
            Self::Stalled { .. } | Self::Killed | Self::Unavailable { .. } | Self::Cancelled => {
                false
            }
        }
    }

    pub(crate) fn unavailable(what: &str, error: &std::io::Error) -> Self {
        use std::io::ErrorKind::{NotFound, PermissionDenied};
        Self::Unavailable {
            detail: format!("{what}: {error}"),
            lasting: matches!(error.kind(), NotFound | PermissionDenied),
        }
    }
}

impl From<MediaError> for Failure {
    fn from(error: MediaError) -> Self {
        match error {
            MediaError::Cancelled => Self::Cancelled,
            MediaError::OutOfMemory => Self::Memory { mebibytes: crate::MEMORY >> 20 },
            error => Self::Media {
                reason: error.reason(),
                message: error.to_string(),
                blames_input: error.blames_input(),
            },
        }
    }
}
