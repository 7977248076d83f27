//! The events. Each stands beside its schema in `schemas/avro/<topic>.avsc`.

use crate::{AvroValue, Event, Malformed};
use serde::{Deserialize, Serialize};

/// Footage has arrived in the object store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VideoUploaded {
    pub bucket: String,
    pub key: String,
    pub owner: String,
    /// UUIDv5 of bucket, key and ETag where absent.
    pub video_id: Option<String>,
    /// The record's time where absent. Milliseconds since 1970.
    pub recorded_at_ms: Option<i64>,
    /// Empty where the footage belongs to none.
    pub assessment: String,
    pub title: String,
    /// `all` or `none`; every other word means `all`.
    pub blur: String,
    /// `private` or `listed`.
    pub visibility: String,
    pub size_bytes: Option<i64>,
}

/// What to blur.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Blur {
    All,
    None,
}

impl Blur {
    /// Only the exact word `none` switches blurring off.
    #[must_use]
    pub fn from_word(word: &str) -> Self {
        if word == "none" { Self::None } else { Self::All }
    }
}

/// One clip of a video is in the store, ready to be looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClipsReady {
    pub video_id: String,
    pub run_id: String,
    pub owner: String,
    pub assessment: String,
    pub title: String,
    pub visibility: String,
    pub recorded_at_ms: i64,
    /// From 0.
    pub index: i32,
    /// Clips of the run; absent while a live recording still grows.
    pub count: Option<i32>,
    pub bucket: String,
    pub clip_key: String,
    pub manifest_key: String,
    /// Frames of the core, without margins.
    pub core_frames: i32,
    /// Frames of the whole recording.
    pub total_frames: i64,
    pub duration_ms: i64,
    pub size_bytes: i64,
}

/// The faces of one clip are found and linked into tracks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FacesDetected {
    pub video_id: String,
    pub run_id: String,
    pub owner: String,
    pub assessment: String,
    pub visibility: String,
    pub index: i32,
    pub count: Option<i32>,
    pub bucket: String,
    pub clip_key: String,
    pub manifest_key: String,
    pub tracks_key: String,
    pub tracks: i32,
    /// Single sightings the tracks were made of.
    pub faces: i32,
    pub core_frames: i32,
}

/// The labels of one clip are found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LabelsDetected {
    pub video_id: String,
    pub run_id: String,
    pub owner: String,
    pub assessment: String,
    pub visibility: String,
    pub index: i32,
    pub count: Option<i32>,
    pub bucket: String,
    pub manifest_key: String,
    pub labels_key: String,
    pub labels: i32,
}

/// The core of one clip is rendered with its faces masked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClipsBlurred {
    pub video_id: String,
    pub run_id: String,
    pub owner: String,
    pub assessment: String,
    pub visibility: String,
    pub index: i32,
    pub count: Option<i32>,
    pub bucket: String,
    pub manifest_key: String,
    pub masked_key: String,
    pub frames: i32,
    pub masked_frames: i32,
    /// Whether the packets were copied bit for bit.
    pub copied: bool,
}

/// All clips are one film, not yet verified.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecordingStitched {
    pub video_id: String,
    pub run_id: String,
    pub owner: String,
    pub assessment: String,
    pub visibility: String,
    pub count: i32,
    pub bucket: String,
    pub manifest_key: String,
    pub staged_key: String,
    pub frames: i64,
    pub duration_ms: i64,
    pub size_bytes: i64,
}

/// The recording is verified and published.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecordingReady {
    pub video_id: String,
    pub run_id: String,
    pub owner: String,
    pub assessment: String,
    pub visibility: String,
    pub recorded_at_ms: i64,
    pub bucket: String,
    pub recording_key: String,
    pub receipt_key: String,
    pub manifest_key: String,
    pub count: i32,
    pub frames: i64,
    pub duration_ms: i64,
    pub size_bytes: i64,
}

/// The video can be found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetadataIndexed {
    pub video_id: String,
    pub run_id: String,
    pub owner: String,
    pub assessment: String,
    pub visibility: String,
    pub moments: i32,
}

/// Any event, for the readers of all topics.
#[derive(Debug, Clone, PartialEq)]
pub enum Catalogued {
    VideoUploaded(VideoUploaded),
    ClipsReady(ClipsReady),
    FacesDetected(FacesDetected),
    LabelsDetected(LabelsDetected),
    ClipsBlurred(ClipsBlurred),
    RecordingStitched(RecordingStitched),
    RecordingReady(RecordingReady),
    MetadataIndexed(MetadataIndexed),
}

/// What must be known of an event type without a value of it.
#[derive(Debug, Clone, Copy)]
pub struct EventKind {
    pub topic: &'static str,
    pub schema: &'static str,
    /// Committed examples, as JSON array text.
    pub examples: &'static str,
    /// Whether the key is a clip's (12 partitions) or a video's (6).
    pub per_clip: bool,
}

/// Every event type, in the order of the mill.
pub const ALL: &[EventKind] = &[];

macro_rules! event {
    ($type:ident, $topic:literal, $self:ident => $key:expr) => {
        impl Event for $type {
            const TOPIC: &'static str = $topic;
            const SCHEMA: &'static str = "";
            fn key(&$self) -> String {
                $key
            }
            fn to_value(&self) -> Result<AvroValue, Malformed> {
                apache_avro::to_value(self).map_err(|e| Malformed(e.to_string()))
            }
            fn from_value(value: AvroValue) -> Result<Self, Malformed> {
                apache_avro::from_value(&value).map_err(|e| Malformed(e.to_string()))
            }
        }
    };
}
event!(VideoUploaded, "video-uploaded", self => self.video_id.clone().unwrap_or_else(|| self.key.clone()));
event!(ClipsReady, "clips-ready", self => format!("{}/{}", self.video_id, self.index));
event!(FacesDetected, "faces-detected", self => format!("{}/{}", self.video_id, self.index));
event!(LabelsDetected, "labels-detected", self => format!("{}/{}", self.video_id, self.index));
event!(ClipsBlurred, "clips-blurred", self => format!("{}/{}", self.video_id, self.index));
event!(RecordingStitched, "recording-stitched", self => self.video_id.clone());
event!(RecordingReady, "recording-ready", self => self.video_id.clone());
event!(MetadataIndexed, "metadata-indexed", self => self.video_id.clone());
