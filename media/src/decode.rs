//! Decodes a file frame by frame, or says why not.

use std::ops::{ControlFlow, Range};
use std::path::Path;

use ff::codec::discard::Discard;
use ffmpeg_next as ff;
use serde::{Deserialize, Serialize};

use crate::choice::{Choice, Need};
use crate::frame::Frame;
use crate::orientation::Orientation;
use crate::picture::Converter;
use crate::schedule::rescale;
use crate::source::{Source, is_shown};
use crate::{ClipSpan, Limits, MediaError, Rational};

/// What was decoded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecodeReport {
    /// Frames visited.
    pub frames: u32,
    /// PTS of the first frame, ticks of `time_base`.
    pub first_pts: Option<i64>,
    /// PTS of the last frame visited, ticks of `time_base`.
    pub last_pts: Option<i64>,
    /// Seconds per tick.
    pub time_base: Rational,
}

/// Decodes `path` and shows every frame to `visit` in presentation order; `Break` ends early.
///
/// # Errors
/// `Broken` when a packet does not decode, a frame is damaged or a packet yields no frame: an
/// incomplete decode is a failure, not a result. Errors of `visit` are passed on.
pub fn decode(
    path: &Path,
    limits: &Limits,
    visit: &mut dyn FnMut(&mut Frame<'_>) -> Result<ControlFlow<()>, MediaError>,
) -> Result<DecodeReport, MediaError> {
    FrameReader::of(path, limits)?.show(visit)
}

/// Decodes those frames of a core, as [`mask_clip`](crate::mask_clip) wrote it, that lie in `times`
/// and shows them with their source PTS. `times` are those of whole closed groups, rising
/// ([`MaskReport::encoded`](crate::MaskReport::encoded)); source PTS ticks of `time_base`.
///
/// # Errors
/// As [`decode`].
pub fn decode_core(
    core: &Path,
    span: &ClipSpan,
    time_base: Rational,
    times: &[Range<i64>],
    limits: &Limits,
    visit: &mut dyn FnMut(i64, &mut Frame<'_>) -> Result<(), MediaError>,
) -> Result<(), MediaError> {
    let mut reader = FrameReader::of(core, limits)?;
    let own_base = reader.time_base;
    let ticks = |pts: i64| rescale(pts - span.core_start, time_base, own_base);
    for times in times {
        reader.go_on(ticks(times.start)..ticks(times.end));
        while let Some(mut frame) = reader.next()? {
            let pts = rescale(frame.pts, own_base, time_base) + span.core_start;
            visit(pts, &mut frame)?;
        }
    }
    Ok(())
}

/// Decodes a file frame by frame.
pub(crate) struct FrameReader {
    pub(crate) time_base: Rational,
    pub(crate) decoder: ff::decoder::Video,
    pub(crate) orientation: Orientation,
    /// Width by height of a pixel; 0 when nothing says.
    pub(crate) pixel_aspect: ff::Rational,
    source: Source,
    codec: ff::codec::Id,
    converter: Converter,
    current: ff::frame::Video,
    limits: Limits,
    /// Of every frame, px.
    size: (u32, u32),
    /// Packets that must become frames.
    expected: u32,
    frames: u32,
    is_draining: bool,
    leading: Leading,
    /// Of the packets that are decoded, ticks.
    times: Range<i64>,
    /// Where not all frames are wanted.
    choice: Option<Choice>,
}

/// Frames that cannot be decoded, because reading began in the middle of the film.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leading {
    /// Reading began at the beginning.
    None,
    /// All, as the first key frame has not been met.
    All,
    /// Those displayed before this time.
    Before(i64),
}

/// Whether pictures (px) take too much memory for a thread more, or for a decoder more.
pub(crate) fn is_large((width, height): (u32, u32)) -> bool {
    const LARGE: u64 = 1920 * 1088;
    u64::from(width) * u64::from(height) > LARGE
}

/// Threads of a decoder. Frames leave it in turn, and while its caller is busy with one the others have to wait: one
/// more keeps `threads` cores at work.
fn decoders(threads: usize, size: (u32, u32)) -> usize {
    if threads < 2 || is_large(size) { threads.max(1) } else { threads + 1 }
}

impl FrameReader {
    /// Frames come out in the size that the file states.
    pub(crate) fn of(path: &Path, limits: &Limits) -> Result<Self, MediaError> {
        let size = Source::open_video(path, limits)?.stated_size()?;
        Self::open(path, size, limits)
    }

    /// Frames come out in `size` (px, as coded): where the film changes its picture size, those
    /// of another are fitted into it.
    pub(crate) fn open(path: &Path, size: (u32, u32), limits: &Limits) -> Result<Self, MediaError> {
        let source = Source::open_video(path, limits)?;
        let codec = source.codec(source.video)?;
        let time_base = source.time_base(source.video)?;
        let implementation = ff::decoder::find(codec).ok_or_else(|| MediaError::Unsupported {
            what: format!("the codec {}", codec.name()),
        })?;
        let context =
            ff::codec::Context::from_parameters(source.stream(source.video)?.parameters())
                .map_err(|e| MediaError::reading("its codec header", e))?;
        let mut options = ff::Dictionary::new();
        options.set("max_pixels", &limits.max_pixels.to_string());
        options.set("threads", &decoders(limits.threads, size).to_string());
        let decoder = context
            .decoder()
            .open_as_with(implementation, options)
            .and_then(ff::decoder::Opened::video)
            .map_err(|e| MediaError::reading("its codec header", e))?;
        Ok(Self {
            time_base,
            decoder,
            orientation: source.orientation()?,
            pixel_aspect: source.facts(source.video)?.pixel_aspect,
            source,
            codec,
            converter: Converter::default(),
            current: ff::frame::Video::empty(),
            limits: limits.clone(),
            size,
            expected: 0,
            frames: 0,
            is_draining: false,
            leading: Leading::None,
            times: i64::MIN..i64::MAX,
            choice: None,
        })
    }

    /// Shows all frames that come out; `Break` ends early.
    pub(crate) fn show(
        mut self,
        visit: &mut dyn FnMut(&mut Frame<'_>) -> Result<ControlFlow<()>, MediaError>,
    ) -> Result<DecodeReport, MediaError> {
        let time_base = self.time_base;
        let mut report = DecodeReport { frames: 0, first_pts: None, last_pts: None, time_base };
        while let Some(mut frame) = self.next()? {
            report.frames += 1;
            report.first_pts = report.first_pts.or(Some(frame.pts));
            report.last_pts = Some(frame.pts);
            if visit(&mut frame)?.is_break() {
                break;
            }
        }
        Ok(report)
    }

    /// From now on only these frames come out.
    pub(crate) fn choose(&mut self, choice: Choice) {
        self.choice = Some(choice);
    }

    /// Goes on at the last key frame at or before `pts` (ticks), as far as the index knows. Frames
    /// that are displayed before that key frame may need others from before it: they are left out.
    pub(crate) fn seek(&mut self, pts: i64) -> Result<(), ff::Error> {
        self.source.seek(pts)?;
        self.leading = Leading::All;
        Ok(())
    }

    /// Goes on with the frames of `times` (ticks), which are those of whole closed groups, behind
    /// what was read before; [`next`](Self::next) ends with them.
    pub(crate) fn go_on(&mut self, times: Range<i64>) {
        if self.is_draining {
            self.decoder.flush();
            self.is_draining = false;
        }
        self.times = times;
    }

    /// The next frame in presentation order; `None` after the last, when all are complete.
    pub(crate) fn next(&mut self) -> Result<Option<Frame<'_>>, MediaError> {
        while !self.receive()? {
            if self.is_draining {
                return match self.leading {
                    Leading::None => self.check_complete().map(|()| None),
                    Leading::All | Leading::Before(_) => Ok(None),
                };
            }
            self.send()?;
        }
        let pts = self
            .current
            .pts()
            .or(self.current.timestamp())
            .ok_or_else(|| MediaError::broken("a frame has no time stamp"))?;
        let index = self.frames;
        self.frames += 1;
        Ok(Some(Frame {
            video: &mut self.current,
            converter: &mut self.converter,
            orientation: self.orientation,
            index,
            pts,
        }))
    }

    fn receive(&mut self) -> Result<bool, MediaError> {
        self.limits.cancel.check()?;
        match self.decoder.receive_frame(&mut self.current) {
            Ok(()) => {}
            Err(ff::Error::Eof | ff::Error::Other { errno: libc::EAGAIN }) => return Ok(false),
            Err(error) => {
                return Err(MediaError::reading(&format!("frame {}", self.frames), error));
            }
        }
        self.limits.check_picture(self.current.width(), self.current.height())?;
        if self.is_leading() {
            return self.receive();
        }
        if self.current.is_corrupt() || self.current.has_decode_errors() {
            return Err(MediaError::broken(format!("frame {} is damaged", self.frames)));
        }
        if self.is_passed_over() {
            return self.receive();
        }
        if (self.current.width(), self.current.height()) != self.size {
            self.current = self.converter.fitted(&self.current, self.size)?;
        }
        Ok(true)
    }

    fn is_leading(&self) -> bool {
        match self.leading {
            Leading::None => false,
            Leading::All => true,
            Leading::Before(key_frame) => self.current.pts().is_some_and(|pts| pts < key_frame),
        }
    }

    fn is_passed_over(&self) -> bool {
        let Some(choice) = &self.choice else { return false };
        let pts = self.current.pts().or(self.current.timestamp());
        !pts.is_some_and(|pts| choice.frames.contains(&pts))
    }

    fn send(&mut self) -> Result<(), MediaError> {
        let sent = match self.source.next_video_of(&self.times)? {
            Some((pts, packet)) => {
                let need = self.choice.as_mut().map_or(Need::Frame, Choice::next);
                if need == Need::Nothing {
                    return Ok(());
                }
                if self.choice.as_ref().is_some_and(|choice| choice.is_sparing) {
                    let is_wanted = need == Need::Frame;
                    let left_out = if is_wanted { Discard::Default } else { Discard::NonReference };
                    self.decoder.skip_frame(left_out);
                }
                if self.leading == Leading::All && packet.is_key() {
                    self.leading = Leading::Before(pts);
                }
                self.expected += u32::from(need == Need::Frame && is_shown(&packet, self.codec));
                self.decoder.send_packet(&packet)
            }
            None => {
                self.is_draining = true;
                self.decoder.send_eof()
            }
        };
        sent.map_err(|e| MediaError::reading(&format!("packet {}", self.expected), e))
    }

    fn check_complete(&self) -> Result<(), MediaError> {
        if self.frames == self.expected {
            return Ok(());
        }
        let detail = format!("{} of {} frames decode", self.frames, self.expected);
        Err(MediaError::Broken { detail })
    }
}
