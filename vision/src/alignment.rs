//! Turning a face upright by its landmarks, and measuring the landmarks again there.

use crate::{FaceBox, FaceDetector, VisionError};
use media::RgbImage;

/// Side of the aligned face, px.
pub(crate) const TEMPLATE_SIDE: usize = 150;
/// Where eyes, nose and corners of the mouth belong in the aligned face, px.
pub(crate) const TEMPLATE: [(f32, f32); 5] =
    [(44.4, 47.1), (101.6, 46.6), (71.8, 74.5), (49.1, 103.7), (96.7, 103.1)];

/// Side of the upright picture that landmarks are measured on, px; the template is in its middle.
const UPRIGHT_SIDE: usize = 320;
/// The first pass turns the head upright, the second measures it there.
const PASSES: usize = 2;
/// Of a face that was found before: less is needed to believe in it.
const AGAIN_THRESHOLD: f32 = 0.5;
/// Samples per pixel and side of the upright picture.
const UPRIGHT_SAMPLES: usize = 3;

/// Measures the landmarks of a face again, on a picture in which the head is upright and large:
/// YuNet draws those of a head that leans by 30 degrees as if it leaned by 10. Where the face is not
/// found there, its landmarks stay as they are.
///
/// # Errors
/// As those of [`FaceDetector::detect`].
pub(crate) fn measure_upright(
    detector: &mut FaceDetector,
    picture: &RgbImage,
    face: &mut FaceBox,
) -> Result<(), VisionError> {
    let (width, height) = (picture.width as f32, picture.height as f32);
    let side = UPRIGHT_SIDE as f32;
    let margin = (side - TEMPLATE_SIDE as f32) / 2.0;
    let middle = TEMPLATE.map(|(x, y)| (x + margin, y + margin));
    for _ in 0..PASSES {
        let points = face.landmarks.map(|(x, y)| (x * width, y * height));
        let onto = Similarity::between(&points, &middle);
        let mut data = vec![0; UPRIGHT_SIDE * UPRIGHT_SIDE * 3];
        draw(picture, onto, UPRIGHT_SIDE, UPRIGHT_SAMPLES, &mut |pixel, colour| {
            data[pixel * 3..pixel * 3 + 3].copy_from_slice(&colour.map(|value| value as u8));
        });
        let upright = RgbImage { width: UPRIGHT_SIDE as u32, height: UPRIGHT_SIDE as u32, data };
        let found = detector.detect(&upright, AGAIN_THRESHOLD)?;
        // Others may stand beside; the face in question covers the middle.
        let covers = |face: &&FaceBox| {
            let at = face.region;
            (at.left..at.left + at.width).contains(&0.5)
                && (at.top..at.top + at.height).contains(&0.5)
        };
        let Some(found) = found.iter().find(covers) else { return Ok(()) };
        let back = onto.inverse();
        face.landmarks = found.landmarks.map(|(x, y)| {
            let (x, y) = back.apply((x * side, y * side));
            (x / width, y / height)
        });
    }
    Ok(())
}

/// Draws a square of `side` px onto which the picture is brought, row by row. Where it shrinks,
/// each pixel is the mean of up to `most_samples` samples a side.
pub(crate) fn draw(
    picture: &RgbImage,
    onto: Similarity,
    side: usize,
    most_samples: usize,
    put: &mut dyn FnMut(usize, [f32; 3]),
) {
    let from = onto.inverse();
    // Several samples per pixel where the face shrinks, or fine detail would alias.
    let samples = (from.scale().ceil() as usize).clamp(1, most_samples);
    let step = 1.0 / samples as f32;
    for pixel in 0..side * side {
        let (x, y) = ((pixel % side) as f32, (pixel / side) as f32);
        let mut sum = [0.0; 3];
        for sample in 0..samples * samples {
            let dx = ((sample % samples) as f32 + 0.5) * step - 0.5;
            let dy = ((sample / samples) as f32 + 0.5) * step - 0.5;
            let colour = bilinear(picture, from.apply((x + dx, y + dy)));
            for (total, value) in sum.iter_mut().zip(colour) {
                *total += value;
            }
        }
        put(pixel, sum.map(|total| total * step * step));
    }
}

/// Turns, scales and moves: `(x, y)` becomes `(a x - b y + tx, b x + a y + ty)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Similarity {
    a: f32,
    b: f32,
    tx: f32,
    ty: f32,
}

impl Similarity {
    /// The least-squares fit of `from` onto `to` (Umeyama 1991, in two dimensions and without
    /// mirroring).
    pub(crate) fn between(from: &[(f32, f32); 5], to: &[(f32, f32); 5]) -> Self {
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

    pub(crate) fn inverse(self) -> Self {
        let square = (self.a * self.a + self.b * self.b).max(1e-12);
        let (a, b) = (self.a / square, -self.b / square);
        Self { a, b, tx: -a * self.tx + b * self.ty, ty: -b * self.tx - a * self.ty }
    }

    fn scale(self) -> f32 {
        self.a.hypot(self.b)
    }

    pub(crate) fn apply(self, (x, y): (f32, f32)) -> (f32, f32) {
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
