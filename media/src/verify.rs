//! Measures a finished film against its source.

use std::path::Path;

use crate::{Frame, Limits, MaskStyle, MediaError, Region};

/// Which stream of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Track {
    /// The video stream.
    Video,
    /// The audio stream.
    Audio,
}

/// The payloads of a stream, in file order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elementary {
    /// SHA-256 of all packet payloads one after another, lowercase hex.
    pub sha256: String,
    /// Packets.
    pub packets: u64,
}

/// Hashes the payloads of one stream; a file without such a stream has 0 packets.
///
/// # Errors
/// `Broken` when the file cannot be read to its end.
pub fn elementary_sha256(
    path: &Path,
    track: Track,
    limits: &Limits,
) -> Result<Elementary, MediaError> {
    let _ = (path, track, limits);
    Err(MediaError::internal("being written"))
}

/// The same moment of two films.
pub struct Compared<'a> {
    /// The source's frame; its `pts` is in source ticks.
    pub source: Frame<'a>,
    /// The output's frame.
    pub output: Frame<'a>,
}

/// What was compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompareReport {
    /// Frames of each film; they are equal, or `compare` fails.
    pub frames: u32,
}

/// Decodes both films in lock step and shows each pair of frames to `visit`.
///
/// # Errors
/// `Broken` when a frame is missing on either side, when times differ by more than a tick, or
/// when either film does not decode completely.
pub fn compare(
    source: &Path,
    output: &Path,
    limits: &Limits,
    visit: &mut dyn FnMut(&mut Compared<'_>) -> Result<(), MediaError>,
) -> Result<CompareReport, MediaError> {
    let _ = (source, output, limits, visit);
    Err(MediaError::internal("being written"))
}

/// How a region of an output frame looks beside the source, in levels of luma (0 to 255).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MaskEvidence {
    /// Mean absolute difference between the output and the mask redrawn on the source.
    pub to_expected: f32,
    /// Mean absolute difference between the output and the clear source.
    pub to_clear: f32,
    /// Mean absolute difference between the redrawn mask and the clear source: how much there
    /// was to hide. In a flat region it is near 0, and mask and source look the same.
    pub contrast: f32,
}

impl MaskEvidence {
    /// Whether the region is masked.
    pub fn is_masked(&self) -> bool {
        self.to_expected < self.to_clear
    }
}

/// Redraws the masks of `regions` on the source frame and measures each region of the output.
///
/// # Errors
/// `Internal` when FFmpeg cannot convert the pixel format.
pub fn mask_evidence(
    source: &mut Frame<'_>,
    output: &mut Frame<'_>,
    regions: &[Region],
    style: MaskStyle,
) -> Result<Vec<MaskEvidence>, MediaError> {
    let _ = (source, output, regions, style);
    Err(MediaError::internal("being written"))
}
