//! Transport streams: tables that promise too much, clocks that run wild, marks on what is none.

use crate::{
    boxes::overwritten,
    corpus::{Maker, Row, row},
};

const PACKET: usize = 188;
const SYNC: u8 = 0x47;
/// Programs of one section of a PAT, at most.
const PROGRAMS: u16 = 253;
const PMT_PID: u16 = 0x20;
const VIDEO_PID: u16 = 0x100;
const H264: u8 = 0x1b;

impl Maker<'_> {
    pub(crate) fn transport_streams(&self) -> Vec<Row> {
        let film = self.film("small.ts", "libx264 -g 5");
        let playlist = format!(
            "G\n#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXTINF:1,\nhttp://{}/x.ts\n",
            self.canary.display(),
            self.address
        );
        let marked = |body: &[u8], first: usize, size: usize| {
            let mut body = body.repeat(2000_usize.div_ceil(body.len()));
            body.iter_mut().skip(first).step_by(size).for_each(|byte| *byte = SYNC);
            body
        };
        let elf = std::fs::read("/proc/self/exe").unwrap()[..65_536].to_vec();
        let zip = [b"PK\x03\x04\x14\0".as_slice(), &[0; 3000]].concat();
        let one_program =
            |streams: &[(u8, u16)]| [pat(0, [0, 0], &[(1, PMT_PID)]), pmt(0, streams)].concat();
        let many: Vec<(u8, u16)> = (0..180).map(|n| (H264, VIDEO_PID + n)).collect();
        let changing: Vec<u8> = (0..1000_u16)
            .flat_map(|version| {
                let streams: Vec<_> =
                    (0..20).map(|n| (H264, VIDEO_PID + version * 7 + n)).collect();
                pmt((version % 32) as u8, &streams)
            })
            .collect();
        let programs: Vec<u8> = (0..1024_u16)
            .flat_map(|n| {
                let [version, section] = n.to_be_bytes();
                let program = |n| (u16::from(section) * PROGRAMS + n + 1, PMT_PID + n);
                let programs: Vec<_> = (0..PROGRAMS).map(program).collect();
                pat(version, [section, 255], &programs)
            })
            .collect();
        let endless = {
            let start = [&[0, 0, 1, 0xe0, 0, 0, 0x80, 0x80, 5, 0x21, 0, 1, 0, 1][..], &[0x5a; 170]];
            let mut stream = one_program(&[(H264, VIDEO_PID)]);
            stream.extend(packet(VIDEO_PID, true, 0, &start.concat()));
            (1..40_000_u32).for_each(|n| {
                stream.extend(packet(VIDEO_PID, false, (n % 16) as u8, &[0x5a; 184]));
            });
            stream
        };
        let silent = packet(0x1fff, false, 0, &[0xff; 184]).repeat(50_000);
        vec![
            row(
                "playlist with the marks of ts",
                "every 188th byte is a G",
                marked(playlist.as_bytes(), 0, PACKET),
                "broken",
            ),
            row(
                "playlist with the marks of m2ts",
                "every 192nd byte is a G",
                marked(&playlist.as_bytes()[1..], 4, 192),
                "broken",
            ),
            row("zip with the marks of m2ts", "PK header", marked(&zip, 4, 192), "broken"),
            row("ELF with the marks of m2ts", "this test program", marked(&elf, 4, 192), "broken"),
            row(
                "64,768 programs in ts",
                "a PAT of 256 sections, four times",
                [programs, film.clone()].concat(),
                "media_timeout",
            ),
            row(
                "180 streams in ts",
                "one PMT",
                [one_program(&many), film.clone()].concat(),
                "plays",
            ),
            row(
                "20,000 streams in ts",
                "a PMT that changes 1,000 times",
                [one_program(&[]), changing, film.clone()].concat(),
                "plays",
            ),
            row("a frame without end in ts", "7 MB of one PES packet", endless, "broken"),
            row("nothing but stuffing in ts", "50,000 null packets", silent, "broken"),
            row(
                "a clock that jumps by 13 hours in ts",
                "2^32 more from the middle on",
                jumping(&film),
                "too_large",
            ),
        ]
    }
}

/// A film whose clock jumps in its middle.
fn jumping(film: &[u8]) -> Vec<u8> {
    let packets = film.len() / PACKET;
    (packets / 2..packets).fold(film.to_vec(), |film, number| {
        let at = number * PACKET;
        let packet = &film[at..at + PACKET];
        let has_field = packet[3] & 0x20 != 0;
        let payload = 4 + if has_field { usize::from(packet[4]) + 1 } else { 0 };
        let begins_pes =
            packet[1] & 0x40 != 0 && packet.get(payload..payload + 4) == Some(&[0, 0, 1, 0xe0]);
        if !begins_pes {
            return film;
        }
        // The highest of 33 bits, of the time of display and of that of decoding where it is there.
        let has_two = packet[payload + 7] & 0x40 != 0;
        let times = [payload + 9, payload + 14].into_iter().take(1 + usize::from(has_two));
        times.fold(film.clone(), |film, time| {
            overwritten(&film, at + time, &[film[at + time] | 0x08])
        })
    })
}

/// One packet (ISO 13818-1, 2.4.3.2), filled up behind `payload`.
fn packet(pid: u16, starts: bool, counter: u8, payload: &[u8]) -> Vec<u8> {
    let [high, low] = (pid | u16::from(starts) << 14).to_be_bytes();
    let mut packet = vec![SYNC, high, low, 0x10 | counter];
    packet.extend(payload);
    packet.resize(PACKET, 0xff);
    packet
}

/// The packets of one section of a table (2.4.4).
fn section(pid: u16, table: u8, id: u16, version: u8, places: [u8; 2], body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len() + 9).unwrap() | 0xb000;
    let mut section = vec![table];
    section.extend(length.to_be_bytes());
    section.extend(id.to_be_bytes());
    section.extend([0xc1 | version << 1, places[0], places[1]]);
    section.extend(body);
    section.extend(crc(&section).to_be_bytes());
    // A pointer to the section's start comes first.
    let payload = [&[0], &section[..]].concat();
    let chunks = payload.chunks(PACKET - 4).enumerate();
    chunks.flat_map(|(n, chunk)| packet(pid, n == 0, (n % 16) as u8, chunk)).collect()
}

/// A PAT of programs and the PIDs of their tables.
fn pat(version: u8, places: [u8; 2], programs: &[(u16, u16)]) -> Vec<u8> {
    let body: Vec<u8> = programs
        .iter()
        .flat_map(|(program, pid)| [program.to_be_bytes(), (pid | 0xe000).to_be_bytes()].concat())
        .collect();
    section(0, 0, 1, version, places, &body)
}

/// The PMT of program 1.
fn pmt(version: u8, streams: &[(u8, u16)]) -> Vec<u8> {
    let mut body = vec![0xff, 0xff, 0xf0, 0];
    for (kind, pid) in streams {
        let [high, low] = (pid | 0xe000).to_be_bytes();
        body.extend([*kind, high, low, 0xf0, 0]);
    }
    section(PMT_PID, 2, 1, version, [0, 0], &body)
}

/// The checksum of sections (ISO 13818-1, annex A).
fn crc(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte) << 24, |crc, _| {
            crc << 1 ^ if crc >> 31 == 1 { 0x04c1_1db7 } else { 0 }
        })
    })
}
