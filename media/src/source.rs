//! An open media file: its video stream, its sound, its packets.

use std::ops::Range;
use std::path::Path;

use ff::codec::Id;
use ff::format::stream::{Disposition, Stream};
use ffmpeg_next as ff;

use crate::container::{Container, recognise};
use crate::ffi::{self, StreamFacts};
use crate::h264::AvcConfig;
use crate::intake::Intake;
use crate::orientation::Orientation;
use crate::repeats::Repeats;
use crate::{Limits, MediaError, Rational};

/// A file that is being read packet by packet.
pub(crate) struct Source {
    pub(crate) container: Container,
    pub(crate) input: ff::format::context::Input,
    pub(crate) video: usize,
    pub(crate) audio: Option<usize>,
    intake: Intake,
    /// Of the video stream, as the container states it, px.
    stated_size: Option<(u32, u32)>,
    limits: Limits,
    packets: u64,
    /// A packet of the video that was read too early.
    held: Option<(i64, ff::Packet)>,
}

impl Source {
    /// Opens a file with the demuxer that its magic bytes name.
    pub(crate) fn open(path: &Path, limits: &Limits) -> Result<Self, MediaError> {
        let container = recognise(path)?;
        let ffi::Opened { mut input, stated_sizes } =
            ffi::open_input(path, container.demuxer(), limits)?;
        let video = best_video(&input).ok_or(MediaError::NoVideo)?;
        let audio = input.streams().best(ff::media::Type::Audio).map(|stream| stream.index());
        let codec = input.stream(video).map(|stream| stream.parameters().id());
        check_codec(codec.unwrap_or(Id::None))?;
        let intake = Intake::open(container, &mut input, video)?;
        let stated_size = stated_sizes.get(video).copied().filter(|size| size.0 > 0 && size.1 > 0);
        let limits = limits.clone();
        Ok(Self {
            container,
            input,
            video,
            audio,
            intake,
            stated_size,
            limits,
            packets: 0,
            held: None,
        })
    }

    /// Opens a file and reads only its video packets.
    pub(crate) fn open_video(path: &Path, limits: &Limits) -> Result<Self, MediaError> {
        let mut source = Self::open(path, limits)?;
        ffi::read_only(&mut source.input, &[source.video]);
        Ok(source)
    }

    pub(crate) fn stream(&self, index: usize) -> Result<Stream<'_>, MediaError> {
        self.input.stream(index).ok_or_else(|| MediaError::internal("a stream has gone"))
    }

    pub(crate) fn facts(&self, index: usize) -> Result<StreamFacts, MediaError> {
        Ok(ffi::stream_facts(&self.stream(index)?))
    }

    pub(crate) fn codec(&self, index: usize) -> Result<Id, MediaError> {
        Ok(self.stream(index)?.parameters().id())
    }

    pub(crate) fn time_base(&self, index: usize) -> Result<Rational, MediaError> {
        let time_base = rational(self.stream(index)?.time_base());
        if time_base.num <= 0 || time_base.den <= 0 {
            return Err(MediaError::broken("a stream has no time base"));
        }
        Ok(time_base)
    }

    /// The display matrix of the video stream as stored, 36 bytes.
    pub(crate) fn display_matrix(&self) -> Result<Option<Vec<u8>>, MediaError> {
        let stream = self.stream(self.video)?;
        let matrix = stream
            .side_data()
            .find(|data| data.kind() == ff::packet::side_data::Type::DisplayMatrix)
            .map(|data| data.data().to_vec());
        Ok(matrix)
    }

    pub(crate) fn orientation(&self) -> Result<Orientation, MediaError> {
        match self.display_matrix()? {
            Some(matrix) => Orientation::from_display_matrix(&matrix),
            None => Ok(Orientation::default()),
        }
    }

    /// Whether both films' pictures are displayed alike.
    pub(crate) fn is_displayed_as(&self, other: &Self) -> Result<bool, MediaError> {
        let (ours, theirs) = (self.facts(self.video)?, other.facts(other.video)?);
        Ok(self.display_matrix()? == other.display_matrix()?
            && self.stated_size()? == other.stated_size()?
            && (ours.width, ours.height) == (theirs.width, theirs.height)
            && ours.pixel_aspect == theirs.pixel_aspect
            && ours.pixel_format == theirs.pixel_format
            && ours.colours == theirs.colours)
    }

    /// The header of H.264 video; `None` where there is none that can be read.
    pub(crate) fn avc_config(&self) -> Result<Option<AvcConfig>, MediaError> {
        Ok(AvcConfig::parse(&self.facts(self.video)?.extradata))
    }

    /// The size of the film's pictures, px: as the container states it, or as it was found.
    pub(crate) fn stated_size(&self) -> Result<(u32, u32), MediaError> {
        let facts = self.facts(self.video)?;
        Ok(self.stated_size.unwrap_or((facts.width, facts.height)))
    }

    /// Where the film's clock begins on the container's, ms.
    pub(crate) fn origin_ms(&self) -> Result<i64, MediaError> {
        Ok(self.intake.origin_ms(self.time_base(self.video)?))
    }

    /// A count of how often packets of its picture and sound come again.
    pub(crate) fn repeats(&self) -> Repeats {
        let streams = std::iter::once(self.video).chain(self.audio);
        Repeats::new(self.container, streams, self.limits.max_repeats)
    }

    /// Moves to the last key frame of the video at or before `pts` (ticks), as far as the index
    /// knows.
    pub(crate) fn seek(&mut self, pts: i64) -> Result<(), ff::Error> {
        let pts = self.intake.to_container(self.video, pts);
        ffi::seek(&mut self.input, self.video, pts)?;
        self.intake.clear();
        self.held = None;
        Ok(())
    }

    /// The next packet of any stream that is read; `None` at the end. Its times are those of the
    /// film, which begins where the earliest stream does in containers whose clock runs on.
    pub(crate) fn next_packet(&mut self) -> Result<Option<ff::Packet>, MediaError> {
        loop {
            if let Some(packet) = self.intake.next() {
                return Ok(Some(packet));
            }
            if self.intake.is_finished() {
                return Ok(None);
            }
            let packet = self.demux()?;
            self.intake.take(packet)?;
        }
    }

    fn demux(&mut self) -> Result<Option<ff::Packet>, MediaError> {
        self.limits.cancel.check()?;
        let mut packet = ff::Packet::empty();
        match packet.read(&mut self.input) {
            Ok(()) => {}
            Err(ff::Error::Eof) => return Ok(None),
            Err(error) => return Err(MediaError::reading("a packet", error)),
        }
        self.packets += 1;
        if self.packets > self.limits.max_packets {
            return Err(MediaError::TooLarge {
                what: "packets",
                limit: self.limits.max_packets,
                actual: self.packets,
            });
        }
        if packet.is_corrupt() {
            let at = self.packets;
            return Err(match self.container {
                Container::TransportStream => {
                    MediaError::broken(format!("parts of packet {at} are missing"))
                }
                _ => MediaError::Truncated {
                    detail: format!("packet {at} ends before its data does"),
                },
            });
        }
        Ok(Some(packet))
    }

    /// The next packet of the video stream, with its PTS.
    pub(crate) fn next_video(&mut self) -> Result<Option<(i64, ff::Packet)>, MediaError> {
        if let Some(held) = self.held.take() {
            return Ok(Some(held));
        }
        while let Some(packet) = self.next_packet()? {
            if packet.stream() == self.video {
                let pts = packet
                    .pts()
                    .ok_or_else(|| MediaError::broken("a video packet has no time stamp"))?;
                return Ok(Some((pts, packet)));
            }
        }
        Ok(None)
    }

    /// The next packet of the video whose PTS lies in `times`: those before are passed over, and the
    /// first behind is kept for the next call.
    pub(crate) fn next_video_of(
        &mut self,
        times: &Range<i64>,
    ) -> Result<Option<(i64, ff::Packet)>, MediaError> {
        while let Some((pts, packet)) = self.next_video()? {
            if pts >= times.end {
                self.held = Some((pts, packet));
                return Ok(None);
            }
            if pts >= times.start {
                return Ok(Some((pts, packet)));
            }
        }
        Ok(None)
    }
}

/// Whether a packet becomes a displayed frame: not those hidden by an edit list, and not VP8's
/// alternate reference frames, which only serve prediction (RFC 6386, 9.1: `show_frame`).
pub(crate) fn is_shown(packet: &ff::Packet, codec: Id) -> bool {
    let is_reference_only = codec == Id::VP8
        && packet.data().and_then(<[u8]>::first).is_some_and(|first| first & 0x10 == 0);
    !is_reference_only && !ffi::is_hidden(packet)
}

/// Whether a packet brings the decoder another header than the stream's, as where an mp4 has several.
pub(crate) fn changes_header(packet: &ff::Packet) -> bool {
    use ff::packet::side_data::Type::{NewExtraData, ParamChange};
    packet.side_data().any(|data| matches!(data.kind(), NewExtraData | ParamChange))
}

/// The muxer that carries packets of `codec` as they are: mp4 where it can.
pub(crate) fn muxer_for(codec: Id) -> &'static str {
    match codec {
        Id::VP8 => "matroska",
        Id::PRORES | Id::DNXHD => "mov",
        _ => "mp4",
    }
}

pub(crate) fn rational(value: ff::Rational) -> Rational {
    Rational { num: value.numerator(), den: value.denominator() }
}

fn best_video(input: &ff::format::context::Input) -> Option<usize> {
    let is_film = |stream: &Stream<'_>| {
        stream.parameters().medium() == ff::media::Type::Video
            && !stream.disposition().contains(Disposition::ATTACHED_PIC)
    };
    input
        .streams()
        .best(ff::media::Type::Video)
        .filter(is_film)
        .or_else(|| input.streams().find(is_film))
        .map(|stream| stream.index())
}

/// Only codecs that cameras, browsers and editors write: each decoder is attack surface.
fn check_codec(codec: Id) -> Result<(), MediaError> {
    match codec {
        Id::H264
        | Id::HEVC
        | Id::VP8
        | Id::VP9
        | Id::AV1
        | Id::MPEG4
        | Id::MPEG2VIDEO
        | Id::MJPEG
        | Id::PRORES
        | Id::DNXHD => Ok(()),
        other => Err(MediaError::Unsupported { what: format!("the codec {}", other.name()) }),
    }
}
