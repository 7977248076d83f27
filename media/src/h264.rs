//! H.264 headers: enough to tell whether clips can be copied between re-encoded ones, and to
//! write one avcC that serves both.
//!
//! avcC is ISO 14496-15, 5.3.3.1; parameter sets are ITU-T H.264, 7.3.2.

use h264_reader::nal::{Nal, RefNal, sps::SeqParameterSet};

use crate::MediaError;

/// Profiles whose record tells of samples (High and above); they begin at 4:2:0 and 8 bits.
const WITH_TAIL: [u8; 4] = [100, 110, 122, 144];
const TAIL_OF_8_BIT_420: [u8; 4] = [0xfc | 1, 0xf8, 0xf8, 0];
const NAL_SLICE: u8 = 1;
const NAL_IDR: u8 = 5;
const NAL_SEI: u8 = 6;
const NAL_SPS: u8 = 7;
const NAL_PPS: u8 = 8;
const NAL_DELIMITER: u8 = 9;
const NAL_FILLER: u8 = 12;
/// An encoder's banner, captions and times of one picture are some hundred bytes.
const MOST_WORDS: usize = 4096;
/// Coded pictures are whole macroblocks of so many px, of which less than one is cropped away.
const MACROBLOCK: u32 = 16;

/// The decoder configuration of an H.264 track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AvcConfig {
    profile: u8,
    compatibility: u8,
    level: u8,
    /// Bytes of the length before a NAL unit.
    pub(crate) length_size: u8,
    pub(crate) sps: Vec<Vec<u8>>,
    pub(crate) pps: Vec<Vec<u8>>,
    tail: Vec<u8>,
}

impl AvcConfig {
    /// Reads an avcC record; `None` when it is not one.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let [1, profile, compatibility, level, length, rest @ ..] = bytes else { return None };
        let (&count, mut rest) = rest.split_first()?;
        let sps = take_sets(&mut rest, count & 31)?;
        let (&count, mut rest) = rest.split_first()?;
        let pps = take_sets(&mut rest, count)?;
        Some(Self {
            profile: *profile,
            compatibility: *compatibility,
            level: *level,
            length_size: (length & 3) + 1,
            sps,
            pps,
            tail: rest.to_vec(),
        })
    }

    /// The record for an encoder of 8-bit 4:2:0 whose header is its parameter sets, each behind its
    /// length in 4 bytes; `None` when it is something else.
    pub(crate) fn of_encoder(mut header: &[u8]) -> Option<Self> {
        let (mut sps, mut pps) = (Vec::new(), Vec::new());
        while !header.is_empty() {
            let nal = take_unit(&mut header)?;
            match nal.first()? & 31 {
                NAL_SPS => sps.push(nal.to_vec()),
                NAL_PPS => pps.push(nal.to_vec()),
                _ => {}
            }
        }
        let [_, profile, compatibility, level, ..] = *sps.first()?.as_slice() else { return None };
        let tail = if WITH_TAIL.contains(&profile) { &TAIL_OF_8_BIT_420[..] } else { &[] };
        let tail = tail.to_vec();
        Some(Self { profile, compatibility, level, length_size: 4, sps, pps, tail })
    }

    /// Writes the record.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes =
            vec![1, self.profile, self.compatibility, self.level, 0xfc | (self.length_size - 1)];
        for (sets, mark) in [(&self.sps, 0xe0), (&self.pps, 0)] {
            bytes.push(mark | sets.len() as u8);
            for set in sets {
                bytes.extend((set.len() as u16).to_be_bytes());
                bytes.extend(set);
            }
        }
        bytes.extend(&self.tail);
        bytes
    }

    /// One record that serves the packets of both; their parameter set ids must differ.
    pub(crate) fn merge(&mut self, other: &Self) -> Result<(), MediaError> {
        if self == other {
            return Ok(());
        }
        if self.length_size != other.length_size {
            return Err(MediaError::internal("parts differ in the size of their NAL lengths"));
        }
        for (ours, theirs) in [(&mut self.sps, &other.sps), (&mut self.pps, &other.pps)] {
            for set in theirs {
                if !ours.contains(set) {
                    ours.push(set.clone());
                }
            }
        }
        if !are_apart(&self.sps, sps_id) || !are_apart(&self.pps, pps_id) {
            let detail = "parts were encoded with different settings; render all clips of a run \
                          with the same ones";
            return Err(MediaError::internal(detail));
        }
        self.profile = self.profile.max(other.profile);
        self.level = self.level.max(other.level);
        self.compatibility &= other.compatibility;
        Ok(())
    }

    /// Whether packets that were written behind `other` mean the same behind this one.
    pub(crate) fn serves(&self, other: &Self) -> bool {
        let holds =
            |ours: &[Vec<u8>], theirs: &[Vec<u8>]| theirs.iter().all(|set| ours.contains(set));
        self.length_size == other.length_size
            && holds(&self.sps, &other.sps)
            && holds(&self.pps, &other.pps)
            && are_apart(&self.sps, sps_id)
            && are_apart(&self.pps, pps_id)
    }

    /// The ids of the only SPS and the only PPS, when there is one of each and lengths take 4 bytes.
    pub(crate) fn only_ids(&self) -> Option<[u32; 2]> {
        match (self.sps.as_slice(), self.pps.as_slice(), self.length_size) {
            ([sps], [pps], 4) => Some([sps_id(sps)?, pps_id(pps)?]),
            _ => None,
        }
    }

    /// Whether the only SPS crops away more of the coded picture than fills up its last macroblocks:
    /// footage that nobody sees, and that every copied packet carries. True where it cannot be read.
    pub(crate) fn hides_picture(&self) -> bool {
        let [sps] = self.sps.as_slice() else { return true };
        hidden(sps).is_none_or(|(width, height)| width >= MACROBLOCK || height >= MACROBLOCK)
    }
}

/// Columns and rows that are coded and not displayed, px.
fn hidden(sps: &[u8]) -> Option<(u32, u32)> {
    if sps.is_empty() {
        return None;
    }
    let sps = SeqParameterSet::from_bits(RefNal::new(sps, &[], true).rbsp_bits()).ok()?;
    let (width, height) = sps.pixel_dimensions().ok()?;
    let whole = SeqParameterSet { frame_cropping: None, ..sps }.pixel_dimensions().ok()?;
    Some((whole.0.checked_sub(width)?, whole.1.checked_sub(height)?))
}

fn take_sets(rest: &mut &[u8], count: u8) -> Option<Vec<Vec<u8>>> {
    let mut sets = Vec::new();
    for _ in 0..count {
        let (length, after) = rest.split_first_chunk::<2>()?;
        let (set, after) = after.split_at_checked(u16::from_be_bytes(*length).into())?;
        sets.push(set.to_vec());
        *rest = after;
    }
    Some(sets)
}

/// Whether all sets have ids of their own.
fn are_apart(sets: &[Vec<u8>], id: fn(&[u8]) -> Option<u32>) -> bool {
    let mut ids: Vec<u32> = sets.iter().filter_map(|set| id(set)).collect();
    ids.sort_unstable();
    ids.len() == sets.len() && ids.windows(2).all(|pair| pair[0] != pair[1])
}

/// `seq_parameter_set_id` follows the NAL header, profile, constraints and level.
fn sps_id(sps: &[u8]) -> Option<u32> {
    exp_golomb(sps.get(4..)?)
}

/// `pic_parameter_set_id` follows the NAL header.
fn pps_id(pps: &[u8]) -> Option<u32> {
    exp_golomb(pps.get(1..)?)
}

/// The first unsigned Exp-Golomb number (H.264, 9.1), of few bits: no emulation prevention byte
/// can come before its end.
pub(crate) fn exp_golomb(bytes: &[u8]) -> Option<u32> {
    let bit = |at: usize| bytes.get(at / 8).map(|byte| u32::from(byte >> (7 - at % 8) & 1));
    let zeros = (0..32).take_while(|&at| bit(at) == Some(0)).count();
    let mut value = 0;
    for at in zeros..=2 * zeros {
        value = value << 1 | bit(at)?;
    }
    value.checked_sub(1)
}

/// The next NAL unit of those that each come behind their length in 4 bytes.
fn take_unit<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let (nal, after) =
        after.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    *rest = after;
    Some(nal)
}

/// NAL units that each come behind their length in 4 bytes, as far as the lengths add up.
pub(crate) fn units(mut packet: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || take_unit(&mut packet))
}

/// Whether a NAL unit is a slice of the picture.
pub(crate) fn is_slice(unit: &[u8]) -> bool {
    unit.first().is_some_and(|header| matches!(header & 31, NAL_SLICE | NAL_IDR))
}

/// What the NAL units of one access unit are, for length-prefixed packets of 4 bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct AccessUnit {
    pub(crate) has_idr: bool,
    pub(crate) has_parameter_sets: bool,
    /// Something that is neither the picture nor some words about it: another view, a transparency
    /// plane, parts of slices, or data of any kind.
    pub(crate) has_more: bool,
}

/// Walks the NAL units of a packet; `None` when their lengths do not add up.
pub(crate) fn access_unit(mut bytes: &[u8]) -> Option<AccessUnit> {
    let mut unit = AccessUnit::default();
    let mut words = 0;
    while !bytes.is_empty() {
        let nal = take_unit(&mut bytes)?;
        match nal.first()? & 31 {
            NAL_IDR => unit.has_idr = true,
            NAL_SPS | NAL_PPS => unit.has_parameter_sets = true,
            NAL_SLICE => {}
            NAL_SEI | NAL_DELIMITER | NAL_FILLER => words += nal.len(),
            _ => unit.has_more = true,
        }
    }
    unit.has_more |= words > MOST_WORDS;
    Some(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(sps_bits: u8) -> AvcConfig {
        AvcConfig {
            profile: 100,
            compatibility: 0,
            level: 30,
            length_size: 4,
            sps: vec![vec![0x67, 100, 0, 30, sps_bits]],
            pps: vec![vec![0x68, sps_bits]],
            tail: vec![0xfd, 0xf8, 0xf8, 0],
        }
    }

    #[test]
    fn a_record_survives_parsing_and_writing() {
        let bytes = config(0x80).to_bytes();
        assert_eq!(AvcConfig::parse(&bytes).unwrap().to_bytes(), bytes);
        assert!(AvcConfig::parse(&bytes[..9]).is_none());
    }

    #[test]
    fn the_record_of_an_encoder_holds_its_parameter_sets_alone() {
        let sets = [&[0x67, 100, 0, 30, 0x80][..], &[0x68, 0x80], &[0x06, 5]];
        let header: Vec<u8> = sets
            .iter()
            .flat_map(|set| (set.len() as u32).to_be_bytes().into_iter().chain(set.to_vec()))
            .collect();
        assert_eq!(AvcConfig::of_encoder(&header), Some(config(0x80)));
        assert_eq!(AvcConfig::of_encoder(&header[..9]).unwrap().pps.len(), 0);
        assert_eq!(AvcConfig::of_encoder(&header[..8]), None);
        assert_eq!(AvcConfig::of_encoder(&[]), None);
    }

    #[test]
    fn merging_keeps_both_parameter_sets() {
        let mut merged = config(0x80);
        merged.merge(&config(0x40)).unwrap();
        assert_eq!((merged.sps.len(), merged.pps.len()), (2, 2));
        assert_eq!(merged.only_ids(), None);
        assert_eq!(config(0x80).only_ids(), Some([0, 0]));
        assert_eq!(config(0x40).only_ids(), Some([1, 1]));
    }

    #[test]
    fn merging_parts_with_the_same_id_and_different_settings_fails() {
        let mut changed = config(0x80);
        changed.sps[0].push(1);
        assert!(config(0x80).merge(&changed).is_err());
        let same_pps = AvcConfig { pps: vec![vec![0x68, 0x80, 1]], ..config(0x40) };
        assert!(config(0x80).merge(&same_pps).is_err());
    }

    #[test]
    fn ids_are_exp_golomb_numbers() {
        assert_eq!(exp_golomb(&[0b1000_0000]), Some(0));
        assert_eq!(exp_golomb(&[0b0100_0000]), Some(1));
        assert_eq!(exp_golomb(&[0b0010_1000]), Some(4));
    }

    #[test]
    fn access_units_with_wrong_lengths_are_none() {
        assert!(access_unit(&[0, 0, 0, 9, 0x65]).is_none());
        assert!(access_unit(&[0, 0, 0, 1, 0x65]).unwrap().has_idr);
    }

    #[test]
    fn what_is_not_the_picture_is_seen() {
        let unit = |kind: u8, length: usize| {
            let mut bytes = (length as u32).to_be_bytes().to_vec();
            bytes.push(kind);
            bytes.resize(4 + length, 0);
            access_unit(&bytes).unwrap().has_more
        };
        assert!(!unit(0x61, 9000) && !unit(0x65, 9000));
        for kind in [6, 9, 12] {
            assert!(!unit(kind, MOST_WORDS) && unit(kind, MOST_WORDS + 1), "{kind}");
        }
        for kind in [2, 3, 4, 13, 14, 15, 19, 20, 21, 24, 31] {
            assert!(unit(kind, 1), "{kind}");
        }
    }

    #[test]
    fn a_parameter_set_that_cannot_be_read_may_hide_anything() {
        assert!(config(0x80).hides_picture());
        let none = AvcConfig { sps: vec![Vec::new()], ..config(0x80) };
        assert!(none.hides_picture());
    }
}
