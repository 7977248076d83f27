//! The sound of a film: copied packet for packet (AAC) or transcoded once over its whole length.

use std::collections::VecDeque;
use std::path::Path;

use ff::ChannelLayout;
use ff::format::Sample;
use ff::format::sample::Type::Planar;
use ffmpeg_next as ff;

use crate::output::Writer;
use crate::schedule::rescale;
use crate::source::Source;
use crate::stitch::AudioOutcome;
use crate::{Limits, MediaError, Rational, ffi};

/// Rates that AAC knows (ISO 14496-3, table 1.18).
const AAC_RATES: [u32; 12] =
    [96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000];
/// Gaps and overlaps of the source shorter than this are rounding of its time stamps, s.
const AUDIBLE_GAP_SECONDS: f64 = 0.05;

/// The sound stream of a source, packet by packet.
pub(crate) struct Sound {
    source: Source,
    stream: usize,
    encoding: Option<Transcoder>,
    waiting: Option<ff::Packet>,
}

impl Sound {
    /// `None` when the source has no sound.
    pub(crate) fn open(
        path: &Path,
        is_copied: bool,
        limits: &Limits,
    ) -> Result<Option<Self>, MediaError> {
        let mut source = Source::open(path, limits)?;
        let Some(stream) = source.audio else { return Ok(None) };
        ffi::read_only(&mut source.input, &[stream]);
        let encoding = if is_copied { None } else { Some(Transcoder::open(&source, stream)?) };
        let mut sound = Self { source, stream, encoding, waiting: None };
        sound.waiting = sound.next()?;
        // A stream without packets is no sound.
        Ok(sound.waiting.is_some().then_some(sound))
    }

    pub(crate) fn outcome(&self) -> AudioOutcome {
        if self.encoding.is_some() { AudioOutcome::Transcoded } else { AudioOutcome::Copied }
    }

    /// Seconds per tick of the packets.
    pub(crate) fn time_base(&self) -> Rational {
        match &self.encoding {
            Some(encoding) => encoding.time_base,
            None => self.source.time_base(self.stream).unwrap_or(Rational { num: 1, den: 1000 }),
        }
    }

    pub(crate) fn add_to(&self, writer: &mut Writer) -> Result<usize, MediaError> {
        match &self.encoding {
            Some(encoding) => writer.add_encoder(encoding.encoder.as_ref(), encoding.time_base),
            None => writer.add_copy(&self.source.stream(self.stream)?, self.time_base()),
        }
    }

    /// The next packet that begins before `until` (ticks of [`time_base`](Self::time_base)).
    pub(crate) fn next_until(&mut self, until: i64) -> Result<Option<ff::Packet>, MediaError> {
        let is_due = |packet: &ff::Packet| {
            until == i64::MAX || packet.dts().or(packet.pts()).is_none_or(|dts| dts <= until)
        };
        if !self.waiting.as_ref().is_some_and(is_due) {
            return Ok(None);
        }
        let due = self.waiting.take();
        self.waiting = self.next()?;
        Ok(due)
    }

    fn next(&mut self) -> Result<Option<ff::Packet>, MediaError> {
        let Some(encoding) = &mut self.encoding else {
            return next_of(&mut self.source, self.stream);
        };
        loop {
            if let Some(packet) = encoding.ready.pop_front() {
                return Ok(Some(packet));
            }
            if encoding.is_finished {
                return Ok(None);
            }
            match next_of(&mut self.source, self.stream)? {
                Some(packet) => encoding.take(&packet)?,
                None => encoding.finish()?,
            }
        }
    }
}

fn next_of(source: &mut Source, stream: usize) -> Result<Option<ff::Packet>, MediaError> {
    while let Some(packet) = source.next_packet()? {
        if packet.stream() == stream {
            return Ok(Some(packet));
        }
    }
    Ok(None)
}

/// Decodes any sound and encodes it to AAC, mono or stereo.
struct Transcoder {
    decoder: ff::decoder::Audio,
    /// Seconds per tick of what is decoded.
    decoder_base: Rational,
    resampler: Option<Resampler>,
    encoder: ff::encoder::audio::Encoder,
    layout: ChannelLayout,
    rate: u32,
    time_base: Rational,
    samples: Samples,
    ready: VecDeque<ff::Packet>,
    is_finished: bool,
}

/// A resampler and the frames it was made for.
struct Resampler {
    format: Sample,
    layout: ChannelLayout,
    rate: u32,
    context: ff::software::resampling::Context,
}

/// Samples that wait for the encoder, channel by channel.
struct Samples {
    channels: Vec<VecDeque<f32>>,
    /// Position of the first waiting sample on the film's clock; `None` before any came.
    position: Option<i64>,
}

impl Samples {
    fn len(&self) -> usize {
        self.channels.first().map_or(0, VecDeque::len)
    }

    /// Adds silence where the source has a gap, and takes away what still waits where it overlaps,
    /// so that what follows stays with the picture.
    fn fill_until(&mut self, position: i64, rate: u32) {
        let Some(first) = self.position else {
            self.position = Some(position);
            return;
        };
        let gap = position - (first + self.len() as i64);
        if gap as f64 > AUDIBLE_GAP_SECONDS * f64::from(rate) {
            for channel in &mut self.channels {
                channel.extend(std::iter::repeat_n(0.0, gap as usize));
            }
        } else if (-gap) as f64 > AUDIBLE_GAP_SECONDS * f64::from(rate) {
            for channel in &mut self.channels {
                channel.truncate(channel.len().saturating_sub(gap.unsigned_abs() as usize));
            }
        }
    }
}

impl Transcoder {
    fn open(source: &Source, stream: usize) -> Result<Self, MediaError> {
        let codec = source.codec(stream)?;
        let unsupported =
            || MediaError::Unsupported { what: format!("the sound codec {}", codec.name()) };
        let implementation = ff::decoder::find(codec).ok_or_else(unsupported)?;
        let decoder_base = source.time_base(stream)?;
        let mut context = ff::codec::Context::from_parameters(source.stream(stream)?.parameters())
            .map_err(|e| MediaError::reading("its sound header", e))?
            .decoder();
        // Without its clock the decoder cannot trim the samples that a codec starts with.
        context.set_packet_time_base(ff::Rational(decoder_base.num, decoder_base.den));
        let decoder = context
            .open_as(implementation)
            .and_then(ff::decoder::Opened::audio)
            .map_err(|e| MediaError::reading("its sound header", e))?;
        let facts = source.facts(stream)?;
        let rate = if AAC_RATES.contains(&facts.sample_rate) { facts.sample_rate } else { 48000 };
        let (channels, layout) =
            if facts.channels == 1 { (1, ChannelLayout::MONO) } else { (2, ChannelLayout::STEREO) };
        let time_base = Rational {
            num: 1,
            den: i32::try_from(rate).map_err(|_| MediaError::internal("a sample rate"))?,
        };
        Ok(Self {
            decoder,
            decoder_base,
            resampler: None,
            encoder: encoder(rate, channels, layout)?,
            layout,
            rate,
            time_base,
            samples: Samples { channels: vec![VecDeque::new(); channels as usize], position: None },
            ready: VecDeque::new(),
            is_finished: false,
        })
    }

    fn take(&mut self, packet: &ff::Packet) -> Result<(), MediaError> {
        self.decoder.send_packet(packet).map_err(|e| MediaError::reading("its sound", e))?;
        self.decode()
    }

    fn finish(&mut self) -> Result<(), MediaError> {
        self.decoder.send_eof().map_err(|e| MediaError::reading("its sound", e))?;
        self.decode()?;
        self.flush_resampler()?;
        self.encode(1)?;
        self.encoder.send_eof().map_err(|e| MediaError::writing("aac", e))?;
        self.drain()?;
        self.is_finished = true;
        Ok(())
    }

    fn decode(&mut self) -> Result<(), MediaError> {
        loop {
            let mut frame = ff::frame::Audio::empty();
            match self.decoder.receive_frame(&mut frame) {
                Ok(()) => {}
                Err(ff::Error::Eof | ff::Error::Other { errno: libc::EAGAIN }) => break,
                Err(error) => return Err(MediaError::reading("its sound", error)),
            }
            if frame.channel_layout().is_empty() {
                frame.set_channel_layout(ChannelLayout::default(i32::from(frame.channels())));
            }
            if let Some(pts) = frame.timestamp().or(frame.pts()) {
                self.samples.fill_until(rescale(pts, self.decoder_base, self.time_base), self.rate);
            }
            self.resample(&frame)?;
        }
        self.encode(self.encoder.frame_size().max(1) as usize)
    }

    fn resample(&mut self, frame: &ff::frame::Audio) -> Result<(), MediaError> {
        let (format, layout, rate) = (frame.format(), frame.channel_layout(), frame.rate());
        let fits =
            |kept: &Resampler| (kept.format, kept.layout, kept.rate) == (format, layout, rate);
        if !self.resampler.as_ref().is_some_and(fits) {
            self.flush_resampler()?;
            let context = ff::software::resampling::Context::get(
                format,
                layout,
                rate,
                Sample::F32(Planar),
                self.layout,
                self.rate,
            )
            .map_err(|e| MediaError::writing("a sound conversion", e))?;
            self.resampler = Some(Resampler { format, layout, rate, context });
        }
        let Some(resampler) = &mut self.resampler else { return Ok(()) };
        // Room for what the resampler still holds and for a higher rate.
        let room = frame.samples() * self.rate.div_ceil(rate.max(1)) as usize + 1024;
        let mut out = ff::frame::Audio::new(Sample::F32(Planar), room, self.layout);
        resampler
            .context
            .run(frame, &mut out)
            .map_err(|e| MediaError::writing("a sound conversion", e))?;
        self.append(&out);
        Ok(())
    }

    fn flush_resampler(&mut self) -> Result<(), MediaError> {
        let Some(mut resampler) = self.resampler.take() else { return Ok(()) };
        if resampler.rate == self.rate {
            return Ok(());
        }
        let mut out = ff::frame::Audio::new(Sample::F32(Planar), 4096, self.layout);
        resampler
            .context
            .flush(&mut out)
            .map_err(|e| MediaError::writing("a sound conversion", e))?;
        self.append(&out);
        Ok(())
    }

    fn append(&mut self, frame: &ff::frame::Audio) {
        for (index, channel) in self.samples.channels.iter_mut().enumerate() {
            channel.extend(frame.plane::<f32>(index));
        }
    }

    /// Encodes as long as at least `least` samples wait; the last frame may be short.
    fn encode(&mut self, least: usize) -> Result<(), MediaError> {
        let frame_size = self.encoder.frame_size().max(1) as usize;
        while self.samples.len() >= least.max(1) {
            let count = self.samples.len().min(frame_size);
            let mut frame = ff::frame::Audio::new(Sample::F32(Planar), count, self.layout);
            frame.set_rate(self.rate);
            for (index, channel) in self.samples.channels.iter_mut().enumerate() {
                for (to, from) in
                    frame.plane_mut::<f32>(index).iter_mut().zip(channel.drain(..count))
                {
                    *to = from;
                }
            }
            let position = self.samples.position.unwrap_or(0);
            frame.set_pts(Some(position));
            self.samples.position = Some(position + count as i64);
            self.encoder.send_frame(&frame).map_err(|e| MediaError::writing("aac", e))?;
            self.drain()?;
        }
        Ok(())
    }

    fn drain(&mut self) -> Result<(), MediaError> {
        loop {
            let mut packet = ff::Packet::empty();
            match self.encoder.receive_packet(&mut packet) {
                Ok(()) => self.ready.push_back(packet),
                Err(ff::Error::Eof | ff::Error::Other { errno: libc::EAGAIN }) => return Ok(()),
                Err(error) => return Err(MediaError::writing("aac", error)),
            }
        }
    }
}

fn encoder(
    rate: u32,
    channels: i32,
    layout: ChannelLayout,
) -> Result<ff::encoder::audio::Encoder, MediaError> {
    let failed = |e| MediaError::writing("aac", e);
    let codec = ff::encoder::find(ff::codec::Id::AAC)
        .ok_or_else(|| MediaError::internal("this ffmpeg has no AAC encoder"))?;
    let mut audio = ff::codec::Context::new_with_codec(codec).encoder().audio().map_err(failed)?;
    let rate = i32::try_from(rate).map_err(|_| MediaError::internal("a sample rate"))?;
    audio.set_rate(rate);
    audio.set_channel_layout(layout);
    audio.set_channels(channels);
    audio.set_format(Sample::F32(Planar));
    audio.set_bit_rate(if channels == 1 { 96_000 } else { 160_000 });
    audio.set_time_base(ff::Rational(1, rate));
    audio.set_flags(ff::codec::Flags::GLOBAL_HEADER);
    audio.open().map_err(failed)
}
