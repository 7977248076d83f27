//! Renders one clip's core with its masks.

use std::path::Path;

use ffmpeg_next as ff;
use serde::{Deserialize, Serialize};

use crate::decode::FrameReader;
use crate::encode::Encoder;
use crate::h264::AvcConfig;
use crate::output::Writer;
use crate::picture::{Converter, with_even_sides};
use crate::scan::Scan;
use crate::schedule::{Schedule, rescale};
use crate::source::{Source, is_shown};
use crate::{ClipSpan, Limits, MaskStyle, MediaError, Probe, Rational, Region, ffi, mask};

/// How the clips of a run become masked clips; the same for all clips of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RenderMode {
    /// Every clip is re-encoded with identical settings.
    #[default]
    Full,
    /// Clips without regions are copied bit for bit; only for sources with
    /// [`Probe::smart_ok`], others are rendered as `Full`.
    Smart,
}

/// Settings of the encoder and of the masks; identical for all clips of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Render {
    /// Re-encode all clips, or only those with regions.
    pub mode: RenderMode,
    /// How regions are hidden.
    pub style: MaskStyle,
    /// Speed preset of x264.
    pub preset: String,
    /// Constant rate factor of x264, 0 (lossless) to 51.
    pub crf: u8,
    /// Threads of the encoder; 0 lets x264 decide.
    pub threads: u32,
}

impl Default for Render {
    fn default() -> Self {
        Self {
            mode: RenderMode::Full,
            style: MaskStyle::default(),
            preset: "veryfast".to_owned(),
            crf: 23,
            threads: 1,
        }
    }
}

/// One clip to be masked.
#[derive(Debug, Clone, Copy)]
pub struct MaskJob<'a> {
    /// The clip as [`write_clip`](crate::write_clip) wrote it.
    pub clip: &'a Path,
    /// Its place in the source.
    pub span: &'a ClipSpan,
    /// The source that it was cut from.
    pub probe: &'a Probe,
    /// The settings of the run.
    pub render: &'a Render,
    /// Where the masked core is written (mp4, video only, first PTS 0).
    pub out: &'a Path,
    /// Limits and cancellation.
    pub limits: &'a Limits,
}

/// What was rendered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaskReport {
    /// Frames of the core.
    pub frames: u32,
    /// Frames with at least one region.
    pub masked_frames: u32,
    /// Whether the packets were copied bit for bit.
    pub copied: bool,
    /// Size of the written file, bytes.
    pub bytes: u64,
}

/// Draws the regions that `regions_at` names for each source PTS (ticks) and writes the core.
/// `progress` is told the number of frames done.
///
/// # Errors
/// `Broken` when the clip does not hold exactly the frames of its span.
pub fn mask_clip(
    job: &MaskJob<'_>,
    regions_at: &dyn Fn(i64) -> Vec<Region>,
    progress: &mut dyn FnMut(u32),
) -> Result<MaskReport, MediaError> {
    let core = Core::of(job)?;
    let is_clear = || core.schedule.times().iter().all(|&pts| regions_at(pts).is_empty());
    if job.render.mode == RenderMode::Smart && !job.probe.smart_ok {
        tracing::debug!(
            reason = job.probe.smart_reason,
            clip = job.span.index,
            "clip is re-encoded, its packets cannot be copied between re-encoded ones"
        );
    }
    if job.render.mode == RenderMode::Smart && job.probe.smart_ok && is_clear() {
        copy_core(job, &core, progress)
    } else {
        encode_core(job, &core, regions_at, progress)
    }
}

/// The frames of a clip's core.
struct Core {
    schedule: Schedule,
    /// Seconds per tick of the clip file.
    clip_base: Rational,
}

impl Core {
    fn of(job: &MaskJob<'_>) -> Result<Self, MediaError> {
        let (scan, clip_base) = Scan::of_video(job.clip, job.limits)?;
        let times: Vec<i64> = scan
            .packets
            .iter()
            .filter(|packet| packet.is_shown)
            .map(|packet| source_pts(job, packet.pts, clip_base))
            .filter(|&pts| job.span.core_holds(pts))
            .collect();
        let schedule = Schedule::new(&times, job.span.core_end)?;
        if times.len() != job.span.core_frames as usize {
            let detail = format!(
                "the core of clip {} has {} frames, planned were {}",
                job.span.index,
                times.len(),
                job.span.core_frames
            );
            return Err(MediaError::Broken { detail });
        }
        Ok(Self { schedule, clip_base })
    }
}

fn source_pts(job: &MaskJob<'_>, clip_pts: i64, clip_base: Rational) -> i64 {
    rescale(clip_pts, clip_base, job.probe.time_base) + job.span.margin_start
}

/// Copies the packets of the core: it begins at an IDR frame and its groups are closed.
fn copy_core(
    job: &MaskJob<'_>,
    core: &Core,
    progress: &mut dyn FnMut(u32),
) -> Result<MaskReport, MediaError> {
    let mut source = Source::open_video(job.clip, job.limits)?;
    let codec = source.codec(source.video)?;
    let mut writer = Writer::create(job.out, "mp4")?;
    let stream = writer.add_copy(&source.stream(source.video)?, job.probe.time_base)?;
    writer.set_display_matrix(stream, source.display_matrix()?.as_deref())?;
    writer.begin(job.probe.time_base)?;
    let mut frames = 0;
    while let Some((clip_pts, packet)) = source.next_video()? {
        let pts = source_pts(job, clip_pts, core.clip_base);
        if is_shown(&packet, codec) && job.span.core_holds(pts) {
            let (at, start) = (frames as usize, job.span.core_start);
            writer.write_scheduled(stream, packet, &core.schedule, at, pts, start)?;
            frames += 1;
            progress(frames);
        }
    }
    let bytes = writer.finish()?;
    Ok(MaskReport { frames, masked_frames: 0, copied: true, bytes })
}

fn encode_core(
    job: &MaskJob<'_>,
    core: &Core,
    regions_at: &dyn Fn(i64) -> Vec<Region>,
    progress: &mut dyn FnMut(u32),
) -> Result<MaskReport, MediaError> {
    let size = (job.probe.coded_width, job.probe.coded_height);
    let mut reader = FrameReader::open(job.clip, size, job.limits)?;
    let parameter_set = free_parameter_set(job)?;
    let (decoder, aspect) = (&reader.decoder, reader.pixel_aspect);
    let mut encoder = Encoder::open(job.probe, job.render, decoder, aspect, parameter_set)?;
    let mut writer = Writer::create(job.out, "mp4")?;
    let stream = writer.add_encoder(encoder.context(), job.probe.time_base)?;
    writer.begin(job.probe.time_base)?;
    let mut film = Film { encoder: &mut encoder, writer: &mut writer, stream, core };
    let mut report = MaskReport { frames: 0, masked_frames: 0, copied: false, bytes: 0 };
    let mut converter = Converter::default();
    while let Some(frame) = reader.next()? {
        let pts = source_pts(job, frame.pts(), core.clip_base);
        if pts >= job.span.core_end {
            break;
        }
        if pts < job.span.core_start {
            continue;
        }
        if core.schedule.times().get(report.frames as usize) != Some(&pts) {
            let detail = format!("a frame of clip {} before {pts} is missing", job.span.index);
            return Err(MediaError::Broken { detail });
        }
        let regions = regions_at(pts);
        let mut planar = converter.planar(frame.video)?;
        let video = planar.as_mut().unwrap_or(frame.video);
        if !regions.is_empty() {
            ffi::make_writable(video)?;
            mask::draw(video, frame.orientation, &regions, job.render.style);
            report.masked_frames += 1;
        }
        film.add(video, pts - job.span.core_start)?;
        report.frames += 1;
        progress(report.frames);
    }
    film.encoder.finish()?;
    film.drain()?;
    if report.frames != job.span.core_frames {
        let detail = format!(
            "{} of {} frames of clip {} decode",
            report.frames, job.span.core_frames, job.span.index
        );
        return Err(MediaError::Broken { detail });
    }
    report.bytes = writer.finish()?;
    Ok(report)
}

/// An id that the copied clips of the run do not use, so that one avcC can hold both sets.
fn free_parameter_set(job: &MaskJob<'_>) -> Result<u32, MediaError> {
    if job.render.mode != RenderMode::Smart || !job.probe.smart_ok {
        return Ok(0);
    }
    let source = Source::open_video(job.clip, job.limits)?;
    let facts = source.facts(source.video)?;
    let taken = AvcConfig::parse(&facts.extradata).and_then(|config| config.only_id());
    Ok(if taken == Some(1) { 2 } else { 1 })
}

/// Frames on their way to the file.
struct Film<'a> {
    encoder: &'a mut Encoder,
    writer: &'a mut Writer,
    stream: usize,
    core: &'a Core,
}

impl Film<'_> {
    fn add(&mut self, video: &mut ff::frame::Video, pts: i64) -> Result<(), MediaError> {
        match with_even_sides(video) {
            Some(mut even) => self.encoder.send(&mut even, pts)?,
            None => self.encoder.send(video, pts)?,
        }
        self.drain()
    }

    fn drain(&mut self) -> Result<(), MediaError> {
        let start = self.core.schedule.times().first().copied().unwrap_or(0);
        while let Some(mut packet) = self.encoder.receive()? {
            // libx264 leaves the duration empty under FFmpeg 5.1, and the last frame is lost.
            let pts = packet.pts().unwrap_or(0);
            packet.set_duration(self.core.schedule.duration(start + pts));
            self.writer.write(self.stream, packet)?;
        }
        Ok(())
    }
}
