//! The words: one Avro schema per event, its Rust type, and the plain objects events point to.

mod codec;
mod event;
mod events;
pub mod ids;
pub mod keys;
mod objects;

pub use apache_avro::types::Value as AvroValue;
pub use codec::{decode_json, encode_json, kind};
pub use event::{Event, Malformed};
pub use events::{
    ALL, Blur, Catalogued, ClipsBlurred, ClipsReady, EventKind, FacesDetected, LabelsDetected,
    MetadataIndexed, RecordingReady, RecordingStitched, VideoUploaded,
};
pub use objects::{
    AudioPlan, BoundingBox, Checks, ClipEntry, Label, Labels, Manifest, Masking, Receipt,
    RenderMode, SourceInfo, TimeBase, Track, TrackPoint, Tracks,
};
