//! Joins the rendered cores and adds the sound of the source.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{ClipSpan, Limits, MediaError, Probe};

/// The parts of one film.
#[derive(Debug, Clone, Copy)]
pub struct Stitch<'a> {
    /// The masked cores in the order of `spans`.
    pub parts: &'a [PathBuf],
    /// The clip table of the run.
    pub spans: &'a [ClipSpan],
    /// The source as it was probed.
    pub probe: &'a Probe,
    /// The source, for its sound and its rotation.
    pub source: &'a Path,
    /// Where the film is written (mp4 with its index in front).
    pub out: &'a Path,
    /// Limits and cancellation.
    pub limits: &'a Limits,
}

/// What happened to the sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AudioOutcome {
    /// The source has none.
    None,
    /// Every packet was copied.
    Copied,
    /// Decoded and encoded to AAC once over the whole length.
    Transcoded,
}

/// What was stitched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StitchReport {
    /// Video frames.
    pub frames: u64,
    /// From the first frame to the end of the last one, ms.
    pub duration_ms: i64,
    /// What happened to the sound.
    pub audio: AudioOutcome,
    /// Audio packets written.
    pub audio_packets: u64,
    /// SHA-256 of the payloads of the audio packets written, lowercase hex; empty without sound.
    pub audio_sha256: String,
    /// Size of the film, bytes.
    pub bytes: u64,
}

/// Writes the film: video packets at their source times, sound copied (AAC) or transcoded once,
/// rotation kept.
///
/// # Errors
/// `Broken` when a part does not hold exactly the frames of its span.
pub fn stitch(job: &Stitch<'_>) -> Result<StitchReport, MediaError> {
    let _ = job;
    Err(MediaError::internal("being written"))
}

/// Writes the whole source without masks: video packets copied, sound as in [`stitch`].
///
/// # Errors
/// `Unsupported` when mp4 cannot carry the video codec ([`Probe::copyable`]).
pub fn copy_all(
    source: &Path,
    probe: &Probe,
    out: &Path,
    limits: &Limits,
) -> Result<StitchReport, MediaError> {
    let _ = (source, probe, out, limits);
    Err(MediaError::internal("being written"))
}
