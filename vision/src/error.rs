//! What can go wrong while looking at pictures, and whose fault it is.

use media::MediaError;
use std::{fmt, io, path::PathBuf};

/// Why a picture or a video was not analysed.
#[derive(Debug, thiserror::Error)]
pub enum VisionError {
    /// No shared library of ONNX Runtime is where it is looked for.
    #[error(
        "ONNX Runtime's shared library was not found ({}); run `make setup`, or name the library with --onnxruntime or REELMILL_ONNXRUNTIME",
        Searched(.searched)
    )]
    RuntimeMissing {
        /// The files and folders looked at.
        searched: Vec<PathBuf>,
    },
    /// There is a library, but it does not load.
    #[error("{} does not load as ONNX Runtime: {detail}; run `make setup`, or name another library with --onnxruntime", path.display())]
    RuntimeUnusable {
        /// The library.
        path: PathBuf,
        /// What the loader says.
        detail: String,
    },
    /// ONNX Runtime would send usage data.
    #[error(
        "ONNX Runtime would send usage data to its maker: set ORT_DISABLE_TELEMETRY=1 before the program starts"
    )]
    Telemetry,
    /// A model did not run.
    #[error("the model {model} did not run: {detail}; report this with the log")]
    Inference {
        /// Which weights.
        model: &'static str,
        /// What ONNX Runtime says.
        detail: String,
    },
    /// A picture without area, or with fewer bytes than its size asks for.
    #[error("a picture of {width}x{height} px with {bytes} bytes is not an RGB picture")]
    NotAPicture {
        /// Width, px.
        width: u32,
        /// Height, px.
        height: u32,
        /// Bytes that came with it.
        bytes: usize,
    },
    /// The video could not be read.
    #[error(transparent)]
    Media(#[from] MediaError),
    /// The file of collections and faces.
    #[error(
        "the faces in {} cannot be opened: {detail}; use the version that wrote them, or move the file away and start without collections",
        path.display()
    )]
    Faces {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        detail: String,
    },
    /// The server's own files or its port.
    #[error("{what}: {source}; check that the folder is writable and the port free")]
    Io {
        /// What was being done.
        what: String,
        /// What the system says.
        source: io::Error,
    },
}

/// A detector that does not run is not the footage's fault.
impl From<VisionError> for MediaError {
    fn from(error: VisionError) -> Self {
        match error {
            VisionError::Media(error) => error,
            other => Self::Internal(other.to_string()),
        }
    }
}

impl VisionError {
    /// Whether the video is at fault: the same file will fail in the same way every time.
    pub fn blames_input(&self) -> bool {
        match self {
            Self::Media(error) => error.blames_input(),
            Self::RuntimeMissing { .. }
            | Self::RuntimeUnusable { .. }
            | Self::Telemetry
            | Self::Inference { .. }
            | Self::NotAPicture { .. }
            | Self::Faces { .. }
            | Self::Io { .. } => false,
        }
    }

    pub(crate) fn inference(model: &'static str, error: impl fmt::Display) -> Self {
        Self::Inference { model, detail: error.to_string() }
    }

    pub(crate) fn io(what: impl Into<String>, source: io::Error) -> Self {
        Self::Io { what: what.into(), source }
    }
}

/// Lists where was looked, for the message.
struct Searched<'a>(&'a [PathBuf]);

impl fmt::Display for Searched<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("looked at ")?;
        for (i, path) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{}", path.display())?;
        }
        Ok(())
    }
}
