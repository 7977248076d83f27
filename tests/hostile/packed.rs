//! Small files that unpack to large ones, or show little again and again.

use crate::{
    boxes::{change, find, mp4_box},
    corpus::{MOST, Maker, Row, row},
};
use flate2::{Compression, write::ZlibEncoder};
use std::io::Write as _;

/// Bytes in a row of zeros that a bomb is made of.
const PIECE: usize = 1 << 20;

impl Maker<'_> {
    /// Indexes that name one place again and again.
    pub(crate) fn repeats(&self) -> Vec<Row> {
        let film = self.ordinary();
        let edits = change(&film, &[b"moov", b"trak", b"edts", b"elst"], &|body| {
            let one = &body[body.len() - 12..];
            [&[0; 4], &20_000_u32.to_be_bytes(), &one.repeat(20_000)[..]].concat()
        });
        let keys = self.film("keys.mp4", "libx264 -g 1");
        let first = find_table(&keys, b"stco");
        let tables: [(&[u8; 4], Vec<u32>); 4] = [
            (b"stts", vec![0, 1, 20_000, 512]),
            (b"stsc", vec![0, 1, 1, 1, 1]),
            (b"stsz", vec![0, find_table(&keys, b"stsz"), 20_000]),
            (b"stco", [vec![0, 20_000], vec![first; 20_000]].concat()),
        ];
        let chunks = tables.into_iter().fold(keys, |film, (kind, numbers)| {
            let body: Vec<u8> = numbers.iter().flat_map(|n| n.to_be_bytes()).collect();
            change(&film, &[b"moov", b"trak", b"mdia", b"minf", b"stbl", kind], &|_| body.clone())
        });
        vec![
            row("one second 20,000 times", "an edit list", edits, "too_large"),
            row(
                "one picture 20,000 times",
                "a chunk table that names one place",
                chunks,
                "too_large",
            ),
        ]
    }

    /// An mp4 whose index is compressed (QuickTime's `cmov`).
    pub(crate) fn packed(&self) -> Vec<Row> {
        let film = self.ordinary();
        // The last box of the file.
        let moov = &film[find(&film, b"moov") - 4..];
        let packed = |stated: usize, packed: &[u8]| {
            let stated = u32::try_from(stated).unwrap().to_be_bytes();
            let method = mp4_box(b"dcom", b"zlib");
            let data = mp4_box(b"cmvd", &[&stated, packed].concat());
            let index = mp4_box(b"cmov", &[method, data].concat());
            change(&film, &[b"moov"], &|_| index.clone())
        };
        let nested = {
            let mut inner = moov.to_vec();
            for _ in 0..50 {
                let (stated, small) = (inner.len() as u32, deflated([&inner[..]]));
                let method = mp4_box(b"dcom", b"zlib");
                let data = mp4_box(b"cmvd", &[&stated.to_be_bytes(), &small[..]].concat());
                inner = mp4_box(b"moov", &mp4_box(b"cmov", &[method, data].concat()));
            }
            change(&film, &[b"moov"], &|_| inner[8..].to_vec())
        };
        let zeros = |pieces: usize| deflated(std::iter::repeat_n(&[0; PIECE][..], pieces));
        vec![
            row(
                "compressed index",
                "cmov of an ordinary film",
                packed(moov.len(), &deflated([moov])),
                "plays",
            ),
            Row {
                memory: MOST,
                ..row(
                    "compressed index of 700 MiB",
                    "cmov, a zlib bomb of 3 MB",
                    packed(700 * PIECE, &zeros(700)),
                    "no_video",
                )
            },
            Row {
                memory: MOST,
                ..row(
                    "compressed index of 2 GiB",
                    "cmov, the same that says so",
                    packed((2 << 30) - 1, &zeros(700)),
                    "too_large",
                )
            },
            row(
                "compressed index that says too little",
                "cmov, 100 bytes stated",
                packed(100, &zeros(8)),
                "broken",
            ),
            row(
                "compressed index that is noise",
                "cmov, not zlib",
                packed(1000, &[0xa5; 500]),
                "broken",
            ),
            row("50 compressed indexes in each other", "cmov in cmov", nested, "broken"),
        ]
    }
}

/// One zlib stream of all pieces.
pub(crate) fn deflated<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
    pieces.into_iter().for_each(|piece| zlib.write_all(piece).unwrap());
    zlib.finish().unwrap()
}

/// The first entry of the film's first `stco` or `stsz`.
fn find_table(film: &[u8], kind: &[u8; 4]) -> u32 {
    let at = find(film, kind);
    let entry = at + 4 + if kind == b"stsz" { 12 } else { 8 };
    u32::from_be_bytes(film[entry..entry + 4].try_into().unwrap())
}
