//! FFmpeg: probe, cut, decode, mask, render, stitch, verify; no network, no Kafka.
//!
//! All functions block and belong on blocking threads. Files are read with a demuxer that the
//! file's own magic bytes decide, never one that FFmpeg guesses; outputs are written under a
//! temporary name beside their destination and renamed when complete.

mod choice;
mod codecs;
mod container;
mod copies;
mod cut;
mod decode;
mod display_order;
mod encode;
mod error;
mod evidence;
mod ffi;
mod frame;
mod groups;
mod h264;
mod hevc;
mod intake;
mod kept;
mod limits;
mod mask;
mod orientation;
mod output;
mod parts;
mod picture;
mod probe;
mod render;
mod repeats;
mod scan;
mod schedule;
mod slices;
mod sound;
mod source;
mod still;
mod stitch;
mod verify;

pub use choice::decode_some;
pub use codecs::{Codecs, codecs};
pub use copies::{Inspected, Inspector, SharedPart};
pub use cut::{ClipFile, ClipSpan, CutPlan, plan_cut, write_clip};
pub use decode::{DecodeReport, decode, decode_core};
pub use error::MediaError;
pub use evidence::{MaskEvidence, difference_outside, mask_evidence};
pub use frame::Frame;
pub use kept::{Kept, Shrinker, Squares};
pub use limits::{Cancel, Limits};
pub use mask::{MaskStyle, Region, is_masked, mask_coverage};
pub use output::file_sha256;
pub use parts::{Part, decode_part, parts, side_by_side};
pub use picture::{LumaImage, RgbImage};
pub use probe::{AudioProbe, Probe, Rational, probe};
pub use render::{MaskJob, MaskReport, Render, RenderMode, mask_clip};
pub use still::{Still, still};
pub use stitch::{AudioOutcome, Stitch, StitchReport, copy_all, stitch};
pub use verify::{CompareReport, Compared, Elementary, Track, compare, elementary_sha256};
