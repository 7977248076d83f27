//! Renders one clip's core with its masks.

use std::ops::Range;
use std::path::Path;

use ffmpeg_next as ff;
use serde::{Deserialize, Serialize};

use crate::decode::FrameReader;
use crate::encode::{Encoder, REORDER};
use crate::groups::{Stretch, stretches};
use crate::h264::AvcConfig;
use crate::output::Writer;
use crate::picture::{Converter, with_even_sides};
use crate::scan::{Scan, VideoPacket};
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
    /// Groups of pictures without regions are copied bit for bit; only for sources with
    /// [`Probe::smart_ok`], others are rendered as `Full`.
    Smart,
}

/// Settings of the encoder and of the masks; identical for all clips of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Render {
    /// Re-encode everything, or only groups of pictures with regions.
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
    /// Frames whose packets were copied bit for bit.
    pub copied_frames: u32,
    /// Times of the frames that were encoded anew: source PTS ticks, rising, half open.
    pub encoded: Vec<Range<i64>>,
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
    let is_smart = job.render.mode == RenderMode::Smart && job.probe.smart_ok;
    if job.render.mode == RenderMode::Smart && !is_smart {
        tracing::debug!(
            reason = job.probe.smart_reason,
            clip = job.span.index,
            "clip is re-encoded, its packets cannot be copied between re-encoded ones"
        );
    }
    let whole = job.span.core_start..job.span.core_end;
    let stretches = if is_smart {
        stretches(&core.packets, &whole, &|pts| regions_at(pts).is_empty())
    } else {
        vec![Stretch { times: whole, is_copied: false }]
    };
    Rendering::open(job, &core, &stretches, is_smart)?.run(&stretches, regions_at, progress)
}

/// The frames of a clip's core.
struct Core {
    /// What is shown of it, in decoding order, with source times.
    packets: Vec<VideoPacket>,
    schedule: Schedule,
    /// Seconds per tick of the clip file.
    clip_base: Rational,
}

impl Core {
    fn of(job: &MaskJob<'_>) -> Result<Self, MediaError> {
        let (scan, clip_base) = Scan::of_video(job.clip, job.limits)?;
        let packets: Vec<VideoPacket> = scan
            .packets
            .iter()
            .filter(|packet| packet.is_shown)
            .map(|packet| VideoPacket { pts: source_pts(job, packet.pts, clip_base), ..*packet })
            .filter(|packet| job.span.core_holds(packet.pts))
            .collect();
        if packets.len() != job.span.core_frames as usize {
            let detail = format!(
                "the core of clip {} has {} frames, planned were {}",
                job.span.index,
                packets.len(),
                job.span.core_frames
            );
            return Err(MediaError::Broken { detail });
        }
        let times: Vec<i64> = packets.iter().map(|packet| packet.pts).collect();
        let schedule = Schedule::new(&times, job.span.core_end)?.with_delay(REORDER);
        Ok(Self { packets, schedule, clip_base })
    }
}

fn source_pts(job: &MaskJob<'_>, clip_pts: i64, clip_base: Rational) -> i64 {
    rescale(clip_pts, clip_base, job.probe.time_base) + job.span.margin_start
}

/// A core while it is written.
struct Rendering<'a> {
    job: &'a MaskJob<'a>,
    core: &'a Core,
    /// What is copied.
    originals: Source,
    /// What is encoded anew, if anything is.
    pictures: Option<Pictures>,
    film: Film<'a>,
    report: MaskReport,
}

/// Pictures on their way through the decoder and an encoder.
struct Pictures {
    reader: FrameReader,
    converter: Converter,
    /// Opened for the next stretch: each begins with an encoder that knows nothing of another's.
    encoder: Option<Encoder>,
    /// An id that the source does not use, so that one avcC can hold both parameter sets.
    parameter_set: u32,
    /// The frames come group by group; else all of the clip, as groups may be open.
    is_by_groups: bool,
}

impl Pictures {
    fn open(job: &MaskJob<'_>, originals: &Source, is_smart: bool) -> Result<Self, MediaError> {
        let size = (job.probe.coded_width, job.probe.coded_height);
        let taken =
            originals.avc_config()?.and_then(|config| config.only_ids()).unwrap_or_default();
        let free = (1..).find(|id| !taken.contains(id)).unwrap_or(1);
        let mut pictures = Self {
            reader: FrameReader::open(job.clip, size, job.limits)?,
            converter: Converter::default(),
            encoder: None,
            parameter_set: if is_smart { free } else { 0 },
            is_by_groups: is_smart,
        };
        pictures.encoder = Some(pictures.new_encoder(job)?);
        Ok(pictures)
    }

    fn new_encoder(&self, job: &MaskJob<'_>) -> Result<Encoder, MediaError> {
        let (decoder, aspect) = (&self.reader.decoder, self.reader.pixel_aspect);
        Encoder::open(job.probe, job.render, decoder, aspect, self.parameter_set)
    }
}

impl<'a> Rendering<'a> {
    fn open(
        job: &'a MaskJob<'a>,
        core: &'a Core,
        stretches: &[Stretch],
        is_smart: bool,
    ) -> Result<Self, MediaError> {
        let originals = Source::open_video(job.clip, job.limits)?;
        let is_any_encoded = stretches.iter().any(|stretch| !stretch.is_copied);
        let is_any_copied = stretches.iter().any(|stretch| stretch.is_copied);
        let pictures =
            is_any_encoded.then(|| Pictures::open(job, &originals, is_smart)).transpose()?;
        let mut writer = Writer::create(job.out, "mp4")?;
        let stream = match pictures.as_ref().and_then(|pictures| pictures.encoder.as_ref()) {
            Some(encoder) => {
                let stream = writer.add_encoder(encoder.context(), job.probe.time_base)?;
                let given = writer.header(stream)?;
                let mut header = AvcConfig::parse(&given)
                    .or_else(|| AvcConfig::of_encoder(&given))
                    .ok_or_else(|| MediaError::internal("the encoder's header cannot be read"))?;
                if is_any_copied {
                    let theirs = originals
                        .avc_config()?
                        .ok_or_else(|| MediaError::internal("a copied clip is not H.264"))?;
                    header.merge(&theirs)?;
                }
                writer.set_header(stream, &header.to_bytes())?;
                stream
            }
            None => writer.add_copy(&originals.stream(originals.video)?, job.probe.time_base)?,
        };
        writer.set_display_matrix(stream, originals.display_matrix()?.as_deref())?;
        writer.begin(job.probe.time_base)?;
        let encoded = stretches.iter().filter(|stretch| !stretch.is_copied);
        let report = MaskReport {
            frames: 0,
            masked_frames: 0,
            copied_frames: 0,
            encoded: encoded.map(|stretch| stretch.times.clone()).collect(),
            bytes: 0,
        };
        let film = Film { writer, stream, core, start: job.span.core_start, packets: 0 };
        Ok(Self { job, core, originals, pictures, film, report })
    }

    fn run(
        mut self,
        stretches: &[Stretch],
        regions_at: &dyn Fn(i64) -> Vec<Region>,
        progress: &mut dyn FnMut(u32),
    ) -> Result<MaskReport, MediaError> {
        for stretch in stretches {
            if stretch.is_copied {
                self.copy(&stretch.times, progress)?;
            } else {
                self.encode(&stretch.times, regions_at, progress)?;
            }
        }
        if self.report.frames != self.job.span.core_frames {
            let detail = format!(
                "{} of {} frames of clip {} decode",
                self.report.frames, self.job.span.core_frames, self.job.span.index
            );
            return Err(MediaError::Broken { detail });
        }
        self.report.bytes = self.film.writer.finish()?;
        Ok(self.report)
    }

    /// Times of the source as ticks of the clip.
    fn of_clip(&self, times: &Range<i64>) -> Range<i64> {
        let ticks = |pts: i64| {
            rescale(pts - self.job.span.margin_start, self.job.probe.time_base, self.core.clip_base)
        };
        ticks(times.start)..ticks(times.end)
    }

    fn copy(
        &mut self,
        times: &Range<i64>,
        progress: &mut dyn FnMut(u32),
    ) -> Result<(), MediaError> {
        let codec = self.originals.codec(self.originals.video)?;
        let of_clip = self.of_clip(times);
        while let Some((clip_pts, packet)) = self.originals.next_video_of(&of_clip)? {
            if is_shown(&packet, codec) {
                self.film.add(packet, source_pts(self.job, clip_pts, self.core.clip_base))?;
                self.report.frames += 1;
                self.report.copied_frames += 1;
                progress(self.report.frames);
            }
        }
        Ok(())
    }

    fn encode(
        &mut self,
        times: &Range<i64>,
        regions_at: &dyn Fn(i64) -> Vec<Region>,
        progress: &mut dyn FnMut(u32),
    ) -> Result<(), MediaError> {
        let of_clip = self.of_clip(times);
        let (job, core, report, film) = (self.job, self.core, &mut self.report, &mut self.film);
        let Some(pictures) = &mut self.pictures else {
            return Err(MediaError::internal("a stretch is encoded without an encoder"));
        };
        let mut encoder = match pictures.encoder.take() {
            Some(encoder) => encoder,
            None => pictures.new_encoder(job)?,
        };
        if pictures.is_by_groups {
            pictures.reader.go_on(of_clip);
        }
        while let Some(frame) = pictures.reader.next()? {
            let pts = source_pts(job, frame.pts(), core.clip_base);
            if pts >= times.end {
                break;
            }
            if pts < times.start {
                continue;
            }
            if core.schedule.times().get(report.frames as usize) != Some(&pts) {
                let detail = format!("a frame of clip {} before {pts} is missing", job.span.index);
                return Err(MediaError::Broken { detail });
            }
            let regions = regions_at(pts);
            let mut planar = pictures.converter.planar(frame.video)?;
            let video = planar.as_mut().unwrap_or(frame.video);
            if !regions.is_empty() {
                ffi::make_writable(video)?;
                mask::draw(video, frame.orientation, &regions, job.render.style);
                report.masked_frames += 1;
            }
            match with_even_sides(video) {
                Some(mut even) => encoder.send(&mut even, pts)?,
                None => encoder.send(video, pts)?,
            }
            film.add_encoded(&mut encoder)?;
            report.frames += 1;
            progress(report.frames);
        }
        encoder.finish()?;
        film.add_encoded(&mut encoder)
    }
}

/// The core's packets on their way to the file.
struct Film<'a> {
    writer: Writer,
    stream: usize,
    core: &'a Core,
    /// Source PTS of the film's beginning.
    start: i64,
    /// Packets written.
    packets: usize,
}

impl Film<'_> {
    fn add(&mut self, packet: ff::Packet, pts: i64) -> Result<(), MediaError> {
        let (at, schedule) = (self.packets, &self.core.schedule);
        self.writer.write_scheduled(self.stream, packet, schedule, at, pts, self.start)?;
        self.packets += 1;
        Ok(())
    }

    fn add_encoded(&mut self, encoder: &mut Encoder) -> Result<(), MediaError> {
        while let Some(packet) = encoder.receive()? {
            let pts = packet
                .pts()
                .ok_or_else(|| MediaError::internal("an encoded packet has no time stamp"))?;
            self.add(packet, pts)?;
        }
        Ok(())
    }
}
