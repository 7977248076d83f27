//! The video encoder: libx264, set up in the same way for every clip of a run.

use ff::format::Pixel;
use ffmpeg_next as ff;

use crate::picture::is_full_range;
use crate::{MediaError, Probe, Render};

/// Seconds between key frames: players seek to them, packagers cut at them.
const KEY_FRAME_SECONDS: f64 = 2.0;

/// Places that a packet comes before its display, at most: x264 reorders so far with its pyramid
/// of B-frames.
pub(crate) const REORDER: usize = 2;

/// An open encoder.
pub(crate) struct Encoder {
    inner: ff::encoder::video::Encoder,
}

impl Encoder {
    /// Opens the encoder for frames like those of `decoder`. Everything that reaches the headers
    /// comes from the run (`probe`, `render`) or from the source's own headers, so that the clips
    /// of a run, and all stretches of a clip, share one avcC. `pixel_aspect` is width by height, `parameter_set` the id of the
    /// SPS and PPS.
    pub(crate) fn open(
        probe: &Probe,
        render: &Render,
        decoder: &ff::decoder::Video,
        pixel_aspect: ff::Rational,
        parameter_set: u32,
    ) -> Result<Self, MediaError> {
        let codec = ff::encoder::find_by_name("libx264").ok_or_else(|| {
            MediaError::internal("this ffmpeg has no libx264; install one that has")
        })?;
        let mut video = ff::codec::Context::new_with_codec(codec)
            .encoder()
            .video()
            .map_err(|e| MediaError::writing("libx264", e))?;
        let rate = probe.frame_rate;
        video.set_width(probe.coded_width.next_multiple_of(2));
        video.set_height(probe.coded_height.next_multiple_of(2));
        video.set_aspect_ratio(pixel_aspect);
        video.set_format(Pixel::YUV420P);
        video.set_time_base(ff::Rational(probe.time_base.num, probe.time_base.den));
        video.set_frame_rate(Some(ff::Rational(rate.num, rate.den)));
        video.set_gop((rate.as_f64() * KEY_FRAME_SECONDS).clamp(12.0, 250.0).round() as u32);
        video.set_colorspace(decoder.color_space());
        video.set_color_range(if is_full(decoder) {
            ff::color::Range::JPEG
        } else {
            decoder.color_range()
        });
        video.set_color_primaries(decoder.color_primaries());
        video.set_color_transfer_characteristic(decoder.color_transfer_characteristic());
        video.set_flags(ff::codec::Flags::GLOBAL_HEADER | ff::codec::Flags::CLOSED_GOP);
        let mut options = ff::Dictionary::new();
        options.set("preset", &render.preset);
        options.set("crf", &render.crf.to_string());
        options.set("threads", &render.threads.to_string());
        // NAL units behind their lengths, as in mp4: packets that are copied have them so, too.
        options.set("x264-params", &format!("annexb=0:sps-id={parameter_set}"));
        let inner = video.open_with(options).map_err(|e| MediaError::writing("libx264", e))?;
        Ok(Self { inner })
    }

    pub(crate) fn context(&self) -> &ff::codec::Context {
        self.inner.as_ref()
    }

    /// Takes a frame with its time in source ticks.
    pub(crate) fn send(
        &mut self,
        frame: &mut ff::frame::Video,
        pts: i64,
    ) -> Result<(), MediaError> {
        if is_full_range(frame) {
            // The same pixels under the name that is not deprecated.
            frame.set_format(Pixel::YUV420P);
            frame.set_color_range(ff::color::Range::JPEG);
        }
        frame.set_pts(Some(pts));
        // The source's choice of I, P and B frames is not ours.
        frame.set_kind(ff::picture::Type::None);
        self.inner.send_frame(frame).map_err(|e| MediaError::writing("libx264", e))
    }

    pub(crate) fn finish(&mut self) -> Result<(), MediaError> {
        self.inner.send_eof().map_err(|e| MediaError::writing("libx264", e))
    }

    /// The next packet that is ready.
    pub(crate) fn receive(&mut self) -> Result<Option<ff::Packet>, MediaError> {
        let mut packet = ff::Packet::empty();
        match self.inner.receive_packet(&mut packet) {
            Ok(()) => Ok(Some(packet)),
            Err(ff::Error::Eof | ff::Error::Other { errno: libc::EAGAIN }) => Ok(None),
            Err(error) => Err(MediaError::writing("libx264", error)),
        }
    }
}

fn is_full(decoder: &ff::decoder::Video) -> bool {
    decoder.color_range() == ff::color::Range::JPEG
        || matches!(decoder.format(), Pixel::YUVJ420P | Pixel::YUVJ422P | Pixel::YUVJ444P)
}
