//! Bitstream filters and parsers of libavcodec: what a packet is, without decoding it.

use std::ffi::CStr;
use std::ptr;

use ff::ffi as av;
use ff::packet::{Mut as _, Ref as _};
use ffmpeg_next as ff;

use crate::{MediaError, Rational};

/// A bitstream filter between the demuxer and all that reads one stream.
pub(crate) struct PacketFilter {
    context: *mut av::AVBSFContext,
}

// SAFETY: the context is owned by this value alone and tied to no thread.
unsafe impl Send for PacketFilter {}

impl PacketFilter {
    /// Opens the filter `name` on a stream; the stream's codec parameters become those of what
    /// comes out.
    pub(crate) fn open(
        name: &CStr,
        stream: &mut ff::format::stream::StreamMut<'_>,
    ) -> Result<Self, MediaError> {
        // SAFETY: the context is freed by `Drop` from its allocation on; the stream is open and
        // its codecpar never null; parameters are copied, not shared.
        unsafe {
            let filter = av::av_bsf_get_by_name(name.as_ptr());
            if filter.is_null() {
                let name = name.to_string_lossy();
                return Err(MediaError::internal(format!("this ffmpeg has no filter {name}")));
            }
            let mut opened = Self { context: ptr::null_mut() };
            checked(av::av_bsf_alloc(filter, &mut opened.context))?;
            let stream = stream.as_mut_ptr();
            let context = &mut *opened.context;
            checked(av::avcodec_parameters_copy(context.par_in, (*stream).codecpar))?;
            context.time_base_in = (*stream).time_base;
            checked(av::av_bsf_init(context))?;
            checked(av::avcodec_parameters_copy((*stream).codecpar, context.par_out))?;
            Ok(opened)
        }
    }

    /// Takes a packet; `None` is the end of the stream.
    pub(crate) fn send(&mut self, packet: Option<&mut ff::Packet>) -> Result<(), ff::Error> {
        // SAFETY: the context is initialised; the filter takes the packet's data over and leaves
        // an empty packet behind; null ends the stream.
        let code = unsafe {
            let packet = packet.map_or(ptr::null_mut(), |packet| packet.as_mut_ptr());
            av::av_bsf_send_packet(self.context, packet)
        };
        if code < 0 { Err(ff::Error::from(code)) } else { Ok(()) }
    }

    /// The next packet that is ready.
    pub(crate) fn receive(&mut self) -> Result<Option<ff::Packet>, ff::Error> {
        let mut packet = ff::Packet::empty();
        // SAFETY: the context is initialised and the packet empty.
        let code = unsafe { av::av_bsf_receive_packet(self.context, packet.as_mut_ptr()) };
        match ff::Error::from(code) {
            _ if code >= 0 => Ok(Some(packet)),
            ff::Error::Eof | ff::Error::Other { errno: libc::EAGAIN } => Ok(None),
            error => Err(error),
        }
    }

    /// Forgets what it holds, after a seek.
    pub(crate) fn flush(&mut self) {
        // SAFETY: the context is initialised.
        unsafe { av::av_bsf_flush(self.context) };
    }
}

impl Drop for PacketFilter {
    fn drop(&mut self) {
        // SAFETY: the context is this value's own; null is allowed.
        unsafe { av::av_bsf_free(&mut self.context) };
    }
}

/// What a codec's parser sees in a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Picture {
    /// Displayed before the reference picture that was decoded before it.
    pub(crate) is_bidirectional: bool,
    /// The picture order count (H.264, 8.2.1; H.265, 8.3.1); 0 for codecs without one.
    pub(crate) order_count: i32,
}

/// A parser that reads the headers of whole packets.
pub(crate) struct PictureParser {
    parser: *mut av::AVCodecParserContext,
    context: ff::codec::Context,
}

// SAFETY: parser and context are owned by this value alone and tied to no thread.
unsafe impl Send for PictureParser {}

impl PictureParser {
    /// A parser for a stream's codec.
    pub(crate) fn open(stream: &ff::format::stream::Stream<'_>) -> Result<Self, MediaError> {
        let codec = stream.parameters();
        let context = ff::codec::Context::from_parameters(codec)
            .map_err(|e| MediaError::reading("its codec header", e))?;
        // SAFETY: the stream's codecpar is never null; the parser is freed by `Drop`.
        let parser = unsafe {
            let id = (*(*stream.as_ptr()).codecpar).codec_id;
            av::av_parser_init(id as libc::c_int)
        };
        if parser.is_null() {
            return Err(MediaError::internal("this ffmpeg has no parser for the codec"));
        }
        // SAFETY: it was just checked not to be null.
        unsafe { (*parser).flags |= av::PARSER_FLAG_COMPLETE_FRAMES };
        Ok(Self { parser, context })
    }

    /// Reads the headers of one packet.
    pub(crate) fn see(&mut self, packet: &ff::Packet) -> Picture {
        // SAFETY: parser and context live; packets carry the padding that the parser wants; with
        // complete frames the output is the input and is not kept.
        unsafe {
            let raw = &*packet.as_ptr();
            let (mut out, mut size) = (ptr::null_mut(), 0);
            av::av_parser_parse2(
                self.parser,
                self.context.as_mut_ptr(),
                &mut out,
                &mut size,
                raw.data,
                raw.size,
                raw.pts,
                raw.dts,
                raw.pos,
            );
            Picture {
                is_bidirectional: (*self.parser).pict_type
                    == av::AVPictureType::AV_PICTURE_TYPE_B as libc::c_int,
                order_count: (*self.parser).output_picture_number,
            }
        }
    }
}

impl Drop for PictureParser {
    fn drop(&mut self) {
        // SAFETY: the parser is this value's own and not null.
        unsafe { av::av_parser_close(self.parser) };
    }
}

/// Where the clock of a file begins, in ticks of `time_base`; 0 when it does not say.
pub(crate) fn clock_start(input: &ff::format::context::Input, time_base: Rational) -> i64 {
    // SAFETY: the context is open.
    let start = unsafe { (*input.as_ptr()).start_time };
    let of_ffmpeg = Rational { num: 1, den: av::AV_TIME_BASE };
    if start == av::AV_NOPTS_VALUE {
        0
    } else {
        crate::schedule::rescale(start, of_ffmpeg, time_base)
    }
}

fn checked(code: libc::c_int) -> Result<(), MediaError> {
    if code < 0 {
        return Err(MediaError::reading("its codec header", ff::Error::from(code)));
    }
    Ok(())
}
