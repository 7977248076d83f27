//! `clips-blurred` → `recording-stitched`: all masked clips and the source's sound become one film.

use crate::clip_count;
use engine::{Effect, Gather, Input, Outcome, Processor};
use ports::Refusal;
use schemas::{ClipsBlurred, RecordingStitched, keys};
use std::time::Duration;

/// Joins the masked clips of a run, adds the source's sound, and uploads the film.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StitchClips {
    pub bucket: String,
    pub manifest_key: String,
    /// Masked clips 0 to here are there.
    pub count: u32,
    /// Where the result goes.
    pub staged_key: String,
}

/// A film is in the store, not yet verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stitched {
    pub frames: i64,
    pub duration_ms: i64,
    pub size_bytes: i64,
}

impl Effect for StitchClips {
    type Answer = Stitched;
}

/// The processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stitch;

impl Processor for Stitch {
    const NAME: &'static str = "stitch";

    type In = ClipsBlurred;
    type Out = RecordingStitched;
    type Effect = StitchClips;

    fn plan(&self, input: &Input<ClipsBlurred>) -> Result<StitchClips, Refusal> {
        Ok(StitchClips {
            bucket: input.bucket.clone(),
            manifest_key: input.manifest_key.clone(),
            count: clip_count(input.count)?,
            staged_key: keys::staged(&input.video_id, &input.run_id),
        })
    }

    fn conclude(
        &self,
        input: Input<ClipsBlurred>,
        stitched: Stitched,
    ) -> Result<Outcome<RecordingStitched>, Refusal> {
        let event = input.event;
        let staged_key = keys::staged(&event.video_id, &event.run_id);
        Ok(Outcome::event(RecordingStitched {
            video_id: event.video_id,
            run_id: event.run_id,
            owner: event.owner,
            assessment: event.assessment,
            visibility: event.visibility,
            count: event.count.ok_or(Refusal::Skip("still_recording"))?,
            bucket: event.bucket,
            manifest_key: event.manifest_key,
            staged_key,
            frames: stitched.frames,
            duration_ms: stitched.duration_ms,
            size_bytes: stitched.size_bytes,
        }))
    }

    fn gather(&self, input: &Input<ClipsBlurred>) -> Option<Gather> {
        let count = clip_count(input.count).ok()?;
        Some(Gather {
            bucket: input.bucket.clone(),
            video_id: input.video_id.clone(),
            run_id: input.run_id.clone(),
            parts: (0..count).map(|i| keys::masked(&input.video_id, &input.run_id, i)).collect(),
        })
    }

    fn time_limit(&self, input: &Input<ClipsBlurred>) -> Duration {
        ports::time_for_clips(input.count.unwrap_or(0).into())
    }

    fn video_id(&self, input: &Input<ClipsBlurred>) -> Option<String> {
        Some(input.video_id.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{example, reason};

    #[test]
    fn all_masked_clips_are_waited_for() {
        let input = example::<ClipsBlurred>(0);
        let gather = Stitch.gather(&input).unwrap();
        let parts: Vec<_> =
            gather.parts.iter().map(|part| part.rsplit('/').next().unwrap()).collect();
        assert_eq!(parts, ["0.mp4", "1.mp4", "2.mp4"]);
        assert_eq!(
            (gather.video_id, gather.run_id),
            (input.video_id.clone(), input.run_id.clone())
        );
    }

    #[test]
    fn a_clip_of_a_live_recording_is_passed_over() {
        let input = example::<ClipsBlurred>(1);
        assert_eq!(Stitch.plan(&input), Err(Refusal::Skip("still_recording")));
        assert_eq!(Stitch.gather(&input), None);
    }

    #[test]
    fn a_run_without_clips_is_refused() {
        for count in [i32::MIN, -1, 0, i32::MAX] {
            let mut input = example::<ClipsBlurred>(0);
            input.event.count = Some(count);
            assert_eq!(reason(&Stitch.plan(&input).unwrap_err()), "malformed_event");
            assert_eq!(Stitch.gather(&input), None);
        }
    }

    #[test]
    fn the_film_is_told_of_with_its_figures() {
        let input = example::<ClipsBlurred>(0);
        let effect = Stitch.plan(&input).unwrap();
        let stitched = Stitched { frames: 750, duration_ms: 30_000, size_bytes: 9 };
        let outcome = Stitch.conclude(input, stitched).unwrap();
        let [event] = &outcome.events[..] else { panic!("{outcome:?}") };
        assert_eq!((&event.staged_key, event.count), (&effect.staged_key, 3));
        assert_eq!((event.frames, event.duration_ms, event.size_bytes), (750, 30_000, 9));
    }
}
