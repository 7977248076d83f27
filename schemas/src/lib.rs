//! The words: one Avro schema per event, its Rust type, and the plain objects events point to.

mod codec;
mod event;
mod events;
mod findings;
mod geometry;
pub mod ids;
pub mod keys;
mod objects;
mod prepared;

pub use apache_avro::types::Value as AvroValue;
pub use codec::{decode_json, encode_json, kind, nearest};
pub use event::{Event, Malformed};
pub use events::{
    ALL, Blur, Catalogued, ClipsBlurred, ClipsReady, EventKind, FacesDetected, LabelsDetected,
    MetadataIndexed, RecordingReady, RecordingStitched, ThumbnailReady, VideoUploaded,
};
pub use findings::{Label, Labels, Track, TrackPoint, Tracks};
pub use geometry::{BoundingBox, TimeBase};
pub use objects::{
    AudioPlan, Checks, ClipEntry, Manifest, Masking, Receipt, RenderMode, SourceInfo,
};
pub use prepared::{Reader, WIRE_HEADER, Writer};
