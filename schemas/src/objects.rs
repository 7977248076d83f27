//! What is written once a run and once a recording, as JSON: the manifest and the receipt.

use crate::{Blur, Malformed, TimeBase};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use utoipa::ToSchema;

/// Written once per run by `cut`; every later step reads it and none guesses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub version: u32,
    pub video_id: String,
    pub run_id: String,
    /// Orders the runs of a video, the newest highest.
    pub run_order: i64,
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
    /// Frames per second, as a fraction; the mean where it varies.
    pub frame_rate: TimeBase,
    pub clips: Vec<ClipEntry>,
    pub render: RenderMode,
    pub render_reason: String,
    pub masking: Masking,
    pub audio: AudioPlan,
    /// How often the video was worked on again under the same rules.
    #[serde(default)]
    pub replay: u32,
    /// Older runs of the video, with the same clips, whose faces and labels are taken over.
    #[serde(default)]
    pub faces_of: Option<String>,
    #[serde(default)]
    pub labels_of: Option<String>,
    /// All that was found in the source, for the steps that work on media; the only one to write
    /// and read it is the connector.
    pub probe: serde_json::Value,
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Masking {
    pub blur: Blur,
    /// `pixelate`, `gaussian` or `solid`.
    pub style: String,
    /// Detector and weights, e.g. `yunet_s@640`, and their hash.
    pub detector: String,
    /// 0 to 1: sightings below are not masked.
    pub threshold: f32,
    /// 0 to 1: the finished film must show no face the detector is surer of than this.
    pub verify_threshold: f32,
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

/// What was checked before a recording was published, in honest words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
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
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Checks {
    pub frames_source: i64,
    pub frames_output: i64,
    pub duration_source_ms: i64,
    pub duration_output_ms: i64,
    /// `identical`, `transcoded` or what is wrong with it; null where neither source nor output
    /// has sound.
    #[schema(required)]
    pub sound: Option<String>,
    pub tracks: i64,
    /// Boxes of tracks over all frames, and how many of them were found masked.
    pub boxes: i64,
    pub boxes_masked: i64,
    /// Detections on the output: under a mask (a blurred head is often still found); outside of
    /// masks where the source shows no face (a mask's edge, a trace of encoding); and leaks.
    pub detections_under_mask: i64,
    #[schema(required = false)] // absent in receipts of earlier mills
    pub detections_unconfirmed: i64,
    pub leaks: i64,
    /// The largest difference from the source outside of masks, of the frames that were looked at: the mean over a square of 32 px of
    /// the picture at 640 px width, in levels of 0 to 255.
    #[serde(default)]
    #[schema(required = false)] // absent in receipts of earlier mills
    pub difference: f32,
}

impl Checks {
    /// Every sound packet of the output is the source's, bit for bit.
    pub const SOUND_IDENTICAL: &'static str = "identical";
    /// The sound was transcoded over its whole length, and its duration is right.
    pub const SOUND_TRANSCODED: &'static str = "transcoded";
}

impl Manifest {
    /// Pretty JSON, for a person to read.
    ///
    /// # Errors
    /// A number JSON cannot hold.
    pub fn to_json(&self) -> Result<Vec<u8>, Malformed> {
        to_json(self)
    }

    /// # Errors
    /// Bytes that are no manifest.
    pub fn from_json(bytes: &[u8]) -> Result<Self, Malformed> {
        from_json(bytes, "manifest")
    }
}

impl Receipt {
    /// Pretty JSON, for a person to read.
    ///
    /// # Errors
    /// A number JSON cannot hold.
    pub fn to_json(&self) -> Result<Vec<u8>, Malformed> {
        to_json(self)
    }

    /// # Errors
    /// Bytes that are no receipt.
    pub fn from_json(bytes: &[u8]) -> Result<Self, Malformed> {
        from_json(bytes, "receipt")
    }
}

fn to_json(object: &impl Serialize) -> Result<Vec<u8>, Malformed> {
    let mut json = serde_json::to_vec_pretty(object).map_err(|e| Malformed(e.to_string()))?;
    json.push(b'\n');
    Ok(json)
}

fn from_json<T: DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T, Malformed> {
    serde_json::from_slice(bytes).map_err(|e| Malformed(format!("this is no {what}: {e}")))
}
