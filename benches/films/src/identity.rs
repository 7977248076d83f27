//! Whether masks leave somebody recognisable: embeddings of the same place in source and masked film.

use crate::truth::Truth;
use media::Limits;
use serde::Serialize;
use std::{error::Error, path::Path};
use vision::{Embedding, FaceDetector, FaceEmbedder, Models, distance};

/// Every so many frames: faces change slowly, and an embedding takes milliseconds.
const EVERY: u32 = 5;
/// Width of a face, px of a frame 640 px wide, below which embeddings of different people come as near to
/// each other as those of one (decision 0005).
const LEAST_WIDTH: f32 = 40.0;
/// Two embeddings of one place that are nearer are of the same person for all to see (decision 0005).
const RECOGNISED: f32 = 0.45;

/// How many faces are still somebody's.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Identity {
    /// Faces of both films that were compared.
    compared: u32,
    recognised: u32,
    /// Distances, rising.
    distances: Vec<f32>,
}

/// Compares the faces of a film, as the detector finds them in the source, with what the masked film
/// shows at the same place.
pub(crate) fn of(source: &Path, masked: &Path, truth: &Truth) -> Result<Identity, Box<dyn Error>> {
    let models = Models::find(None)?;
    let (mut detector, mut embedder) =
        (FaceDetector::new(&models, 1)?, FaceEmbedder::new(&models, 1)?);
    let mut identity = Identity::default();
    let mut failure = None;
    media::compare(source, masked, &Limits::default(), &mut |pair| {
        let index = pair.output.index();
        if index % EVERY != 0 || failure.is_some() {
            return Ok(());
        }
        let (before, after) = (pair.source.rgb(truth.width)?, pair.output.rgb(truth.width)?);
        let looked = detector.detect(&before, vision::FACE_THRESHOLD).and_then(|faces| {
            let is_large = |width: f32| width * before.width as f32 >= LEAST_WIDTH;
            for face in faces.iter().filter(|face| is_large(face.region.width)) {
                let clear: Embedding = embedder.embed(&before, &face.landmarks)?;
                let apart = distance(&clear, &embedder.embed(&after, &face.landmarks)?);
                identity.compared += 1;
                identity.recognised += u32::from(apart < RECOGNISED);
                identity.distances.push(apart);
            }
            Ok(())
        });
        failure = looked.err();
        Ok(())
    })?;
    if let Some(error) = failure {
        return Err(error.into());
    }
    identity.distances.sort_by(f32::total_cmp);
    Ok(identity)
}
