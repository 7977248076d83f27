//! Which parts of a film are the very packets of its source.

use std::collections::HashSet;
use std::path::Path;

use ffmpeg_next as ff;

use crate::groups::{Stretch, stretches};
use crate::h264;
use crate::scan::Scan;
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

/// Decodes a film and shows each of its frames to `visit`, and those of its source too where the film was
/// encoded anew. Closed groups of H.264 pictures whose packets are the source's bit for bit, behind the same
/// parameter sets, decode to the same pictures, and the same headers display them alike: the source's are left out,
/// except those of the first group, and of groups that are not clear everywhere: `is_clear` is asked by times of
/// the source.
///
/// # Errors
/// As those of [`compare`](crate::compare).
pub fn inspect(
    source: &Path,
    output: &Path,
    limits: &Limits,
    is_clear: &dyn Fn(i64) -> bool,
    visit: &mut dyn FnMut(&mut Inspected<'_>) -> Result<(), MediaError>,
) -> Result<CompareReport, MediaError> {
    let copied = Copied::of(source, output, is_clear, limits)?;
    let mut pair = Pair::open(source, output, limits)?;
    for stretch in &copied.stretches {
        if stretch.is_copied {
            let times = &copied.times;
            let first = times.partition_point(|pts| *pts < stretch.times.start);
            for &pts in times[first..].iter().take_while(|pts| **pts < stretch.times.end) {
                pair.see_output(pts, &mut |output| {
                    visit(&mut Inspected { pts, output, source: None })
                })?;
            }
        } else {
            pair.see_both(stretch.times.clone(), &mut |source, output| {
                visit(&mut Inspected { pts: source.pts(), output, source: Some(source) })
            })?;
        }
    }
    pair.finish()
}

/// Where the packets of a film are its source's.
struct Copied {
    /// Side by side, over all times.
    stretches: Vec<Stretch>,
    /// Of the source's frames, rising, where any stretch is copied.
    times: Vec<i64>,
}

impl Copied {
    /// Nothing is copied.
    fn nowhere() -> Self {
        let all = Stretch { times: i64::MIN..i64::MAX, is_copied: false };
        Self { stretches: vec![all], times: Vec::new() }
    }

    fn of(
        source: &Path,
        output: &Path,
        is_clear: &dyn Fn(i64) -> bool,
        limits: &Limits,
    ) -> Result<Self, MediaError> {
        let scan = {
            let mut source = Source::open_video(source, limits)?;
            let (facts, codec) = (source.facts(source.video)?, source.codec(source.video)?);
            let scan = Scan::read(&mut source)?;
            if scan.smart(&facts, codec).is_err() {
                return Ok(Self::nowhere());
            }
            scan
        };
        let Some(same) = same_packets(source, output, limits)? else { return Ok(Self::nowhere()) };
        let Some(second) = scan.packets.iter().skip(1).find(|packet| packet.is_key) else {
            return Ok(Self::nowhere());
        };
        let is_copied = |pts| pts >= second.pts && same.contains(&pts) && is_clear(pts);
        let times = scan.shown_schedule()?.times().to_vec();
        let stretches = stretches(&scan.packets, &(i64::MIN..i64::MAX), &is_copied);
        Ok(Self { stretches, times })
    }
}

/// Times of the source whose packets are in the same places of the film; `None` where they may mean something
/// else there.
fn same_packets(
    source: &Path,
    output: &Path,
    limits: &Limits,
) -> Result<Option<HashSet<i64>>, MediaError> {
    let mut sources = Source::open_video(source, limits)?;
    let mut outputs = Source::open_video(output, limits)?;
    match (sources.avc_config()?, outputs.avc_config()?) {
        (Some(theirs), Some(ours)) if ours.serves(&theirs) => {}
        _ => return Ok(None),
    }
    if !outputs.is_displayed_as(&sources)? {
        return Ok(None);
    }
    let (source_base, output_base) =
        (sources.time_base(sources.video)?, outputs.time_base(outputs.video)?);
    let mut same = HashSet::new();
    while let (Some((theirs, before)), Some((ours, after))) =
        (sources.next_video()?, outputs.next_video()?)
    {
        if changes_header(&after) || has_parameter_sets(&after) {
            return Ok(None);
        }
        let is_in_time = (rescale(theirs, source_base, output_base) - ours).abs() <= 1;
        if is_in_time && before.is_key() == after.is_key() && before.data() == after.data() {
            same.insert(theirs);
        }
    }
    Ok(Some(same))
}

/// Whether a packet changes how later ones are read, or cannot be read itself.
fn has_parameter_sets(packet: &ff::Packet) -> bool {
    packet.data().and_then(h264::access_unit).is_none_or(|unit| unit.has_parameter_sets)
}
