//! Cuts a source into clips at key frames, by stream copy and without sound.

use std::path::Path;

use ffmpeg_next as ff;
use serde::{Deserialize, Serialize};

use crate::output::{Writer, file_sha256};
use crate::probe::probe_and_scan;
use crate::scan::{Scan, VideoPacket};
use crate::schedule::{Schedule, rescale};
use crate::source::{Source, is_shown, muxer_for};
use crate::{Limits, MediaError, Probe, Rational};

/// One clip of a source. All times are source PTS ticks, intervals are half open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClipSpan {
    /// Position in the film, from 0.
    pub index: u32,
    /// First PTS of the core, a key frame.
    pub core_start: i64,
    /// End of the core, the next core's start.
    pub core_end: i64,
    /// First PTS of the clip file; `source PTS = clip PTS + margin_start`.
    pub margin_start: i64,
    /// End of the clip file.
    pub margin_end: i64,
    /// Frames of the core.
    pub core_frames: u32,
    /// Frames of the clip file, margins included.
    pub frames: u32,
}

impl ClipSpan {
    /// Whether a source PTS (ticks) belongs to the core.
    pub fn core_holds(&self, source_pts: i64) -> bool {
        (self.core_start..self.core_end).contains(&source_pts)
    }
}

/// How a source is cut.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CutPlan {
    /// The source.
    pub probe: Probe,
    /// The clips in order; their cores hold every displayed frame exactly once.
    pub clips: Vec<ClipSpan>,
}

/// A clip that was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClipFile {
    /// Size, bytes.
    pub bytes: u64,
    /// SHA-256 of the file, lowercase hex.
    pub sha256: String,
}

/// Probes `source` and plans cores of about `clip_seconds` that start at key frames, each with
/// margins of at least `margin_seconds` to key frames on both sides (less at the film's ends).
///
/// Core `n` starts at the first key frame at or after `n * clip_seconds`, so cores do not drift;
/// a source with rare key frames has fewer and longer cores.
///
/// # Errors
/// As [`probe`](crate::probe).
pub fn plan_cut(
    source: &Path,
    clip_seconds: f64,
    margin_seconds: f64,
    limits: &Limits,
) -> Result<CutPlan, MediaError> {
    let (probe, scan) = probe_and_scan(source, limits)?;
    let keys = keys(&scan);
    let key_times: Vec<i64> = keys.iter().map(|key| key.pts).collect();
    let schedule = scan.shown_schedule()?;
    let tick = probe.time_base.as_f64();
    let clip = ((clip_seconds / tick).round() as i64).max(1);
    let margin = ((margin_seconds.max(1.0) / tick).round() as i64).max(1);
    let starts = core_starts(&key_times, probe.start_pts, scan.end, clip, half_a_frame(&probe));
    let ends = starts.iter().skip(1).copied().chain([scan.end]);
    let clips = starts
        .iter()
        .zip(ends)
        .zip(0..)
        .map(|((&core_start, core_end), index)| {
            let before = key_times.partition_point(|&key| key <= core_start - margin);
            let after = key_times.partition_point(|&key| key < core_end.saturating_add(margin));
            let first = before.checked_sub(1).and_then(|at| keys.get(at));
            let last = keys.get(after);
            let margin_start = first.map_or(probe.start_pts, |key| key.pts);
            let margin_end = last.map_or(scan.end, |key| key.pts);
            let packets =
                first.map_or(0, |key| key.place)..last.map_or(scan.packets.len(), |key| key.place);
            let is_of_clip = |packet: &&VideoPacket| {
                packet.is_shown && (margin_start..margin_end).contains(&packet.pts)
            };
            let frames = scan.packets[packets].iter().filter(is_of_clip).count() as u32;
            let times = schedule.times();
            let core_frames = times.partition_point(|&time| time < core_end)
                - times.partition_point(|&time| time < core_start);
            ClipSpan {
                index,
                core_start,
                core_end,
                margin_start,
                margin_end,
                core_frames: core_frames as u32,
                frames,
            }
        })
        .collect();
    Ok(CutPlan { probe, clips })
}

/// A key frame and its place in decoding order.
struct Key {
    pts: i64,
    place: usize,
}

/// The key frames, rising in time.
fn keys(scan: &Scan) -> Vec<Key> {
    let mut keys: Vec<Key> = Vec::new();
    for (place, packet) in scan.packets.iter().enumerate() {
        let is_later = keys.last().is_none_or(|last| packet.pts > last.pts);
        if packet.is_key && packet.is_shown && is_later {
            keys.push(Key { pts: packet.pts, place });
        }
    }
    keys
}

fn core_starts(keys: &[i64], start: i64, end: i64, clip: i64, tolerance: i64) -> Vec<i64> {
    let mut starts = vec![start];
    let mut nominal = start.saturating_add(clip);
    while nominal < end {
        let at = keys.partition_point(|&key| key < nominal - tolerance);
        let Some(&key) = keys.get(at) else { break };
        if starts.last().is_none_or(|&last| key > last) {
            starts.push(key);
        }
        // On to the first nominal start behind this key frame.
        let steps = (key + tolerance - start).div_euclid(clip).max(0) + 1;
        nominal = nominal.max(start.saturating_add(steps.saturating_mul(clip)));
    }
    starts
}

/// Times are rounded in some containers: a key frame this much early is on time. In ticks.
fn half_a_frame(probe: &Probe) -> i64 {
    let half = Rational { num: probe.frame_rate.den, den: probe.frame_rate.num };
    rescale(1, half, probe.time_base) / 2
}

/// Writes clip `index` of `plan` (core and margins) to `out`, by stream copy and without sound.
/// The clip's first PTS is 0 and its ticks are those of the source, as whole numbers: in an mp4
/// of a source with time base 1001/30000 one source tick is 1001 ticks of 1/30000 s.
///
/// # Errors
/// `Broken` when the source does not hold what the plan says.
pub fn write_clip(
    source: &Path,
    plan: &CutPlan,
    index: u32,
    out: &Path,
    limits: &Limits,
) -> Result<ClipFile, MediaError> {
    let span = plan
        .clips
        .get(index as usize)
        .ok_or_else(|| MediaError::internal(format!("the plan has no clip {index}")))?;
    let mut decode_order = Vec::new();
    let mut shown = 0;
    let mut clip = ClipPackets::open(source, plan, span, limits)?;
    let codec = clip.source.codec(clip.source.video)?;
    while let Some((pts, packet)) = clip.next()? {
        decode_order.push(pts);
        shown += u32::from(is_shown(&packet, codec));
    }
    if shown != span.frames {
        let detail = format!("clip {index} has {shown} frames, planned were {}", span.frames);
        return Err(MediaError::Broken { detail });
    }
    let schedule = Schedule::new(&decode_order, span.margin_end)?;
    let mut clip = ClipPackets::open(source, plan, span, limits)?;
    let mut writer = Writer::create(out, muxer_for(codec))?;
    let stream = clip.source.stream(clip.source.video)?;
    let stream = writer.add_copy(&stream, plan.probe.time_base)?;
    writer.set_display_matrix(stream, clip.source.display_matrix()?.as_deref())?;
    writer.begin(plan.probe.time_base)?;
    let mut at = 0;
    while let Some((pts, packet)) = clip.next()? {
        writer.write_scheduled(stream, packet, &schedule, at, pts, span.margin_start)?;
        at += 1;
    }
    let bytes = writer.finish()?;
    Ok(ClipFile { bytes, sha256: file_sha256(out)? })
}

/// The packets of one clip in decoding order: from its first key frame (or the film's beginning)
/// to the key frame that ends it. Frames that are displayed before the first key frame but
/// decoded after it belong to the clip before, and cannot be decoded here.
struct ClipPackets {
    source: Source,
    first: Option<(i64, ff::Packet)>,
    starts_film: bool,
    ends_film: bool,
    start: i64,
    end: i64,
}

impl ClipPackets {
    fn open(
        path: &Path,
        plan: &CutPlan,
        span: &ClipSpan,
        limits: &Limits,
    ) -> Result<Self, MediaError> {
        let source = Source::open_video(path, limits)?;
        if source.time_base(source.video)? != plan.probe.time_base {
            return Err(MediaError::broken("the source is not the one that was planned"));
        }
        let mut clip = Self {
            source,
            first: None,
            starts_film: span.margin_start == plan.probe.start_pts,
            ends_film: span.margin_end == plan.probe.start_pts + plan.probe.duration_ticks,
            start: span.margin_start,
            end: span.margin_end,
        };
        if !clip.starts_film {
            clip.find_start(path, limits)?;
        }
        Ok(clip)
    }

    /// Indexes can be missing or wrong, so a seek that does not lead to the key frame is followed
    /// by a search from the beginning.
    fn find_start(&mut self, path: &Path, limits: &Limits) -> Result<(), MediaError> {
        if self.source.seek(self.start).is_ok() && matches!(self.search(), Ok(true)) {
            return Ok(());
        }
        self.source = Source::open_video(path, limits)?;
        if self.search()? {
            return Ok(());
        }
        Err(MediaError::broken("the key frame that starts a clip has gone"))
    }

    fn search(&mut self) -> Result<bool, MediaError> {
        while let Some((pts, packet)) = self.source.next_video()? {
            if packet.is_key() && pts >= self.start {
                let is_found = pts == self.start;
                self.first = Some((pts, packet));
                return Ok(is_found);
            }
        }
        Ok(false)
    }

    fn next(&mut self) -> Result<Option<(i64, ff::Packet)>, MediaError> {
        loop {
            let next = match self.first.take() {
                Some(first) => Some(first),
                None => self.source.next_video()?,
            };
            let Some((pts, packet)) = next else { return Ok(None) };
            if self.ends_film {
                if self.starts_film || pts >= self.start {
                    return Ok(Some((pts, packet)));
                }
            } else if packet.is_key() && pts >= self.end {
                return Ok(None);
            } else if (self.starts_film || pts >= self.start) && pts < self.end {
                return Ok(Some((pts, packet)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_start_at_the_first_key_frame_after_each_nominal_start() {
        let keys: Vec<i64> = (0..15).map(|n| n * 2000).collect();
        assert_eq!(core_starts(&keys, 0, 30000, 10000, 20), [0, 10000, 20000]);
        assert_eq!(core_starts(&keys, 0, 30000, 7000, 20), [0, 8000, 14000, 22000, 28000]);
        assert_eq!(core_starts(&keys, 0, 30000, 60000, 20), [0]);
    }

    #[test]
    fn rare_key_frames_make_fewer_cores_and_none_is_empty() {
        assert_eq!(core_starts(&[0, 25000], 0, 30000, 5000, 20), [0, 25000]);
        assert_eq!(core_starts(&[0], 0, 30000, 5000, 20), [0]);
    }

    #[test]
    fn a_key_frame_rounded_a_little_early_is_on_time() {
        assert_eq!(core_starts(&[33, 10032, 19999], 33, 30000, 10000, 16), [33, 10032]);
    }
}
