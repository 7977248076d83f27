//! The objects events point to: the manifest of a run, its tracks, its labels, its receipt.

use crate::{Blur, Malformed, codec};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

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
    /// Mean ticks per frame.
    pub frame_ticks: i64,
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
    /// 0 to 100; 0 for points no sighting gave.
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
    /// [`Checks::SOUND_IDENTICAL`], [`Checks::SOUND_TRANSCODED`] or what is wrong with it; absent
    /// where neither source nor output has sound.
    pub sound: Option<String>,
    pub tracks: i64,
    /// Boxes of tracks over all frames, and how many of them were found masked.
    pub boxes: i64,
    pub boxes_masked: i64,
    /// Detections on the output: under a mask (a blurred head is often still found), and leaks.
    pub detections_under_mask: i64,
    pub leaks: i64,
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

impl Tracks {
    /// An Avro object container file. The same tracks are always the same bytes.
    ///
    /// # Errors
    /// A type and a schema that do not agree.
    pub fn to_avro(&self) -> Result<Vec<u8>, Malformed> {
        codec::to_container(codec::TRACKS, self)
    }

    /// # Errors
    /// Bytes that are no tracks of any version.
    pub fn from_avro(bytes: &[u8]) -> Result<Self, Malformed> {
        codec::from_container(codec::TRACKS, bytes)
    }

    /// Where faces are on the frame at `pts`: one box per track that covers it.
    ///
    /// A track covers its first to its last point, both included, and half a frame beyond, because
    /// a detector's times may be rounded. Between two points the box is interpolated linearly;
    /// before the first and after the last it is theirs.
    #[must_use]
    pub fn regions_at(&self, pts: i64) -> Vec<BoundingBox> {
        let slack = self.frame_ticks.max(0) / 2;
        self.tracks.iter().filter_map(|track| track.region_at(pts, slack)).collect()
    }
}

impl Track {
    /// The box at `pts`, if the track covers it to within `slack` ticks.
    #[must_use]
    pub fn region_at(&self, pts: i64, slack: i64) -> Option<BoundingBox> {
        let (first, last) = (self.points.first()?, self.points.last()?);
        if pts < first.pts.saturating_sub(slack) || pts > last.pts.saturating_add(slack) {
            return None;
        }
        let after = self.points.partition_point(|point| point.pts < pts);
        match (after.checked_sub(1).and_then(|i| self.points.get(i)), self.points.get(after)) {
            (Some(a), Some(b)) => {
                let part = (pts - a.pts) as f64 / (b.pts - a.pts).max(1) as f64;
                Some(a.region.towards(&b.region, part as f32))
            }
            (Some(end), None) | (None, Some(end)) => Some(end.region),
            (None, None) => None,
        }
    }
}

impl Labels {
    /// An Avro object container file. The same labels are always the same bytes.
    ///
    /// # Errors
    /// A type and a schema that do not agree.
    pub fn to_avro(&self) -> Result<Vec<u8>, Malformed> {
        codec::to_container(codec::LABELS, self)
    }

    /// # Errors
    /// Bytes that are no labels of any version.
    pub fn from_avro(bytes: &[u8]) -> Result<Self, Malformed> {
        codec::from_container(codec::LABELS, bytes)
    }
}

impl BoundingBox {
    /// All of the picture.
    pub const WHOLE: Self = Self { left: 0.0, top: 0.0, width: 1.0, height: 1.0 };

    /// The smallest box a clamped one can be, so that none is ever lost at the border.
    const LEAST: f32 = 1.0 / 1024.0;

    /// Cut to the picture. A box beside it becomes a sliver at the border; one that is not made of
    /// numbers becomes the whole picture, because its face may be anywhere.
    #[must_use]
    pub fn clamped(self) -> Self {
        let Self { left, top, width, height } = self;
        if ![left, top, width, height].iter().all(|side| side.is_finite()) {
            return Self::WHOLE;
        }
        let (left, width) = clamp(left, width);
        let (top, height) = clamp(top, height);
        Self { left, top, width, height }
    }

    /// The box `part` (0 to 1) of the way to another, border by border.
    #[must_use]
    pub fn towards(&self, other: &Self, part: f32) -> Self {
        let mix = |a: f32, b: f32| a + (b - a) * part.clamp(0.0, 1.0);
        Self {
            left: mix(self.left, other.left),
            top: mix(self.top, other.top),
            width: mix(self.width, other.width),
            height: mix(self.height, other.height),
        }
    }

    /// The smallest box around both.
    #[must_use]
    pub fn hull(&self, other: &Self) -> Self {
        let left = self.left.min(other.left);
        let top = self.top.min(other.top);
        Self {
            left,
            top,
            width: self.right().max(other.right()) - left,
            height: self.bottom().max(other.bottom()) - top,
        }
    }

    #[must_use]
    pub fn right(&self) -> f32 {
        self.left + self.width
    }

    #[must_use]
    pub fn bottom(&self) -> f32 {
        self.top + self.height
    }

    /// As a share of the picture.
    #[must_use]
    pub fn area(&self) -> f32 {
        self.width.max(0.0) * self.height.max(0.0)
    }

    /// What both cover, as a share of the picture.
    #[must_use]
    pub fn overlap(&self, other: &Self) -> f32 {
        let width = self.right().min(other.right()) - self.left.max(other.left);
        let height = self.bottom().min(other.bottom()) - self.top.max(other.top);
        width.max(0.0) * height.max(0.0)
    }

    /// Intersection over union, 0 to 1.
    #[must_use]
    pub fn iou(&self, other: &Self) -> f32 {
        let both = self.overlap(other);
        let any = self.area() + other.area() - both;
        if any > 0.0 { both / any } else { 0.0 }
    }
}

/// One dimension of a box, cut to 0..1 and no smaller than [`BoundingBox::LEAST`].
fn clamp(start: f32, length: f32) -> (f32, f32) {
    let least = BoundingBox::LEAST;
    let low = start.clamp(0.0, 1.0 - least);
    let high = (start + length).clamp(low + least, 1.0);
    (low, high - low)
}
