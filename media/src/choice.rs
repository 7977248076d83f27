//! Decodes some frames of a file, and no more than they need.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::path::Path;

use crate::decode::FrameReader;
use crate::scan::{Scan, VideoPacket};
use crate::source::Source;
use crate::{DecodeReport, Frame, Limits, MediaError};

/// Shows `visit` those frames of `path` that `choose` takes by their times (ticks of the file), both in
/// presentation order. Where groups of H.264 pictures are closed, only groups with such a frame are decoded,
/// to the last of them and without the pictures that nothing else needs; else all of the file is.
///
/// # Errors
/// As [`decode`](crate::decode), of what is decoded.
pub fn decode_some(
    path: &Path,
    limits: &Limits,
    choose: &mut dyn FnMut(i64) -> bool,
    visit: &mut dyn FnMut(&mut Frame<'_>) -> Result<(), MediaError>,
) -> Result<DecodeReport, MediaError> {
    let (size, choice) = {
        let mut source = Source::open_video(path, limits)?;
        (source.stated_size()?, Choice::of(&mut source, choose)?)
    };
    let mut reader = FrameReader::open(path, size, limits)?;
    reader.choose(choice);
    reader.show(&mut |frame| visit(frame).map(ControlFlow::Continue))
}

/// What a packet is decoded for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Its frame.
    Frame,
    /// Frames that are made of it.
    Reference,
    Nothing,
}

/// Frames that were chosen of a film, and what each of its packets is needed for.
#[derive(Debug)]
pub(crate) struct Choice {
    /// Their times, ticks.
    pub(crate) frames: HashSet<i64>,
    /// Pictures that nothing else is made of may be left out.
    pub(crate) is_sparing: bool,
    /// In decoding order.
    needs: std::vec::IntoIter<Need>,
}

impl Choice {
    /// Reads all packets; `choose` is asked for the time (ticks) of each frame in presentation order.
    pub(crate) fn of(
        source: &mut Source,
        choose: &mut dyn FnMut(i64) -> bool,
    ) -> Result<Self, MediaError> {
        let (facts, codec) = (source.facts(source.video)?, source.codec(source.video)?);
        let scan = Scan::read(source)?;
        let mut times: Vec<i64> =
            scan.packets.iter().filter(|packet| packet.is_shown).map(|packet| packet.pts).collect();
        times.sort_unstable();
        let frames: HashSet<i64> = times.into_iter().filter(|pts| choose(*pts)).collect();
        let is_sparing = scan.smart(&facts, codec).is_ok();
        let mut needs = needs(&scan.packets, &frames);
        if !is_sparing {
            let unknown = needs.iter_mut().filter(|need| **need == Need::Nothing);
            unknown.for_each(|need| *need = Need::Reference);
        }
        Ok(Self { frames, is_sparing, needs: needs.into_iter() })
    }

    /// What the next packet is needed for.
    pub(crate) fn next(&mut self) -> Need {
        self.needs.next().unwrap_or(Need::Reference)
    }
}

/// Each group begins with a key frame and needs no other group: behind the last frame that is wanted of it
/// nothing is needed.
fn needs(packets: &[VideoPacket], frames: &HashSet<i64>) -> Vec<Need> {
    let mut needs: Vec<Need> = Vec::with_capacity(packets.len());
    let mut is_needed = false;
    for packet in packets.iter().rev() {
        let is_wanted = frames.contains(&packet.pts);
        is_needed |= is_wanted;
        needs.push(match (is_wanted, is_needed) {
            (true, _) => Need::Frame,
            (false, true) => Need::Reference,
            (false, false) => Need::Nothing,
        });
        is_needed &= !packet.is_key;
    }
    needs.reverse();
    needs
}

#[cfg(test)]
mod tests {
    use super::Need::{Frame, Nothing, Reference};
    use super::*;

    #[test]
    fn groups_are_decoded_to_the_last_frame_that_is_wanted() {
        // Two groups of I P B B, one of I P.
        let packets: Vec<VideoPacket> = [0, 3, 1, 2, 4, 7, 5, 6, 8, 9]
            .map(|pts| VideoPacket { pts, is_key: pts % 4 == 0, is_shown: true })
            .to_vec();
        let of = |wanted: &[i64]| needs(&packets, &wanted.iter().copied().collect());
        assert_eq!(of(&[]), [Nothing; 10]);
        let mut expected = [Nothing; 10];
        expected[4] = Frame;
        assert_eq!(of(&[4]), expected);
        expected[5] = Reference;
        expected[6] = Frame;
        assert_eq!(of(&[4, 5]), expected);
        expected[..2].copy_from_slice(&[Reference, Frame]);
        expected[8..].copy_from_slice(&[Reference, Frame]);
        assert_eq!(of(&[3, 4, 5, 9]), expected);
    }
}
