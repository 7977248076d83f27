//! Pictures larger than they say, and larger than anybody needs.

use crate::{
    bits::{h264_sps, hevc_sps, vp9_key_frame},
    boxes::{change, find, overwritten},
    corpus::{MOST, Maker, Row, row},
};

/// Sides of a picture, px: FFmpeg's own limit refuses the first everywhere, but not the second.
const SIDES: [u32; 2] = [16_384, 16_000];

impl Maker<'_> {
    pub(crate) fn pictures(&self) -> Vec<Row> {
        let webm = self.film("small.webm", "libvpx");
        let vp8 = |width: u16, height: u16| {
            let at = find(&webm, &[0x9d, 0x01, 0x2a]) + 3;
            overwritten(&webm, at, &[width.to_le_bytes(), height.to_le_bytes()].concat())
        };
        let large = 16_000_u16.to_be_bytes();
        let square = [large, large].concat();
        let jpeg = self.film("small-mjpeg.mov", "mjpeg -strict -1");
        let at = find(&jpeg, &[0xff, 0xc0]) + 5;
        let jpeg = overwritten(&jpeg, at, &square);
        let png = self.film("small-png.mov", "png");
        let at = find(&png, b"IHDR") + 4;
        let png = overwritten(&png, at, &[0, 0, 0x3e, 0x80, 0, 0, 0x3e, 0x80]);
        let stated =
            change(&self.ordinary(), &DESCRIPTIONS, &|body| overwritten(body, 8 + 8 + 24, &square));
        let black = |name: &str, size: &str, codec: &str| {
            let picture = format!("-f lavfi -i color=black:size={size}:rate=1 -frames:v 1");
            self.ffmpeg(name, &format!("{picture} -pix_fmt yuv420p -c:v {codec}"))
        };
        let h264 = "libx264 -preset ultrafast -threads 1";
        let hevc =
            "libx265 -preset ultrafast -x265-params log-level=none:pools=none:frame-threads=1";
        let mut rows = vec![
            row(
                "16000x16000 in VP8",
                "the key frame says so, the container 160x96",
                vp8(16_000, 16_000),
                "broken",
            ),
            row("16000x16000 in JPEG", "the frame header says so", jpeg, "broken"),
            row("16000x16000 in PNG", "IHDR says so", png, "unsupported"),
            row("16000x16000 in an mp4", "the sample entry says so", stated, "too_large"),
            row(
                "8192x8192 in H.264",
                "a whole frame",
                black("8k.mp4", "8192x8192", h264),
                "too_large",
            ),
            Row {
                memory: MOST,
                ..row(
                    "8190x4320 in VP8",
                    "inside the limits; the frames have no such picture",
                    vp8(8190, 4320),
                    "plays",
                )
            },
            Row {
                memory: MOST,
                ..row(
                    "8192x4320 in H.264",
                    "a whole frame, inside the limits",
                    black("4320.mp4", "8192x4320", h264),
                    "plays",
                )
            },
            Row {
                memory: MOST,
                ..row(
                    "8192x4320 in HEVC",
                    "a whole frame, inside the limits; `media_memory` when it is to be masked",
                    black("4320-hevc.mp4", "8192x4320", hevc),
                    "plays",
                )
            },
        ];
        rows.extend(SIDES.into_iter().flat_map(|side| self.claims(side)));
        rows
    }

    /// Films of 160x96 whose codec's own header says that they are squares of `side`.
    fn claims(&self, side: u32) -> Vec<Row> {
        let h264 = with_sps(&self.film("claims.mp4", "libx264"), b"avcC", &|sps| {
            h264_sps(sps, side / 16, side / 16)
        });
        let encoder = "libx265 -preset ultrafast -x265-params log-level=none";
        let hevc = with_sps(&self.film("claims-hevc.mp4", encoder), b"hvcC", &|sps| {
            hevc_sps(sps, side, side)
        });
        let encoder = "libvpx-vp9 -deadline realtime -cpu-used 8";
        let vp9 = self.film("claims-vp9.webm", encoder);
        let claim = |codec: &str, how, bytes, reason| {
            row(&format!("{side}x{side} in {codec}"), how, bytes, reason)
        };
        // What FFmpeg takes for a size is ours to refuse.
        let refusal = if side > 16_000 { "broken" } else { "too_large" };
        let sps = "the SPS says so, the container 160x96";
        vec![
            claim("H.264", sps, h264, refusal),
            claim("HEVC", sps, hevc, refusal),
            claim(
                "VP9",
                "the key frame says so, the container 160x96",
                vp9_key_frame(&vp9, side, side),
                "broken",
            ),
        ]
    }
}

const DESCRIPTIONS: [&[u8; 4]; 6] = [b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd"];

/// Changes the sequence parameter set in an mp4's `avcC` or `hvcC`.
fn with_sps(film: &[u8], config: &[u8; 4], with: &dyn Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    change(film, &DESCRIPTIONS, &|body| {
        let start = find(body, config) - 4;
        let record = &body[start + 8..];
        let at = start + 8 + if config == b"avcC" { 6 } else { hevc_sps_place(record) };
        let length = usize::from(u16::from_be_bytes([body[at], body[at + 1]]));
        let old = &body[at + 2..at + 2 + length];
        let new = with(old);
        let length_field = u16::try_from(new.len()).unwrap().to_be_bytes();
        let mut body = [&body[..at], &length_field, &new, &body[at + 2 + length..]].concat();
        // The record's size and that of the sample entry around it.
        for size in [start, 8] {
            let old = u32::from_be_bytes(body[size..size + 4].try_into().unwrap());
            let changed = old + new.len() as u32 - length as u32;
            body[size..size + 4].copy_from_slice(&changed.to_be_bytes());
        }
        body
    })
}

/// Where the length of the first SPS is in an `hvcC` (ISO 14496-15, 8.3.3.1).
fn hevc_sps_place(record: &[u8]) -> usize {
    let number = |at: usize| usize::from(u16::from_be_bytes([record[at], record[at + 1]]));
    let mut at = 23;
    loop {
        let (kind, count) = (record[at] & 0x3f, number(at + 1));
        at += 3;
        if kind == 33 {
            return at;
        }
        for _ in 0..count {
            at += 2 + number(at);
        }
    }
}
