//! `clips-blurred` → `recording-stitched`: all masked clips and the source's sound become one film.

use crate::clip_count;
use engine::{Effect, Gather, Input, Outcome, Processor};
use ports::Refusal;
use schemas::{ClipsBlurred, RecordingStitched, keys};

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

    fn video_id(&self, input: &Input<ClipsBlurred>) -> Option<String> {
        Some(input.video_id.clone())
    }
}
