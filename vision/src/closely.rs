//! Eyes for films: they look again, larger, where the detector is in doubt, and into the dark.

use crate::{
    FACE_THRESHOLD, FaceBox, FaceDetector, Models, VisionError,
    even::evened,
    faces,
    picture::{part_of, scaled},
    video::shrunk,
};
use media::{Frame, Kept, MediaError, RgbImage, Shrinker};
use schemas::BoundingBox;
use std::borrow::Cow;

/// Faces that the detector is less sure of than this many times what it is asked for are doubts; none from
/// [`FACE_THRESHOLD`] on.
const DOUBTFUL: f32 = 2.0;
/// So many doubts of a frame are looked at again, the surest first: it bounds the work.
const MOST_DOUBTS: usize = 4;
/// Around a doubt, so many times its longer side is looked at: a face is known by its head.
const AROUND: f32 = 4.0;
/// And this much at least, px of a picture that is 640 px wide.
const LEAST_AROUND: f32 = 48.0;
/// It is enlarged so many times,
const LARGER: f32 = 3.0;
/// to no more than this, px, and where it is larger than that, made smaller: it bounds the work, too.
const MOST_ENLARGED: f32 = 384.0;
/// What is enlarged by less has been seen so already.
const LEAST_LARGER: f32 = 1.5;
/// Of that the detector must be this sure, 0 to 1: of most faces of `benches/leaks.py` that it doubts it is, of nearly
/// nothing else.
pub(crate) const CONFIRMED: f32 = 0.7;
/// What only such a look shows is told as no surer than this, 0 to 100, which is less than what is plain to see: the
/// frame as it is may show nothing of it a moment later. Nobody masks surer faces only.
pub const NOT_PLAIN: f32 = 70.0;
/// Boxes that overlap by this (intersection over union) are of one face.
const SAME_FACE: f32 = 0.3;
/// Contrast is evened out between cells of this width, px of a picture that is 640 px wide.
const CELL: f32 = 27.0;
/// Pictures with more pixels do not wait in full size,
const MOST_KEPT_PIXELS: u64 = 1920 * 1088;
/// nor do those beside one in the detector's size that take more: 1080p in 8-bit 4:2:0 takes 3 MiB.
const MOST_KEPT_BYTES: usize = 4 << 20;

/// A frame on its way to the detector.
#[derive(Debug)]
pub(crate) enum View {
    /// In the detector's size, and in the film's where that is larger.
    Scaled { small: RgbImage, whole: Option<Kept> },
    /// In the film's size.
    Whole(Kept),
}

impl View {
    /// What is looked at for certain, scaled where film is decoded.
    pub(crate) fn of(frame: &mut Frame<'_>) -> Result<Self, MediaError> {
        let small = shrunk(frame, faces::input_size)?;
        let is_larger = frame.width() > small.width;
        let whole = (is_larger && !is_large(frame)).then(|| frame.keep());
        let whole = whole.filter(|kept| kept.bytes() <= MOST_KEPT_BYTES);
        Ok(Self::Scaled { small, whole })
    }

    /// What is not looked at closely.
    pub(crate) fn scaled(frame: &mut Frame<'_>) -> Result<Self, MediaError> {
        Ok(Self::Scaled { small: shrunk(frame, faces::input_size)?, whole: None })
    }

    /// What may be passed over is not scaled before that is known, unless it is large.
    pub(crate) fn unscaled(frame: &mut Frame<'_>) -> Result<Self, MediaError> {
        if is_large(frame) { Self::of(frame) } else { Ok(Self::Whole(frame.keep())) }
    }

    /// Memory that it takes.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Scaled { small, whole } => {
                small.data.len() + whole.as_ref().map_or(0, Kept::bytes)
            }
            Self::Whole(kept) => kept.bytes(),
        }
    }

    /// In the detector's size.
    fn small(&self, shrinker: &mut Shrinker) -> Result<Cow<'_, RgbImage>, VisionError> {
        let small = match self {
            Self::Scaled { small, .. } => Cow::Borrowed(small),
            Self::Whole(kept) => {
                let (width, height) = kept.size();
                let (width, _) = faces::input_size(width.max(1), height.max(1));
                Cow::Owned(shrinker.rgb(kept, width)?)
            }
        };
        let (width, height) = faces::input_size(small.width, small.height);
        Ok(match small {
            Cow::Borrowed(small) => scaled(small, width, height)?,
            Cow::Owned(small) => Cow::Owned(scaled(&small, width, height)?.into_owned()),
        })
    }

    /// In the largest size there is.
    fn large(&self, shrinker: &mut Shrinker) -> Result<Cow<'_, RgbImage>, VisionError> {
        Ok(match self {
            Self::Scaled { small, whole: None } => Cow::Borrowed(small),
            Self::Scaled { whole: Some(kept), .. } | Self::Whole(kept) => {
                Cow::Owned(shrinker.rgb(kept, u32::MAX)?)
            }
        })
    }
}

fn is_large(frame: &Frame<'_>) -> bool {
    u64::from(frame.width()) * u64::from(frame.height()) > MOST_KEPT_PIXELS
}

/// What was seen of a frame.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// Surest first.
    pub(crate) faces: Vec<FaceBox>,
    /// The detector doubted some, whether they were confirmed or not.
    pub(crate) had_doubts: bool,
}

/// A face detector for the frames of a film.
#[derive(Debug)]
pub(crate) struct Eyes {
    detector: FaceDetector,
    shrinker: Shrinker,
    threshold: f32,
}

impl Eyes {
    /// `threshold` as of [`FaceDetector::detect`].
    pub(crate) fn new(models: &Models, threshold: f32) -> Result<Self, VisionError> {
        let detector = FaceDetector::new(models, 1)?;
        Ok(Self { detector, shrinker: Shrinker::default(), threshold })
    }

    /// The faces of a frame, surest first. Those that the detector is in doubt of are looked at again, three times as
    /// large and, where that does not help or cannot be, with their contrast evened out. Nothing is taken away by that.
    pub(crate) fn faces(&mut self, view: &View) -> Result<Seen, VisionError> {
        let small = view.small(&mut self.shrinker)?;
        let sure = sure_from(self.threshold);
        let mut seen = self.detector.detect(&small, self.threshold.min(sure / DOUBTFUL))?;
        let is_doubt = |face: &FaceBox| face.confidence < sure * 100.0;
        let had_doubts = seen.iter().any(is_doubt);
        if had_doubts {
            let large = view.large(&mut self.shrinker)?;
            for doubt in seen.iter_mut().filter(|face| is_doubt(face)).take(MOST_DOUBTS) {
                if let Some(sure) = self.closer(&large, &doubt.region)? {
                    *doubt = less_sure(FaceBox { region: sure.region.hull(&doubt.region), ..sure });
                }
            }
            seen.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
        }
        // A face whose confidence is no number is still a face.
        seen.retain(|face| face.confidence.is_nan() || face.confidence >= self.threshold * 100.0);
        Ok(Seen { faces: seen, had_doubts })
    }

    /// The faces of a frame with contrast evened out, surest first: also those that are too dark for
    /// [`faces`](Self::faces).
    pub(crate) fn dark_faces(&mut self, view: &View) -> Result<Vec<FaceBox>, VisionError> {
        let small = view.small(&mut self.shrinker)?;
        self.detector.detect(&evened(&small, CELL)?, self.threshold.max(FACE_THRESHOLD))
    }

    /// The face at a place of a picture, where the detector is sure of one in an enlarged part.
    fn closer(
        &mut self,
        picture: &RgbImage,
        place: &BoundingBox,
    ) -> Result<Option<FaceBox>, VisionError> {
        let (width, height) = (picture.width as f32, picture.height as f32);
        // Pixels of the picture in one of those that were looked at.
        let (input_width, _) = faces::input_size(picture.width, picture.height);
        let scale = width / input_width as f32;
        let side = (place.width * width).max(place.height * height) / scale;
        let around = (side * AROUND).max(LEAST_AROUND);
        let enlarged = LARGER.min(MOST_ENLARGED / around);
        let (across, down) = (around * scale / width, around * scale / height);
        let part = BoundingBox {
            left: place.left + (place.width - across) / 2.0,
            top: place.top + (place.height - down) / 2.0,
            width: across,
            height: down,
        };
        let Some((cut, at)) = part_of(picture, part, enlarged / scale)? else { return Ok(None) };
        if enlarged >= LEAST_LARGER {
            let plain = self.sure(&cut, &at, place)?;
            if plain.is_some() {
                return Ok(plain);
            }
        }
        self.sure(&evened(&cut, CELL * enlarged)?, &at, place)
    }

    /// The surest face of a part of a picture, where it lies at that place of the whole.
    fn sure(
        &mut self,
        cut: &RgbImage,
        at: &BoundingBox,
        place: &BoundingBox,
    ) -> Result<Option<FaceBox>, VisionError> {
        let x = |part: f32| at.left + part * at.width;
        let y = |part: f32| at.top + part * at.height;
        let seen = self.detector.detect_unscaled(cut, CONFIRMED)?;
        let in_whole = |face: FaceBox| FaceBox {
            region: BoundingBox {
                left: x(face.region.left),
                top: y(face.region.top),
                width: face.region.width * at.width,
                height: face.region.height * at.height,
            },
            landmarks: face.landmarks.map(|(right, down)| (x(right), y(down))),
            ..face
        };
        Ok(seen.into_iter().map(in_whole).find(|face| face.region.iou(place) >= SAME_FACE))
    }
}

/// What is less sure than this, 0 to 1, is a doubt where faces from `threshold` on are asked for.
fn sure_from(threshold: f32) -> f32 {
    (threshold * DOUBTFUL).min(FACE_THRESHOLD)
}

/// Whether a face is one of those that were seen by [`Eyes`] of a threshold, and no doubt.
pub(crate) fn is_known(seen: &[FaceBox], face: &FaceBox, threshold: f32) -> bool {
    let sure = sure_from(threshold) * 100.0;
    seen.iter().any(|other| other.confidence >= sure && is_same(other, face))
}

/// Adds faces to those that were seen by [`Eyes`] of a threshold; doubts stay beside them.
pub(crate) fn join(seen: &mut Vec<FaceBox>, faces: Vec<FaceBox>, threshold: f32) {
    let new: Vec<_> = faces.into_iter().filter(|face| !is_known(seen, face, threshold)).collect();
    seen.extend(new.into_iter().map(less_sure));
    seen.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
}

fn less_sure(face: FaceBox) -> FaceBox {
    FaceBox { confidence: face.confidence.min(NOT_PLAIN), ..face }
}

fn is_same(one: &FaceBox, other: &FaceBox) -> bool {
    one.region.iou(&other.region) >= SAME_FACE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn face(left: f32, confidence: f32) -> FaceBox {
        let region = BoundingBox { left, top: 0.4, width: 0.2, height: 0.2 };
        FaceBox { region, confidence, landmarks: [(0.0, 0.0); 5] }
    }

    /// What is seen once faces of the dark have joined.
    fn joined(seen: &[(f32, f32)], dark: &[(f32, f32)]) -> Vec<(f32, f32)> {
        let [mut seen, dark] = [seen, dark]
            .map(|faces| faces.iter().map(|&(left, sure)| face(left, sure)).collect::<Vec<_>>());
        join(&mut seen, dark, 0.15);
        seen.iter().map(|face| (face.region.left, face.confidence)).collect()
    }

    #[test]
    fn faces_of_the_dark_join_those_that_are_seen_and_take_none_away() {
        assert_eq!(joined(&[(0.1, 90.0)], &[]), [(0.1, 90.0)]);
        // Known.
        assert_eq!(joined(&[(0.1, 60.0)], &[(0.12, 90.0)]), [(0.1, 60.0)]);
        // New, though something else is seen.
        assert_eq!(joined(&[(0.1, 60.0)], &[(0.6, 80.0)]), [(0.6, 70.0), (0.1, 60.0)]);
        // Sure from 0.3 on, where faces from 0.15 on are asked for.
        assert_eq!(joined(&[(0.1, 31.0)], &[(0.12, 90.0)]), [(0.1, 31.0)]);
        assert_eq!(joined(&[(0.1, 29.0)], &[(0.12, 90.0)]), [(0.12, 70.0), (0.1, 29.0)]);
    }

    #[test]
    fn doubts_are_less_than_twice_of_what_is_asked_for() {
        assert_eq!([0.1, 0.15, 0.25, 0.5, 0.7].map(sure_from), [0.2, 0.3, 0.5, 0.5, 0.5]);
    }
}
