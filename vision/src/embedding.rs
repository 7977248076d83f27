//! Whose face is it? dlib's face recognition network (Davis King, `dlib_face_recognition_resnet`)
//! turns an aligned face into 128 numbers; the Euclidean distance tells people apart.

use crate::{
    Models, VisionError,
    models::{DLIB, Net},
    picture::check,
};
use media::RgbImage;

/// A face in 128 numbers.
pub type Embedding = [f32; 128];

/// Two embeddings nearer than this are taken for the same person.
pub const SAME_PERSON: f32 = 0.6;

/// Side of the aligned face, px.
const SIDE: usize = 150;
/// Where eyes, nose and corners of the mouth belong in the aligned face, px.
const TEMPLATE: [(f32, f32); 5] =
    [(44.4, 47.1), (101.6, 46.6), (71.8, 74.5), (49.1, 103.7), (96.7, 103.1)];
/// A face larger than the template is averaged over at most this many samples a side.
const MOST_SAMPLES: usize = 8;

/// The Euclidean distance of two faces: 0.1 to 0.5 for one person, 0.65 and more for two.
pub fn distance(a: &Embedding, b: &Embedding) -> f32 {
    a.iter().zip(b).map(|(x, y)| (x - y).powi(2)).sum::<f32>().sqrt()
}

/// dlib's network on its own session; one per thread that compares faces.
#[derive(Debug)]
pub struct FaceEmbedder {
    net: Net,
    planes: Vec<f32>,
}

impl FaceEmbedder {
    /// An embedder whose inference uses `threads` threads.
    ///
    /// # Errors
    /// `Inference` when ONNX Runtime does not take the weights.
    pub fn new(models: &Models, threads: usize) -> Result<Self, VisionError> {
        Ok(Self { net: models.net(DLIB, threads)?, planes: Vec::new() })
    }

    /// The embedding of the face with these landmarks (as in [`FaceBox`](crate::FaceBox),
    /// relative to the picture).
    ///
    /// # Errors
    /// `NotAPicture`, or `Inference` when the model does not run.
    pub fn embed(
        &mut self,
        picture: &RgbImage,
        landmarks: &[(f32, f32); 5],
    ) -> Result<Embedding, VisionError> {
        check(picture)?;
        let (width, height) = (picture.width as f32, picture.height as f32);
        let points = landmarks.map(|(x, y)| (x * width, y * height));
        self.align(picture, Similarity::between(&points, &TEMPLATE));
        self.net.run(&self.planes, (SIDE, SIDE), |outputs| {
            let mut embedding = [0.0; 128];
            embedding.copy_from_slice(&outputs.first(128)?[..128]);
            Ok(embedding)
        })
    }

    /// Fills the planes with the face, turned and scaled onto the template, red first, 0 to 255:
    /// the graph takes off the mean of the training pictures itself.
    fn align(&mut self, picture: &RgbImage, onto_template: Similarity) {
        let from_template = onto_template.inverse();
        // Several samples per pixel where the face shrinks, or fine detail would alias.
        let samples = (from_template.scale().ceil() as usize).clamp(1, MOST_SAMPLES);
        let step = 1.0 / samples as f32;
        let area = SIDE * SIDE;
        self.planes.clear();
        self.planes.resize(3 * area, 0.0);
        for pixel in 0..area {
            let (x, y) = ((pixel % SIDE) as f32, (pixel / SIDE) as f32);
            let mut sum = [0.0; 3];
            for sample in 0..samples * samples {
                let dx = ((sample % samples) as f32 + 0.5) * step - 0.5;
                let dy = ((sample / samples) as f32 + 0.5) * step - 0.5;
                let colour = bilinear(picture, from_template.apply((x + dx, y + dy)));
                for (total, value) in sum.iter_mut().zip(colour) {
                    *total += value;
                }
            }
            let share = step * step;
            for (channel, total) in sum.iter().enumerate() {
                self.planes[channel * area + pixel] = total * share;
            }
        }
    }
}

/// Turns, scales and moves: `(x, y)` becomes `(a x - b y + tx, b x + a y + ty)`.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Similarity {
    a: f32,
    b: f32,
    tx: f32,
    ty: f32,
}

impl Similarity {
    /// The least-squares fit of `from` onto `to` (Umeyama 1991, in two dimensions and without
    /// mirroring).
    fn between(from: &[(f32, f32); 5], to: &[(f32, f32); 5]) -> Self {
        let (from_x, from_y) = centre(from);
        let (to_x, to_y) = centre(to);
        let (mut dot, mut cross, mut spread) = (0.0, 0.0, 0.0);
        for (p, q) in from.iter().zip(to) {
            let (px, py) = (p.0 - from_x, p.1 - from_y);
            let (qx, qy) = (q.0 - to_x, q.1 - to_y);
            dot += px * qx + py * qy;
            cross += px * qy - py * qx;
            spread += px * px + py * py;
        }
        // Five points in one place have no direction: any scale does, none may be infinite.
        let spread = spread.max(1e-6);
        let (a, b) = (dot / spread, cross / spread);
        Self { a, b, tx: to_x - a * from_x + b * from_y, ty: to_y - b * from_x - a * from_y }
    }

    fn inverse(self) -> Self {
        let square = (self.a * self.a + self.b * self.b).max(1e-12);
        let (a, b) = (self.a / square, -self.b / square);
        Self { a, b, tx: -a * self.tx + b * self.ty, ty: -b * self.tx - a * self.ty }
    }

    fn scale(self) -> f32 {
        self.a.hypot(self.b)
    }

    fn apply(self, (x, y): (f32, f32)) -> (f32, f32) {
        (self.a * x - self.b * y + self.tx, self.b * x + self.a * y + self.ty)
    }
}

fn centre(points: &[(f32, f32); 5]) -> (f32, f32) {
    let (x, y) = points.iter().fold((0.0, 0.0), |sum, p| (sum.0 + p.0, sum.1 + p.1));
    (x / 5.0, y / 5.0)
}

/// The colour between pixels; black outside of the picture.
fn bilinear(picture: &RgbImage, (x, y): (f32, f32)) -> [f32; 3] {
    let (width, height) = (picture.width as i64, picture.height as i64);
    let (left, top) = (x.floor(), y.floor());
    let (fx, fy) = (x - left, y - top);
    let (left, top) = (left as i64, top as i64);
    let mut colour = [0.0; 3];
    for (dx, dy, weight) in [
        (0, 0, (1.0 - fx) * (1.0 - fy)),
        (1, 0, fx * (1.0 - fy)),
        (0, 1, (1.0 - fx) * fy),
        (1, 1, fx * fy),
    ] {
        let (x, y) = (left.saturating_add(dx), top.saturating_add(dy));
        if (0..width).contains(&x) && (0..height).contains(&y) {
            let at = (y * width + x) as usize * 3;
            for (channel, value) in colour.iter_mut().zip(&picture.data[at..at + 3]) {
                *channel += f32::from(*value) * weight;
            }
        }
    }
    colour
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turned_scaled_and_moved_template_is_brought_back() {
        let moved = Similarity { a: 1.5, b: 0.7, tx: 30.0, ty: -12.0 };
        let seen = TEMPLATE.map(|p| moved.apply(p));
        let back = Similarity::between(&seen, &TEMPLATE);
        for (p, q) in seen.iter().zip(&TEMPLATE) {
            let (x, y) = back.apply(*p);
            assert!((x - q.0).abs() < 1e-2 && (y - q.1).abs() < 1e-2, "{x} {y} is not {q:?}");
        }
        let inverse = back.inverse();
        assert!((inverse.a - moved.a).abs() < 1e-3 && (inverse.b - moved.b).abs() < 1e-3);
    }

    #[test]
    fn five_points_in_one_place_give_finite_numbers() {
        let fit = Similarity::between(&[(3.0, 3.0); 5], &TEMPLATE);
        let (x, y) = fit.inverse().apply((1.0, 1.0));
        assert!(x.is_finite() && y.is_finite());
    }
}
