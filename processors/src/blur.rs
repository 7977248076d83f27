//! `faces-detected` → `clips-blurred`: renders the core of a clip with its faces masked.

use crate::clip_index;
use engine::{Effect, Input, Outcome, Processor};
use ports::{Poison, Refusal};
use schemas::{ClipsBlurred, FacesDetected, keys};
use std::time::Duration;

/// Masks the tracks of a clip on the frames of its core, as the manifest says, and uploads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaskClip {
    pub bucket: String,
    pub manifest_key: String,
    pub clip_key: String,
    pub tracks_key: String,
    /// Where the result goes.
    pub masked_key: String,
    /// Of the clip in the manifest.
    pub index: u32,
}

/// A clip's core was rendered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Masked {
    pub frames: i32,
    /// Frames with at least one mask.
    pub masked_frames: i32,
    /// Whether the packets were copied bit for bit.
    pub copied: bool,
}

impl Effect for MaskClip {
    type Answer = Masked;
}

/// The processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blur;

impl Processor for Blur {
    const NAME: &'static str = "blur";

    type In = FacesDetected;
    type Out = ClipsBlurred;
    type Effect = MaskClip;

    fn plan(&self, input: &Input<FacesDetected>) -> Result<MaskClip, Refusal> {
        let index = clip_index(input.index)?;
        Ok(MaskClip {
            bucket: input.bucket.clone(),
            manifest_key: input.manifest_key.clone(),
            clip_key: input.clip_key.clone(),
            tracks_key: input.tracks_key.clone(),
            masked_key: keys::masked(&input.video_id, &input.run_id, index),
            index,
        })
    }

    fn conclude(
        &self,
        input: Input<FacesDetected>,
        masked: Masked,
    ) -> Result<Outcome<ClipsBlurred>, Refusal> {
        let event = input.event;
        if masked.frames != event.core_frames {
            return Err(Poison::new(
                "frames_lost",
                format!(
                    "clip {} came out with {} frames instead of {}: the source is damaged there",
                    event.index, masked.frames, event.core_frames
                ),
            )
            .into());
        }
        let masked_key = keys::masked(&event.video_id, &event.run_id, clip_index(event.index)?);
        Ok(Outcome::event(ClipsBlurred {
            video_id: event.video_id,
            run_id: event.run_id,
            owner: event.owner,
            assessment: event.assessment,
            visibility: event.visibility,
            index: event.index,
            count: event.count,
            bucket: event.bucket,
            manifest_key: event.manifest_key,
            masked_key,
            frames: masked.frames,
            masked_frames: masked.masked_frames,
            copied: masked.copied,
        }))
    }

    fn time_limit(&self, input: &Input<FacesDetected>) -> Duration {
        ports::time_for_frames(input.core_frames.into())
    }

    fn video_id(&self, input: &Input<FacesDetected>) -> Option<String> {
        Some(input.video_id.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{example, reason};

    #[test]
    fn a_masked_clip_is_told_of_with_its_figures() {
        let input = example::<FacesDetected>(0);
        let effect = Blur.plan(&input).unwrap();
        assert!(effect.masked_key.ends_with("/masked/0.mp4"));
        let masked = Masked { frames: 250, masked_frames: 17, copied: false };
        let outcome = Blur.conclude(input, masked).unwrap();
        let [event] = &outcome.events[..] else { panic!("{outcome:?}") };
        assert_eq!(event.masked_key, effect.masked_key);
        assert_eq!((event.frames, event.masked_frames, event.copied), (250, 17, false));
    }

    #[test]
    fn a_clip_that_lost_or_gained_frames_is_refused() {
        for frames in [0, 249, 251] {
            let masked = Masked { frames, masked_frames: 0, copied: true };
            let refusal = Blur.conclude(example(0), masked).unwrap_err();
            assert_eq!(reason(&refusal), "frames_lost");
        }
    }
}
