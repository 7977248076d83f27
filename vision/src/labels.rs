//! Things in a picture, by YOLOX-nano (Ge et al.: "YOLOX: Exceeding YOLO Series in 2021"), named
//! as Rekognition names them.

use crate::{
    Models, VisionError,
    models::{Net, Outputs, YOLOX},
    picture::{PixelBox, bgr_planes, check, scaled},
    taxonomy::{COCO, Kind},
};
use media::RgbImage;
use schemas::BoundingBox;
use serde::{Deserialize, Deserializer, Serialize, de::Error};

/// The model behind labels.
pub const LABELLER: &str = "yolox_nano@416";

/// Things less sure than this, 0 to 1, are not reported.
pub const LABEL_THRESHOLD: f32 = 0.3;

/// Side of the square input, px.
const SIDE: u32 = 416;
/// What surrounds a picture that is not square.
const FILL: f32 = 114.0;
const STRIDES: [usize; 3] = [8, 16, 32];
/// Per cell: a box, an objectness and a score per class.
const NUMBERS: usize = 5 + COCO.len();
/// Of two boxes of a kind that overlap more than this, the weaker is dropped.
const SAME_THING: f32 = 0.45;

/// A thing in a picture.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LabelBox {
    /// E.g. `Car`.
    pub name: &'static str,
    /// What it is a kind of, nearest first, e.g. `Vehicle` and `Transportation`.
    #[serde(skip_serializing)]
    pub parents: &'static [&'static str],
    /// 0 to 100.
    pub confidence: f32,
    /// Relative to the picture, cut at its border.
    pub region: BoundingBox,
}

/// A label as it is written down: its name says what it is a kind of.
#[derive(Debug, Deserialize)]
struct NamedBox {
    name: String,
    confidence: f32,
    region: BoundingBox,
}

impl<'de> Deserialize<'de> for LabelBox {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let NamedBox { name, confidence, region } = NamedBox::deserialize(deserializer)?;
        let kind = COCO.iter().find(|kind| kind.name == name);
        let kind = kind.ok_or_else(|| D::Error::custom(format!("there is no label {name}")))?;
        Ok(Self { name: kind.name, parents: kind.parents, confidence, region })
    }
}

/// YOLOX-nano on its own session; one per thread that looks at pictures.
#[derive(Debug)]
pub struct LabelDetector {
    net: Net,
    planes: Vec<f32>,
}

impl LabelDetector {
    /// A detector whose inference uses `threads` threads.
    ///
    /// # Errors
    /// `Inference` when ONNX Runtime does not take the weights.
    pub fn new(models: &Models, threads: usize) -> Result<Self, VisionError> {
        Ok(Self { net: models.net(YOLOX, threads)?, planes: Vec::new() })
    }

    /// The things in a picture of any size that are at least as sure as [`LABEL_THRESHOLD`],
    /// surest first.
    ///
    /// # Errors
    /// `NotAPicture`, or `Inference` when the model does not run.
    pub fn detect(&mut self, picture: &RgbImage) -> Result<Vec<LabelBox>, VisionError> {
        check(picture)?;
        let (width, height) = input_size(picture.width, picture.height);
        let picture = scaled(picture, width, height)?;
        let canvas = (SIDE as usize, SIDE as usize);
        bgr_planes(&picture, canvas, FILL, &mut self.planes);
        let candidates = self.net.run(&self.planes, canvas, decode)?;
        let (width, height) = (width as f32, height as f32);
        Ok(strongest(candidates).iter().filter_map(|c| c.label(width, height)).collect())
    }
}

/// The size, px, a picture is looked at: its longer side is 416.
pub(crate) fn input_size(width: u32, height: u32) -> (u32, u32) {
    let (w, h) = (width as f32, height as f32);
    let scale = SIDE as f32 / w.max(h);
    (((w * scale).round() as u32).max(1), ((h * scale).round() as u32).max(1))
}

/// A thing in pixels of the input.
#[derive(Debug, Clone)]
struct Candidate {
    at: PixelBox,
    score: f32,
    kind: &'static Kind,
}

impl Candidate {
    fn label(&self, width: f32, height: f32) -> Option<LabelBox> {
        Some(LabelBox {
            name: self.kind.name,
            parents: self.kind.parents,
            confidence: self.score * 100.0,
            region: self.at.relative(width, height)?,
        })
    }
}

/// Reads the cells of the three grids, which follow each other.
fn decode(outputs: &Outputs<'_, '_>) -> Result<Vec<Candidate>, VisionError> {
    let sides = STRIDES.map(|stride| SIDE as usize / stride);
    let cells: usize = sides.iter().map(|side| side * side).sum();
    let mut rows = outputs.first(cells * NUMBERS)?.chunks_exact(NUMBERS);
    let mut found = Vec::new();
    for (stride, side) in STRIDES.into_iter().zip(sides) {
        let scale = stride as f32;
        for (cell, row) in rows.by_ref().take(side * side).enumerate() {
            let (shape, scores) = row.split_at(5);
            let best = scores.iter().zip(&COCO).max_by(|a, b| a.0.total_cmp(b.0));
            let Some((class_score, kind)) = best else { continue };
            let score = (shape[4] * class_score).clamp(0.0, 1.0);
            if score < LABEL_THRESHOLD {
                continue;
            }
            let (y, x) = ((cell / side) as f32, (cell % side) as f32);
            let at = PixelBox::around(
                (x + shape[0]) * scale,
                (y + shape[1]) * scale,
                shape[2].exp() * scale,
                shape[3].exp() * scale,
            );
            found.push(Candidate { at, score, kind });
        }
    }
    Ok(found)
}

/// Non-maximum suppression within each kind.
fn strongest(mut candidates: Vec<Candidate>) -> Vec<Candidate> {
    candidates.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut kept: Vec<Candidate> = Vec::new();
    for candidate in candidates {
        let known = kept.iter().any(|k| {
            k.kind.name == candidate.kind.name && k.at.overlap(&candidate.at) > SAME_THING
        });
        if !known {
            kept.push(candidate);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_side_becomes_416() {
        assert_eq!(input_size(1280, 720), (416, 234));
        assert_eq!(input_size(720, 1280), (234, 416));
        assert_eq!(input_size(5000, 1), (416, 1));
    }

    #[test]
    fn a_person_in_front_of_a_car_does_not_hide_it() {
        let thing = |class: usize, score| Candidate {
            at: PixelBox::around(50.0, 50.0, 40.0, 40.0),
            score,
            kind: &COCO[class],
        };
        let kept = strongest(vec![thing(2, 0.6), thing(0, 0.9), thing(0, 0.7)]);
        let names: Vec<&str> = kept.iter().map(|c| c.kind.name).collect();
        assert_eq!(names, ["Person", "Car"]);
    }
}
