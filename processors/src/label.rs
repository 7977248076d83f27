//! `clips-ready` → `labels-detected`: finds what is to be seen in a clip.

use crate::{clip_index, clip_times};
use engine::{Effect, Input, Object, Outcome, Processor};
use ports::{ObjectRef, Poison, Refusal};
use schemas::{
    BoundingBox, ClipsReady, Label as LabelSeen, Labels, LabelsDetected, TimeBase, ids, keys,
};
use std::time::Duration;

/// Finds the labels of a clip, margins included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FindLabels {
    pub clip: ObjectRef,
    /// The same for the same question: at most 64 letters, digits, `-` and `_`.
    pub token: String,
    /// The labels of an older run, to be taken instead of looked for.
    pub known: Option<ObjectRef>,
}

/// A thing seen on one frame.
#[derive(Debug, Clone, PartialEq)]
pub struct SeenLabel {
    /// Milliseconds from the clip's first frame.
    pub at_ms: i64,
    pub name: String,
    /// E.g. `Vehicle` for `Car`.
    pub parents: Vec<String>,
    /// 0 to 100.
    pub confidence: f32,
    /// Empty for what fills the scene.
    pub regions: Vec<BoundingBox>,
}

/// The labels of a clip.
#[derive(Debug, Clone, PartialEq)]
pub enum FoundLabels {
    Seen(Vec<SeenLabel>),
    /// Those of an older run of the video.
    Known(Labels),
}

impl Effect for FindLabels {
    type Answer = FoundLabels;
}

/// The processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label;

impl Processor for Label {
    const NAME: &'static str = "label";

    type In = ClipsReady;
    type Out = LabelsDetected;
    type Effect = FindLabels;

    fn plan(&self, input: &Input<ClipsReady>) -> Result<FindLabels, Refusal> {
        let index = clip_index(input.index)?;
        clip_times(&input.event)?;
        let run = format!("{}/{}", input.video_id, input.run_id);
        Ok(FindLabels {
            clip: ObjectRef::new(&input.bucket, &input.clip_key),
            token: ids::output(&run, Self::NAME, index as usize),
            known: input.labels_of.as_ref().map(|run_id| {
                ObjectRef::new(&input.bucket, keys::labels(&input.video_id, run_id, index))
            }),
        })
    }

    fn conclude(
        &self,
        input: Input<ClipsReady>,
        found: FoundLabels,
    ) -> Result<Outcome<LabelsDetected>, Refusal> {
        let event = input.event;
        let time_base = clip_times(&event)?;
        let labels = match found {
            FoundLabels::Seen(seen) => of_the_core(&event, time_base, seen),
            FoundLabels::Known(known) if known.index == event.index => known.labels,
            FoundLabels::Known(known) => {
                return Err(Poison::new(
                    "clips_differ",
                    format!(
                        "the labels to be taken over are of clip {} and not of clip {}: replay from cut",
                        known.index, event.index
                    ),
                )
                .into());
            }
        };
        let count = i32::try_from(labels.len()).unwrap_or(i32::MAX);
        let labels_key = keys::labels(&event.video_id, &event.run_id, clip_index(event.index)?);
        let object = Labels {
            video_id: event.video_id.clone(),
            run_id: event.run_id.clone(),
            index: event.index,
            labels,
        };
        Ok(Outcome::event(LabelsDetected {
            video_id: event.video_id,
            run_id: event.run_id,
            owner: event.owner,
            assessment: event.assessment,
            visibility: event.visibility,
            index: event.index,
            count: event.count,
            bucket: event.bucket.clone(),
            manifest_key: event.manifest_key,
            labels_key: labels_key.clone(),
            labels: count,
            replay: event.replay,
        })
        .storing(Object {
            to: ObjectRef::new(event.bucket, labels_key),
            content_type: "application/avro",
            body: object.to_avro()?.into(),
        }))
    }

    fn time_limit(&self, input: &Input<ClipsReady>) -> Duration {
        ports::time_for_frames(input.core_frames.into())
    }

    fn video_id(&self, input: &Input<ClipsReady>) -> Option<String> {
        Some(input.video_id.clone())
    }
}

/// What was seen in a clip's core, in the recording's time. Its neighbours report the margins.
fn of_the_core(event: &ClipsReady, time_base: TimeBase, seen: Vec<SeenLabel>) -> Vec<LabelSeen> {
    let mut labels: Vec<_> = seen
        .into_iter()
        .filter_map(|seen| {
            let pts = event.margin_start_pts.saturating_add(time_base.to_ticks(seen.at_ms));
            // Times come in whole milliseconds: a frame's may have been rounded over the border.
            let core = event.core_start_pts - time_base.to_ticks(1)..event.core_end_pts;
            core.contains(&pts).then(|| LabelSeen {
                at_ms: time_base
                    .to_ms(pts.max(event.core_start_pts).saturating_sub(event.start_pts)),
                name: seen.name,
                parents: seen.parents,
                confidence: seen.confidence,
                regions: seen.regions.into_iter().map(BoundingBox::clamped).collect(),
            })
        })
        .collect();
    labels.sort_by(|a, b| {
        a.at_ms
            .cmp(&b.at_ms)
            .then_with(|| a.name.cmp(&b.name))
            .then(b.confidence.total_cmp(&a.confidence))
    });
    labels
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::example;

    fn seen(at_ms: i64, name: &str) -> SeenLabel {
        SeenLabel {
            at_ms,
            name: name.into(),
            parents: vec!["Thing".into()],
            confidence: 80.0,
            regions: vec![BoundingBox { left: -0.5, top: 0.0, width: 1.0, height: 1.0 }],
        }
    }

    /// The labels a clip's answer comes to.
    fn labels(clip: usize, found: Vec<SeenLabel>) -> Labels {
        let input = example::<ClipsReady>(clip);
        let outcome = Label.conclude(input, FoundLabels::Seen(found)).unwrap();
        let [object] = &outcome.objects[..] else { panic!("{outcome:?}") };
        let labels = Labels::from_avro(&object.body).unwrap();
        assert_eq!(object.to.key, outcome.events[0].labels_key);
        assert_eq!(outcome.events[0].labels as usize, labels.labels.len());
        labels
    }

    #[test]
    fn the_labels_of_an_older_run_are_taken_over_as_they_are() {
        let mut input = example::<ClipsReady>(2);
        input.event.labels_of = Some("older".to_owned());
        let at = keys::labels(&input.video_id, "older", clip_index(input.index).unwrap());
        let known = Label.plan(&input).unwrap().known;
        assert_eq!(known, Some(ObjectRef::new(&input.bucket, at)));
        let mut older = labels(2, vec![seen(0, "Car")]);
        older.run_id = "older".to_owned();
        let outcome = Label.conclude(input.clone(), FoundLabels::Known(older.clone())).unwrap();
        let taken = Labels::from_avro(&outcome.objects[0].body).unwrap();
        assert_eq!((&taken.run_id, &taken.labels), (&input.run_id, &older.labels));
        assert_eq!(outcome.events[0].replay, input.replay);
        older.index += 1;
        let refused = Label.conclude(input, FoundLabels::Known(older)).unwrap_err();
        assert_eq!(crate::tests::reason(&refused), "clips_differ");
    }

    #[test]
    fn times_count_from_the_start_of_the_recording() {
        // The third clip's margin starts at 18 s and its core at 20 s.
        let labels = labels(1, vec![seen(2000, "Car"), seen(11_960, "Dog")]);
        let times: Vec<_> = labels.labels.iter().map(|l| (l.at_ms, l.name.as_str())).collect();
        assert_eq!(times, [(20_000, "Car"), (29_960, "Dog")]);
    }

    #[test]
    fn a_source_whose_clock_does_not_begin_at_zero_still_begins_at_zero() {
        let mut input = example::<ClipsReady>(1);
        input.event.start_pts = 12_800;
        let found =
            of_the_core(&input.event, clip_times(&input.event).unwrap(), vec![seen(2000, "Car")]);
        assert_eq!(found[0].at_ms, 19_000);
    }

    #[test]
    fn what_is_seen_in_a_margin_is_left_to_the_neighbour() {
        let before = labels(1, vec![seen(0, "Car"), seen(1960, "Car")]);
        assert_eq!(before.labels, []);
        // The first clip's core ends at 10 s.
        let after = labels(0, vec![seen(9960, "Car"), seen(10_000, "Car"), seen(11_000, "Car")]);
        let times: Vec<_> = after.labels.iter().map(|label| label.at_ms).collect();
        assert_eq!(times, [9960]);
    }

    #[test]
    fn boxes_are_cut_to_the_picture_and_labels_sorted() {
        let found = labels(0, vec![seen(1000, "Dog"), seen(0, "Dog"), seen(1000, "Car")]);
        let order: Vec<_> = found.labels.iter().map(|l| (l.at_ms, l.name.as_str())).collect();
        assert_eq!(order, [(0, "Dog"), (1000, "Car"), (1000, "Dog")]);
        assert_eq!(found.labels[0].regions[0].left, 0.0);
        assert_eq!(found.labels[0].regions[0].width, 0.5);
    }

    #[test]
    fn a_clip_in_which_nothing_is_seen_is_a_result_too() {
        assert_eq!(labels(0, Vec::new()).labels, []);
    }

    #[test]
    fn the_same_question_has_the_same_token_and_another_another() {
        let token = |n| Label.plan(&example::<ClipsReady>(n)).unwrap().token;
        assert_eq!(token(0), token(0));
        assert_ne!(token(0), token(1));
        assert!(token(0).len() <= 64);
        let faces = crate::detect::Detect.plan(&example::<ClipsReady>(0)).unwrap().token;
        assert_ne!(token(0), faces);
    }
}
