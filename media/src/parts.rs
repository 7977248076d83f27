//! Parts of a film that are decoded side by side.
//!
//! FFmpeg's threads, with a frame each, wait for one another: on two cores they take 0.7 of the time of one thread.
//! Two decoders with a part of the film each take half.

use std::ops::{ControlFlow, Range};
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread::{self, ScopedJoinHandle};

use crate::decode::{FrameReader, is_large};
use crate::scan::{Scan, VideoPacket};
use crate::source::Source;
use crate::{DecodeReport, Frame, Limits, MediaError};

/// Packets of a part at least: less is not worth a decoder of its own.
const LEAST: usize = 150;

/// A part of a film that is decoded by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Of its frames, ticks of the file.
    pub(crate) times: Range<i64>,
    /// The frame displayed before its first one, ticks; `None` where the film begins.
    pub before: Option<i64>,
}

impl Part {
    pub(crate) const WHOLE: Self = Self { times: i64::MIN..i64::MAX, before: None };
}

/// Divides a film into at most `count` parts, which together are all of it, of about as many frames each: at
/// closed groups of H.264 pictures. Any other film is one part, and so is one of large pictures, whose decoders take
/// much memory.
///
/// # Errors
/// Where the file cannot be read.
pub fn parts(path: &Path, limits: &Limits, count: usize) -> Result<Vec<Part>, MediaError> {
    let mut source = Source::open_video(path, limits)?;
    let (facts, codec) = (source.facts(source.video)?, source.codec(source.video)?);
    if count < 2 || is_large((facts.width, facts.height)) {
        return Ok(vec![Part::WHOLE]);
    }
    let scan = Scan::read(&mut source)?;
    Ok(if scan.smart(&facts, codec).is_ok() && scan.shown_schedule().is_ok() {
        divided(&scan.packets, count, |_| 1)
    } else {
        vec![Part::WHOLE]
    })
}

/// As [`parts`], of `packets` in decoding order, by what each of them costs; a part may begin at each of their key
/// frames.
pub(crate) fn divided(
    packets: &[VideoPacket],
    count: usize,
    cost: impl Fn(&VideoPacket) -> u64,
) -> Vec<Part> {
    // Of the packets before each.
    let costs: Vec<u64> = packets
        .iter()
        .scan(0, |sum, packet| Some(std::mem::replace(sum, *sum + cost(packet))))
        .collect();
    let all = costs.last().map_or(0, |last| last + packets.last().map_or(0, cost));
    let mut parts = vec![Part::WHOLE];
    let mut start = 0;
    for number in 1..count as u64 {
        let even = all * number / count as u64;
        let keys = (start + LEAST)..=packets.len().saturating_sub(LEAST);
        let keys = keys.filter(|at| packets[*at].is_key);
        let Some(key) = keys.min_by_key(|at| costs[*at].abs_diff(even)) else { break };
        let first = packets[key].pts;
        if let Some(last) = parts.last_mut() {
            last.times.end = first;
        }
        let before = packets[start..key].iter().map(|packet| packet.pts).max();
        parts.push(Part { times: first..i64::MAX, before });
        start = key;
    }
    parts
}

/// Decodes a part of `path` and shows its frames to `visit` in presentation order; `Break` ends early.
///
/// # Errors
/// As [`decode`](crate::decode), of what is decoded.
pub fn decode_part(
    path: &Path,
    part: &Part,
    limits: &Limits,
    visit: &mut dyn FnMut(&mut Frame<'_>) -> Result<ControlFlow<()>, MediaError>,
) -> Result<DecodeReport, MediaError> {
    let mut reader = FrameReader::of(path, limits)?;
    reader.go_on(part.times.clone());
    reader.show(visit)
}

/// Does `work` on all parts at once, which share the threads of `limits`; answers in the order of the parts. The
/// first that fails stops the others.
///
/// # Errors
/// That of the part that failed first.
///
/// # Panics
/// Where a part's work does.
pub fn side_by_side<P: Sync, A: Send, E: Send>(
    parts: &[P],
    limits: &Limits,
    work: impl Fn(&P, &Limits) -> Result<A, E> + Sync,
) -> Result<Vec<A>, E> {
    if let [whole] = parts {
        return work(whole, limits).map(|answer| vec![answer]);
    }
    let threads = (limits.threads / parts.len().max(1)).max(1);
    let limits = Limits { threads, cancel: limits.cancel.of_part(), ..limits.clone() };
    let failure = Mutex::new(None);
    let answer = |part| match work(part, &limits) {
        Ok(answer) => Some(answer),
        Err(error) => {
            failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            limits.cancel.cancel();
            None
        }
    };
    let answers: Vec<_> = thread::scope(|scope| {
        let at_work: Vec<_> = parts.iter().map(|part| scope.spawn(|| answer(part))).collect();
        at_work.into_iter().map(ScopedJoinHandle::join).collect()
    });
    let answers =
        answers.into_iter().map(|answer| answer.unwrap_or_else(|cause| resume_unwind(cause)));
    let answers = answers.collect::<Vec<_>>().into_iter().flatten().collect();
    match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => Ok(answers),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the parts begin, of groups of so many pictures I P B B.
    fn begins(groups: &[i64], count: usize) -> Vec<(i64, Option<i64>)> {
        let mut packets = Vec::new();
        for length in groups {
            let first = packets.len() as i64;
            let places = (0..*length).map(|at| match at % 3 {
                _ if at + 3 - at % 3 > length - 1 => at,
                0 => at,
                1 => at + 1,
                _ => at - 1,
            });
            packets.extend(places.enumerate().map(|(at, place)| VideoPacket {
                pts: first + place,
                is_key: at == 0,
                is_shown: true,
            }));
        }
        let parts = divided(&packets, count, |_| 1);
        for pair in parts.windows(2) {
            assert_eq!(pair[0].times.end, pair[1].times.start);
        }
        assert_eq!(parts[0].times.start, i64::MIN);
        assert_eq!(parts[parts.len() - 1].times.end, i64::MAX);
        parts.iter().map(|part| (part.times.start, part.before)).skip(1).collect()
    }

    #[test]
    fn a_film_is_divided_at_the_key_frames_nearest_to_equal_parts() {
        assert_eq!(begins(&[100; 6], 2), [(300, Some(299))]);
        assert_eq!(begins(&[100; 6], 3), [(200, Some(199)), (400, Some(399))]);
        assert_eq!(begins(&[250, 160, 190], 2), [(250, Some(249))]);
        assert_eq!(begins(&[100; 6], 1), []);
    }

    #[test]
    fn parts_that_cost_more_are_shorter() {
        let packets: Vec<_> = (0..1200)
            .map(|pts| VideoPacket { pts, is_key: pts % 50 == 0, is_shown: true })
            .collect();
        let begins = |count, cost: fn(&VideoPacket) -> u64| -> Vec<i64> {
            let parts = divided(&packets, count, cost);
            parts.iter().skip(1).map(|part| part.times.start).collect()
        };
        assert_eq!(begins(2, |packet| if packet.pts < 400 { 5 } else { 2 }), [350]);
        assert_eq!(begins(2, |packet| if packet.pts < 800 { 2 } else { 5 }), [850]);
        assert_eq!(begins(3, |packet| u64::from(packet.pts < 200)), [150, 300]);
    }

    #[test]
    fn parts_are_not_too_short_and_groups_not_divided() {
        assert_eq!(begins(&[149, 500], 2), []);
        assert_eq!(begins(&[500, 149], 2), []);
        assert_eq!(begins(&[150, 150], 4), [(150, Some(149))]);
        assert_eq!(begins(&[600], 4), []);
        assert_eq!(begins(&[1; 3], 2), []);
    }

    #[test]
    fn parts_are_worked_on_at_once_and_share_the_threads() {
        let limits = Limits { threads: 7, ..Limits::default() };
        let all = std::sync::Barrier::new(3);
        let work = |part: &u32, limits: &Limits| {
            all.wait();
            Ok::<_, ()>((*part, limits.threads))
        };
        assert_eq!(side_by_side(&[1, 2, 3], &limits, work), Ok(vec![(1, 2), (2, 2), (3, 2)]));
        let alone =
            side_by_side(&[1], &limits, |part, limits| Ok::<_, ()>((*part, limits.threads)));
        assert_eq!(alone, Ok(vec![(1, 7)]));
    }

    #[test]
    fn a_part_that_fails_stops_the_others_and_nobody_else() {
        let limits = Limits::default();
        let work = |part: &usize, limits: &Limits| -> Result<(), MediaError> {
            if *part == 1 {
                return Err(MediaError::broken("the second part"));
            }
            loop {
                limits.cancel.check()?;
                thread::yield_now();
            }
        };
        let failed = side_by_side(&[0, 1, 2], &limits, work).unwrap_err();
        assert_eq!(failed.reason(), "broken");
        assert!(!limits.cancel.is_cancelled());
        limits.cancel.cancel();
        let stopped = side_by_side(&[0, 2], &limits, work).unwrap_err();
        assert!(matches!(stopped, MediaError::Cancelled), "{stopped}");
    }

    #[test]
    #[should_panic(expected = "as the test wants it")]
    fn a_panic_of_a_part_goes_on() {
        let work = |part: &usize, _: &Limits| {
            assert_eq!(*part, 0, "as the test wants it");
            Ok::<_, ()>(())
        };
        drop(side_by_side(&[0, 1], &Limits::default(), work));
    }
}
