//! The parts of FFmpeg's C interface that `ffmpeg-next` has no safe name for.
//!
//! This is the only unsafe code of the workspace. Each function keeps its pointers inside.
#![expect(unsafe_code, reason = "FFmpeg is a C library; every block says why it is sound")]

use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;
use std::sync::Once;

use ff::ffi as av;
use ff::format::context::{Input, Output};
use ff::packet::{Mut as _, Ref as _};
use ffmpeg_next as ff;

use crate::{Limits, MediaError, Rational};

mod packets;

pub(crate) use packets::{PacketFilter, Picture, PictureParser, clock_start};

/// What a stream's header says beyond the safe interface.
#[derive(Debug, Clone)]
pub(crate) struct StreamFacts {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) pixel_format: ff::format::Pixel,
    pub(crate) is_progressive: bool,
    /// Width by height of a pixel; 0 when nothing says.
    pub(crate) pixel_aspect: ff::Rational,
    pub(crate) sample_rate: u32,
    pub(crate) channels: u16,
    pub(crate) extradata: Vec<u8>,
    /// Range, primaries, transfer, matrix and place of colours, as FFmpeg numbers them.
    pub(crate) colours: [u32; 5],
}

/// A path as a URL of FFmpeg's `file` protocol, so that a colon in a name names no protocol.
pub(crate) fn file_url(path: &Path) -> OsString {
    let mut url = OsString::from("file:");
    url.push(path);
    url
}

/// Initialises FFmpeg once and silences its log: errors are returned, not printed.
pub(crate) fn initialise() -> Result<(), MediaError> {
    static SILENCE: Once = Once::new();
    ff::init().map_err(|error| MediaError::internal(format!("ffmpeg does not start: {error}")))?;
    SILENCE.call_once(|| ff::log::set_level(ff::log::Level::Quiet));
    Ok(())
}

/// Whether this FFmpeg has a demuxer.
pub(crate) fn has_demuxer(name: &str) -> bool {
    let Ok(name) = CString::new(name) else { return false };
    // SAFETY: the string outlives the call, which returns a static description or null.
    !unsafe { av::av_find_input_format(name.as_ptr()) }.is_null()
}

/// An opened file.
pub(crate) struct Opened {
    pub(crate) input: Input,
    /// Width and height that the container states for each of its first streams, px; 0 where it
    /// states none. What FFmpeg finds in the first packets may differ.
    pub(crate) stated_sizes: Vec<(u32, u32)>,
}

/// Opens `path` with the one demuxer named and no other, and no protocol but `file`.
pub(crate) fn open_input(
    path: &Path,
    demuxer: &str,
    limits: &Limits,
) -> Result<Opened, MediaError> {
    initialise()?;
    let name = CString::new(demuxer).map_err(|_| MediaError::internal("demuxer name"))?;
    let url = CString::new(file_url(path).as_bytes())
        .map_err(|_| MediaError::internal("a path holds a zero byte"))?;
    let streams = limits.max_streams.to_string();
    let mut options = ff::Dictionary::new();
    options.set("protocol_whitelist", "file");
    options.set("format_whitelist", demuxer);
    options.set("max_streams", &streams);
    // SAFETY: both strings outlive the calls; the dictionary is taken back whatever the result;
    // on failure avformat_open_input frees the context, on success `Input` owns it.
    let opened = unsafe {
        let format = av::av_find_input_format(name.as_ptr());
        if format.is_null() {
            return Err(MediaError::internal(format!("ffmpeg lacks the demuxer {demuxer}")));
        }
        let mut context = ptr::null_mut();
        let mut options_ptr = options.disown();
        let code = av::avformat_open_input(&mut context, url.as_ptr(), format, &mut options_ptr);
        drop(ff::Dictionary::own(options_ptr));
        if code < 0 { Err(ff::Error::from(code)) } else { Ok(Input::wrap(context)) }
    };
    let mut input = match opened {
        Ok(input) => input,
        // The demuxer's answer to one stream more than `max_streams`.
        Err(ff::Error::Other { errno: libc::ENOMEM }) => {
            let limit = limits.max_streams.into();
            return Err(MediaError::TooLarge { what: "streams", limit, actual: limit + 1 });
        }
        Err(error) => return Err(MediaError::reading("its header", error)),
    };
    let mut stated_sizes = Vec::new();
    for stream in input.streams() {
        let facts = stream_facts(&stream);
        limits.check_picture(facts.width, facts.height)?;
        stated_sizes.push((facts.width, facts.height));
    }
    find_stream_info(&mut input, limits)?;
    for stream in input.streams() {
        let facts = stream_facts(&stream);
        limits.check_picture(facts.width, facts.height)?;
    }
    Ok(Opened { input, stated_sizes })
}

/// Lets FFmpeg look into the first packets, with the picture limit set on every decoder.
fn find_stream_info(input: &mut Input, limits: &Limits) -> Result<(), MediaError> {
    let pixels = limits.max_pixels.to_string();
    let count = input.nb_streams() as usize;
    // SAFETY: one dictionary per stream, as the function wants; each is taken back and freed.
    let code = unsafe {
        let mut options: Vec<_> = (0..count)
            .map(|_| {
                let mut options = ff::Dictionary::new();
                options.set("max_pixels", &pixels);
                options.set("threads", "1");
                options.disown()
            })
            .collect();
        let code = av::avformat_find_stream_info(input.as_mut_ptr(), options.as_mut_ptr());
        for options in options {
            drop(ff::Dictionary::own(options));
        }
        code
    };
    if code < 0 {
        return Err(MediaError::reading("its first packets", ff::Error::from(code)));
    }
    Ok(())
}

/// Reads a stream's codec parameters.
pub(crate) fn stream_facts(stream: &ff::format::stream::Stream<'_>) -> StreamFacts {
    // SAFETY: an open context's stream and its codecpar are never null; extradata holds
    // extradata_size bytes; the format is one of AVPixelFormat's values for video streams only;
    // guessing the aspect reads the stream and needs neither context nor frame.
    unsafe {
        let guessed = av::av_guess_sample_aspect_ratio(
            ptr::null_mut(),
            stream.as_ptr().cast_mut(),
            ptr::null_mut(),
        );
        let codec = &*(*stream.as_ptr()).codecpar;
        let is_video = codec.codec_type == av::AVMediaType::AVMEDIA_TYPE_VIDEO;
        let known = is_video && !av::av_pix_fmt_desc_get(pixel(codec.format)).is_null();
        let extradata = if codec.extradata.is_null() {
            Vec::new()
        } else {
            let length = usize::try_from(codec.extradata_size).unwrap_or(0);
            std::slice::from_raw_parts(codec.extradata, length).to_vec()
        };
        StreamFacts {
            width: u32::try_from(codec.width).unwrap_or(0),
            height: u32::try_from(codec.height).unwrap_or(0),
            pixel_format: if known { pixel(codec.format).into() } else { ff::format::Pixel::None },
            is_progressive: codec.field_order == av::AVFieldOrder::AV_FIELD_PROGRESSIVE,
            pixel_aspect: ff::Rational(guessed.num, guessed.den),
            sample_rate: u32::try_from(codec.sample_rate).unwrap_or(0),
            channels: u16::try_from(codec.ch_layout.nb_channels).unwrap_or(0),
            extradata,
            colours: [
                codec.color_range as u32,
                codec.color_primaries as u32,
                codec.color_trc as u32,
                codec.color_space as u32,
                codec.chroma_location as u32,
            ],
        }
    }
}

fn pixel(format: i32) -> av::AVPixelFormat {
    let last = av::AVPixelFormat::AV_PIX_FMT_NB as i32;
    if (0..last).contains(&format) {
        // SAFETY: FFmpeg's pixel formats are numbered without gaps from 0 to AV_PIX_FMT_NB.
        unsafe { std::mem::transmute::<i32, av::AVPixelFormat>(format) }
    } else {
        av::AVPixelFormat::AV_PIX_FMT_NONE
    }
}

/// Whether an edit list hides this packet's frame: it is decoded, not displayed.
pub(crate) fn is_hidden(packet: &ff::Packet) -> bool {
    // SAFETY: a packet is never null.
    unsafe { (*packet.as_ptr()).flags & av::AV_PKT_FLAG_DISCARD != 0 }
}

/// Lets the demuxer pass over all streams but those kept.
pub(crate) fn read_only(input: &mut Input, kept: &[usize]) {
    for index in 0..input.nb_streams() as usize {
        if let Some(mut stream) = input.stream_mut(index).filter(|_| !kept.contains(&index)) {
            // SAFETY: the stream belongs to the open context.
            unsafe { (*stream.as_mut_ptr()).discard = av::AVDiscard::AVDISCARD_ALL };
        }
    }
}

/// Moves to the last key frame of `stream` at or before `pts` (ticks), as far as the index knows.
pub(crate) fn seek(input: &mut Input, stream: usize, pts: i64) -> Result<(), ff::Error> {
    let index = i32::try_from(stream).unwrap_or(-1);
    // SAFETY: the context is open; an index out of range is an error, not undefined.
    let code =
        unsafe { av::av_seek_frame(input.as_mut_ptr(), index, pts, av::AVSEEK_FLAG_BACKWARD) };
    if code < 0 { Err(ff::Error::from(code)) } else { Ok(()) }
}

/// Makes this frame's pixels its own: decoded frames share them with the decoder's references.
pub(crate) fn make_writable(frame: &mut ff::frame::Video) -> Result<(), MediaError> {
    // SAFETY: the frame is valid; on failure it is left unchanged.
    let code = unsafe { av::av_frame_make_writable(frame.as_mut_ptr()) };
    if code < 0 {
        return Err(MediaError::writing("a frame's memory", ff::Error::from(code)));
    }
    Ok(())
}

/// Adds a stream that carries `input`'s packets as they are.
pub(crate) fn add_copied_stream(
    output: &mut Output,
    input: &ff::format::stream::Stream<'_>,
    time_base: Rational,
) -> Result<usize, MediaError> {
    // SAFETY: the new stream belongs to the output; parameters and side data are copied into it.
    unsafe {
        let stream = av::avformat_new_stream(output.as_mut_ptr(), ptr::null());
        if stream.is_null() {
            return Err(MediaError::internal("no memory for a stream"));
        }
        let from = input.as_ptr();
        let code = av::avcodec_parameters_copy((*stream).codecpar, (*from).codecpar);
        if code < 0 {
            return Err(MediaError::writing("stream parameters", ff::Error::from(code)));
        }
        // Tags differ between containers: 0 lets the muxer choose, except that players of Apple
        // want `hvc1` where FFmpeg would choose `hev1`.
        let is_hevc = (*(*stream).codecpar).codec_id == av::AVCodecID::AV_CODEC_ID_HEVC;
        (*(*stream).codecpar).codec_tag = if is_hevc { u32::from_le_bytes(*b"hvc1") } else { 0 };
        (*stream).time_base = rational(time_base);
        (*stream).avg_frame_rate = (*from).avg_frame_rate;
        let aspect =
            av::av_guess_sample_aspect_ratio(ptr::null_mut(), from.cast_mut(), ptr::null_mut());
        (*stream).sample_aspect_ratio = aspect;
        (*(*stream).codecpar).sample_aspect_ratio = aspect;
        usize::try_from((*stream).index).map_err(|_| MediaError::internal("stream index"))
    }
}

/// Adds a stream for what `encoder` makes.
pub(crate) fn add_encoded_stream(
    output: &mut Output,
    encoder: &ff::codec::Context,
    time_base: Rational,
) -> Result<usize, MediaError> {
    let mut stream =
        output.add_stream_with(encoder).map_err(|e| MediaError::writing("a stream", e))?;
    stream.set_time_base(ff::Rational::from(rational(time_base)));
    Ok(stream.index())
}

/// Replaces a stream's codec header (avcC for H.264).
pub(crate) fn set_extradata(
    output: &mut Output,
    stream: usize,
    bytes: &[u8],
) -> Result<(), MediaError> {
    let mut stream = output
        .stream_mut(stream)
        .ok_or_else(|| MediaError::internal("a stream is missing from the output"))?;
    let size = i32::try_from(bytes.len()).map_err(|_| MediaError::internal("codec header"))?;
    // SAFETY: the buffer is FFmpeg's own with the padding it asks for; the old one is freed.
    unsafe {
        let codec = &mut *(*stream.as_mut_ptr()).codecpar;
        let padded = bytes.len() + av::AV_INPUT_BUFFER_PADDING_SIZE as usize;
        let buffer = av::av_mallocz(padded).cast::<u8>();
        if buffer.is_null() {
            return Err(MediaError::internal("no memory for a codec header"));
        }
        ptr::copy_nonoverlapping(bytes.as_ptr(), buffer, bytes.len());
        av::av_freep((&raw mut codec.extradata).cast());
        codec.extradata = buffer;
        codec.extradata_size = size;
    }
    Ok(())
}

/// Gives an output stream the display matrix (rotation) of the source, 36 bytes.
pub(crate) fn set_display_matrix(
    output: &mut Output,
    stream: usize,
    matrix: &[u8],
) -> Result<(), MediaError> {
    let mut stream = output
        .stream_mut(stream)
        .ok_or_else(|| MediaError::internal("a stream is missing from the output"))?;
    // SAFETY: the side data is allocated with exactly the size that is copied.
    unsafe {
        let kind = av::AVPacketSideDataType::AV_PKT_DATA_DISPLAYMATRIX;
        let data = av::av_stream_new_side_data(stream.as_mut_ptr(), kind, matrix.len());
        if data.is_null() {
            return Err(MediaError::internal("no memory for the rotation"));
        }
        ptr::copy_nonoverlapping(matrix.as_ptr(), data, matrix.len());
    }
    Ok(())
}

/// Tells a scaler the colours of its input, so that HD and full-range pictures keep theirs.
pub(crate) fn set_colours(
    scaler: &mut ff::software::scaling::Context,
    is_bt709: bool,
    input_full: bool,
    output_full: bool,
) {
    const UNITY: i32 = 1 << 16;
    let space = if is_bt709 { av::SWS_CS_ITU709 } else { av::SWS_CS_ITU601 };
    // SAFETY: the scaler is initialised; the tables are FFmpeg's static ones.
    unsafe {
        let table = av::sws_getCoefficients(space);
        // A conversion that knows no colours answers -1 and stays as it was.
        let _unused: i32 = av::sws_setColorspaceDetails(
            scaler.as_mut_ptr(),
            table,
            input_full.into(),
            table,
            output_full.into(),
            0,
            UNITY,
            UNITY,
        );
    }
}

/// Makes a packet the output's: its place in the source file means nothing there.
pub(crate) fn detach(packet: &mut ff::Packet, stream: usize) {
    packet.set_stream(stream);
    packet.set_position(-1);
    // SAFETY: a packet is never null. The muxer derives its own time base.
    unsafe { (*packet.as_mut_ptr()).time_base = av::AVRational { num: 0, den: 1 } };
}

fn rational(value: Rational) -> av::AVRational {
    av::AVRational { num: value.num, den: value.den }
}
