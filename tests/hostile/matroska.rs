//! Matroska that links to other files, carries them, or packs its pictures.

use crate::{
    boxes::element,
    corpus::{MOST, Maker, Row, row},
    packed::deflated,
};

const SEGMENT: &[u8] = &[0x18, 0x53, 0x80, 0x67];
const SEEK_HEAD: &[u8] = &[0x11, 0x4d, 0x9b, 0x74];
const CUES: &[u8] = &[0x1c, 0x53, 0xbb, 0x6b];
const VOID: &[u8] = &[0xec];
const INFO: &[u8] = &[0x15, 0x49, 0xa9, 0x66];
const TRACKS: &[u8] = &[0x16, 0x54, 0xae, 0x6b];
const TRACK: &[u8] = &[0xae];
const CLUSTER: &[u8] = &[0x1f, 0x43, 0xb6, 0x75];
const SIMPLE_BLOCK: &[u8] = &[0xa3];
const ATTACHMENTS: &[u8] = &[0x19, 0x41, 0xa4, 0x69];
const CHAPTERS: &[u8] = &[0x10, 0x43, 0xa7, 0x70];

impl Maker<'_> {
    pub(crate) fn matroska(&self) -> Vec<Row> {
        let film = Film::of(&self.film("small.mkv", "libx264"));
        vec![
            row(
                "mkv of linked segments",
                "names and chapters of other files",
                self.linked(&film),
                "plays",
            ),
            row(
                "mkv with 30 attachments",
                "named `../`, newline, NUL; playlists",
                self.attached(&film, 30),
                "plays",
            ),
            row("mkv with 1,000 attachments", "the same", self.attached(&film, 1000), "plays"),
            row(
                "10,000 chapters",
                "mkv chapter atoms, numbered backwards",
                chapters(&film),
                "plays",
            ),
            row(
                "zlib-packed pictures",
                "mkv content compression",
                film.packed(|data| deflated([data])),
                "plays",
            ),
            Row {
                memory: MOST,
                ..row(
                    "zlib-packed pictures of 9 MiB",
                    "mkv content compression, ten bombs of 40 kB",
                    film.packed(|_| bomb(9)),
                    "no_video",
                )
            },
            Row {
                memory: MOST,
                ..row(
                    "zlib-packed pictures of 1 GiB",
                    "mkv content compression, ten bombs of 5 MB",
                    film.packed({
                        let gibibyte = bomb(1 << 10);
                        move |_| gibibyte.clone()
                    }),
                    "no_video",
                )
            },
        ]
    }

    /// Ordered chapters and a chain of files, by identifier and by name.
    fn linked(&self, film: &Film) -> Vec<u8> {
        let path = self.canary.display().to_string();
        let (path, url) = (path.as_bytes(), format!("http://{}/next.mkv", self.address));
        let other = [0x5a; 16];
        let links = [
            element(&[0x3c, 0xb9, 0x23], &other),
            element(&[0x3c, 0x83, 0xab], path),
            element(&[0x3e, 0xb9, 0x23], &other),
            element(&[0x3e, 0x83, 0xbb], url.as_bytes()),
            element(&[0x44, 0x44], &other),
        ]
        .concat();
        let command = element(
            &[0x69, 0x44],
            &[
                element(&[0x69, 0x55], &[0]),
                element(
                    &[0x69, 0x11],
                    &[element(&[0x69, 0x22], &[1]), element(&[0x69, 0x33], path)].concat(),
                ),
            ]
            .concat(),
        );
        let atom = [
            element(&[0x73, 0xc4], &[1]),
            element(&[0x91], &[0]),
            element(&[0x6e, 0x67], &other),
            element(&[0x6e, 0xbc], &[1]),
            command,
        ];
        let edition = [element(&[0x45, 0xdd], &[1]), element(&[0xb6], &atom.concat())].concat();
        let chapters = element(CHAPTERS, &element(&[0x45, 0xb9], &edition));
        film.with(&chapters, &|id, body| {
            if id == INFO { [body, &links].concat() } else { body.to_vec() }
        })
    }

    fn attached(&self, film: &Film, count: u32) -> Vec<u8> {
        let canary = self.canary.display().to_string();
        let playlist = format!("#EXTM3U\n#EXTINF:1,\n{canary}\nhttp://{}/x.ts\n", self.address);
        let names = ["../../etc/passwd", "a\nb", "a\0b", &canary, "-rf", "|sh", ".."];
        let types = ["application/x-mpegurl", "font/ttf", "text/x-ass", "image/jpeg"];
        let attachments: Vec<u8> = (0..count)
            .flat_map(|n| {
                let file = [
                    element(&[0x46, 0x6e], names[n as usize % names.len()].as_bytes()),
                    element(&[0x46, 0x60], types[n as usize % types.len()].as_bytes()),
                    element(&[0x46, 0x5c], playlist.as_bytes()),
                    element(&[0x46, 0xae], &(n + 1).to_be_bytes()),
                ];
                element(&[0x61, 0xa7], &file.concat())
            })
            .collect();
        film.with(&element(ATTACHMENTS, &attachments), &|_, body| body.to_vec())
    }
}

fn chapters(film: &Film) -> Vec<u8> {
    let atoms: Vec<u8> = (1..=10_000_u32)
        .rev()
        .flat_map(|n| {
            // Later and later, or they would be passed over.
            let start = (u64::from(10_001 - n) * 1000).to_be_bytes();
            let atom = [element(&[0x73, 0xc4], &n.to_be_bytes()), element(&[0x91], &start)];
            element(&[0xb6], &atom.concat())
        })
        .collect();
    let chapters = element(CHAPTERS, &element(&[0x45, 0xb9], &atoms));
    film.with(&chapters, &|_, body| body.to_vec())
}

fn bomb(mebibytes: usize) -> Vec<u8> {
    deflated(std::iter::repeat_n(&[0; 1 << 20][..], mebibytes))
}

/// What becomes of an element's body, by its identifier.
type Change<'a> = &'a dyn Fn(&[u8], &[u8]) -> Vec<u8>;

/// A Matroska file taken apart: its EBML header, and the elements of its segment.
struct Film {
    head: Vec<u8>,
    parts: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Film {
    fn of(file: &[u8]) -> Self {
        let top = elements(file);
        let head = element(&top[0].0, &top[0].1);
        // Places of other elements would no longer be right.
        let is_kept = |id: &[u8]| ![SEEK_HEAD, CUES, VOID].contains(&id);
        let parts = elements(&top[1].1).into_iter().filter(|(id, _)| is_kept(id)).collect();
        Self { head, parts }
    }

    /// With changed elements, and one more in front of the pictures.
    fn with(&self, more: &[u8], change: Change<'_>) -> Vec<u8> {
        let mut body = Vec::new();
        for (at, (id, part)) in self.parts.iter().enumerate() {
            let is_first = self.parts[..at].iter().all(|(id, _)| id != CLUSTER);
            if id == CLUSTER && is_first {
                body.extend(more);
            }
            body.extend(element(id, &change(id, part)));
        }
        [&self.head[..], &element(SEGMENT, &body)].concat()
    }

    /// With every picture replaced, and the word that they are packed by zlib.
    fn packed(&self, pack: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
        let compression = element(&[0x50, 0x34], &element(&[0x42, 0x54], &[0]));
        let scope = [element(&[0x50, 0x32], &[1]), element(&[0x50, 0x33], &[0]), compression];
        let encodings = element(&[0x6d, 0x80], &element(&[0x62, 0x40], &scope.concat()));
        let each = |body: &[u8], kind: &[u8], with: &dyn Fn(&[u8]) -> Vec<u8>| -> Vec<u8> {
            let changed = elements(body).into_iter().map(|(id, body)| {
                if id == kind { element(&id, &with(&body)) } else { element(&id, &body) }
            });
            changed.collect::<Vec<_>>().concat()
        };
        self.with(&[], &|id, body| match id {
            TRACKS => each(body, TRACK, &|track| [track, &encodings].concat()),
            // A block's track, time and flags come first.
            CLUSTER => {
                each(body, SIMPLE_BLOCK, &|block| [&block[..4], &pack(&block[4..])].concat())
            }
            _ => body.to_vec(),
        })
    }
}

/// The elements of a body, with their identifiers.
fn elements(mut bytes: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let (id, rest) = bytes.split_at(bytes[0].leading_zeros() as usize + 1);
        let width = rest[0].leading_zeros() as usize + 1;
        let size = rest[..width].iter().fold(0_u64, |size, byte| size << 8 | u64::from(*byte));
        let size = size & ((1 << (7 * width)) - 1);
        let (body, behind) = rest[width..].split_at(usize::try_from(size).unwrap());
        found.push((id.to_vec(), body.to_vec()));
        bytes = behind;
    }
    found
}
