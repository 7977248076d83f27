//! The objects events point to: the manifest of a run, its tracks, its labels, its receipt.

use crate::Blur;
use serde::{Deserialize, Serialize};

/// Seconds per tick, as a fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeBase {
    pub num: i32,
    pub den: i32,
}

impl TimeBase {
    /// Ticks to milliseconds, rounded down.
    #[must_use]
    pub fn to_ms(self, ticks: i64) -> i64 {
        let ms = i128::from(ticks) * 1000 * i128::from(self.num) / i128::from(self.den.max(1));
        i64::try_from(ms).unwrap_or(i64::MAX)
    }

    /// Milliseconds to ticks, rounded to the nearest.
    #[must_use]
    pub fn to_ticks(self, ms: i64) -> i64 {
        let scale = 1000 * i128::from(self.num.max(1));
        let ticks = (i128::from(ms) * i128::from(self.den) + scale / 2).div_euclid(scale);
        i64::try_from(ticks).unwrap_or(i64::MAX)
    }
}

/// Written once per run by `cut`; every later step reads it and none guesses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub version: u32,
    pub video_id: String,
    pub run_id: String,
    pub owner: String,
    pub assessment: String,
    pub title: String,
    pub visibility: String,
    pub recorded_at_ms: i64,
    pub source: SourceInfo,
    pub time_base: TimeBase,
    /// Ticks of the source's first frame.
    pub start_pts: i64,
    pub duration_ms: i64,
    pub frames: i64,
    /// As displayed, after rotation.
    pub width: u32,
    pub height: u32,
    pub frame_rate: TimeBase,
    pub clips: Vec<ClipEntry>,
    pub render: RenderMode,
    pub render_reason: String,
    pub masking: Masking,
    pub audio: AudioPlan,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceInfo {
    pub bucket: String,
    pub key: String,
    pub etag: String,
    pub bytes: u64,
    pub sha256: String,
    pub container: String,
    pub video_codec: String,
    pub audio_codec: Option<String>,
}

/// A clip: its core, which is rendered, and its margins, which are only looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClipEntry {
    pub index: u32,
    /// Ticks of the source, half open.
    pub core_start: i64,
    pub core_end: i64,
    pub margin_start: i64,
    pub margin_end: i64,
    pub core_frames: u32,
    pub frames: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RenderMode {
    /// Every clip re-encoded with identical settings.
    Full,
    /// Clips without a face copied bit for bit.
    Smart,
    /// Nothing masked: every packet copied.
    Copy,
}

/// What is masked, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Masking {
    pub blur: Blur,
    /// `pixelate`, `gaussian` or `solid`.
    pub style: String,
    /// Detector and weights, e.g. `yunet_s@640`, and their hash.
    pub detector: String,
    /// 0 to 1: sightings below are not masked.
    pub threshold: f32,
    /// How far a track is extended before and after its sightings, milliseconds.
    pub extend_ms: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AudioPlan {
    None,
    /// Packet for packet.
    Copy,
    /// Once over the whole length, to AAC.
    Transcode,
}

/// A box relative to the displayed picture.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BoundingBox {
    pub left: f32,
    pub top: f32,
    pub width: f32,
    pub height: f32,
}

/// The faces of a clip, linked over time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tracks {
    pub video_id: String,
    pub run_id: String,
    pub index: i32,
    pub time_base: TimeBase,
    pub tracks: Vec<Track>,
}

/// One face over time: a box between two points is interpolated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Track {
    pub id: i32,
    /// Ticks of the source; strictly rising.
    pub points: Vec<TrackPoint>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TrackPoint {
    /// Ticks of the source.
    pub pts: i64,
    pub region: BoundingBox,
    /// 0 to 100; 0 for points that extend a track beyond its sightings.
    pub confidence: f32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Labels {
    pub video_id: String,
    pub run_id: String,
    pub index: i32,
    pub labels: Vec<Label>,
}

/// A thing seen at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Label {
    /// Milliseconds from the start of the recording.
    pub at_ms: i64,
    pub name: String,
    /// Rekognition's taxonomy, e.g. `Vehicle` for `Car`.
    pub parents: Vec<String>,
    /// 0 to 100.
    pub confidence: f32,
    pub regions: Vec<BoundingBox>,
}

/// What was checked before a recording was published, in honest words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    pub version: u32,
    pub video_id: String,
    pub run_id: String,
    /// E.g. "verified against detector yunet_s@640 at threshold 0.5".
    pub statement: String,
    pub source_sha256: String,
    pub output_sha256: String,
    pub masking: Masking,
    pub checks: Checks,
}

/// The figures of a verification.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Checks {
    pub frames_source: i64,
    pub frames_output: i64,
    pub duration_source_ms: i64,
    pub duration_output_ms: i64,
    /// Absent where the source has no sound.
    pub sound: Option<String>,
    pub tracks: i64,
    /// Boxes of tracks over all frames, and how many of them were found masked.
    pub boxes: i64,
    pub boxes_masked: i64,
    /// Detections on the output: under a mask (a blurred head is often still found), and leaks.
    pub detections_under_mask: i64,
    pub leaks: i64,
}
