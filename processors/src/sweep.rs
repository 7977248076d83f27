//! `recording-ready` → nothing: removes the temporary objects of a run that has been verified.

use crate::{
    clip_count,
    index::{self, Index},
    stitch::Stitch,
};
use engine::{Effect, Input, Never, Outcome, Processor};
use ports::Refusal;
use schemas::{RecordingReady, keys};

/// Deletes clips, masked clips and the staged film of a run. Manifest, tracks, labels and claims
/// stay: the index, receipts and re-rendering need them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SweepRun {
    pub bucket: String,
    pub video_id: String,
    pub run_id: String,
    /// Clips of the run.
    pub count: u32,
    /// How often the video was worked on again.
    pub replay: i32,
}

impl SweepRun {
    /// How many events of the run each gathering processor sees: one of every clip's blur, and
    /// [`index::events`].
    #[must_use]
    pub fn gathered(&self) -> [(&'static str, u32); 2] {
        [(Stitch::NAME, self.count), (Index::NAME, index::events(self.count, self.replay))]
    }

    /// The objects that nobody needs once the run is done.
    #[must_use]
    pub fn temporary(&self) -> Vec<String> {
        let of_clip =
            |index| [keys::clip, keys::masked].map(|key| key(&self.video_id, &self.run_id, index));
        let staged = keys::staged(&self.video_id, &self.run_id);
        (0..self.count).flat_map(of_clip).chain([staged]).collect()
    }
}

impl Effect for SweepRun {
    type Answer = ();
}

/// The processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sweep;

impl Processor for Sweep {
    const NAME: &'static str = "sweep";

    type In = RecordingReady;
    type Out = Never;
    type Effect = SweepRun;

    fn plan(&self, input: &Input<RecordingReady>) -> Result<SweepRun, Refusal> {
        Ok(SweepRun {
            bucket: input.bucket.clone(),
            video_id: input.video_id.clone(),
            run_id: input.run_id.clone(),
            count: clip_count(Some(input.count))?,
            replay: input.replay,
        })
    }

    fn conclude(&self, _: Input<RecordingReady>, (): ()) -> Result<Outcome<Never>, Refusal> {
        Ok(Outcome::nothing())
    }

    /// Of a deleted video, too, the working objects must go.
    fn video_id(&self, _: &Input<RecordingReady>) -> Option<String> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::example;

    #[test]
    fn only_the_run_that_was_verified_is_swept() {
        let input = example::<RecordingReady>(0);
        let effect = Sweep.plan(&input).unwrap();
        assert_eq!((&effect.video_id, &effect.run_id), (&input.video_id, &input.run_id));
        assert_eq!(effect.count, 3);
        assert_eq!(effect.gathered(), [("stitch", 3), ("index", 6)]);
        let again = SweepRun { replay: 1, ..effect };
        assert_eq!(again.gathered(), [("stitch", 3), ("index", 7)]);
        assert_eq!(Sweep.conclude(input, ()).unwrap(), Outcome::nothing());
    }
}
