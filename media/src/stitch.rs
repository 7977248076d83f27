//! Joins the rendered cores and adds the sound of the source.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::h264::AvcConfig;
use crate::output::{Writer, hex};
use crate::scan::Scan;
use crate::schedule::{Schedule, rescale, to_ms};
use crate::sound::Sound;
use crate::source::{Source, muxer_for};
use crate::{ClipSpan, Limits, MediaError, Probe, Rational};

/// The parts of one film.
#[derive(Debug, Clone, Copy)]
pub struct Stitch<'a> {
    /// The masked cores in the order of `spans`.
    pub parts: &'a [PathBuf],
    /// The clip table of the run.
    pub spans: &'a [ClipSpan],
    /// The source as it was probed.
    pub probe: &'a Probe,
    /// The source, for its sound and its rotation.
    pub source: &'a Path,
    /// Where the film is written (mp4 with its index in front).
    pub out: &'a Path,
    /// Limits and cancellation.
    pub limits: &'a Limits,
}

/// What happened to the sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AudioOutcome {
    /// The source has none.
    None,
    /// Every packet was copied.
    Copied,
    /// Decoded and encoded to AAC once over the whole length.
    Transcoded,
}

/// What was stitched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StitchReport {
    /// Video frames.
    pub frames: u64,
    /// From the first frame to the end of the last one, ms.
    pub duration_ms: i64,
    /// What happened to the sound.
    pub audio: AudioOutcome,
    /// Audio packets written.
    pub audio_packets: u64,
    /// SHA-256 of the payloads of the audio packets written, lowercase hex; empty without sound.
    pub audio_sha256: String,
    /// Size of the film, bytes.
    pub bytes: u64,
}

/// Writes the film: video packets at their source times, sound copied (AAC) or transcoded once,
/// rotation kept.
///
/// # Errors
/// `Broken` when a part does not hold exactly the frames of its span.
pub fn stitch(job: &Stitch<'_>) -> Result<StitchReport, MediaError> {
    if job.parts.len() != job.spans.len() {
        let (parts, spans) = (job.parts.len(), job.spans.len());
        return Err(MediaError::internal(format!("{parts} parts for {spans} clips")));
    }
    let parts = job
        .parts
        .iter()
        .zip(job.spans)
        .map(|(path, span)| {
            let part = Part::scan(path, span.core_start, job.probe, job.limits)?;
            let is_of_span = |pts: &i64| span.core_holds(*pts);
            if part.times.len() != span.core_frames as usize || !part.times.iter().all(is_of_span) {
                let detail = format!(
                    "part {} has {} frames, planned were {}",
                    span.index,
                    part.times.len(),
                    span.core_frames
                );
                return Err(MediaError::Broken { detail });
            }
            Ok(part)
        })
        .collect::<Result<Vec<_>, _>>()?;
    assemble(&parts, job.source, job.probe, job.out, job.limits)
}

/// Writes the whole source without masks: video packets copied, sound as in [`stitch`].
///
/// # Errors
/// `Unsupported` when mp4 cannot carry the video codec ([`Probe::copyable`]).
pub fn copy_all(
    source: &Path,
    probe: &Probe,
    out: &Path,
    limits: &Limits,
) -> Result<StitchReport, MediaError> {
    let part = Part::scan(source, 0, probe, limits)?;
    assemble(&[part], source, probe, out, limits)
}

/// One file of the film and where it begins.
struct Part<'a> {
    path: &'a Path,
    /// Source ticks at which the file's time 0 is.
    offset: i64,
    /// Seconds per tick of the file.
    time_base: Rational,
    /// Source PTS in decoding order, hidden frames included.
    times: Vec<i64>,
    shown: u64,
    header: Vec<u8>,
}

impl<'a> Part<'a> {
    fn scan(
        path: &'a Path,
        offset: i64,
        probe: &Probe,
        limits: &Limits,
    ) -> Result<Self, MediaError> {
        let mut source = Source::open_video(path, limits)?;
        let codec = source.codec(source.video)?;
        if muxer_for(codec) != "mp4" {
            let what = format!("copying {} into mp4", codec.name());
            return Err(MediaError::Unsupported { what });
        }
        let time_base = source.time_base(source.video)?;
        let header = source.facts(source.video)?.extradata;
        let scan = Scan::read(&mut source)?;
        // Hidden frames before the film begins stay hidden behind its edit list; after its end
        // they are left out, unless a shown frame is decoded from them.
        let kept = scan.packets.iter().rposition(|packet| packet.is_shown).map_or(0, |at| at + 1);
        let packets = &scan.packets[..kept];
        let first = packets.iter().filter(|packet| packet.is_shown).map(|packet| packet.pts).min();
        if packets.iter().any(|packet| !packet.is_shown && Some(packet.pts) > first) {
            let what = "copying a film whose edit list hides frames in its middle".to_owned();
            return Err(MediaError::Unsupported { what });
        }
        let to_source = |pts| rescale(pts, time_base, probe.time_base) + offset;
        Ok(Self {
            path,
            offset,
            time_base,
            times: packets.iter().map(|packet| to_source(packet.pts)).collect(),
            shown: packets.iter().filter(|packet| packet.is_shown).count() as u64,
            header,
        })
    }
}

fn assemble(
    parts: &[Part<'_>],
    source: &Path,
    probe: &Probe,
    out: &Path,
    limits: &Limits,
) -> Result<StitchReport, MediaError> {
    let first = parts.first().ok_or_else(|| MediaError::internal("a film of no parts"))?;
    let times: Vec<i64> = parts.iter().flat_map(|part| &part.times).copied().collect();
    let end = probe.start_pts + probe.duration_ticks;
    let schedule = Schedule::new(&times, end)?;
    let is_copied = probe.audio.as_ref().is_some_and(|audio| audio.copyable);
    let mut sound = Sound::open(source, is_copied, limits)?;
    let mut writer = Writer::create(out, "mp4")?;
    let stream = {
        let template = Source::open_video(first.path, limits)?;
        writer.add_copy(&template.stream(template.video)?, probe.time_base)?
    };
    if let Some(header) = common_header(parts)? {
        writer.set_header(stream, &header)?;
    }
    let matrix = Source::open(source, limits)?.display_matrix()?;
    writer.set_display_matrix(stream, matrix.as_deref())?;
    let sound_stream = sound.as_ref().map(|sound| sound.add_to(&mut writer)).transpose()?;
    writer.begin(probe.time_base)?;

    let mut film = Film { writer, sound: None, hash: Sha256::new(), packets: 0 };
    let audio = sound.as_ref().map_or(AudioOutcome::None, Sound::outcome);
    film.sound = sound.take().zip(sound_stream);
    let mut at = 0;
    for part in parts {
        let mut file = Source::open_video(part.path, limits)?;
        for _ in &part.times {
            let (pts, packet) =
                file.next_video()?.ok_or_else(|| MediaError::broken("a part became shorter"))?;
            let pts = rescale(pts, part.time_base, probe.time_base) + part.offset;
            film.add_sound_until(schedule.dts(at), probe.time_base)?;
            film.writer.write_scheduled(stream, packet, &schedule, at, pts, 0)?;
            at += 1;
        }
    }
    film.add_sound_until(i64::MAX, probe.time_base)?;
    let bytes = film.writer.finish()?;
    Ok(StitchReport {
        frames: parts.iter().map(|part| part.shown).sum(),
        duration_ms: to_ms(probe.duration_ticks, probe.time_base),
        audio,
        audio_packets: film.packets,
        audio_sha256: if audio == AudioOutcome::None { String::new() } else { hex(film.hash) },
        bytes,
    })
}

/// The codec header that serves all parts, when they differ: one avcC with all parameter sets.
/// With the first part's alone, decoders fail at every packet of the others.
fn common_header(parts: &[Part<'_>]) -> Result<Option<Vec<u8>>, MediaError> {
    let Some((first, rest)) = parts.split_first() else { return Ok(None) };
    if rest.iter().all(|part| part.header == first.header) {
        return Ok(None);
    }
    let parse = |part: &Part<'_>| {
        AvcConfig::parse(&part.header)
            .ok_or_else(|| MediaError::internal("parts differ and are not H.264"))
    };
    let mut merged = parse(first)?;
    for part in rest {
        merged.merge(&parse(part)?)?;
    }
    Ok(Some(merged.to_bytes()))
}

/// The film while it is written.
struct Film {
    writer: Writer,
    sound: Option<(Sound, usize)>,
    hash: Sha256,
    packets: u64,
}

impl Film {
    /// Writes the sound that belongs before a moment of the video, so that both lie side by side.
    fn add_sound_until(&mut self, ticks: i64, time_base: Rational) -> Result<(), MediaError> {
        let Some((sound, stream)) = &mut self.sound else { return Ok(()) };
        let until =
            if ticks == i64::MAX { i64::MAX } else { rescale(ticks, time_base, sound.time_base()) };
        while let Some(packet) = sound.next_until(until)? {
            self.hash.update(packet.data().unwrap_or_default());
            self.packets += 1;
            self.writer.write(*stream, packet)?;
        }
        Ok(())
    }
}
