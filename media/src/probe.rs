//! What a source is: streams, times, sizes, and whether parts of it can be copied bit for bit.

use std::path::Path;

use ff::codec::Id;
use ffmpeg_next as ff;
use serde::{Deserialize, Serialize};

use crate::scan::Scan;
use crate::schedule::to_ms;
use crate::source::{Source, muxer_for, rational};
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
    /// `mp4` (also mov), `matroska` (also webm), `avi` or `mpegts`, from the magic bytes.
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
    /// Whether the packets can be carried in mp4 as they are (AAC, one after the other); else they
    /// are transcoded.
    pub copyable: bool,
}

/// Reads a whole source once, without decoding it, and says what it is.
///
/// # Errors
/// Everything that is wrong with the file and can be seen without decoding, see [`MediaError`].
pub fn probe(source: &Path, limits: &Limits) -> Result<Probe, MediaError> {
    probe_and_scan(source, limits).map(|(probe, _)| probe)
}

pub(crate) fn probe_and_scan(path: &Path, limits: &Limits) -> Result<(Probe, Scan), MediaError> {
    let bytes = std::fs::metadata(path)?.len();
    let mut source = Source::open(path, limits)?;
    let facts = source.facts(source.video)?;
    if facts.width == 0 || facts.height == 0 {
        return Err(MediaError::broken("its video has no picture size"));
    }
    let codec = source.codec(source.video)?;
    let time_base = source.time_base(source.video)?;
    let orientation = source.orientation()?;
    let (width, height) = orientation.displayed(facts.width, facts.height);
    let scan = Scan::read(&mut source)?;
    let schedule = scan.shown_schedule()?;
    let frames = schedule.times().len() as i64;
    let start_pts = *schedule.times().first().ok_or(MediaError::NoVideo)?;
    let duration_ticks = scan.end - start_pts;
    limits.check_length(to_ms(duration_ticks, time_base))?;
    scan.check_gaps(time_base)?;
    let stated = rational(source.stream(source.video)?.avg_frame_rate());
    let frame_rate = if stated.num > 0 && stated.den > 0 {
        stated
    } else {
        measured_rate(frames, to_ms(duration_ticks, time_base))
    };
    let smart = scan.smart(&facts, codec);
    let audio = audio(&source, &scan)?;
    let probe = Probe {
        container: source.container.name().to_owned(),
        video_codec: codec.name().to_owned(),
        width,
        height,
        coded_width: facts.width,
        coded_height: facts.height,
        rotation: orientation.rotation(),
        pixel_format: pixel_format_name(facts.pixel_format),
        time_base,
        frame_rate,
        start_pts,
        duration_ticks,
        duration_ms: to_ms(duration_ticks, time_base),
        frames,
        audio,
        bytes,
        copyable: muxer_for(codec) == "mp4",
        smart_ok: smart.is_ok(),
        smart_reason: match smart {
            Ok(()) => "progressive 8-bit H.264 with closed GOPs and one SPS and PPS".to_owned(),
            Err(why) => why.to_owned(),
        },
    };
    Ok((probe, scan))
}

fn audio(source: &Source, scan: &Scan) -> Result<Option<AudioProbe>, MediaError> {
    let Some(index) = source.audio.filter(|_| scan.audio_packets > 0) else { return Ok(None) };
    let facts = source.facts(index)?;
    let codec = source.codec(index)?;
    if ff::decoder::find(codec).is_none() {
        let what = format!("the sound codec {}", codec.name());
        return Err(MediaError::Unsupported { what });
    }
    Ok(Some(AudioProbe {
        codec: codec.name().to_owned(),
        sample_rate: facts.sample_rate,
        channels: facts.channels,
        duration_ms: to_ms(scan.audio_end - scan.audio_start, source.time_base(index)?),
        packets: scan.audio_packets,
        copyable: is_copyable_sound(codec, &facts.extradata) && !scan.audio_overlaps,
    }))
}

/// AAC with its header outside of the packets; ADTS has it inside and is transcoded.
fn is_copyable_sound(codec: Id, extradata: &[u8]) -> bool {
    codec == Id::AAC && !extradata.is_empty()
}

fn measured_rate(frames: i64, duration_ms: i64) -> Rational {
    let per_thousand_seconds = frames.saturating_mul(1_000_000) / duration_ms.max(1);
    Rational { num: i32::try_from(per_thousand_seconds).unwrap_or(i32::MAX).max(1), den: 1000 }
}

fn pixel_format_name(format: ff::format::Pixel) -> String {
    format.descriptor().map_or_else(|| "unknown".to_owned(), |d| d.name().to_owned())
}
