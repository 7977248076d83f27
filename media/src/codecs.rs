//! What FFmpeg was built with, of what is needed.

use ff::codec::Id;
use ffmpeg_next as ff;

use crate::MediaError;
use crate::container::Container;

/// Every recording is made with these, and the second look reads them.
const DECODERS: [(&str, Id); 2] = [("h264", Id::H264), ("aac", Id::AAC)];
/// Footage of these kinds is refused without them.
const OF_FOOTAGE: [(&str, Id); 9] = [
    ("hevc", Id::HEVC),
    ("vp8", Id::VP8),
    ("vp9", Id::VP9),
    ("av1", Id::AV1),
    ("mpeg4", Id::MPEG4),
    ("mpeg2video", Id::MPEG2VIDEO),
    ("mjpeg", Id::MJPEG),
    ("prores", Id::PRORES),
    ("dnxhd", Id::DNXHD),
];
const CONTAINERS: [Container; 4] =
    [Container::Mp4, Container::Matroska, Container::Avi, Container::TransportStream];

/// What an FFmpeg lacks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Codecs {
    /// Without these no recording can be made, e.g. `encoder libx264`.
    pub missing: Vec<String>,
    /// Without these some footage is refused.
    pub missing_of_footage: Vec<String>,
    /// Of libavcodec.
    pub version: String,
}

/// Looks at the FFmpeg that this program runs with.
///
/// # Errors
/// Where it does not start.
pub fn codecs() -> Result<Codecs, MediaError> {
    crate::ffi::initialise()?;
    let version = ff::codec::version();
    let mut missing = Vec::new();
    if ff::encoder::find_by_name("libx264").is_none() {
        missing.push("encoder libx264".to_owned());
    }
    if ff::encoder::find(Id::AAC).is_none() {
        missing.push("encoder aac".to_owned());
    }
    missing.extend(lacking(&DECODERS));
    let containers = CONTAINERS.iter().map(|container| container.demuxer());
    let containers = containers.filter(|name| !crate::ffi::has_demuxer(name));
    missing.extend(containers.map(|name| format!("demuxer {name}")));
    Ok(Codecs {
        missing,
        missing_of_footage: lacking(&OF_FOOTAGE).collect(),
        version: format!("{}.{}.{}", version >> 16, (version >> 8) & 0xff, version & 0xff),
    })
}

fn lacking(decoders: &[(&str, Id)]) -> impl Iterator<Item = String> {
    let lacking = decoders.iter().filter(|(_, id)| ff::decoder::find(*id).is_none());
    lacking.map(|(name, _)| format!("decoder {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_named() {
        assert_eq!(lacking(&[("nothing", Id::None)]).collect::<Vec<_>>(), ["decoder nothing"]);
        assert!(!crate::ffi::has_demuxer("no-such-container"));
        assert_eq!(codecs().unwrap().missing, [""; 0]);
    }
}
