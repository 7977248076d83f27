//! Why a command failed, in words that say what to do.

use serde::Deserialize;
use std::{io, path::PathBuf};

/// The answer of a mill that refuses, as RFC 9457 problem details.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Problem {
    pub status: u16,
    pub code: String,
    pub detail: String,
    pub next_step: String,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("no mill answers at {0}: start one with `reelmill up`")]
    NoMill(String),
    #[error("{0:?} is no address of a mill: give one like http://127.0.0.1:8080")]
    Address(String),
    #[error("{}: {}; {}", .0.code, .0.detail, .0.next_step)]
    Refused(Problem),
    #[error("{0} does not answer like a mill: {1}; check --url")]
    NotAMill(String, String),
    #[error("the connection to the mill broke: {0}; try again")]
    Broken(String),
    #[error("{}: {cause}", path.display())]
    File { path: PathBuf, cause: io::Error },
    #[error(
        "{} has {bytes} bytes and the mill takes {max_bytes}: cut it into parts, or start the mill \
         with a higher --scratch-max-bytes", path.display()
    )]
    TooLarge { path: PathBuf, bytes: u64, max_bytes: u64 },
    #[error("{} is a directory: name the video files in it", .0.display())]
    Directory(PathBuf),
    #[error("{} is already there: name another file with -o, or remove it", .0.display())]
    AlreadyThere(PathBuf),
    #[error("video {video_id} failed: {reason}: {detail}")]
    Failed { video_id: String, reason: String, detail: String },
    #[error("video {video_id} is ready but not searchable: {reason}: {detail}")]
    NotSearchable { video_id: String, reason: String, detail: String },
    #[error(
        "video {video_id} may have ended unseen: {reason}: {detail}; look with \
         `reelmill status {video_id}`"
    )]
    Unseen { video_id: String, reason: String, detail: String },
    #[error("{failed} of {total} videos failed; the first: {first}")]
    SomeFailed { failed: usize, total: usize, first: Box<ClientError> },
    #[error("the output cannot be written: {0}")]
    Output(#[from] io::Error),
}

impl ClientError {
    /// Whether waiting may help: the mill is away, or one of its services is.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::NoMill(_) | Self::Broken(_) => true,
            Self::Refused(problem) => problem.status >= 500 || problem.code == "no_such_video",
            _ => false,
        }
    }

    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |cause| Self::File { path, cause }
    }

    /// All of several outcomes went well, or how many did not.
    pub(crate) fn of_several(total: usize, mut failures: Vec<Self>) -> Result<(), Self> {
        match failures.len() {
            0 => Ok(()),
            1 if total == 1 => Err(failures.remove(0)),
            failed => {
                let first = Box::new(failures.remove(0));
                Err(Self::SomeFailed { failed, total, first })
            }
        }
    }
}
