//! The local detector and the server that speaks Rekognition's wire protocol.
//!
//! Faces are found by YuNet, told apart by dlib's embedding, and things are named by YOLOX-nano,
//! all on the CPU. The weights are part of the crate; ONNX Runtime's shared library is found at
//! run time by [`Models::find`]. Functions that look at pictures block and belong on blocking
//! threads; [`Server`] does that itself.

mod alignment;
mod careful;
mod closely;
mod embedding;
mod error;
mod even;
mod faces;
mod fast;
mod labels;
mod models;
mod parallel;
mod photo;
mod picture;
mod portrait;
mod profile;
mod server;
mod taxonomy;
mod video;

pub use closely::NOT_PLAIN;
pub use embedding::{Embedding, FaceEmbedder, SAME_PERSON, distance};
pub use error::VisionError;
pub use faces::{DETECTOR, FACE_THRESHOLD, FaceBox, FaceDetector, detector_name, weights_sha256};
pub use labels::{LABEL_THRESHOLD, LABELLER, LabelBox, LabelDetector};
pub use media::RgbImage;
pub use models::{Models, NO_TELEMETRY, weights};
pub use parallel::in_parallel;
pub use photo::{PhotoError, decode_photo};
pub use portrait::{Pose, Quality, pose, quality};
pub use profile::{FAST_MS, Grid, Profile};
pub use schemas::BoundingBox;
pub use server::{
    Clock, Ended, Full, Keys, Looked, Observer, PASSING_REASONS, Server, ServerOptions, WORKS,
};
pub use video::{
    FaceSample, LabelSample, VideoFaces, VideoInfo, VideoLabels, faces_in_video, labels_in_video,
};
