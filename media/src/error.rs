//! What can go wrong with media, and whose fault it is.

use std::io;

use ffmpeg_next as ff;

/// Why a media operation did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    /// The file has no bytes.
    #[error("the file is empty; upload it again")]
    Empty,
    /// The first bytes are those of no media container.
    #[error("the file is not a video: {detail}; upload an mp4, mov, mkv, webm, avi or ts file")]
    Unrecognised {
        /// What the first bytes look like.
        detail: String,
    },
    /// The body is a script that names other files; such files are never followed.
    #[error("the file is a {kind}, not a video; upload the video that it names")]
    Playlist {
        /// `HLS playlist`, `DASH manifest`, `ffconcat script`, …
        kind: &'static str,
    },
    /// The file ends before its content does.
    #[error("the file is cut short: {detail}; upload it again")]
    Truncated {
        /// Where the end is missing.
        detail: String,
    },
    /// Only sound, or only a cover picture.
    #[error("the file has no video stream; upload a file with a picture")]
    NoVideo,
    /// A container, codec or property that is not handled.
    #[error("{what} is not supported; convert the file to H.264 in mp4")]
    Unsupported {
        /// The container, codec or property.
        what: String,
    },
    /// A limit of [`Limits`](crate::Limits) is exceeded.
    #[error(
        "{what}: {actual} is more than the limit of {limit}; reduce the file or raise the limit"
    )]
    TooLarge {
        /// Which limit, with its unit.
        what: &'static str,
        /// The highest value that is let through.
        limit: u64,
        /// The value found; for limits that FFmpeg enforces, the first value beyond it.
        actual: u64,
    },
    /// The content contradicts itself or cannot be decoded completely.
    #[error("the video is damaged: {detail}; export it again from its origin")]
    Broken {
        /// What was found.
        detail: String,
    },
    /// Reading or writing files failed.
    #[error("a file could not be read or written: {0}; check the disk")]
    Io(#[from] io::Error),
    /// The code or the installed FFmpeg is at fault, not the media.
    #[error("media processing failed: {0}; report this with the log")]
    Internal(String),
    /// There was no memory for what the media asks for.
    #[error("the video takes more memory than there is; reduce its picture")]
    OutOfMemory,
    /// [`Cancel`](crate::Cancel) was raised.
    #[error("media processing was cancelled")]
    Cancelled,
}

impl MediaError {
    /// Every word that [`reason`](Self::reason) may answer.
    pub const REASONS: [&str; 12] = [
        "empty",
        "not_media",
        "playlist",
        "truncated",
        "no_video",
        "unsupported",
        "too_large",
        "broken",
        "io",
        "internal",
        "media_memory",
        "cancelled",
    ];

    /// One word for metrics and dead letters.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Unrecognised { .. } => "not_media",
            Self::Playlist { .. } => "playlist",
            Self::Truncated { .. } => "truncated",
            Self::NoVideo => "no_video",
            Self::Unsupported { .. } => "unsupported",
            Self::TooLarge { .. } => "too_large",
            Self::Broken { .. } => "broken",
            Self::Io(_) => "io",
            Self::Internal(_) => "internal",
            Self::OutOfMemory => "media_memory",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether the media is at fault: the same file will fail in the same way every time.
    pub fn blames_input(&self) -> bool {
        match self {
            Self::Empty
            | Self::Unrecognised { .. }
            | Self::Playlist { .. }
            | Self::Truncated { .. }
            | Self::NoVideo
            | Self::Unsupported { .. }
            | Self::TooLarge { .. }
            | Self::Broken { .. }
            | Self::OutOfMemory => true,
            Self::Io(_) | Self::Internal(_) | Self::Cancelled => false,
        }
    }

    /// An FFmpeg error while reading or decoding `what`: the media's fault, unless the system's.
    pub(crate) fn reading(what: &str, error: ff::Error) -> Self {
        Self::from_system(error)
            .unwrap_or_else(|| Self::Broken { detail: format!("{what}: {error}") })
    }

    /// An FFmpeg error while encoding or writing `what`: never the media's fault.
    pub(crate) fn writing(what: &str, error: ff::Error) -> Self {
        Self::from_system(error).unwrap_or_else(|| Self::Internal(format!("{what}: {error}")))
    }

    pub(crate) fn broken(detail: impl Into<String>) -> Self {
        Self::Broken { detail: detail.into() }
    }

    pub(crate) fn internal(detail: impl Into<String>) -> Self {
        Self::Internal(detail.into())
    }

    fn from_system(error: ff::Error) -> Option<Self> {
        const OF_THE_SYSTEM: [i32; 8] = [
            libc::ENOENT,
            libc::EACCES,
            libc::EIO,
            libc::ENOSPC,
            libc::EDQUOT,
            libc::EROFS,
            libc::EMFILE,
            libc::ENFILE,
        ];
        match error {
            ff::Error::Other { errno: libc::ENOMEM } => Some(Self::OutOfMemory),
            ff::Error::Other { errno } if OF_THE_SYSTEM.contains(&errno) => {
                Some(Self::Io(io::Error::from_raw_os_error(errno)))
            }
            _ => None,
        }
    }
}
