//! Decodes every frame of a file, or says why not.

use std::ops::ControlFlow;
use std::path::Path;

use ffmpeg_next as ff;

use crate::{Limits, MediaError, Rational, RgbImage};

/// A decoded frame, seen as it is displayed.
pub struct Frame<'a> {
    pub(crate) video: &'a mut ff::frame::Video,
    pub(crate) index: u32,
    pub(crate) pts: i64,
}

impl Frame<'_> {
    /// Position in presentation order, from 0.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Presentation time in ticks of the file that is decoded.
    pub fn pts(&self) -> i64 {
        self.pts
    }

    /// Width as displayed, px.
    pub fn width(&self) -> u32 {
        self.video.width()
    }

    /// Height as displayed, px.
    pub fn height(&self) -> u32 {
        self.video.height()
    }

    /// The picture as displayed in packed RGB, scaled down to at most `max_width` px.
    ///
    /// # Errors
    /// `Internal` when FFmpeg cannot convert the pixel format.
    pub fn rgb(&mut self, max_width: u32) -> Result<RgbImage, MediaError> {
        let _ = max_width;
        Err(MediaError::internal("being written"))
    }
}

/// What was decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeReport {
    /// Frames visited.
    pub frames: u32,
    /// PTS of the first frame, ticks of `time_base`.
    pub first_pts: Option<i64>,
    /// PTS of the last frame, ticks of `time_base`.
    pub last_pts: Option<i64>,
    /// Seconds per tick.
    pub time_base: Rational,
}

/// Decodes `path` and shows every frame to `visit` in presentation order; `Break` ends early.
///
/// # Errors
/// `Broken` when a packet does not decode, a frame is damaged or a packet yields no frame: an
/// incomplete decode is a failure, not a result. Errors of `visit` are passed on.
pub fn decode(
    path: &Path,
    limits: &Limits,
    visit: &mut dyn FnMut(&mut Frame<'_>) -> Result<ControlFlow<()>, MediaError>,
) -> Result<DecodeReport, MediaError> {
    let _ = (path, limits, visit);
    Err(MediaError::internal("being written"))
}
