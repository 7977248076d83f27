//! `recording-ready` → `thumbnail-ready`: a still that stands for the recording.

use engine::{Effect, Input, Outcome, Processor};
use ports::Refusal;
use schemas::{RecordingReady, ThumbnailReady, keys};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Stores a frame of a recording as a JPEG.
///
/// Where the recording there is of another run by now, it is not this run's to show: the connector
/// skips it as `superseded`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakeStill {
    pub bucket: String,
    pub recording_key: String,
    pub video_id: String,
    pub run_id: String,
    /// Where the JPEG goes.
    pub thumbnail_key: String,
    /// Time of the frame in the recording, ms.
    pub at_ms: i64,
    /// Width and height that it must fit into, px; the recording's aspect ratio is kept.
    pub within: (u32, u32),
}

/// A still that was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// px.
    pub width: u32,
    /// px.
    pub height: u32,
    /// Time in the recording, ms.
    pub at_ms: i64,
}

impl Effect for TakeStill {
    type Answer = Taken;
}

/// Width and height, px.
const WITHIN: (u32, u32) = (360, 200);

/// The processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thumbnail;

impl Processor for Thumbnail {
    const NAME: &'static str = "thumbnail";

    type In = RecordingReady;
    type Out = ThumbnailReady;
    type Effect = TakeStill;

    fn plan(&self, input: &Input<RecordingReady>) -> Result<TakeStill, Refusal> {
        Ok(TakeStill {
            bucket: input.bucket.clone(),
            recording_key: input.recording_key.clone(),
            video_id: input.video_id.clone(),
            run_id: input.run_id.clone(),
            thumbnail_key: keys::thumbnail(&input.video_id),
            at_ms: input.duration_ms.max(0) / 3,
            within: WITHIN,
        })
    }

    fn conclude(
        &self,
        input: Input<RecordingReady>,
        taken: Taken,
    ) -> Result<Outcome<ThumbnailReady>, Refusal> {
        let event = input.event;
        Ok(Outcome::event(ThumbnailReady {
            thumbnail_key: keys::thumbnail(&event.video_id),
            video_id: event.video_id,
            run_id: event.run_id,
            owner: event.owner,
            assessment: event.assessment,
            visibility: event.visibility,
            bucket: event.bucket,
            width: i32::try_from(taken.width).unwrap_or(i32::MAX),
            height: i32::try_from(taken.height).unwrap_or(i32::MAX),
            at_ms: taken.at_ms,
        }))
    }

    fn time_limit(&self, input: &Input<RecordingReady>) -> Duration {
        ports::time_for_frames(input.frames)
    }

    fn video_id(&self, input: &Input<RecordingReady>) -> Option<String> {
        Some(input.video_id.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::example;

    #[test]
    fn the_still_is_taken_at_a_third_of_the_recording() {
        let input = example::<RecordingReady>(0);
        let effect = Thumbnail.plan(&input).unwrap();
        assert_eq!((input.duration_ms, effect.at_ms, effect.within), (30_000, 10_000, (360, 200)));
        assert_eq!(effect.recording_key, input.recording_key);
    }

    #[test]
    fn a_duration_that_is_none_gives_the_first_frame() {
        let mut input = example::<RecordingReady>(0);
        input.event.duration_ms = i64::MIN;
        assert_eq!(Thumbnail.plan(&input).unwrap().at_ms, 0);
    }

    #[test]
    fn the_event_tells_where_the_still_is_and_what_it_shows() {
        let input = example::<RecordingReady>(0);
        let effect = Thumbnail.plan(&input).unwrap();
        let taken = Taken { width: 356, height: 200, at_ms: 10_010 };
        let outcome = Thumbnail.conclude(input, taken).unwrap();
        let [event] = &outcome.events[..] else { panic!("{outcome:?}") };
        assert_eq!(event.thumbnail_key, effect.thumbnail_key);
        assert_eq!((event.width, event.height, event.at_ms), (356, 200, 10_010));
    }
}
