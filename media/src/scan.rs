//! One pass over the packets of a file: times, key frames, what is shown.

use std::path::Path;

use ff::codec::Id;
use ffmpeg_next as ff;

use crate::container::Container;
use crate::ffi::{self, StreamFacts};
use crate::h264::{self, AvcConfig};
use crate::schedule::{Schedule, rescale, to_ms, track_time_base};
use crate::slices::Slices;
use crate::source::{Source, changes_header, is_shown, rational};
use crate::{Limits, MediaError, Rational};

/// One video packet, in decoding order.
#[derive(Debug, Clone, Copy)]
pub(crate) struct VideoPacket {
    pub(crate) pts: i64,
    pub(crate) is_key: bool,
    pub(crate) is_shown: bool,
}

/// What the packets of a file are.
#[derive(Debug)]
pub(crate) struct Scan {
    pub(crate) packets: Vec<VideoPacket>,
    /// Where the last shown frame ends, ticks.
    pub(crate) end: i64,
    pub(crate) audio_packets: i64,
    pub(crate) audio_start: i64,
    pub(crate) audio_end: i64,
    /// Whether packets of the sound overlap, as where an edit list goes on elsewhere.
    pub(crate) audio_overlaps: bool,
    h264: H264Scan,
}

/// Reasons that H.264 packets cannot be mixed with packets of another encoder.
#[derive(Debug, Default)]
struct H264Scan {
    /// Where they can be read.
    slices: Option<Slices>,

    has_key_without_idr: bool,
    has_inner_parameter_sets: bool,
    has_odd_lengths: bool,
    has_more_than_pictures: bool,
    has_other_headers: bool,
    has_other_pictures: bool,
}

impl Scan {
    /// Reads the video packets of a file that this crate wrote.
    pub(crate) fn of_video(path: &Path, limits: &Limits) -> Result<(Self, Rational), MediaError> {
        let mut source = Source::open_video(path, limits)?;
        let time_base = source.time_base(source.video)?;
        Ok((Self::read(&mut source)?, time_base))
    }

    /// Reads all packets of a source and checks that none are missing at its end, and that none
    /// come again and again.
    pub(crate) fn read(source: &mut Source) -> Result<Self, MediaError> {
        let codec = source.codec(source.video)?;
        let mut scan = Self {
            packets: Vec::new(),
            end: i64::MIN,
            audio_packets: 0,
            audio_start: i64::MAX,
            audio_end: i64::MIN,
            audio_overlaps: false,
            h264: H264Scan {
                slices: source.avc_config()?.as_ref().and_then(Slices::of),
                ..H264Scan::default()
            },
        };
        let mut last_ms = 0;
        let mut last: Option<(i64, i64)> = None;
        let mut repeats = source.repeats();
        let mut hidden = Vec::new();
        let mut last_sound = i64::MIN;
        while let Some(packet) = source.next_packet()? {
            let Some(pts) = packet.pts().or(packet.dts()) else { continue };
            repeats.see(packet.stream(), packet.position() as i64)?;
            let own_base = source.time_base(packet.stream())?;
            last_ms = last_ms.max(to_ms(pts + packet.duration().max(0), own_base));
            if Some(packet.stream()) == source.audio {
                scan.audio_packets += 1;
                scan.audio_overlaps |= pts <= last_sound;
                last_sound = pts;
                scan.audio_start = scan.audio_start.min(pts);
                scan.audio_end = scan.audio_end.max(pts + packet.duration().max(0));
            }
            if packet.stream() != source.video {
                continue;
            }
            let Some(pts) = packet.pts() else {
                return Err(MediaError::broken("a video packet has no time stamp"));
            };
            let shown = is_shown(&packet, codec);
            if ffi::is_hidden(&packet) {
                hidden.push(pts);
            }
            scan.packets.push(VideoPacket { pts, is_key: packet.is_key(), is_shown: shown });
            if shown && last.is_none_or(|(latest, _)| pts > latest) {
                last = Some((pts, packet.duration()));
            }
            if codec == Id::H264 {
                scan.h264.see(&packet);
            }
        }
        repeats.check()?;
        let (pts, duration) = last.ok_or(MediaError::NoVideo)?;
        let duration = if duration > 0 { duration } else { scan.typical_duration(source)? };
        scan.end = pts + duration;
        let shown = scan.packets.iter().filter(|packet| packet.is_shown);
        let film = shown.map(|packet| packet.pts).min().unwrap_or(scan.end)..scan.end;
        // They keep their place among the shown frames, and a clip could not hide them.
        if hidden.iter().any(|pts| film.contains(pts)) {
            let what = "an edit list that joins parts between key frames".to_owned();
            return Err(MediaError::Unsupported { what });
        }
        let stated_ms = source.input.duration() / 1000 - source.origin_ms()?;
        if source.container == Container::Matroska && last_ms + 1000 < stated_ms {
            let detail = format!("it states {stated_ms} ms and ends after {last_ms} ms");
            return Err(MediaError::Truncated { detail });
        }
        Ok(scan)
    }

    /// Checks that mp4 can hold the time from each picture to the next, hidden ones too: 31 bits
    /// of ticks.
    pub(crate) fn check_gaps(&self, time_base: Rational) -> Result<(), MediaError> {
        let mut times: Vec<i64> =
            self.packets.iter().map(|packet| packet.pts).chain([self.end]).collect();
        times.sort_unstable();
        let gaps = times.windows(2).map(|pair| pair[1].saturating_sub(pair[0]));
        let widest = gaps.max().unwrap_or(0);
        if rescale(widest, time_base, track_time_base(time_base)) <= i32::MAX.into() {
            return Ok(());
        }
        let minutes = to_ms(widest, time_base) / 60_000;
        Err(MediaError::Broken {
            detail: format!("two pictures are {minutes} minutes apart, more than mp4 can hold"),
        })
    }

    /// Times of the displayed frames.
    pub(crate) fn shown_schedule(&self) -> Result<Schedule, MediaError> {
        let shown: Vec<i64> =
            self.packets.iter().filter(|packet| packet.is_shown).map(|packet| packet.pts).collect();
        Schedule::new(&shown, self.end)
    }

    /// Whether clips of this source may stand bit for bit beside re-encoded ones, or why not.
    pub(crate) fn smart(&self, facts: &StreamFacts, codec: Id) -> Result<(), &'static str> {
        let config = AvcConfig::parse(&facts.extradata);
        let one_set = config.as_ref().and_then(AvcConfig::only_ids);
        if codec != Id::H264 {
            Err("the video is not H.264")
        } else if !matches!(
            facts.pixel_format,
            ff::format::Pixel::YUV420P | ff::format::Pixel::YUVJ420P
        ) {
            Err("the video is not 8-bit 4:2:0")
        } else if !facts.is_progressive {
            Err("the video is interlaced, or does not say that it is not")
        } else if one_set.is_none() {
            Err("the video has several parameter sets, or none in its header")
        } else if config.is_none_or(|config| config.hides_picture()) {
            Err("a part of the picture is cropped away by the header")
        } else if self.h264.has_more_than_pictures {
            Err("packets hold more than pictures")
        } else if self.h264.has_inner_parameter_sets {
            Err("parameter sets are repeated inside the video")
        } else if self.h264.has_other_headers {
            Err("the header changes inside the video")
        } else if self.h264.has_key_without_idr || self.has_open_gop() {
            Err("groups of pictures are open")
        } else if self.h264.has_odd_lengths {
            Err("the NAL units of a packet do not add up")
        } else if self.h264.has_other_pictures {
            Err("packets may hold more than one picture")
        } else if self.packets.iter().any(|packet| !packet.is_shown) {
            Err("an edit list hides frames")
        } else {
            Ok(())
        }
    }

    /// Whether a frame is displayed before the key frame that it is decoded after, or after one that
    /// it is decoded before.
    fn has_open_gop(&self) -> bool {
        let (mut key, mut latest) = (i64::MIN, i64::MIN);
        self.packets.iter().any(|packet| {
            let is_early = packet.is_key && packet.pts < latest;
            if packet.is_key {
                key = packet.pts;
            }
            latest = latest.max(packet.pts);
            is_early || packet.pts < key
        })
    }

    fn typical_duration(&self, source: &Source) -> Result<i64, MediaError> {
        let schedule = self.shown_schedule()?;
        if let [first, .., last] = schedule.times() {
            return Ok(((last - first) / (schedule.times().len() as i64 - 1)).max(1));
        }
        let stream = source.stream(source.video)?;
        let rate = rational(stream.avg_frame_rate());
        let time_base = source.time_base(source.video)?;
        let frame = if rate.num > 0 && rate.den > 0 {
            Rational { num: rate.den, den: rate.num }
        } else {
            Rational { num: 1, den: 25 }
        };
        Ok(rescale(1, frame, time_base).max(1))
    }
}

impl H264Scan {
    fn see(&mut self, packet: &ff::Packet) {
        self.has_other_headers |= changes_header(packet);
        match packet.data().and_then(h264::access_unit) {
            Some(unit) => {
                self.has_key_without_idr |= packet.is_key() != unit.has_idr;
                self.has_inner_parameter_sets |= unit.has_parameter_sets;
                self.has_more_than_pictures |= unit.has_more;
            }
            None => self.has_odd_lengths = true,
        }
        self.has_other_pictures |= !self
            .slices
            .as_ref()
            .zip(packet.data())
            .is_some_and(|(slices, data)| slices.are_one_picture(data));
    }
}
