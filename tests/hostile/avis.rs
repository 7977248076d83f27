//! AVI: tables that promise too much, and subtitles that are playlists.

use crate::{
    boxes::overwritten,
    corpus::{Maker, Row, row},
};

impl Maker<'_> {
    pub(crate) fn avis(&self) -> Vec<Row> {
        let film = Film::of(&self.film("small.avi", "mpeg4"));
        let playlist = format!(
            "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXTINF:1,\nhttp://{}/x.ts\n",
            self.canary.display(),
            self.address
        );
        let concat = format!("ffconcat version 1.0\nfile '{}'\n", self.canary.display());
        let ass = format!(
            "[Script Info]\nScriptType: v4.00+\n[Fonts]\nfontname: {}\n",
            self.canary.display()
        );
        let srt = "1\n00:00:00,000 --> 00:00:01,000\n<font face=\"http://localhost\">x</font>\n";
        let gab2 = |body: &str| film.subtitled(body.as_bytes());
        let empty = Film { movie: Vec::new(), ..film.clone() };
        let stream = film.stream.clone();
        // Behind the header of the index: chunk, flags, place, size.
        let entry = [&b"00dc"[..], &[0x10, 0, 0, 0, 4, 0, 0, 0], &[0, 1, 0, 0]].concat();
        let index = [film.file(&[]), chunk(b"idx1", &entry.repeat(500_000))].concat();
        // Two bytes of the size of an entry, two of kind, then how many: OpenDML 2.0, super index.
        let super_index =
            [&[4, 0, 0, 0], &1_000_000_000_u32.to_le_bytes()[..], b"00dc", &[0; 12], &[0xff; 64]]
                .concat();
        let indexed = Film {
            stream: list(b"strl", &[&stream[12..], &chunk(b"indx", &super_index)].concat()),
            ..film.clone()
        };
        let long = Film {
            header: overwritten(&film.header, 16, &[0xff; 4]),
            stream: overwritten(&stream, 12 + 8 + 32, &[0xff; 4]),
            ..film.clone()
        };
        let slow = Film {
            stream: overwritten(&stream, 12 + 8 + 20, &[0xff, 0xff, 0xff, 0x7f, 1, 0, 0, 0]),
            ..film.clone()
        };
        let format = 12 + 8 + 56;
        let large = Film {
            stream: overwritten(&stream, format + 4, &0x7fff_fff0_u32.to_le_bytes()),
            ..film.clone()
        };
        let huge = Film {
            movie: overwritten(&film.movie, 4, &0xffff_fff0_u32.to_le_bytes()),
            ..film.clone()
        };
        vec![
            row(
                "playlist with the head of an avi",
                "RIFF, AVI, #EXTM3U",
                riff(&list(b"hdrl", playlist.as_bytes())),
                "no_video",
            ),
            row(
                "100,000 streams in avi",
                "strl lists",
                empty.file(&film.stream.repeat(100_000)),
                "too_large",
            ),
            row(
                "500,000 entries in an avi's index",
                "all name one chunk",
                riff(&index[12..]),
                "broken",
            ),
            row("10^9 entries in an avi's index", "super index, indx", indexed.file(&[]), "plays"),
            row("2^32 frames in avi", "avih and strh say so", long.file(&[]), "plays"),
            row("a frame of 2^31 seconds in avi", "strh scale", slow.file(&[]), "too_large"),
            row("a format of 2 GiB in avi", "strf size", large.file(&[]), "plays"),
            row("a frame of 4 GiB in avi", "chunk size", huge.file(&[]), "no_video"),
            row(
                "avi subtitles that are HLS",
                "GAB2 with a path and a URL",
                gab2(&playlist),
                "plays",
            ),
            row("avi subtitles that are ffconcat", "GAB2 with a path", gab2(&concat), "plays"),
            row("avi subtitles in ASS", "GAB2 that names a font's file", gab2(&ass), "plays"),
            row("avi subtitles in SubRip", "GAB2", gab2(srt), "plays"),
        ]
    }
}

/// An AVI of one stream taken apart.
#[derive(Clone)]
struct Film {
    /// Of `avih`.
    header: Vec<u8>,
    /// The whole list `strl`.
    stream: Vec<u8>,
    /// Chunks of the list `movi`.
    movie: Vec<u8>,
}

impl Film {
    fn of(file: &[u8]) -> Self {
        let mut film = Self { header: Vec::new(), stream: Vec::new(), movie: Vec::new() };
        for (id, body) in chunks(&file[12..]) {
            match (id, body.get(..4)) {
                (b"LIST", Some(b"hdrl")) => {
                    for (id, part) in chunks(&body[4..]) {
                        match id {
                            b"avih" => film.header = part.to_vec(),
                            // The header and the format; what else there is only takes room.
                            b"LIST" => {
                                let needed = chunks(&part[4..]).into_iter().take(2);
                                let needed = needed.flat_map(|(id, body)| chunk(id, body));
                                film.stream = list(b"strl", &needed.collect::<Vec<_>>());
                            }
                            _ => {}
                        }
                    }
                }
                (b"LIST", Some(b"movi")) => film.movie = body[4..].to_vec(),
                _ => {}
            }
        }
        film
    }

    /// The file, with more streams and without an index.
    fn file(&self, more: &[u8]) -> Vec<u8> {
        let streams = 1 + more.len().checked_div(self.stream.len()).unwrap_or(0);
        let header = overwritten(&self.header, 24, &(streams as u32).to_le_bytes());
        let head = list(b"hdrl", &[&chunk(b"avih", &header), &self.stream[..], more].concat());
        riff(&[head, list(b"movi", &self.movie)].concat())
    }

    /// With a stream of subtitles that carries one file (DivX's GAB2).
    fn subtitled(&self, subtitles: &[u8]) -> Vec<u8> {
        let mut header = overwritten(&[0; 56], 0, b"txts");
        header[20] = 1;
        header[24] = 25;
        let stream = [chunk(b"strh", &header), chunk(b"strf", &[])].concat();
        let name: Vec<u8> = "x".encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
        let file = [
            b"GAB2\0\x02\0",
            &(name.len() as u32).to_le_bytes()[..],
            &name,
            &[4, 0],
            &(subtitles.len() as u32).to_le_bytes(),
            subtitles,
        ]
        .concat();
        let movie = [chunk(b"01tx", &file), self.movie.clone()].concat();
        let mut file = Self { movie, ..self.clone() }.file(&list(b"strl", &stream));
        let streams = 12 + 12 + 8 + 24;
        file[streams] = 2;
        file
    }
}

/// One chunk (RIFF), filled up to an even length.
fn chunk(id: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(body.len()).unwrap().to_le_bytes();
    [&id[..], &size, body, &[0][..body.len() % 2]].concat()
}

fn list(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    chunk(b"LIST", &[kind, body].concat())
}

fn riff(body: &[u8]) -> Vec<u8> {
    chunk(b"RIFF", &[b"AVI ", body].concat())
}

fn chunks(mut bytes: &[u8]) -> Vec<(&[u8; 4], &[u8])> {
    let mut found = Vec::new();
    while bytes.len() >= 8 {
        let size = u32::from_le_bytes(bytes[4..8].try_into().unwrap()) as usize;
        found.push((bytes[..4].try_into().unwrap(), &bytes[8..8 + size]));
        bytes = bytes.get(8 + size + size % 2..).unwrap_or_default();
    }
    found
}
