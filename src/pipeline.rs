//! The composition root: the one place where processors meet connectors, a line each.

use connectors::kafka::Kafka;
use engine::{Connector, Effect, Pipeline, Trouble};
use processors::{
    blur::{Blur, MaskClip},
    catalog::{Catalog, RecordFacts},
    cut::{Cut, CutClips},
    detect::{Detect, FindFaces},
    index::{Index, IndexRun},
    label::{FindLabels, Label},
    stitch::{Stitch, StitchClips},
    sweep::{Sweep, SweepRun},
    thumbnail::{TakeStill, Thumbnail},
    verify::{Verify, VerifyRecording},
};

/// What performs the effects.
#[derive(Debug, Clone)]
pub struct World<Studio, Eyes, Indexing, Cataloguing> {
    pub studio: Studio,
    pub eyes: Eyes,
    pub indexing: Indexing,
    pub cataloguing: Cataloguing,
}

/// The mill.
#[must_use]
pub fn pipeline<S, E, I, C>(cut: Cut, world: World<S, E, I, C>) -> Pipeline<Kafka>
where
    S: Clone
        + Connector<CutClips>
        + Connector<MaskClip>
        + Connector<StitchClips>
        + Connector<VerifyRecording>
        + Connector<TakeStill>
        + Connector<SweepRun>,
    E: Clone + Connector<FindFaces> + Connector<FindLabels>,
    I: Connector<IndexRun>,
    C: Connector<RecordFacts>,
{
    let World { studio, eyes, indexing, cataloguing } = world;
    Pipeline::new()
        .stage(cut, studio.clone())
        .stage(Detect, eyes.clone())
        .stage(Label, eyes)
        .stage(Blur, studio.clone())
        .stage(Stitch, studio.clone())
        .stage(Verify, studio.clone())
        .stage(Thumbnail, studio.clone())
        .stage(Index, indexing)
        .stage(Catalog, cataloguing)
        .stage(Sweep, studio)
}

/// The mill with nothing behind it, for all that needs only its shape.
#[must_use]
pub fn shape() -> Pipeline<Kafka> {
    let world = World { studio: Nowhere, eyes: Nowhere, indexing: Nowhere, cataloguing: Nowhere };
    pipeline(crate::rules::cut_rules(&crate::cli::MillArgs::default()), world)
}

/// The picture in the README.
#[must_use]
pub fn drawing() -> String {
    shape().to_string()
}

/// A world in which nothing can be asked.
#[derive(Debug, Clone, Copy)]
struct Nowhere;

impl<E: Effect> Connector<E> for Nowhere {
    async fn perform(&self, effect: &E) -> Result<E::Answer, Trouble> {
        Err(Trouble::fatal(format!(
            "this pipeline is only a picture and cannot perform {effect:?}"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ports::STAGES;
    use std::collections::BTreeSet;

    #[test]
    fn the_stages_that_users_see_follow_each_other_as_the_processors_do() {
        let pipeline = shape();
        let specs: Vec<_> = pipeline.specs().collect();
        for stage in STAGES {
            let reads = &specs.iter().find(|spec| spec.name == stage.name).unwrap().reads;
            let before = specs.iter().filter(|spec| {
                spec.writes.is_some_and(|topic| reads.iter().any(|read| read == topic))
            });
            let before: BTreeSet<_> = before.map(|spec| spec.name).collect();
            assert_eq!(before, stage.after.iter().copied().collect(), "before {}", stage.name);
        }
    }
}
