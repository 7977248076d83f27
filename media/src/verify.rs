//! Measures a finished film against its source.

use std::ops::Range;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::decode::FrameReader;
use crate::output::hex;
use crate::schedule::rescale;
use crate::source::Source;
use crate::{Frame, Limits, MediaError, ffi};

/// Which stream of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Track {
    /// The video stream.
    Video,
    /// The audio stream.
    Audio,
}

/// The payloads of a stream, in file order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Elementary {
    /// SHA-256 of all packet payloads one after another, lowercase hex.
    pub sha256: String,
    /// Packets.
    pub packets: u64,
}

/// Hashes the payloads of one stream; a file without such a stream has 0 packets.
///
/// # Errors
/// `Broken` when the file cannot be read to its end.
pub fn elementary_sha256(
    path: &Path,
    track: Track,
    limits: &Limits,
) -> Result<Elementary, MediaError> {
    let mut source = Source::open(path, limits)?;
    let wanted = match track {
        Track::Video => Some(source.video),
        Track::Audio => source.audio,
    };
    let mut hash = Sha256::new();
    let mut packets = 0;
    if let Some(wanted) = wanted {
        ffi::read_only(&mut source.input, &[wanted]);
        while let Some(packet) = source.next_packet()? {
            if packet.stream() == wanted {
                hash.update(packet.data().unwrap_or_default());
                packets += 1;
            }
        }
    }
    Ok(Elementary { sha256: hex(hash), packets })
}

/// The same moment of two films.
#[derive(Debug)]
pub struct Compared<'a> {
    /// The source's frame; its `pts` is in source ticks.
    pub source: Frame<'a>,
    /// The output's frame.
    pub output: Frame<'a>,
}

/// What was compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompareReport {
    /// Frames of each film; they are equal, or `compare` fails.
    pub frames: u32,
}

/// Decodes both films in lock step and shows each pair of frames to `visit`.
///
/// # Errors
/// `Broken` when a frame is missing on either side, when times differ by more than a tick, or
/// when either film does not decode completely.
pub fn compare(
    source: &Path,
    output: &Path,
    limits: &Limits,
    visit: &mut dyn FnMut(&mut Compared<'_>) -> Result<(), MediaError>,
) -> Result<CompareReport, MediaError> {
    let mut pair = Pair::open(source, output, limits)?;
    pair.see_both(i64::MIN..i64::MAX, &mut |source, output| {
        visit(&mut Compared { source, output })
    })?;
    pair.finish()
}

/// A film and its source, in lock step.
pub(crate) struct Pair {
    pub(crate) sources: FrameReader,
    pub(crate) outputs: FrameReader,
    frames: u32,
}

impl Pair {
    pub(crate) fn open(source: &Path, output: &Path, limits: &Limits) -> Result<Self, MediaError> {
        Ok(Self {
            sources: FrameReader::open(source, size_of(source, limits)?, limits)?,
            outputs: FrameReader::open(output, size_of(output, limits)?, limits)?,
            frames: 0,
        })
    }

    /// Goes on with the source's frames of `times`, its ticks, and those of the film that belong to them.
    pub(crate) fn see_both(
        &mut self,
        times: Range<i64>,
        visit: &mut dyn FnMut(Frame<'_>, Frame<'_>) -> Result<(), MediaError>,
    ) -> Result<(), MediaError> {
        let (source_base, output_base) = (self.sources.time_base, self.outputs.time_base);
        self.sources.go_on(times);
        while let Some(source) = self.sources.next()? {
            let expected = rescale(source.pts(), source_base, output_base);
            let mut output = next_at(&mut self.outputs, expected)?;
            output.cut_to(&source);
            visit(source, output)?;
            self.frames += 1;
        }
        Ok(())
    }

    /// Goes on with the film's frame that belongs to the source's at `pts`, its ticks.
    pub(crate) fn see_output(
        &mut self,
        pts: i64,
        visit: &mut dyn FnMut(Frame<'_>) -> Result<(), MediaError>,
    ) -> Result<(), MediaError> {
        let expected = rescale(pts, self.sources.time_base, self.outputs.time_base);
        visit(next_at(&mut self.outputs, expected)?)?;
        self.frames += 1;
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<CompareReport, MediaError> {
        if let Some(more) = self.outputs.next()? {
            let at = more.pts();
            return Err(MediaError::broken(format!("the source has no frame for the one at {at}")));
        }
        Ok(CompareReport { frames: self.frames })
    }
}

/// The film's next frame, which must be the one at `expected`, its ticks.
fn next_at(outputs: &mut FrameReader, expected: i64) -> Result<Frame<'_>, MediaError> {
    let Some(output) = outputs.next()? else {
        return Err(MediaError::broken(format!("the film has no frame at {expected}")));
    };
    let at = output.pts();
    if (expected - at).abs() > 1 {
        let detail = format!("a frame is at {at}, in the source at {expected}");
        return Err(MediaError::Broken { detail });
    }
    Ok(output)
}

/// The size that [`probe`](crate::probe) answers.
fn size_of(film: &Path, limits: &Limits) -> Result<(u32, u32), MediaError> {
    let source = Source::open_video(film, limits)?;
    let facts = source.facts(source.video)?;
    Ok((facts.width, facts.height))
}
