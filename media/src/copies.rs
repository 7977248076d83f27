//! Which parts of a film are the very packets of its source.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::path::Path;

use crate::decode::is_large;
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

/// What a frame costs: 2.1 ms where it is decoded and looked at every 150 ms, 6.1 ms where its source is, too, and they
/// are compared (720p).
const COPIED: u64 = 1;
const ANEW: u64 = 3;

/// A film and its source, of which it is known what they have in common.
#[derive(Debug)]
pub struct Inspector<'a> {
    source: &'a Path,
    output: &'a Path,
    limits: &'a Limits,
    /// Where their packets are the same; side by side, over all times.
    stretches: Vec<Stretch>,
    /// Of the source's frames, rising, where any stretch is copied.
    times: Vec<i64>,
    /// Side by side, all of both.
    parts: Vec<SharedPart>,
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
        let all = i64::MIN..i64::MAX;
        let mut whole = Self {
            source,
            output,
            limits,
            stretches: vec![Stretch { times: all.clone(), is_copied: false }],
            times: Vec::new(),
            parts: vec![SharedPart { source: Part::WHOLE, output: all.clone() }],
        };
        let (scan, size) = {
            let mut source = Source::open_video(source, limits)?;
            let (facts, codec) = (source.facts(source.video)?, source.codec(source.video)?);
            let scan = Scan::read(&mut source)?;
            if scan.smart(&facts, codec).is_err() {
                return Ok(whole);
            }
            (scan, (facts.width, facts.height))
        };
        let Some(alike) = Alike::of(source, output, limits)? else { return Ok(whole) };
        let Some(second) = scan.packets.iter().skip(1).find(|packet| packet.is_key) else {
            return Ok(whole);
        };
        let is_copied = |pts| pts >= second.pts && alike.same.contains(&pts) && is_clear(pts);
        whole.times = scan.shown_schedule()?.times().to_vec();
        whole.stretches = stretches(&scan.packets, &all, &is_copied);
        if !is_large(size) {
            whole.parts = whole.divided(scan.packets, &alike.joints);
        }
        Ok(whole)
    }

    /// `packets` are the source's.
    fn divided(
        &self,
        mut packets: Vec<VideoPacket>,
        joints: &HashMap<i64, i64>,
    ) -> Vec<SharedPart> {
        for packet in &mut packets {
            packet.is_key = joints.contains_key(&packet.pts);
        }
        let cost = |packet: &VideoPacket| {
            let at = self.stretches.partition_point(|stretch| stretch.times.end <= packet.pts);
            let is_copied = self.stretches.get(at).is_some_and(|stretch| stretch.is_copied);
            if is_copied { COPIED } else { ANEW }
        };
        let mut parts: Vec<SharedPart> = Vec::new();
        for source in divided(&packets, self.limits.threads, cost) {
            let start = joints.get(&source.times.start).copied().unwrap_or(i64::MIN);
            if let Some(before) = parts.last_mut() {
                before.output.end = start;
            }
            parts.push(SharedPart { source, output: start..i64::MAX });
        }
        parts
    }

    /// As many parts as `limits` has threads, at most, which together are the whole, of about as much work each: both
    /// films are divided at the same closed groups. Films of large pictures are one part.
    pub fn parts(&self) -> &[SharedPart] {
        &self.parts
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
        limits: &Limits,
        visit: &mut dyn FnMut(&mut Inspected<'_>) -> Result<(), MediaError>,
    ) -> Result<CompareReport, MediaError> {
        let mut pair = Pair::open(self.source, self.output, limits)?;
        pair.outputs.go_on(part.output.clone());
        for stretch in &self.stretches {
            let times = stretch.times.start.max(part.source.times.start)
                ..stretch.times.end.min(part.source.times.end);
            if stretch.is_copied {
                let all = &self.times;
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

/// Where the packets of two films do the same.
struct Alike {
    /// Times of the source whose packets are in the same places of the film, and mean the same.
    same: HashSet<i64>,
    /// Closed groups of both begin at these times of the source, and of the film.
    joints: HashMap<i64, i64>,
}

impl Alike {
    /// The source's groups are closed. Nothing is the same where its packets may mean something else in the film;
    /// `None` where nobody knows what the film's mean, or one has more of them than the other.
    fn of(source: &Path, output: &Path, limits: &Limits) -> Result<Option<Self>, MediaError> {
        let mut sources = Source::open_video(source, limits)?;
        let mut outputs = Source::open_video(output, limits)?;
        let (Some(theirs), Some(ours)) = (sources.avc_config()?, outputs.avc_config()?) else {
            return Ok(None);
        };
        if ours.length_size != theirs.length_size {
            return Ok(None);
        }
        let serves = ours.serves(&theirs) && outputs.is_displayed_as(&sources)?;
        let (source_base, output_base) =
            (sources.time_base(sources.video)?, outputs.time_base(outputs.video)?);
        let (mut same, mut joints) = (HashSet::new(), Vec::new());
        let mut latest = i64::MIN;
        loop {
            let ((theirs, before), (ours, after)) =
                match (sources.next_video()?, outputs.next_video()?) {
                    (Some(theirs), Some(ours)) => (theirs, ours),
                    (None, None) => break,
                    _ => return Ok(None),
                };
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
