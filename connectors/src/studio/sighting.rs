//! What a face that the detector finds on a finished film means: hidden, doubtful, or a leak.

use super::{masking, second_look::TOUCHED};
use media::{Region, RgbImage};
use schemas::{BoundingBox, Masking};
use std::{
    iter::Sum,
    sync::{Mutex, PoisonError},
};
use vision::{FaceBox, FaceDetector, FaceEmbedder, Models, VisionError};

/// A detection on the output is a leak when no mask touches it. It is one too when less of its box
/// than this lies inside masks and the source, looked at with the masking threshold, shows a face
/// there that is not covered: detectors see heads in the edges of masks, but a film shows no face its
/// source does not show. See docs/decisions/0005.
pub(super) const COVERED: f32 = 0.95;
/// Two boxes that coincide this much (intersection over union) are of one face.
const SAME_FACE: f32 = 0.3;
/// A masked face may come as close as 0.49 to itself (measured with six blocks across a face);
/// the same person unmasked lies between 0.11 and 0.48.
const RECOGNISED: f32 = 0.45;
/// Of fewer pixels (a share of the picture's width: 40 px of 640) an embedding says nothing: backs
/// of heads come as near to each other as 0.2.
const SMALLEST_RECOGNISABLE: f32 = 40.0 / 640.0;

/// One moment: its pictures, and where masks were drawn.
pub(super) struct Shot {
    /// Ticks of the source.
    pub(super) pts: i64,
    /// `None` where the output's packets are the source's, and nothing should be masked.
    pub(super) source: Option<RgbImage>,
    pub(super) output: RgbImage,
    pub(super) regions: Vec<Region>,
}

/// What the detector found on the output.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) under_mask: i64,
    pub(super) unconfirmed: i64,
    pub(super) leaks: i64,
}

impl Sum for Found {
    fn sum<I: Iterator<Item = Self>>(moments: I) -> Self {
        moments.fold(Self::default(), |all, one| Self {
            under_mask: all.under_mask + one.under_mask,
            unconfirmed: all.unconfirmed + one.unconfirmed,
            leaks: all.leaks + one.leaks,
        })
    }
}

/// Loaded when first needed: it takes much memory, and few moments ask for it.
pub(super) type SharedEmbedder = Mutex<Option<FaceEmbedder>>;

/// What looks at single moments.
pub(super) struct Eyes<'a> {
    detector: FaceDetector,
    embedder: &'a SharedEmbedder,
    models: &'a Models,
    /// 0 to 1: for the source, that of masking.
    threshold: f32,
    /// 0 to 1: for the output.
    verify_threshold: f32,
}

impl<'a> Eyes<'a> {
    pub(super) fn open(
        models: &'a Models,
        embedder: &'a SharedEmbedder,
        masking: &Masking,
    ) -> Result<Self, VisionError> {
        Ok(Self {
            detector: FaceDetector::new(models, 1)?,
            embedder,
            models,
            threshold: masking.threshold,
            verify_threshold: masking.verify_threshold,
        })
    }

    /// The faces of a moment of the output, if it has any.
    pub(super) fn look(&mut self, shot: &Shot) -> Result<Option<Found>, VisionError> {
        let mut found = Found::default();
        let faces = self.detector.detect(&shot.output, self.verify_threshold)?;
        if faces.is_empty() {
            return Ok(None);
        }
        let Some(source) = &shot.source else {
            found.leaks += faces.len() as i64;
            tracing::warn!(pts = shot.pts, faces = faces.len(), "a copied frame shows faces");
            return Ok(Some(found));
        };
        let of_source = self.detector.detect(source, self.threshold)?;
        for face in faces {
            let (pts, region) = (shot.pts, &face.region);
            match Cover::of(region, &of_source, &shot.regions) {
                Cover::Hidden if self.recognises((source, &shot.output), &face, &of_source)? => {
                    found.leaks += 1;
                    tracing::warn!(pts, ?region, "a face is recognised under its mask");
                }
                Cover::Hidden => found.under_mask += 1,
                Cover::Doubtful => found.unconfirmed += 1,
                Cover::Clear => {
                    found.leaks += 1;
                    tracing::warn!(pts, ?region, "a face is outside masks");
                }
            }
        }
        Ok(Some(found))
    }

    /// Whether a face found under a mask is still the one the source shows there.
    fn recognises(
        &mut self,
        (source, output): (&RgbImage, &RgbImage),
        found: &FaceBox,
        of_source: &[FaceBox],
    ) -> Result<bool, VisionError> {
        let Some(clear) = nearest(&found.region, of_source) else { return Ok(false) };
        if clear.region.width < SMALLEST_RECOGNISABLE {
            return Ok(false);
        }
        let mut shared = self.embedder.lock().unwrap_or_else(PoisonError::into_inner);
        let embedder = match &mut *shared {
            Some(embedder) => embedder,
            none => none.insert(FaceEmbedder::new(self.models, 1)?),
        };
        let before = embedder.embed(source, &clear.landmarks)?;
        let after = embedder.embed(output, &found.landmarks)?;
        Ok(vision::distance(&before, &after) < RECOGNISED)
    }
}

/// How a place of the output where the detector sees a face lies to masks and to the source's faces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cover {
    /// Under masks.
    Hidden,
    /// At the edge of masks, and each face of the source there is under them.
    Doubtful,
    /// Without a mask, or a face of the source's shows beside one.
    Clear,
}

impl Cover {
    fn of(found: &BoundingBox, of_source: &[FaceBox], masks: &[Region]) -> Self {
        let covered = |of: &BoundingBox| media::mask_coverage(&masking::region(of), masks);
        let shows = || {
            let mut there = of_source.iter().filter(|face| face.region.iou(found) >= SAME_FACE);
            there.any(|face| covered(&face.region) < COVERED)
        };
        match covered(found) {
            share if share >= COVERED => Self::Hidden,
            share if share < TOUCHED || shows() => Self::Clear,
            _ => Self::Doubtful,
        }
    }
}

/// The face of the source that one found on the output coincides with most.
fn nearest<'a>(found: &BoundingBox, of_source: &'a [FaceBox]) -> Option<&'a FaceBox> {
    let near = |face: &FaceBox| face.region.iou(found);
    let there = of_source.iter().filter(|face| near(face) >= SAME_FACE);
    there.max_by(|a, b| near(a).total_cmp(&near(b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(left: f32, width: f32) -> BoundingBox {
        BoundingBox { left, top: 0.4, width, height: 0.2 }
    }

    fn face(region: BoundingBox) -> FaceBox {
        FaceBox { region, confidence: 90.0, landmarks: [(0.0, 0.0); 5] }
    }

    #[test]
    fn a_face_without_a_mask_is_clear_whatever_the_source_shows() {
        let place = at(0.4, 0.2);
        assert_eq!(Cover::of(&place, &[], &[]), Cover::Clear);
        assert_eq!(
            Cover::of(&place, &[face(place)], &[masking::region(&at(0.0, 0.1))]),
            Cover::Clear
        );
    }

    #[test]
    fn a_face_under_a_mask_is_hidden() {
        let place = at(0.4, 0.2);
        assert_eq!(Cover::of(&place, &[face(place)], &[masking::region(&place)]), Cover::Hidden);
    }

    #[test]
    fn a_head_seen_in_the_edge_of_a_mask_is_doubtful_until_the_source_shows_it_beside_the_mask() {
        let (masked, seen) = (at(0.3, 0.2), at(0.5, 0.2));
        let masks = [masking::region(&masked)];
        assert_eq!(Cover::of(&seen, &[], &masks), Cover::Doubtful);
        assert_eq!(Cover::of(&seen, &[face(masked)], &masks), Cover::Doubtful);
        assert_eq!(Cover::of(&seen, &[face(seen)], &masks), Cover::Clear);
    }

    #[test]
    fn a_covered_face_excuses_no_uncovered_one_that_overlaps_it_in_whatever_order() {
        let (covered, uncovered) = (at(0.36, 0.2), at(0.5, 0.2));
        let seen = at(0.44, 0.2);
        let masks = [masking::region(&covered)];
        for faces in [[covered, uncovered], [uncovered, covered]] {
            let faces = faces.map(face);
            assert!(faces.iter().all(|face| face.region.iou(&seen) >= SAME_FACE), "both overlap");
            assert_eq!(Cover::of(&seen, &faces, &masks), Cover::Clear);
        }
        assert_eq!(Cover::of(&seen, &[face(covered)], &masks), Cover::Doubtful);
    }

    #[test]
    fn a_face_is_compared_with_the_one_it_coincides_with_most() {
        let (one, other) = (at(0.40, 0.2), at(0.44, 0.2));
        for faces in [[one, other], [other, one]] {
            let faces = faces.map(face);
            assert_eq!(nearest(&at(0.45, 0.2), &faces).unwrap().region, other);
            assert_eq!(nearest(&at(0.39, 0.2), &faces).unwrap().region, one);
        }
        assert_eq!(nearest(&at(0.0, 0.1), &[face(one)]), None);
    }
}
