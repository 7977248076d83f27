//! `faces-detected` and `labels-detected` → `metadata-indexed`: makes a video findable.

mod document;

pub use document::document;

use crate::{clip_count, clip_index};
use engine::{Effect, Events, Gather, Input, Outcome, Processor};
use ports::{Record, Refusal};
use schemas::{AvroValue, Event, FacesDetected, LabelsDetected, Malformed, MetadataIndexed, keys};

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

/// A clip has been looked at, one way or the other.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    Faces(FacesDetected),
    Labels(LabelsDetected),
}

impl Events for Found {
    fn topics() -> Vec<String> {
        vec![FacesDetected::TOPIC.to_owned(), LabelsDetected::TOPIC.to_owned()]
    }

    fn read(record: &Record, value: Result<AvroValue, Malformed>) -> Result<Self, Malformed> {
        match record.topic.as_str() {
            FacesDetected::TOPIC => Event::from_value(value?).map(Self::Faces),
            LabelsDetected::TOPIC => Event::from_value(value?).map(Self::Labels),
            other => Err(Malformed(format!("topic {other:?} tells nothing about a clip"))),
        }
    }
}

/// What both events say of their run.
struct Run<'a> {
    video_id: &'a str,
    run_id: &'a str,
    bucket: &'a str,
    manifest_key: &'a str,
    index: i32,
    count: Option<i32>,
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
            },
            Self::Labels(e) => Run {
                video_id: &e.video_id,
                run_id: &e.run_id,
                bucket: &e.bucket,
                manifest_key: &e.manifest_key,
                index: e.index,
                count: e.count,
            },
        }
    }
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
        Some(Gather {
            bucket: run.bucket.to_owned(),
            video_id: run.video_id.to_owned(),
            run_id: run.run_id.to_owned(),
            parts: parts.collect(),
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
