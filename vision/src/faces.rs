//! Faces in a picture, by YuNet (Wu, Peng, Yu: "YuNet: A Tiny Millisecond-level Face Detector",
//! 2023; decoding as in libfacedetection).

use crate::{
    Models, VisionError,
    models::{Net, Outputs, YUNET},
    picture::{PixelBox, bgr_planes, check, scaled},
};
use media::RgbImage;
use schemas::BoundingBox;
use serde::{Deserialize, Serialize};
use std::sync::OnceLock;

/// Detector and input width, as written into manifests and receipts.
pub const DETECTOR: &str = "yunet_s@640";

/// The threshold that finds nearly every face of 20 px and more; higher ones lose faces.
pub const FACE_THRESHOLD: f32 = 0.5;

/// Width a picture is scaled to, px.
const WIDTH: f32 = 640.0;
/// Tall pictures are scaled to at most this height instead, px: it bounds the work.
const MAX_HEIGHT: f32 = 1280.0;
/// The network halves its input five times.
const MULTIPLE: u32 = 32;
const STRIDES: [usize; 3] = [8, 16, 32];
/// Of two boxes that overlap more than this (intersection over union), the weaker is dropped.
const SAME_FACE: f32 = 0.3;

/// The face detector and its weights, as receipts name them.
#[must_use]
pub fn detector_name() -> String {
    format!("{DETECTOR} {}", &weights_sha256()[..12])
}

/// SHA-256 of the face detector's weights, lowercase hex.
pub fn weights_sha256() -> &'static str {
    static HASH: OnceLock<String> = OnceLock::new();
    HASH.get_or_init(|| YUNET.sha256())
}

/// A face in a picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FaceBox {
    /// Relative to the picture, cut at its border.
    pub region: BoundingBox,
    /// 0 to 100.
    pub confidence: f32,
    /// Eyes, tip of the nose, corners of the mouth; of each pair the one further left in the
    /// picture first. x and y relative to the picture; may lie outside of 0..1.
    pub landmarks: [(f32, f32); 5],
}

/// YuNet on its own session; one per thread that looks at pictures.
#[derive(Debug)]
pub struct FaceDetector {
    net: Net,
    planes: Vec<f32>,
}

impl FaceDetector {
    /// A detector whose inference uses `threads` threads.
    ///
    /// # Errors
    /// `Inference` when ONNX Runtime does not take the weights.
    pub fn new(models: &Models, threads: usize) -> Result<Self, VisionError> {
        Ok(Self { net: models.net(YUNET, threads)?, planes: Vec::new() })
    }

    /// The faces of a picture of any size, surest first. `threshold` is 0 to 1, usually
    /// [`FACE_THRESHOLD`].
    ///
    /// # Errors
    /// `NotAPicture`, or `Inference` when the model does not run.
    pub fn detect(
        &mut self,
        picture: &RgbImage,
        threshold: f32,
    ) -> Result<Vec<FaceBox>, VisionError> {
        check(picture)?;
        let (width, height) = input_size(picture.width, picture.height);
        self.detect_unscaled(&*scaled(picture, width, height)?, threshold)
    }

    /// [`detect`](Self::detect) in the size that the picture has.
    pub(crate) fn detect_unscaled(
        &mut self,
        picture: &RgbImage,
        threshold: f32,
    ) -> Result<Vec<FaceBox>, VisionError> {
        check(picture)?;
        let (width, height) = (picture.width, picture.height);
        let canvas = (padded(width), padded(height));
        bgr_planes(picture, canvas, 0.0, &mut self.planes);
        let candidates =
            self.net.run(&self.planes, canvas, |outputs| decode(outputs, canvas, threshold))?;
        let (width, height) = (width as f32, height as f32);
        Ok(strongest(candidates).iter().filter_map(|c| c.face(width, height)).collect())
    }
}

/// The size, px, a picture is looked at: 640 wide, but at most 1280 high.
pub(crate) fn input_size(width: u32, height: u32) -> (u32, u32) {
    let (w, h) = (width as f32, height as f32);
    let scale = (WIDTH / w).min(MAX_HEIGHT / h);
    (((w * scale).round() as u32).max(1), ((h * scale).round() as u32).max(1))
}

fn padded(side: u32) -> usize {
    (side.div_ceil(MULTIPLE) * MULTIPLE) as usize
}

/// A face in pixels of the input.
#[derive(Debug, Clone)]
struct Candidate {
    at: PixelBox,
    score: f32,
    landmarks: [(f32, f32); 5],
}

impl Candidate {
    fn face(&self, width: f32, height: f32) -> Option<FaceBox> {
        Some(FaceBox {
            region: self.at.relative(width, height)?,
            confidence: self.score * 100.0,
            landmarks: self.landmarks.map(|(x, y)| (x / width, y / height)),
        })
    }
}

/// Reads the three grids of cells: per cell a class, an objectness, a box and five points.
fn decode(
    outputs: &Outputs<'_, '_>,
    (width, height): (usize, usize),
    threshold: f32,
) -> Result<Vec<Candidate>, VisionError> {
    let mut found = Vec::new();
    for stride in STRIDES {
        let (columns, cells) = (width / stride, (width / stride) * (height / stride));
        let classes = outputs.numbers(&format!("cls_{stride}"), cells)?;
        let objects = outputs.numbers(&format!("obj_{stride}"), cells)?;
        let boxes = outputs.numbers(&format!("bbox_{stride}"), cells * 4)?;
        let points = outputs.numbers(&format!("kps_{stride}"), cells * 10)?;
        let scale = stride as f32;
        for cell in 0..cells {
            let score = (classes[cell].clamp(0.0, 1.0) * objects[cell].clamp(0.0, 1.0)).sqrt();
            if score < threshold {
                continue;
            }
            let (row, column) = ((cell / columns) as f32, (cell % columns) as f32);
            let b = &boxes[cell * 4..cell * 4 + 4];
            let p = &points[cell * 10..cell * 10 + 10];
            found.push(Candidate {
                at: PixelBox::around(
                    (column + b[0]) * scale,
                    (row + b[1]) * scale,
                    b[2].exp() * scale,
                    b[3].exp() * scale,
                ),
                score,
                landmarks: std::array::from_fn(|i| {
                    ((column + p[2 * i]) * scale, (row + p[2 * i + 1]) * scale)
                }),
            });
        }
    }
    Ok(found)
}

/// Non-maximum suppression: of overlapping candidates the strongest stays.
fn strongest(mut candidates: Vec<Candidate>) -> Vec<Candidate> {
    candidates.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut kept: Vec<Candidate> = Vec::new();
    for candidate in candidates {
        if kept.iter().all(|k| k.at.overlap(&candidate.at) < SAME_FACE) {
            kept.push(candidate);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_looked_at_640_wide_and_tall_ones_at_most_1280_high() {
        assert_eq!(input_size(1280, 720), (640, 360));
        assert_eq!(input_size(720, 1280), (640, 1138));
        assert_eq!(input_size(100, 10_000), (13, 1280));
        assert_eq!((padded(360), padded(640)), (384, 640));
    }

    #[test]
    fn of_two_overlapping_candidates_the_stronger_stays() {
        let face = |x: f32, score| Candidate {
            at: PixelBox::around(x, 50.0, 40.0, 40.0),
            score,
            landmarks: [(0.0, 0.0); 5],
        };
        let kept = strongest(vec![face(50.0, 0.6), face(55.0, 0.9), face(150.0, 0.5)]);
        let scores: Vec<f32> = kept.iter().map(|c| c.score).collect();
        assert_eq!(scores, [0.9, 0.5]);
    }

    #[test]
    fn the_hash_of_the_weights_is_the_one_in_the_readme_of_the_models() {
        let readme = include_str!("../../models/README.md");
        assert_eq!(weights_sha256().len(), 64);
        assert!(readme.contains(weights_sha256()));
    }
}
