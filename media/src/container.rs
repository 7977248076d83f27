//! Decides the container from the bytes themselves, before FFmpeg sees the file.
//!
//! FFmpeg's own guess is not safe: an `.mp4` whose body is a playlist or an ffconcat script is
//! opened as one and reads other files. Here the magic bytes choose the demuxer, which is forced.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use crate::MediaError;

/// A container that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Container {
    /// ISO base media: mp4, mov, m4v, 3gp.
    Mp4,
    /// EBML: mkv, webm.
    Matroska,
    /// RIFF: avi.
    Avi,
    /// MPEG-2 transport stream: ts, m2ts, mts.
    TransportStream,
}

impl Container {
    /// FFmpeg's name of the demuxer.
    pub(crate) fn demuxer(self) -> &'static str {
        match self {
            Self::Mp4 => "mov",
            Self::Matroska => "matroska",
            Self::Avi => "avi",
            Self::TransportStream => "mpegts",
        }
    }

    /// The name shown to users.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Mp4 => "mp4",
            Self::Matroska => "matroska",
            Self::Avi => "avi",
            Self::TransportStream => "mpegts",
        }
    }
}

const HEAD: usize = 4096;

/// Reads the first bytes of `path`, names its container and checks that the end is not missing.
pub(crate) fn recognise(path: &Path) -> Result<Container, MediaError> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    if length == 0 {
        return Err(MediaError::Empty);
    }
    let mut head = Vec::with_capacity(HEAD);
    file.by_ref().take(HEAD as u64).read_to_end(&mut head)?;
    let container = from_magic(&head)?;
    match container {
        Container::Mp4 => check_boxes(&mut file, length)?,
        Container::Matroska => check_segment(&head, length)?,
        Container::Avi => check_riff(&head, length)?,
        // A broadcast has no end to miss.
        Container::TransportStream => {}
    }
    Ok(container)
}

fn from_magic(head: &[u8]) -> Result<Container, MediaError> {
    const FIRST_BOXES: [&[u8]; 7] = [b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"];
    if head.get(4..8).is_some_and(|kind| FIRST_BOXES.contains(&kind)) {
        return Ok(Container::Mp4);
    }
    if head.starts_with(&[0x1a, 0x45, 0xdf, 0xa3]) {
        return Ok(Container::Matroska);
    }
    if head.starts_with(b"RIFF") && head.get(8..12) == Some(b"AVI ") {
        return Ok(Container::Avi);
    }
    if is_transport_stream(head) {
        return Ok(Container::TransportStream);
    }
    if let Some(kind) = script(head) {
        return Err(MediaError::Playlist { kind });
    }
    if let Some(what) = known_but_not_read(head) {
        return Err(MediaError::Unsupported { what: what.to_owned() });
    }
    const SOUND: [&[u8]; 4] = [b"fLaC", b"OggS", b"ID3", b"\xff\xfb"];
    let is_wave = head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WAVE");
    if is_wave || SOUND.iter().any(|magic| head.starts_with(magic)) {
        return Err(MediaError::NoVideo);
    }
    let detail = if head.iter().all(|byte| matches!(byte, 9..=13 | 32..=126 | 128..)) {
        "it looks like text"
    } else {
        "its first bytes are those of no video container"
    };
    Err(MediaError::Unrecognised { detail: detail.to_owned() })
}

/// Scripts that make a player open other files, wherever in the head they begin.
fn script(head: &[u8]) -> Option<&'static str> {
    let holds = |needle: &[u8]| head.windows(needle.len()).any(|window| window == needle);
    if holds(b"#EXTM3U") || holds(b"#EXT-X-") {
        Some("HLS playlist")
    } else if holds(b"ffconcat version") {
        Some("ffconcat script")
    } else if holds(b"<MPD") {
        Some("DASH manifest")
    } else if holds(b"<SmoothStreamingMedia") {
        Some("Smooth Streaming manifest")
    } else {
        None
    }
}

fn known_but_not_read(head: &[u8]) -> Option<&'static str> {
    if head.starts_with(b"FLV") {
        Some("the FLV container")
    } else if head.starts_with(&[0, 0, 1, 0xba]) {
        Some("the MPEG program stream container")
    } else if head.starts_with(&[0x30, 0x26, 0xb2, 0x75]) {
        Some("the ASF container")
    } else {
        None
    }
}

/// Packets of 188 bytes begin with a sync byte (ISO 13818-1, 2.4.3.2); on disc, 4 bytes of time
/// come before each. Five in a row are no accident, nor is a stray byte among them one.
fn is_transport_stream(head: &[u8]) -> bool {
    const SYNC: u8 = 0x47;
    const PACKETS: usize = 5;
    [(0, 188), (4, 192)].iter().any(|&(first, size)| {
        let mut marks = head.iter().skip(first).step_by(size);
        marks.len() >= PACKETS && marks.all(|&mark| mark == SYNC)
    })
}

/// The first RIFF chunk states its size, unless the recorder was cut off.
fn check_riff(head: &[u8], length: u64) -> Result<(), MediaError> {
    let size = head.get(4..8).and_then(|size| size.try_into().ok()).map(u32::from_le_bytes);
    match size.map(u64::from) {
        Some(size) if size + 8 > length => Err(MediaError::Truncated {
            detail: format!("the last {} bytes of its RIFF chunk are missing", size + 8 - length),
        }),
        _ => Ok(()),
    }
}

/// Walks the top-level boxes: `moov` must be there, and no media box may reach beyond the end.
fn check_boxes(file: &mut File, length: u64) -> Result<(), MediaError> {
    let mut at = 0;
    let mut has_index = false;
    while at + 8 <= length {
        let mut header = [0; 16];
        file.seek(SeekFrom::Start(at))?;
        let wanted = (length - at).min(16) as usize;
        file.read_exact(&mut header[..wanted])?;
        let [a, b, c, d, kind @ .., _, _, _, _, _, _, _, _] = header;
        let size = match u32::from_be_bytes([a, b, c, d]) {
            0 => length - at,
            1 if wanted == 16 => {
                let [_, _, _, _, _, _, _, _, large @ ..] = header;
                u64::from_be_bytes(large)
            }
            small => small.into(),
        };
        if size < 8 {
            break;
        }
        let is_media = matches!(&kind, b"moov" | b"mdat" | b"moof" | b"ftyp");
        if is_media && at.saturating_add(size) > length {
            let missing = at.saturating_add(size) - length;
            let kind = String::from_utf8_lossy(&kind).into_owned();
            let detail = format!("the last {missing} bytes of its {kind} box are missing");
            return Err(MediaError::Truncated { detail });
        }
        has_index |= &kind == b"moov";
        at = at.saturating_add(size);
    }
    if has_index {
        Ok(())
    } else {
        Err(MediaError::Truncated { detail: "its index (moov box) is missing".to_owned() })
    }
}

/// The Segment states its size, unless it was written live.
fn check_segment(head: &[u8], length: u64) -> Result<(), MediaError> {
    const SEGMENT: [u8; 4] = [0x18, 0x53, 0x80, 0x67];
    let Some(header) = head.get(4..).and_then(ebml_size) else { return Ok(()) };
    let start = 4 + header.width as u64 + header.size.unwrap_or(0);
    let Some(segment) = usize::try_from(start).ok().and_then(|start| head.get(start..)) else {
        return Ok(());
    };
    if !segment.starts_with(&SEGMENT) {
        return Err(MediaError::Truncated { detail: "its Segment is missing".to_owned() });
    }
    let Some(body) = ebml_size(&segment[4..]) else { return Ok(()) };
    let end = body.size.map(|size| (start + 4 + body.width as u64).saturating_add(size));
    match end {
        Some(end) if end > length => Err(MediaError::Truncated {
            detail: format!("the last {} bytes of its Segment are missing", end - length),
        }),
        _ => Ok(()),
    }
}

/// An EBML size: how many bytes it takes and its value, `None` for "unknown".
struct EbmlSize {
    width: usize,
    size: Option<u64>,
}

fn ebml_size(bytes: &[u8]) -> Option<EbmlSize> {
    let first = *bytes.first()?;
    let width = first.leading_zeros() as usize + 1;
    if width > 8 {
        return None;
    }
    let mask = (1u64 << (7 * width)) - 1;
    let raw = bytes.get(..width)?.iter().fold(0u64, |value, byte| value << 8 | u64::from(*byte));
    let value = raw & mask;
    Some(EbmlSize { width, size: (value != mask).then_some(value) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_playlist_behind_an_id3_tag_is_a_playlist() {
        let error = from_magic(b"ID3\x04\x00\x00\x00\x00\x00\x00\r\n#EXTM3U\r\n").unwrap_err();
        assert_eq!(error.reason(), "playlist");
    }

    #[test]
    fn sound_files_have_no_video() {
        for head in [&b"fLaC...."[..], b"OggS....", b"RIFF\x00\x00\x00\x00WAVEfmt "] {
            assert_eq!(from_magic(head).unwrap_err().reason(), "no_video");
        }
    }

    #[test]
    fn ebml_sizes_are_read_in_every_width() {
        let one = ebml_size(&[0x9f]).unwrap();
        assert_eq!((one.width, one.size), (1, Some(31)));
        let live = ebml_size(&[0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]).unwrap();
        assert_eq!((live.width, live.size), (8, None));
    }
}
