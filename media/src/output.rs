//! Files that are being written: under a temporary name until they are complete.

use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use ff::format::stream::Stream;
use ffmpeg_next as ff;
use sha2::{Digest, Sha256};

use crate::ffi;
use crate::schedule::{Schedule, track_time_base};
use crate::{MediaError, Rational};

/// Ticks a second that a film's own clock has at least.
const SHORTEST_MOVIE_TICK: i32 = 10_000;

/// A file beside its destination that vanishes unless it is committed.
#[derive(Debug)]
struct Staged {
    partial: PathBuf,
    out: PathBuf,
    is_committed: bool,
}

impl Staged {
    fn new(out: &Path) -> Result<Self, MediaError> {
        let name = out
            .file_name()
            .ok_or_else(|| MediaError::internal(format!("{} names no file", out.display())))?;
        let mut partial = OsString::from(".");
        partial.push(name);
        partial.push(".partial");
        Ok(Self { partial: out.with_file_name(partial), out: out.to_owned(), is_committed: false })
    }

    fn commit(mut self) -> Result<u64, MediaError> {
        fs::rename(&self.partial, &self.out)?;
        self.is_committed = true;
        Ok(fs::metadata(&self.out)?.len())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.is_committed {
            // The error that led here is the one to report; a file never created is no error.
            drop(fs::remove_file(&self.partial));
        }
    }
}

/// A media file that is being written.
pub(crate) struct Writer {
    // Before `staged`: the file is closed before it is removed or renamed.
    output: ff::format::context::Output,
    staged: Staged,
    bases: Vec<Rational>,
}

impl Writer {
    pub(crate) fn create(out: &Path, muxer: &str) -> Result<Self, MediaError> {
        ffi::initialise()?;
        let staged = Staged::new(out)?;
        let output = ff::format::output_as(&ffi::file_url(&staged.partial), muxer)
            .map_err(|e| MediaError::writing(&format!("{}", staged.partial.display()), e))?;
        Ok(Self { output, staged, bases: Vec::new() })
    }

    /// Adds a stream whose packets are those of `input`; their times are in `time_base`.
    pub(crate) fn add_copy(
        &mut self,
        input: &Stream<'_>,
        time_base: Rational,
    ) -> Result<usize, MediaError> {
        let index = ffi::add_copied_stream(&mut self.output, input, time_base)?;
        self.bases.push(time_base);
        Ok(index)
    }

    /// Adds a stream for the packets of `encoder`; their times are in `time_base`.
    pub(crate) fn add_encoder(
        &mut self,
        encoder: &ff::codec::Context,
        time_base: Rational,
    ) -> Result<usize, MediaError> {
        let index = ffi::add_encoded_stream(&mut self.output, encoder, time_base)?;
        self.bases.push(time_base);
        Ok(index)
    }

    /// The codec header of a stream, as its encoder or its source has given it.
    pub(crate) fn header(&self, stream: usize) -> Result<Vec<u8>, MediaError> {
        let stream = self.output.stream(stream);
        let stream = stream.ok_or_else(|| MediaError::internal("a stream has gone"))?;
        Ok(ffi::stream_facts(&stream).extradata)
    }

    pub(crate) fn set_header(&mut self, stream: usize, bytes: &[u8]) -> Result<(), MediaError> {
        ffi::set_extradata(&mut self.output, stream, bytes)
    }

    pub(crate) fn set_display_matrix(
        &mut self,
        stream: usize,
        matrix: Option<&[u8]>,
    ) -> Result<(), MediaError> {
        match matrix {
            Some(matrix) => ffi::set_display_matrix(&mut self.output, stream, matrix),
            None => Ok(()),
        }
    }

    /// Writes the header. The video track and the film get the source's clock: every tick of
    /// `video_base` is a whole number in the file, in edit lists too.
    pub(crate) fn begin(&mut self, video_base: Rational) -> Result<(), MediaError> {
        let track = track_time_base(video_base).den;
        // Edit lists place the sound, which must not be rounded to the ticks of a slow film.
        let movie = track.saturating_mul(SHORTEST_MOVIE_TICK.div_euclid(track.max(1)).max(1));
        let mut options = ff::Dictionary::new();
        if self.output.format().name() != "matroska" {
            options.set("video_track_timescale", &track.to_string());
            options.set("movie_timescale", &movie.to_string());
            options.set("movflags", "+faststart");
        }
        options.set("avoid_negative_ts", "disabled");
        self.output
            .write_header_with(options)
            .map_err(|e| MediaError::writing("the header of the output", e))?;
        Ok(())
    }

    /// Writes a packet whose times are in the time base that its stream was added with.
    pub(crate) fn write(
        &mut self,
        stream: usize,
        mut packet: ff::Packet,
    ) -> Result<(), MediaError> {
        let from = self.bases.get(stream).copied();
        let (Some(from), Some(to)) = (from, self.output.stream(stream)) else {
            return Err(MediaError::internal("a packet belongs to no stream of the output"));
        };
        packet.rescale_ts(ff::Rational(from.num, from.den), to.time_base());
        ffi::detach(&mut packet, stream);
        packet
            .write_interleaved(&mut self.output)
            .map_err(|e| MediaError::writing("a packet of the output", e))
    }

    /// Writes the packet at place `at` of `schedule`; its times become those of the schedule.
    pub(crate) fn write_scheduled(
        &mut self,
        stream: usize,
        mut packet: ff::Packet,
        schedule: &Schedule,
        at: usize,
        pts: i64,
        shift: i64,
    ) -> Result<(), MediaError> {
        packet.set_pts(Some(pts - shift));
        packet.set_dts(Some(schedule.dts(at) - shift));
        packet.set_duration(schedule.duration(pts));
        self.write(stream, packet)
    }

    /// Completes the file, gives it its name and answers its size in bytes.
    pub(crate) fn finish(self) -> Result<u64, MediaError> {
        let Self { mut output, staged, .. } = self;
        output.write_trailer().map_err(|e| MediaError::writing("the end of the output", e))?;
        drop(output);
        staged.commit()
    }
}

/// SHA-256 of a file, lowercase hex.
///
/// # Errors
/// `Io` when it cannot be read.
pub fn file_sha256(path: &Path) -> Result<String, MediaError> {
    let mut file = fs::File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(hash)),
            read => hash.update(&buffer[..read]),
        }
    }
}

pub(crate) fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
