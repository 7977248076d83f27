//! Renders one clip's core with its masks.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{ClipSpan, Limits, MaskStyle, MediaError, Probe, Region};

/// How the clips of a run become masked clips; the same for all clips of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RenderMode {
    /// Every clip is re-encoded with identical settings.
    #[default]
    Full,
    /// Clips without regions are copied bit for bit; only for sources with
    /// [`Probe::smart_ok`], others are rendered as `Full`.
    Smart,
}

/// Settings of the encoder and of the masks; identical for all clips of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Render {
    /// Re-encode all clips, or only those with regions.
    pub mode: RenderMode,
    /// How regions are hidden.
    pub style: MaskStyle,
    /// Speed preset of x264.
    pub preset: String,
    /// Constant rate factor of x264, 0 (lossless) to 51.
    pub crf: u8,
    /// Threads of the encoder; 0 lets x264 decide.
    pub threads: u32,
}

impl Default for Render {
    fn default() -> Self {
        Self {
            mode: RenderMode::Full,
            style: MaskStyle::default(),
            preset: "veryfast".to_owned(),
            crf: 23,
            threads: 1,
        }
    }
}

/// One clip to be masked.
#[derive(Debug, Clone, Copy)]
pub struct MaskJob<'a> {
    /// The clip as [`write_clip`](crate::write_clip) wrote it.
    pub clip: &'a Path,
    /// Its place in the source.
    pub span: &'a ClipSpan,
    /// The source that it was cut from.
    pub probe: &'a Probe,
    /// The settings of the run.
    pub render: &'a Render,
    /// Where the masked core is written (mp4, video only, first PTS 0).
    pub out: &'a Path,
    /// Limits and cancellation.
    pub limits: &'a Limits,
}

/// What was rendered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaskReport {
    /// Frames of the core.
    pub frames: u32,
    /// Frames with at least one region.
    pub masked_frames: u32,
    /// Whether the packets were copied bit for bit.
    pub copied: bool,
    /// Size of the written file, bytes.
    pub bytes: u64,
}

/// Draws the regions that `regions_at` names for each source PTS (ticks) and writes the core.
/// `progress` is told the number of frames done.
///
/// # Errors
/// `Broken` when the clip does not hold exactly the frames of its span.
pub fn mask_clip(
    job: &MaskJob<'_>,
    regions_at: &dyn Fn(i64) -> Vec<Region>,
    progress: &mut dyn FnMut(u32),
) -> Result<MaskReport, MediaError> {
    let _ = (job, regions_at, progress);
    Err(MediaError::internal("being written"))
}
