//! The composition root: the one place where processors meet connectors, a line each.

use connectors::{
    cataloguing::Cataloguing, indexing::Indexing, rekognition::Rekognition, studio::Studio,
};
use engine::Pipeline;
use processors::{
    blur::Blur, catalog::Catalog, cut::Cut, detect::Detect, index::Index, label::Label,
    stitch::Stitch, sweep::Sweep, verify::Verify,
};

/// What performs the effects.
#[derive(Debug, Clone)]
pub struct World {
    pub studio: Studio,
    pub rekognition: Rekognition,
    pub indexing: Indexing,
    pub cataloguing: Cataloguing,
}

/// The mill.
#[must_use]
pub fn pipeline(cut: Cut, world: World) -> Pipeline {
    let World { studio, rekognition, indexing, cataloguing } = world;
    Pipeline::new()
        .stage(cut, studio.clone())
        .stage(Detect::default(), rekognition.clone())
        .stage(Label::default(), rekognition)
        .stage(Blur, studio.clone())
        .stage(Stitch, studio.clone())
        .stage(Verify, studio.clone())
        .stage(Index, indexing)
        .stage(Catalog, cataloguing)
        .stage(Sweep, studio)
}
