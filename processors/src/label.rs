//! `clips-ready` → `labels-detected`: finds what is to be seen in a clip.

use crate::clip_index;
use engine::{Effect, Input, Object, Outcome, Processor};
use ports::{ObjectRef, Refusal};
use schemas::{
    BoundingBox, ClipsReady, Label as LabelSeen, Labels, LabelsDetected, TimeBase, ids, keys,
};

/// Finds the labels of a clip, margins included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FindLabels {
    pub clip: ObjectRef,
    /// The same for the same question: at most 64 letters, digits, `-` and `_`.
    pub token: String,
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

#[derive(Debug, Clone, PartialEq)]
pub struct FoundLabels {
    pub labels: Vec<SeenLabel>,
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
        let run = format!("{}/{}", input.video_id, input.run_id);
        Ok(FindLabels {
            clip: ObjectRef::new(&input.bucket, &input.clip_key),
            token: ids::output(&run, Self::NAME, index as usize),
        })
    }

    fn conclude(
        &self,
        input: Input<ClipsReady>,
        found: FoundLabels,
    ) -> Result<Outcome<LabelsDetected>, Refusal> {
        let event = input.event;
        let labels = of_the_core(&event, found);
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
        })
        .storing(Object {
            to: ObjectRef::new(event.bucket, labels_key),
            content_type: "application/avro",
            body: object.to_avro()?.into(),
        }))
    }

    fn video_id(&self, input: &Input<ClipsReady>) -> Option<String> {
        Some(input.video_id.clone())
    }
}

/// What was seen in a clip's core, in the recording's time. Its neighbours report the margins.
fn of_the_core(event: &ClipsReady, found: FoundLabels) -> Vec<LabelSeen> {
    let time_base = TimeBase { num: event.time_base_num, den: event.time_base_den };
    let mut labels: Vec<_> = found
        .labels
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
