//! What a source is: streams, times, sizes, and whether parts of it can be copied bit for bit.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{Limits, MediaError};

/// A fraction, for time bases (seconds per tick) and rates (frames per second).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rational {
    /// Numerator.
    pub num: i32,
    /// Denominator, not 0.
    pub den: i32,
}

impl Rational {
    /// The fraction as a number; 0 when the denominator is 0.
    pub fn as_f64(self) -> f64 {
        if self.den == 0 { 0.0 } else { f64::from(self.num) / f64::from(self.den) }
    }
}

/// A source as it was found by reading every packet of it once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// `mp4` (also mov) or `matroska` (also webm), from the magic bytes.
    pub container: String,
    /// FFmpeg's name of the video codec, such as `h264`.
    pub video_codec: String,
    /// Width as displayed (after rotation), px.
    pub width: u32,
    /// Height as displayed (after rotation), px.
    pub height: u32,
    /// Width as coded, px.
    pub coded_width: u32,
    /// Height as coded, px.
    pub coded_height: u32,
    /// Clockwise rotation from coded to displayed picture: 0, 90, 180 or 270 degrees.
    pub rotation: u16,
    /// FFmpeg's name of the pixel format, such as `yuv420p`.
    pub pixel_format: String,
    /// Seconds per tick of every PTS of the video stream.
    pub time_base: Rational,
    /// Average frames per second.
    pub frame_rate: Rational,
    /// PTS of the first displayed frame, ticks; often not 0.
    pub start_pts: i64,
    /// From the first displayed frame to the end of the last one, ticks.
    pub duration_ticks: i64,
    /// The same in ms.
    pub duration_ms: i64,
    /// Displayed frames, counted packet by packet.
    pub frames: i64,
    /// The sound that goes into the recording.
    pub audio: Option<AudioProbe>,
    /// Size of the file, bytes.
    pub bytes: u64,
    /// Whether the video packets can be carried in mp4 as they are.
    pub copyable: bool,
    /// Whether untouched clips can be copied between re-encoded ones (render mode `smart`).
    pub smart_ok: bool,
    /// Why not, or what makes it safe.
    pub smart_reason: String,
}

/// The sound of a source.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AudioProbe {
    /// FFmpeg's name of the codec, such as `aac`.
    pub codec: String,
    /// Samples per second and channel.
    pub sample_rate: u32,
    /// Number of channels.
    pub channels: u16,
    /// From the first packet to the end of the last one, ms.
    pub duration_ms: i64,
    /// Packets.
    pub packets: i64,
    /// Whether the packets can be carried in mp4 as they are (AAC); else they are transcoded.
    pub copyable: bool,
}

/// Reads a whole source once, without decoding it, and says what it is.
///
/// # Errors
/// Everything that is wrong with the file and can be seen without decoding, see [`MediaError`].
pub fn probe(source: &Path, limits: &Limits) -> Result<Probe, MediaError> {
    let _ = (source, limits);
    Err(MediaError::internal("being written"))
}
