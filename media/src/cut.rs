//! Cuts a source into clips at key frames, by stream copy and without sound.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{Limits, MediaError, Probe};

/// One clip of a source. All times are source PTS ticks, intervals are half open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClipSpan {
    /// Position in the film, from 0.
    pub index: u32,
    /// First PTS of the core, a key frame.
    pub core_start: i64,
    /// End of the core, the next core's start.
    pub core_end: i64,
    /// First PTS of the clip file; `source PTS = clip PTS + margin_start`.
    pub margin_start: i64,
    /// End of the clip file.
    pub margin_end: i64,
    /// Frames of the core.
    pub core_frames: u32,
    /// Frames of the clip file, margins included.
    pub frames: u32,
}

impl ClipSpan {
    /// Whether a source PTS (ticks) belongs to the core.
    pub fn core_holds(&self, source_pts: i64) -> bool {
        (self.core_start..self.core_end).contains(&source_pts)
    }
}

/// How a source is cut.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CutPlan {
    /// The source.
    pub probe: Probe,
    /// The clips in order; their cores hold every displayed frame exactly once.
    pub clips: Vec<ClipSpan>,
}

/// A clip that was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClipFile {
    /// Size, bytes.
    pub bytes: u64,
    /// SHA-256 of the file, lowercase hex.
    pub sha256: String,
}

/// Probes `source` and plans cores of about `clip_seconds` that start at key frames, each with
/// margins of at least `margin_seconds` to key frames on both sides (less at the film's ends).
///
/// # Errors
/// As [`probe`](crate::probe).
pub fn plan_cut(
    source: &Path,
    clip_seconds: f64,
    margin_seconds: f64,
    limits: &Limits,
) -> Result<CutPlan, MediaError> {
    let _ = (source, clip_seconds, margin_seconds, limits);
    Err(MediaError::internal("being written"))
}

/// Writes clip `index` of `plan` (core and margins) to `out`, by stream copy and without sound.
/// The clip's first PTS is 0 and its ticks are those of the source.
///
/// # Errors
/// `Broken` when the source does not hold what the plan says.
pub fn write_clip(
    source: &Path,
    plan: &CutPlan,
    index: u32,
    out: &Path,
    limits: &Limits,
) -> Result<ClipFile, MediaError> {
    let _ = (source, plan, index, out, limits);
    Err(MediaError::internal("being written"))
}
