//! Headers of codecs, bit by bit: pictures that say they are larger than they are.

use crate::boxes::find;

/// A sequence parameter set of H.264 (7.3.2.1.1) with another size, in macroblocks.
pub(crate) fn h264_sps(nal: &[u8], width: u32, height: u32) -> Vec<u8> {
    let bits = bits_of(&unescaped(&nal[1..]));
    let mut reader = Reader { bits: &bits, at: 0 };
    let profile = reader.take(8);
    reader.take(16);
    reader.ue();
    if profile == 100 {
        assert_eq!(reader.ue(), 1, "4:2:0");
        reader.ue();
        reader.ue();
        assert_eq!(reader.take(2), 0, "no scaling lists");
    }
    reader.ue();
    match reader.ue() {
        0 => assert!(reader.ue() < 13),
        order => assert_eq!(order, 2),
    }
    reader.ue();
    reader.take(1);
    resized(nal, 1, &mut reader, width - 1, height - 1)
}

/// A sequence parameter set of HEVC (7.3.2.2.1) with another size, in pixels.
pub(crate) fn hevc_sps(nal: &[u8], width: u32, height: u32) -> Vec<u8> {
    let bits = bits_of(&unescaped(&nal[2..]));
    let mut reader = Reader { bits: &bits, at: 0 };
    reader.take(4);
    assert_eq!(reader.take(3), 0, "one temporal layer");
    reader.take(1);
    // profile_tier_level
    reader.take(32);
    reader.take(64);
    reader.ue();
    assert_eq!(reader.ue(), 1, "4:2:0");
    resized(nal, 2, &mut reader, width, height)
}

/// The first key frame of VP9 (profile 0) in `film` with another size, in pixels.
pub(crate) fn vp9_key_frame(film: &[u8], width: u32, height: u32) -> Vec<u8> {
    let mut film = film.to_vec();
    // Behind the sync code: four bits of colours, then both sides less one.
    let at = find(&film, &[0x49, 0x83, 0x42]) + 3;
    let sides = (u64::from(width - 1) << 16 | u64::from(height - 1)) << 4;
    let rest = u64::from(film[at + 4] & 0x0f) | u64::from(film[at] & 0xf0) << 32;
    film[at..at + 5].copy_from_slice(&(sides | rest).to_be_bytes()[3..]);
    film
}

/// Replaces the two numbers at the reader's place.
fn resized(nal: &[u8], header: usize, reader: &mut Reader<'_>, first: u32, second: u32) -> Vec<u8> {
    let before = reader.at;
    reader.ue();
    reader.ue();
    let behind = &reader.bits[reader.at..];
    // What is left of the padding goes; the stop bit stays.
    let stop = behind.iter().rposition(|bit| *bit).unwrap();
    let bits = [&reader.bits[..before], &ue(first), &ue(second), &behind[..=stop]].concat();
    [&nal[..header], &escaped(&bytes_of(&bits))].concat()
}

struct Reader<'a> {
    bits: &'a [bool],
    at: usize,
}

impl Reader<'_> {
    fn take(&mut self, count: usize) -> u64 {
        let bits = &self.bits[self.at..self.at + count];
        self.at += count;
        bits.iter().fold(0, |value, bit| value << 1 | u64::from(*bit))
    }

    /// An Exp-Golomb number (9.1).
    fn ue(&mut self) -> u64 {
        let zeros = self.bits[self.at..].iter().position(|bit| *bit).unwrap();
        self.at += zeros;
        self.take(zeros + 1) - 1
    }
}

fn ue(value: u32) -> Vec<bool> {
    let value = u64::from(value) + 1;
    let length = 64 - value.leading_zeros() as usize;
    let mut bits = vec![false; length - 1];
    bits.extend((0..length).rev().map(|at| value >> at & 1 == 1));
    bits
}

fn bits_of(bytes: &[u8]) -> Vec<bool> {
    bytes.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1 == 1)).collect()
}

fn bytes_of(bits: &[bool]) -> Vec<u8> {
    let byte = |bits: &[bool]| {
        bits.iter().enumerate().fold(0, |byte, (at, bit)| byte | u8::from(*bit) << (7 - at))
    };
    bits.chunks(8).map(byte).collect()
}

/// Without the bytes that keep start codes out of a NAL unit (7.4.1.1).
fn unescaped(bytes: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::new();
    let mut zeros = 0;
    for &byte in bytes {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
    out
}

fn escaped(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut zeros = 0;
    for &byte in bytes {
        if zeros >= 2 && byte <= 3 {
            out.push(3);
            zeros = 0;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
    out
}
