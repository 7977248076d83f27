//! The stages that a user sees of a video, and how long each may take.

use crate::{StageRow, VideoRow, VideoState};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use utoipa::ToSchema;

/// A stage of the mill, as the catalogue tells of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stage {
    pub name: &'static str,
    /// Works on each clip by itself, or on the whole video.
    pub per_clip: bool,
    /// The stages whose results it works on.
    pub after: &'static [&'static str],
}

const fn stage(name: &'static str, per_clip: bool, after: &'static [&'static str]) -> Stage {
    Stage { name, per_clip, after }
}

/// In the order of the mill.
pub const STAGES: [Stage; 8] = [
    stage("cut", true, &[]),
    stage("detect", true, &["cut"]),
    stage("label", true, &["cut"]),
    stage("blur", true, &["detect"]),
    stage("stitch", false, &["blur"]),
    stage("verify", false, &["stitch"]),
    stage("thumbnail", false, &["verify"]),
    stage("index", false, &["detect", "label", "verify"]),
];

/// Every piece of work may take this long, however small it is.
const FLOOR: Duration = Duration::from_secs(600);

/// Time enough for work on so many frames, on a machine that is slow and busy with others.
#[must_use]
pub fn time_for_frames(frames: i64) -> Duration {
    let frames = u32::try_from(frames.max(0)).unwrap_or(u32::MAX);
    FLOOR + Duration::from_millis(500).saturating_mul(frames)
}

/// Time enough for reading a source: a second for each MiB. One of unknown size may be the largest
/// that is taken in.
#[must_use]
pub fn time_for_bytes(bytes: Option<i64>) -> Duration {
    let mib = bytes.map_or(10 << 10, |bytes| bytes.max(0) >> 20);
    FLOOR + Duration::from_secs(mib.unsigned_abs())
}

/// Time enough for joining so many clips: copying one is quick, sound that must be transcoded takes
/// longer.
#[must_use]
pub fn time_for_clips(clips: i64) -> Duration {
    let clips = u32::try_from(clips.max(0)).unwrap_or(u32::MAX);
    FLOOR + Duration::from_secs(30).saturating_mul(clips)
}

/// A stage that has work and has not done it in time.
///
/// Its processor is not running, is behind with other videos, or waits for a service: an event
/// that fails for good is a dead letter instead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Overdue {
    #[schema(example = "blur")]
    pub stage: String,
    /// When it last had something new to do, or did something; ms since 1970.
    pub waiting_since_ms: i64,
    /// When it should have done its next piece of work; ms since 1970.
    pub due_ms: i64,
}

/// The first stage of a video, in the order of the mill, that is overdue at `now_ms`. `row` must
/// have its stages. A video that has failed waits for nobody, and one with a dead letter of a stage
/// not for that stage.
#[must_use]
pub fn overdue(row: &VideoRow, now_ms: i64) -> Option<Overdue> {
    // Without its own events the catalogue does not know what was done.
    let is_untold = row.stopped.iter().any(|dead| dead == "catalog");
    if row.state == VideoState::Failed || is_untold {
        return None;
    }
    let waited_for =
        STAGES.iter().filter(|stage| row.stopped.iter().all(|dead| dead != stage.name));
    waited_for.into_iter().find_map(|stage| {
        let since = waiting_since(row, stage)?;
        let allowed = i64::try_from(allowed(row, stage).as_millis()).unwrap_or(i64::MAX);
        let due_ms = since.saturating_add(allowed);
        (due_ms < now_ms).then(|| Overdue {
            stage: stage.name.to_owned(),
            waiting_since_ms: since,
            due_ms,
        })
    })
}

fn told<'a>(row: &'a VideoRow, name: &str) -> Option<&'a StageRow> {
    row.stages.iter().find(|told| told.stage == name)
}

fn is_done(told: &StageRow) -> bool {
    told.total.is_some_and(|total| told.done >= total)
}

/// When a stage that has work last moved, or got work; `None` where it has none.
fn waiting_since(row: &VideoRow, stage: &Stage) -> Option<i64> {
    let own = told(row, stage.name)?;
    let before: Vec<_> = stage.after.iter().filter_map(|name| told(row, name)).collect();
    let has_work = if stage.per_clip {
        before.iter().all(|before| before.done > own.done)
    } else {
        before.iter().all(|before| is_done(before))
    };
    let moved = before.iter().copied().chain([own]).filter_map(|told| told.last_at_ms);
    let since = moved.chain([row.uploaded_at_ms]).chain(row.retried_at_ms).max();
    since.filter(|_| has_work && !is_done(own))
}

fn allowed(row: &VideoRow, stage: &Stage) -> Duration {
    let cut = told(row, "cut");
    let (clips, frames) = cut.map_or((0, 0), |cut| (cut.done, cut.frames));
    match stage.name {
        "cut" => time_for_bytes(row.bytes),
        "stitch" | "index" => time_for_clips(clips),
        _ if stage.per_clip => time_for_frames(frames / clips.max(1)),
        _ => time_for_frames(frames),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;

    /// A video of three clips of 300 frames; `done` says how far each stage is, `at` when it last
    /// moved.
    fn video(progress: &[(&str, i64, i64)]) -> VideoRow {
        let stages = STAGES.iter().map(|stage| {
            let told = progress.iter().find(|(name, ..)| *name == stage.name);
            let (done, at) = told.map_or((0, None), |(_, done, at)| (*done, Some(*at)));
            StageRow {
                stage: stage.name.to_owned(),
                done,
                total: (!progress.is_empty()).then_some(if stage.per_clip { 3 } else { 1 }),
                frames: if stage.name == "cut" { done.saturating_mul(300) } else { 0 },
                first_at_ms: at,
                last_at_ms: at,
            }
        });
        VideoRow {
            video_id: "v".into(),
            run_id: String::new(),
            owner: String::new(),
            assessment: String::new(),
            title: String::new(),
            visibility: String::new(),
            recorded_at_ms: 0,
            uploaded_at_ms: 0,
            state: VideoState::Processing,
            reason: None,
            detail: None,
            bytes: Some(60 << 20),
            duration_ms: None,
            recording_bucket: None,
            recording_key: None,
            receipt_key: None,
            searchable: false,
            retried_at_ms: None,
            stopped: vec![],
            stages: stages.collect(),
            runs: 0,
            next_run: None,
        }
    }

    fn late(row: &VideoRow, minute: i64) -> Option<String> {
        overdue(row, minute * MINUTE).map(|overdue| overdue.stage)
    }

    #[test]
    fn an_upload_that_nobody_cuts_is_overdue_after_a_time_for_its_size() {
        let row = video(&[]);
        assert_eq!(late(&row, 11), None, "ten minutes, and one for 60 MiB");
        let found = overdue(&row, 11 * MINUTE + 1).unwrap();
        assert_eq!((found.waiting_since_ms, found.due_ms), (0, 11 * MINUTE));
        assert_eq!(found.stage, "cut");
    }

    #[test]
    fn a_stage_that_moves_or_has_nothing_to_do_is_not_overdue() {
        // A clip of 300 frames may take twelve and a half minutes.
        let row = video(&[("cut", 3, 0), ("detect", 2, 20 * MINUTE), ("label", 3, 0)]);
        assert_eq!(late(&row, 32), None);
        assert_eq!(late(&row, 33).as_deref(), Some("detect"));
        let row = video(&[("cut", 3, 0), ("detect", 2, MINUTE), ("label", 3, 0), ("blur", 2, 0)]);
        assert_eq!(late(&row, 1000).as_deref(), Some("detect"), "blur waits for detect");
    }

    #[test]
    fn work_that_came_late_is_waited_for_from_then_on() {
        let begun = [("detect", 1, MINUTE), ("label", 3, 0), ("blur", 1, MINUTE)];
        let row = video(&[&[("cut", 3, 50 * MINUTE)][..], &begun].concat());
        assert_eq!(late(&row, 62), None);
        assert_eq!(late(&row, 63).as_deref(), Some("detect"));
    }

    #[test]
    fn the_whole_video_is_waited_for_once_all_its_clips_are_there() {
        let clips = [("cut", 3, 0), ("detect", 3, 0), ("label", 3, 0)];
        let some = [&clips[..], &[("blur", 2, 0), ("index", 1, 0)]].concat();
        assert_eq!(late(&video(&some), 60).as_deref(), Some("blur"));
        let all = [&clips[..], &[("blur", 3, 0), ("index", 1, 0)]].concat();
        assert_eq!(late(&video(&all), 60).as_deref(), Some("stitch"));
        assert_eq!(late(&video(&all), 11), None);
    }

    #[test]
    fn what_follows_the_recording_can_be_overdue_too() {
        let whole = ["stitch", "verify"].map(|name| (name, 1, 0));
        let clips = ["cut", "detect", "label", "blur"].map(|name| (name, 3, 0));
        let mut row = video(&[&clips[..], &whole[..]].concat());
        row.state = VideoState::Ready;
        assert_eq!(late(&row, 60).as_deref(), Some("thumbnail"));
        row.stopped = vec!["thumbnail".into()];
        assert_eq!(late(&row, 60).as_deref(), Some("index"), "its dead letter is known");
    }

    #[test]
    fn a_dead_letter_hides_its_own_stage_and_no_other() {
        let clips = [("cut", 3, 0), ("detect", 3, 0), ("label", 2, 0), ("blur", 3, 0)];
        let mut row = video(&clips);
        assert_eq!(late(&row, 60).as_deref(), Some("label"));
        row.stopped = vec!["label".into()];
        assert_eq!(late(&row, 60).as_deref(), Some("stitch"));
        row.stopped = vec!["catalog".into()];
        assert_eq!(late(&row, 60), None, "what was done is not known");
    }

    #[test]
    fn a_failed_video_waits_for_nobody_and_a_retried_one_again() {
        let mut row = video(&[]);
        row.state = VideoState::Failed;
        assert_eq!(late(&row, 60), None);
        row.state = VideoState::Processing;
        row.retried_at_ms = Some(55 * MINUTE);
        assert_eq!(late(&row, 60), None);
        assert_eq!(late(&row, 67).as_deref(), Some("cut"));
    }

    #[test]
    fn extreme_figures_are_only_late_or_not() {
        let mut row = video(&[("cut", i64::MAX, i64::MAX)]);
        row.bytes = Some(i64::MIN);
        assert_eq!(overdue(&row, i64::MIN), None);
        drop(overdue(&row, i64::MAX));
        assert_eq!(time_for_frames(i64::MAX), time_for_frames(u32::MAX.into()));
        assert_eq!(time_for_clips(-1), FLOOR);
    }
}
