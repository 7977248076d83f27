//! The events. Each stands beside its schema in `schemas/avro/<topic>.avsc`.

use crate::{AvroValue, Event, Malformed, codec};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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
    /// Raised to have the same video worked on again under the same rules.
    pub replay: i32,
    /// Runs of the same video whose faces and labels are taken over instead of looked for.
    pub faces_of: Option<String>,
    pub labels_of: Option<String>,
}

/// What to blur.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
    /// Of the whole recording.
    pub duration_ms: i64,
    /// Of the source.
    pub size_bytes: i64,
    /// Seconds per tick, as a fraction.
    pub time_base_num: i32,
    pub time_base_den: i32,
    /// Ticks of the source's first frame: where the recording's time begins.
    pub start_pts: i64,
    /// Ticks of the clip's first frame: where the clip's time begins.
    pub margin_start_pts: i64,
    pub margin_end_pts: i64,
    /// The core in ticks, half open.
    pub core_start_pts: i64,
    pub core_end_pts: i64,
    /// Mean ticks per frame of the core.
    pub frame_ticks: i64,
    /// 0 to 1: sightings of faces below are not linked into tracks.
    pub face_threshold: f32,
    /// How far tracks are extended before and after their sightings.
    pub extend_ms: i64,
    /// Runs of the same video whose faces and labels are taken over instead of looked for.
    pub faces_of: Option<String>,
    pub labels_of: Option<String>,
    /// How often the video was worked on again, this run included.
    pub replay: i32,
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
    /// How often the video was worked on again, this run included.
    pub replay: i32,
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
    /// How often the video was worked on again, this run included.
    pub replay: i32,
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
    /// How often the video was worked on again, this run included.
    pub replay: i32,
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

/// A still of the recording is in the store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ThumbnailReady {
    pub video_id: String,
    pub run_id: String,
    pub owner: String,
    pub assessment: String,
    pub visibility: String,
    pub bucket: String,
    /// Of a JPEG.
    pub thumbnail_key: String,
    /// px.
    pub width: i32,
    /// px.
    pub height: i32,
    /// Time of the still in the recording.
    pub at_ms: i64,
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

/// One place says which type, topic and files belong together, so that none can be forgotten in
/// one of the lists.
macro_rules! events {
    ($($type:ident $topic:literal ($self:ident) per_clip $per_clip:literal => $key:expr;)*) => {
        /// Every event type, in the order of the mill.
        pub const ALL: &[EventKind] = &[$(EventKind {
            topic: $type::TOPIC,
            schema: $type::SCHEMA,
            examples: include_str!(concat!("../avro/", $topic, ".examples.json")),
            per_clip: $per_clip,
        }),*];

        /// Any event, for the readers of all topics. As JSON it is the event itself.
        #[derive(Debug, Clone, PartialEq, Serialize)]
        #[serde(untagged)]
        pub enum Catalogued {$(
            $type($type),
        )*}

        impl Catalogued {
            /// From a value of any version of the topic's schema.
            ///
            /// # Errors
            /// An unknown topic; a value that is none of this topic's events.
            pub fn from_value(topic: &str, value: AvroValue) -> Result<Self, Malformed> {
                match codec::kind(topic)?.topic {
                    $($type::TOPIC => Event::from_value(value).map(Self::$type),)*
                    other => Err(Malformed(format!("topic {other:?} has no Rust type"))),
                }
            }

            /// As a value of the newest schema.
            ///
            /// # Errors
            /// A type and a schema that do not agree.
            pub fn to_value(&self) -> Result<AvroValue, Malformed> {
                match self {
                    $(Self::$type(event) => event.to_value(),)*
                }
            }

            /// The partition key.
            #[must_use]
            pub fn key(&self) -> String {
                match self {
                    $(Self::$type(event) => Event::key(event),)*
                }
            }
        }

        $(impl Event for $type {
            const TOPIC: &'static str = $topic;
            const SCHEMA: &'static str = include_str!(concat!("../avro/", $topic, ".avsc"));

            fn key(&$self) -> String {
                $key
            }

            fn to_value(&self) -> Result<AvroValue, Malformed> {
                codec::to_value(Self::SCHEMA, self)
            }

            fn from_value(value: AvroValue) -> Result<Self, Malformed> {
                codec::from_value(Self::SCHEMA, value)
            }
        })*
    };
}

events! {
    VideoUploaded "video-uploaded" (self) per_clip false => self.video_id.as_ref().unwrap_or(&self.key).clone();
    ClipsReady "clips-ready" (self) per_clip true => format!("{}/{}", self.video_id, self.index);
    FacesDetected "faces-detected" (self) per_clip true => format!("{}/{}", self.video_id, self.index);
    LabelsDetected "labels-detected" (self) per_clip true => format!("{}/{}", self.video_id, self.index);
    ClipsBlurred "clips-blurred" (self) per_clip true => format!("{}/{}", self.video_id, self.index);
    RecordingStitched "recording-stitched" (self) per_clip false => self.video_id.clone();
    RecordingReady "recording-ready" (self) per_clip false => self.video_id.clone();
    ThumbnailReady "thumbnail-ready" (self) per_clip false => self.video_id.clone();
    MetadataIndexed "metadata-indexed" (self) per_clip false => self.video_id.clone();
}
