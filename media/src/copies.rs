//! Which parts of a film are the very packets of its source.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::path::Path;

use crate::groups::{Stretch, stretches};
use crate::h264;
use crate::parts::{Part, divided};
use crate::scan::{Scan, VideoPacket};
use crate::schedule::rescale;
use crate::source::{Source, changes_header};
use crate::verify::Pair;
use crate::{CompareReport, Frame, Limits, MediaError};

/// A moment of a film.
#[derive(Debug)]
pub struct Inspected<'a> {
    /// In ticks of the source.
    pub pts: i64,
    /// The film's frame.
    pub output: Frame<'a>,
    /// The source's; `None` where the film has the source's packets and so shows what it shows.
    pub source: Option<Frame<'a>>,
}

/// What it takes to decode a frame and to look at it now and then, beside one that is compared with its source, too.
const COPIED: u64 = 1;
const ANEW: u64 = 3;

/// A film and its source, of which it is known what they have in common.
#[derive(Debug)]
pub struct Inspector<'a> {
    source: &'a Path,
    output: &'a Path,
    limits: &'a Limits,
    common: Common,
}

/// A part of a film and the same part of its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedPart {
    source: Part,
    /// Of the film's frames, its ticks.
    output: Range<i64>,
}

impl SharedPart {
    /// The source's frame before the first one, ticks of the source; `None` where the films begin.
    pub fn before(&self) -> Option<i64> {
        self.source.before
    }
}

impl<'a> Inspector<'a> {
    /// Compares the packets of both. `is_clear` is asked by times of the source where nothing is masked.
    ///
    /// # Errors
    /// Where a film cannot be read.
    pub fn open(
        source: &'a Path,
        output: &'a Path,
        limits: &'a Limits,
        is_clear: &dyn Fn(i64) -> bool,
    ) -> Result<Self, MediaError> {
        let common = Common::of(source, output, is_clear, limits)?;
        Ok(Self { source, output, limits, common })
    }

    /// At most `count` parts, which together are the whole, of about as much work each: both films are divided at
    /// the same closed groups.
    pub fn parts(&self, count: usize) -> Vec<SharedPart> {
        let joints = &self.common.joints;
        let mut parts: Vec<SharedPart> = Vec::new();
        let cost = |packet: &VideoPacket| if self.is_copied(packet.pts) { COPIED } else { ANEW };
        for source in divided(&self.common.packets, count, cost) {
            let start = joints.get(&source.times.start).copied().unwrap_or(i64::MIN);
            if let Some(before) = parts.last_mut() {
                before.output.end = start;
            }
            parts.push(SharedPart { source, output: start..i64::MAX });
        }
        parts
    }

    /// Whether the source is left out at a time of its.
    fn is_copied(&self, pts: i64) -> bool {
        let stretches = &self.common.stretches;
        let at = stretches.partition_point(|stretch| stretch.times.end <= pts);
        stretches.get(at).is_some_and(|stretch| stretch.is_copied)
    }

    /// Decodes a part of the film and shows each of its frames to `visit`, and those of its source too where the
    /// film was encoded anew. Closed groups of H.264 pictures whose packets are the source's bit for bit, behind the
    /// same parameter sets, decode to the same pictures, and the same headers display them alike: the source's are
    /// left out, except those of the film's first group, and of groups that are not clear everywhere.
    ///
    /// # Errors
    /// As those of [`compare`](crate::compare).
    pub fn inspect(
        &self,
        part: &SharedPart,
        threads: usize,
        visit: &mut dyn FnMut(&mut Inspected<'_>) -> Result<(), MediaError>,
    ) -> Result<CompareReport, MediaError> {
        let limits = Limits { threads, ..self.limits.clone() };
        let mut pair = Pair::open(self.source, self.output, &limits)?;
        pair.outputs.go_on(part.output.clone());
        for stretch in &self.common.stretches {
            let times = stretch.times.start.max(part.source.times.start)
                ..stretch.times.end.min(part.source.times.end);
            if stretch.is_copied {
                let all = &self.common.times;
                let first = all.partition_point(|pts| *pts < times.start);
                for &pts in all[first..].iter().take_while(|pts| **pts < times.end) {
                    pair.see_output(pts, &mut |output| {
                        visit(&mut Inspected { pts, output, source: None })
                    })?;
                }
            } else if !times.is_empty() {
                pair.see_both(times, &mut |source, output| {
                    visit(&mut Inspected { pts: source.pts(), output, source: Some(source) })
                })?;
            }
        }
        pair.finish()
    }
}

/// What the packets of a film and of its source have in common.
#[derive(Debug)]
struct Common {
    /// Where they are the same; side by side, over all times.
    stretches: Vec<Stretch>,
    /// Of the source's frames, rising, where any stretch is copied.
    times: Vec<i64>,
    /// The source's, as far as both can be divided; those that may begin a part are key frames.
    packets: Vec<VideoPacket>,
    /// Where a part may begin: times of the source, and of the film.
    joints: HashMap<i64, i64>,
}

impl Common {
    /// Nothing is known: the films are compared frame by frame as a whole.
    fn nothing() -> Self {
        let all = Stretch { times: i64::MIN..i64::MAX, is_copied: false };
        Self {
            stretches: vec![all],
            times: Vec::new(),
            packets: Vec::new(),
            joints: HashMap::new(),
        }
    }

    fn of(
        source: &Path,
        output: &Path,
        is_clear: &dyn Fn(i64) -> bool,
        limits: &Limits,
    ) -> Result<Self, MediaError> {
        let mut scan = {
            let mut source = Source::open_video(source, limits)?;
            let (facts, codec) = (source.facts(source.video)?, source.codec(source.video)?);
            let scan = Scan::read(&mut source)?;
            if scan.smart(&facts, codec).is_err() {
                return Ok(Self::nothing());
            }
            scan
        };
        let Some(Alike { same, joints }) = Alike::of(source, output, limits)? else {
            return Ok(Self::nothing());
        };
        let Some(second) = scan.packets.iter().skip(1).find(|packet| packet.is_key) else {
            return Ok(Self::nothing());
        };
        let is_copied = |pts| pts >= second.pts && same.contains(&pts) && is_clear(pts);
        let times = scan.shown_schedule()?.times().to_vec();
        let stretches = stretches(&scan.packets, &(i64::MIN..i64::MAX), &is_copied);
        for packet in &mut scan.packets {
            packet.is_key = joints.contains_key(&packet.pts);
        }
        Ok(Self { stretches, times, packets: scan.packets, joints })
    }
}

/// Where the packets of two films do the same.
struct Alike {
    /// Times of the source whose packets are in the same places of the film, and mean the same.
    same: HashSet<i64>,
    /// Closed groups of both begin at these times of the source, and of the film.
    joints: HashMap<i64, i64>,
}

impl Alike {
    /// The source's groups are closed. Nothing is the same where its packets may mean something else in the film;
    /// `None` where nobody knows what the film's mean.
    fn of(source: &Path, output: &Path, limits: &Limits) -> Result<Option<Self>, MediaError> {
        let mut sources = Source::open_video(source, limits)?;
        let mut outputs = Source::open_video(output, limits)?;
        let (Some(theirs), Some(ours)) = (sources.avc_config()?, outputs.avc_config()?) else {
            return Ok(None);
        };
        let serves = ours.serves(&theirs) && outputs.is_displayed_as(&sources)?;
        let (source_base, output_base) =
            (sources.time_base(sources.video)?, outputs.time_base(outputs.video)?);
        let (mut same, mut joints) = (HashSet::new(), Vec::new());
        let mut latest = i64::MIN;
        while let (Some((theirs, before)), Some((ours, after))) =
            (sources.next_video()?, outputs.next_video()?)
        {
            let Some(unit) = after.data().and_then(h264::access_unit) else { return Ok(None) };
            if changes_header(&after) || unit.has_parameter_sets {
                return Ok(None);
            }
            let is_in_time = (rescale(theirs, source_base, output_base) - ours).abs() <= 1;
            let are_same = before.is_key() == after.is_key() && before.data() == after.data();
            if serves && is_in_time && are_same {
                same.insert(theirs);
            }
            // What is displayed before a key frame and decoded after it leaves the group open.
            while joints.pop_if(|(_, joint)| ours < *joint).is_some() {}
            if is_in_time && before.is_key() && after.is_key() && unit.has_idr && ours > latest {
                joints.push((theirs, ours));
            }
            latest = latest.max(ours);
        }
        Ok(Some(Self { same, joints: joints.into_iter().collect() }))
    }
}
