//! `faces-detected` and `labels-detected` → `metadata-indexed`: makes a video findable.
//!
//! The first run of a video is found as soon as all its clips have been looked at. A later one is
//! found only once it is verified, too, for which `recording-ready` is read: until then, and for
//! good where it fails, the index keeps what it has of the video.

mod document;

pub use document::document;

use crate::{clip_count, clip_index};
use engine::{Effect, Events, Gather, Input, Outcome, Processor};
use ports::{Record, Refusal};
use schemas::{
    AvroValue, Event, FacesDetected, LabelsDetected, Malformed, MetadataIndexed, RecordingReady,
    keys,
};

/// Writes the document of a video and its moments, replacing an older run's.
///
/// The connector reads the manifest and each clip's [`keys::tracks`] and [`keys::labels`], makes
/// the [`document`] of them, and puts it into [`ports::Search`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexRun {
    pub bucket: String,
    pub manifest_key: String,
    pub video_id: String,
    pub run_id: String,
    /// Clips of the run.
    pub count: u32,
}

/// A video can be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Indexed {
    pub moments: i32,
}

impl Effect for IndexRun {
    type Answer = Indexed;
}

/// A clip has been looked at, one way or the other, or the run is verified.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    Faces(FacesDetected),
    Labels(LabelsDetected),
    Verified(RecordingReady),
}

impl Events for Found {
    fn topics() -> Vec<String> {
        [FacesDetected::TOPIC, LabelsDetected::TOPIC, RecordingReady::TOPIC]
            .map(str::to_owned)
            .into()
    }

    fn read(record: &Record, value: Result<AvroValue, Malformed>) -> Result<Self, Malformed> {
        match record.topic.as_str() {
            FacesDetected::TOPIC => Event::from_value(value?).map(Self::Faces),
            LabelsDetected::TOPIC => Event::from_value(value?).map(Self::Labels),
            RecordingReady::TOPIC => Event::from_value(value?).map(Self::Verified),
            other => Err(Malformed(format!("topic {other:?} tells nothing that can be found"))),
        }
    }
}

/// What the events say of their run.
struct Run<'a> {
    video_id: &'a str,
    run_id: &'a str,
    bucket: &'a str,
    manifest_key: &'a str,
    /// The first clip stands for all.
    index: i32,
    count: Option<i32>,
    replay: i32,
}

impl Found {
    fn run(&self) -> Run<'_> {
        match self {
            Self::Faces(e) => Run {
                video_id: &e.video_id,
                run_id: &e.run_id,
                bucket: &e.bucket,
                manifest_key: &e.manifest_key,
                index: e.index,
                count: e.count,
                replay: e.replay,
            },
            Self::Labels(e) => Run {
                video_id: &e.video_id,
                run_id: &e.run_id,
                bucket: &e.bucket,
                manifest_key: &e.manifest_key,
                index: e.index,
                count: e.count,
                replay: e.replay,
            },
            Self::Verified(e) => Run {
                video_id: &e.video_id,
                run_id: &e.run_id,
                bucket: &e.bucket,
                manifest_key: &e.manifest_key,
                index: 0,
                count: Some(e.count),
                replay: e.replay,
            },
        }
    }
}

/// Whether a run replaces what the index has of an older one: then it is verified before.
fn waits_for_verification(replay: i32) -> bool {
    replay > 0
}

/// The part that tells of a run's verification, where it is waited for.
#[must_use]
pub fn verification(video_id: &str, run_id: &str, replay: i32) -> Option<String> {
    waits_for_verification(replay).then(|| keys::receipt_of_run(video_id, run_id))
}

/// How many events of a run with so many clips the processor sees.
#[must_use]
pub fn events(count: u32, replay: i32) -> u32 {
    count.saturating_mul(2).saturating_add(u32::from(waits_for_verification(replay)))
}

/// The processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Index;

impl Processor for Index {
    const NAME: &'static str = "index";

    type In = Found;
    type Out = MetadataIndexed;
    type Effect = IndexRun;

    fn plan(&self, input: &Input<Found>) -> Result<IndexRun, Refusal> {
        let run = input.event.run();
        clip_index(run.index)?;
        if matches!(input.event, Found::Verified(_)) && !waits_for_verification(run.replay) {
            return Err(Refusal::Skip("first_run"));
        }
        Ok(IndexRun {
            bucket: run.bucket.to_owned(),
            manifest_key: run.manifest_key.to_owned(),
            video_id: run.video_id.to_owned(),
            run_id: run.run_id.to_owned(),
            count: clip_count(run.count)?,
        })
    }

    fn conclude(
        &self,
        input: Input<Found>,
        indexed: Indexed,
    ) -> Result<Outcome<MetadataIndexed>, Refusal> {
        let (video_id, run_id, owner, assessment, visibility) = match input.event {
            Found::Faces(e) => (e.video_id, e.run_id, e.owner, e.assessment, e.visibility),
            Found::Labels(e) => (e.video_id, e.run_id, e.owner, e.assessment, e.visibility),
            Found::Verified(e) => (e.video_id, e.run_id, e.owner, e.assessment, e.visibility),
        };
        Ok(Outcome::event(MetadataIndexed {
            video_id,
            run_id,
            owner,
            assessment,
            visibility,
            moments: indexed.moments,
        }))
    }

    fn gather(&self, input: &Input<Found>) -> Option<Gather> {
        let run = input.event.run();
        let count = clip_count(run.count).ok()?;
        let parts = (0..count).flat_map(|i| {
            [keys::tracks(run.video_id, run.run_id, i), keys::labels(run.video_id, run.run_id, i)]
        });
        let verified = verification(run.video_id, run.run_id, run.replay);
        Some(Gather {
            bucket: run.bucket.to_owned(),
            video_id: run.video_id.to_owned(),
            run_id: run.run_id.to_owned(),
            parts: parts.chain(verified).collect(),
        })
    }

    fn video_id(&self, input: &Input<Found>) -> Option<String> {
        Some(input.event.run().video_id.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{example, input};

    #[test]
    fn tracks_and_labels_of_all_clips_are_waited_for_whichever_event_comes() {
        let faces = input(Found::Faces(example(0).event));
        let labels = input(Found::Labels(example(0).event));
        let gather = Index.gather(&faces).unwrap();
        assert_eq!(gather.parts.len(), 6);
        assert_eq!(Index.gather(&labels), Some(gather));
        assert_eq!(Index.plan(&faces).unwrap(), Index.plan(&labels).unwrap());
    }

    #[test]
    fn a_run_that_replaces_another_is_found_once_it_is_verified() {
        let replay = 2;
        let faces = FacesDetected { replay, ..example(0).event };
        let labels = LabelsDetected { replay, ..example(0).event };
        let verified = RecordingReady { replay, ..example(0).event };
        let (run, count) = (verified.run_id.clone(), verified.count);
        let events = [Found::Faces(faces), Found::Labels(labels), Found::Verified(verified)];
        let gathers = events.map(|event| {
            assert!(Index.plan(&input(event.clone())).is_ok());
            Index.gather(&input(event)).unwrap()
        });
        assert_eq!((&gathers[0], &gathers[0]), (&gathers[1], &gathers[2]));
        assert_eq!(gathers[0].run_id, run);
        let receipt = keys::receipt_of_run(&gathers[0].video_id, &run);
        assert_eq!(gathers[0].parts.last(), Some(&receipt));
        assert_eq!(gathers[0].parts.len(), super::events(3, 0) as usize + 1);
        assert_eq!((count, super::events(3, 0), super::events(3, replay)), (3, 6, 7));
    }

    #[test]
    fn the_first_run_does_not_wait_for_its_verification() {
        let verified = input(Found::Verified(example(0).event));
        assert_eq!(Index.plan(&verified), Err(Refusal::Skip("first_run")));
    }

    #[test]
    fn a_clip_of_a_live_recording_is_passed_over() {
        let faces = input(Found::Faces(example(1).event));
        assert_eq!(Index.plan(&faces), Err(Refusal::Skip("still_recording")));
        assert_eq!(Index.gather(&faces), None);
    }

    #[test]
    fn both_events_end_in_the_same_one() {
        let faces = Index.conclude(input(Found::Faces(example(0).event)), Indexed { moments: 4 });
        let labels = Index.conclude(input(Found::Labels(example(0).event)), Indexed { moments: 4 });
        assert_eq!(faces, labels);
        assert_eq!(faces.unwrap().events[0].moments, 4);
    }
}
