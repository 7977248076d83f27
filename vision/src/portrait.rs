//! What a face box and its five landmarks tell beyond the place: which way the head is turned,
//! how bright and how sharp the face is.

use crate::{FaceBox, picture::scaled};
use media::RgbImage;

/// Eyes, tip of the nose and corners of the mouth of a mean face that looks at the viewer: x to the
/// right in the picture, y up, z towards the viewer, cm (MediaPipe's canonical face model: vertices
/// 33 and 133, 362 and 263, 1, 61, 291).
const MEAN_FACE: [[f64; 3]; 5] = [
    [-3.151_145, 2.624_618, 3.465_663],
    [3.151_145, 2.624_618, 3.465_663],
    [0.0, -1.126_865, 7.475_604],
    [-2.456_206, -4.342_621, 4.283_884],
    [2.456_206, -4.342_621, 4.283_884],
];

/// Side of the picture that quality is measured on, px: a face is no less sharp for being near.
const SIDE: u32 = 100;
/// The variance of the Laplacian, in grey levels squared, of a face of sharpness 50. Portraits have
/// 200 to 1500.
const HALF_SHARP: f32 = 60.0;

/// Which way a head is turned, degrees, with Rekognition's signs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pose {
    /// The head leans clockwise in the picture.
    pub roll: f32,
    /// The nose points to the right of the picture.
    pub yaw: f32,
    /// The nose points up.
    pub pitch: f32,
}

/// How well a face is to be seen, 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quality {
    /// The mean grey level of the box; 100 is white.
    pub brightness: f32,
    /// From the variance `v` of the Laplacian on the box scaled to 100x100 px:
    /// `100 v / (v + 60)`.
    pub sharpness: f32,
}

/// How a head is turned, from a weak-perspective fit of a mean face to its landmarks (Horaud et
/// al.: "Object Pose: The Link between Weak Perspective, Paraperspective and Full Perspective",
/// 1997). A face unlike the mean one is off by some degrees. `None` where the landmarks have no
/// extent.
pub fn pose(picture: &RgbImage, face: &FaceBox) -> Option<Pose> {
    let (width, height) = (f64::from(picture.width), f64::from(picture.height));
    let points = face.landmarks.map(|(x, y)| [f64::from(x) * width, -f64::from(y) * height]);
    fit(&points)
}

fn fit(points: &[[f64; 2]; 5]) -> Option<Pose> {
    let model_centre = centre(&MEAN_FACE);
    let centre = centre(points);
    // Normal equations of points = A model, row by row: A = (sum p m^T) (sum m m^T)^-1.
    let mut spread = [[0.0; 3]; 3];
    let mut cross = [[0.0; 3]; 2];
    for (point, model) in points.iter().zip(&MEAN_FACE) {
        let m: [f64; 3] = std::array::from_fn(|i| model[i] - model_centre[i]);
        for i in 0..3 {
            for j in 0..3 {
                spread[i][j] += m[i] * m[j];
            }
            for axis in 0..2 {
                cross[axis][i] += (point[axis] - centre[axis]) * m[i];
            }
        }
    }
    let inverse = inverse(&spread)?;
    let row = |axis: usize| -> [f64; 3] {
        std::array::from_fn(|i| (0..3).map(|j| cross[axis][j] * inverse[j][i]).sum())
    };
    // The nearest two perpendicular directions.
    let (x, y) = (unit(row(0))?, unit(row(1))?);
    let half = dot(&x, &y) / 2.0;
    let right = unit(std::array::from_fn(|i| x[i] - half * y[i]))?;
    let up = unit(std::array::from_fn(|i| y[i] - half * x[i]))?;
    let towards = right[0] * up[1] - right[1] * up[0];

    // Taken back: first the lean in the picture's plane, then the turn, then the nod.
    let lean = up[0].atan2(right[0]);
    let nose = [
        lean.cos() * right[2] + lean.sin() * up[2],
        lean.cos() * up[2] - lean.sin() * right[2],
        towards,
    ];
    Some(Pose {
        roll: -lean.to_degrees() as f32,
        yaw: nose[0].atan2(nose[2]).to_degrees() as f32,
        pitch: nose[1].atan2(nose[0].hypot(nose[2])).to_degrees() as f32,
    })
}

/// How bright and sharp the face is. `None` where its box covers no pixel.
pub fn quality(picture: &RgbImage, face: &FaceBox) -> Option<Quality> {
    let face = scaled(&crop(picture, face)?, SIDE, SIDE).ok()?.into_owned();
    // ITU-R BT.601.
    let weights = [0.299, 0.587, 0.114];
    let weigh =
        |rgb: &[u8]| rgb.iter().zip(weights).map(|(v, weight)| f32::from(*v) * weight).sum();
    let grey: Vec<f32> = face.data.chunks_exact(3).map(weigh).collect();
    let brightness = mean(grey.iter().copied()) / 2.55;
    let side = SIDE as usize;
    let inner = (1..side - 1).flat_map(|y| (1..side - 1).map(move |x| y * side + x));
    let laplacian = |at: usize| {
        grey[at - 1] + grey[at + 1] + grey[at - side] + grey[at + side] - 4.0 * grey[at]
    };
    let middle = mean(inner.clone().map(laplacian));
    let variance = mean(inner.map(|at| (laplacian(at) - middle).powi(2)));
    Some(Quality { brightness, sharpness: 100.0 * variance / (variance + HALF_SHARP) })
}

/// The picture inside a face's box.
fn crop(picture: &RgbImage, face: &FaceBox) -> Option<RgbImage> {
    let (left, right) = pixels(face.region.left, face.region.width, picture.width);
    let (top, bottom) = pixels(face.region.top, face.region.height, picture.height);
    if left >= right || top >= bottom {
        return None;
    }
    let rows = picture.data.chunks_exact(picture.width as usize * 3);
    let data = rows
        .take(bottom as usize)
        .skip(top as usize)
        .flat_map(|row| &row[left as usize * 3..right as usize * 3]);
    Some(RgbImage { width: right - left, height: bottom - top, data: data.copied().collect() })
}

/// The pixels a relative interval covers, half open.
fn pixels(from: f32, length: f32, side: u32) -> (u32, u32) {
    let scale = side as f32;
    let start = (from * scale).floor().max(0.0) as u32;
    let end = ((from + length) * scale).ceil().max(0.0) as u32;
    (start.min(side), end.min(side))
}

fn mean(values: impl Iterator<Item = f32>) -> f32 {
    let (sum, count) = values.fold((0.0, 0_u32), |(sum, count), value| (sum + value, count + 1));
    sum / count.max(1) as f32
}

fn centre<const N: usize>(points: &[[f64; N]; 5]) -> [f64; N] {
    std::array::from_fn(|i| points.iter().map(|p| p[i]).sum::<f64>() / 5.0)
}

fn dot(a: &[f64; 3], b: &[f64; 3]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

fn unit(v: [f64; 3]) -> Option<[f64; 3]> {
    let length = dot(&v, &v).sqrt();
    (length.is_finite() && length > 1e-9).then(|| v.map(|x| x / length))
}

fn inverse(m: &[[f64; 3]; 3]) -> Option<[[f64; 3]; 3]> {
    // Row and column indices wrap around, which gives the cofactors their signs.
    let cofactor = |i: usize, j: usize| {
        let (a, b, c, d) = ((i + 1) % 3, (i + 2) % 3, (j + 1) % 3, (j + 2) % 3);
        m[a][c] * m[b][d] - m[a][d] * m[b][c]
    };
    let determinant: f64 = (0..3).map(|j| m[0][j] * cofactor(0, j)).sum();
    (determinant.abs() > 1e-9)
        .then(|| std::array::from_fn(|i| std::array::from_fn(|j| cofactor(j, i) / determinant)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::BoundingBox;

    /// The mean face turned and projected, with y up.
    fn turned(roll: f64, yaw: f64, pitch: f64) -> [[f64; 2]; 5] {
        let (roll, yaw, pitch) = (-roll.to_radians(), yaw.to_radians(), pitch.to_radians());
        MEAN_FACE.map(|[x, y, z]| {
            let (y, z) = (y * pitch.cos() + z * pitch.sin(), z * pitch.cos() - y * pitch.sin());
            let x = x * yaw.cos() + z * yaw.sin();
            [
                7.0 * (x * roll.cos() - y * roll.sin()) + 300.0,
                7.0 * (x * roll.sin() + y * roll.cos()) - 40.0,
            ]
        })
    }

    fn near(found: Pose, (roll, yaw, pitch): (f32, f32, f32), within: f32) -> bool {
        (found.roll - roll).abs() < within
            && (found.yaw - yaw).abs() < within
            && (found.pitch - pitch).abs() < within
    }

    #[test]
    fn a_mean_face_turned_every_way_is_found_turned_that_way() {
        for roll in [-40.0, 0.0, 25.0] {
            for yaw in [-50.0, -10.0, 0.0, 30.0] {
                for pitch in [-30.0, 0.0, 20.0] {
                    let found = fit(&turned(roll, yaw, pitch)).unwrap();
                    let wanted = (roll as f32, yaw as f32, pitch as f32);
                    assert!(near(found, wanted, 5.0), "{found:?} is not {wanted:?}");
                }
            }
        }
    }

    #[test]
    fn signs_and_sizes_are_those_of_the_answers_in_rekognitions_guide() {
        // Eyes, nose, mouth; roll, yaw, pitch; height over width of the picture, which the guide
        // does not name and the roll gives away.
        let woman = [
            (0.2377, 0.2779),
            (0.3945, 0.2528),
            (0.2862, 0.3368),
            (0.2889, 0.4019),
            (0.4136, 0.3877),
        ];
        let celebrity = [
            (0.0686, 0.3084),
            (0.1040, 0.3006),
            (0.0967, 0.3408),
            (0.0752, 0.3811),
            (0.1074, 0.3741),
        ];
        for (points, aspect, said) in
            [(woman, 1.2, (-10.9, -25.8, 1.1)), (celebrity, 0.65, (-8.8, 20.3, -1.0))]
        {
            let found = fit(&points.map(|(x, y)| [x, -y * aspect])).unwrap();
            assert!(near(found, said, 12.0), "{found:?} is not {said:?}");
        }
    }

    #[test]
    fn landmarks_in_one_place_have_no_pose() {
        assert_eq!(fit(&[[3.0, 3.0]; 5]), None);
    }

    #[test]
    fn a_darker_face_is_less_bright_and_a_blurred_one_less_sharp() {
        // Stripes two pixels wide, on the left half; the right half is flat.
        let stripes = |light: u8, dark: u8| {
            let grey =
                (0..200 * 200).map(|i| if i % 200 < 100 && i % 4 < 2 { light } else { dark });
            RgbImage { width: 200, height: 200, data: grey.flat_map(|g| [g, g, g]).collect() }
        };
        let at = |left| FaceBox {
            region: BoundingBox { left, top: 0.1, width: 0.5, height: 0.5 },
            confidence: 90.0,
            landmarks: [(0.0, 0.0); 5],
        };
        let bright = quality(&stripes(250, 150), &at(0.0)).unwrap();
        let dark = quality(&stripes(110, 10), &at(0.0)).unwrap();
        assert!(bright.brightness > 2.0 * dark.brightness, "{bright:?} {dark:?}");
        assert!(bright.sharpness > 90.0, "{bright:?}");
        let flat = quality(&stripes(250, 150), &at(0.5)).unwrap();
        assert!(flat.sharpness < 5.0, "{flat:?}");
        assert_eq!(quality(&stripes(1, 0), &at(1.0)), None);
    }
}
