//! What pictures of a film and of its source, of one moment, say of its masks.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::{Frame, LumaImage, MaskStyle, MediaError, Region, RgbImage};

/// Of [`difference_outside`]: small enough that one that is wrong is not lost in the picture, and
/// large enough that the noise of encoding is.
const TILE: u32 = 32;

/// How a region of an output frame looks beside the source, in levels of luma (0 to 255).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MaskEvidence {
    /// Mean absolute difference between the output and the mask redrawn on the source.
    pub to_expected: f32,
    /// Mean absolute difference between the output and the clear source.
    pub to_clear: f32,
    /// Mean absolute difference between the redrawn mask and the clear source: how much there
    /// was to hide. In a flat region it is near 0, and mask and source look the same.
    pub contrast: f32,
}

impl MaskEvidence {
    /// Whether the region is masked: the output is nearer to the mask than to the clear source.
    ///
    /// Where mask and source hardly differ (a flat wall, a face too dark to see) the comparison
    /// says nothing and there is nothing to hide; then the output must only be near the mask.
    pub fn is_masked(&self) -> bool {
        const FLAT: f32 = 2.5;
        // A mask that misses half of the box leaves half of the contrast.
        const SHARE: f32 = 0.35;
        // What encoding adds, levels: at most in a flat region, and mostly.
        const MOST_NOISE: f32 = 6.0;
        const NOISE: f32 = 2.0;
        if self.contrast < FLAT {
            self.to_expected < MOST_NOISE
        } else {
            // All that there was to hide is gone, as far as encoding lets tell.
            let is_gone = self.to_clear >= self.contrast && self.to_expected < MOST_NOISE;
            let is_mask = self.to_expected < NOISE + SHARE * self.contrast;
            self.to_expected < self.to_clear && (is_mask || is_gone)
        }
    }
}

/// Redraws the masks of `regions` on the source frame and measures each region of the output.
/// The source frame is masked afterwards.
///
/// # Errors
/// `Internal` when FFmpeg cannot convert the pixel format.
pub fn mask_evidence(
    source: &mut Frame<'_>,
    output: &mut Frame<'_>,
    regions: &[Region],
    style: MaskStyle,
) -> Result<Vec<MaskEvidence>, MediaError> {
    if regions.is_empty() {
        return Ok(Vec::new());
    }
    let clear = source.luma()?;
    source.draw(regions, style)?;
    let expected = source.luma()?;
    let found = output.luma()?;
    let size = (clear.width, clear.height);
    Ok(regions
        .iter()
        .map(|region| {
            let mean = |a, b| mean_difference(a, b, region, size);
            MaskEvidence {
                to_expected: mean(&found, &expected),
                to_clear: mean(&found, &clear),
                contrast: mean(&expected, &clear),
            }
        })
        .collect())
}

/// How much rendering touched what it should leave alone: the largest mean difference (levels, 0
/// to 255) of a square of [`TILE`] px of two pictures of one moment, without what lies near a mask.
/// A tile that is mostly near masks does not count.
pub fn difference_outside(source: &RgbImage, output: &RgbImage, regions: &[Region]) -> f32 {
    if source.data == output.data {
        return 0.0;
    }
    let size = (source.width, source.height);
    // Twice the box is well outside of its mask, whose blocks may reach a little further.
    let near: Vec<_> = regions
        .iter()
        .map(|region| {
            let side = |start: f32, length: f32, pixels| {
                between(start - length / 2.0, start - length / 2.0 + length * 2.0, pixels)
            };
            (side(region.left, region.width, size.0), side(region.top, region.height, size.1))
        })
        .collect();
    // An odd side is one longer after encoding.
    let (width, height) = (source.width.min(output.width), source.height.min(output.height));
    let mut worst = 0.0_f32;
    for top in (0..height).step_by(TILE as usize) {
        for left in (0..width).step_by(TILE as usize) {
            let (right, bottom) = ((left + TILE).min(width), (top + TILE).min(height));
            let near: Vec<_> = near
                .iter()
                .filter(|(across, down)| meet(across, &(left..right)) && meet(down, &(top..bottom)))
                .collect();
            let (mut sum, mut pixels) = (0_u64, 0_u64);
            for y in top..bottom {
                if near.is_empty() {
                    let row = left..right;
                    sum += apart(source.part(y, &row), output.part(y, &row));
                    pixels += u64::from(right - left);
                    continue;
                }
                for x in left..right {
                    if !near.iter().any(|(across, down)| across.contains(&x) && down.contains(&y)) {
                        let one = x..x + 1;
                        sum += apart(source.part(y, &one), output.part(y, &one));
                        pixels += 1;
                    }
                }
            }
            if pixels * 2 > u64::from((right - left) * (bottom - top)) {
                worst = worst.max((sum as f64 / (3 * pixels) as f64) as f32);
            }
        }
    }
    worst
}

/// The sum of all levels' differences. What only one has is as different as can be.
fn apart(a: &[u8], b: &[u8]) -> u64 {
    let both: u32 = a.iter().zip(b).map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
    u64::from(both) + 255 * a.len().abs_diff(b.len()) as u64
}

fn meet(a: &Range<u32>, b: &Range<u32>) -> bool {
    a.start < b.end && b.start < a.end
}

/// The pixels along a side of `pixels` whose middles lie between two places, which are relative to it.
fn between(from: f32, to: f32, pixels: u32) -> Range<u32> {
    let first = |at: f32| (at * pixels as f32 - 0.5).ceil().clamp(0.0, pixels as f32) as u32;
    first(from)..first(to)
}

/// Inside of a region of pictures of this size, over the pixels that both have: an odd side is one longer after
/// encoding.
fn mean_difference(
    a: &LumaImage,
    b: &LumaImage,
    region: &Region,
    (width, height): (u32, u32),
) -> f32 {
    let across = between(region.left, region.left + region.width, width.min(b.width));
    let down = between(region.top, region.top + region.height, height.min(b.height));
    let (mut sum, mut count) = (0u64, 0u64);
    for y in down {
        let (row_a, row_b) = (a.part(y, &across), b.part(y, &across));
        sum += apart(row_a, row_b);
        count += row_a.len() as u64;
    }
    if count == 0 { 0.0 } else { (sum as f64 / count as f64) as f32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a tile-wise difference should be, pixel by pixel.
    fn difference_of_pixels(a: &RgbImage, b: &RgbImage, regions: &[Region]) -> f32 {
        let (width, height) = (a.width.min(b.width), a.height.min(b.height));
        let is_near = |x: u32, y: u32| {
            let (x, y) = ((x as f32 + 0.5) / a.width as f32, (y as f32 + 0.5) / a.height as f32);
            regions.iter().any(|r| {
                let (left, top) = (r.left - r.width / 2.0, r.top - r.height / 2.0);
                (left..left + 2.0 * r.width).contains(&x)
                    && (top..top + 2.0 * r.height).contains(&y)
            })
        };
        let mut tiles = std::collections::BTreeMap::<_, (u64, u64, u64)>::new();
        for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
            let (sum, pixels, all) = tiles.entry((y / TILE, x / TILE)).or_default();
            *all += 1;
            if !is_near(x, y) {
                let at = |image: &RgbImage| (y * image.width + x) as usize * 3;
                let (a, b) = (&a.data[at(a)..at(a) + 3], &b.data[at(b)..at(b) + 3]);
                *sum += a.iter().zip(b).map(|(a, b)| u64::from(a.abs_diff(*b))).sum::<u64>();
                *pixels += 1;
            }
        }
        let counted = tiles.values().filter(|(_, pixels, all)| 2 * pixels > *all);
        counted.map(|(sum, n, _)| (*sum as f64 / (3 * n) as f64) as f32).fold(0.0, f32::max)
    }

    #[test]
    fn a_difference_is_that_of_single_pixels_beside_masks() {
        // Knuth's MMIX constants.
        let mut seed = 5_u64;
        let mut dice = || {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as u32
        };
        for (width, height) in [(1, 1), (33, 31), (64, 32), (101, 75), (160, 90)] {
            let mut image = |width: u32, height: u32| {
                let data = (0..3 * width * height).map(|_| dice() as u8).collect();
                RgbImage { width, height, data }
            };
            let (a, b) = (image(width, height), image(width + width % 2, height + height % 2));
            for count in 0..6 {
                let mut at = || dice() as f32 / (1_u32 << 31) as f32 * 1.4 - 0.2;
                let regions: Vec<_> = (0..count)
                    .map(|_| Region {
                        left: at(),
                        top: at(),
                        width: at() / 2.0,
                        height: at() / 2.0,
                    })
                    .collect();
                let expected = difference_of_pixels(&a, &b, &regions);
                assert!(
                    (difference_outside(&a, &b, &regions) - expected).abs() < 1e-3,
                    "{regions:?}"
                );
            }
        }
        let short = RgbImage { width: 32, height: 32, data: vec![0; 3 * 32 * 20] };
        let whole = RgbImage { width: 32, height: 32, data: vec![0; 3 * 32 * 32] };
        assert!(difference_outside(&whole, &short, &[]) > 40.0, "what is missing differs");
    }

    #[test]
    fn a_region_has_the_pixels_whose_middles_lie_in_it() {
        let is_inside = |x: u32, pixels: u32, (left, width): (f32, f32)| {
            (left..left + width).contains(&((x as f32 + 0.5) / pixels as f32))
        };
        for (left, width) in [(0.0, 1.0), (0.21, 0.33), (-0.5, 0.7), (0.9, 0.4), (1.2, 0.1)] {
            for pixels in [1, 7, 640] {
                let held: Vec<u32> =
                    (0..pixels).filter(|x| is_inside(*x, pixels, (left, width))).collect();
                let found: Vec<u32> = between(left, left + width, pixels).collect();
                assert_eq!(found, held, "{left} {width} {pixels}");
            }
        }
    }

    #[test]
    fn a_mask_is_told_from_a_clear_face_also_where_there_is_little_to_hide() {
        let table = [
            ("a mask", 1.5, 10.0, 10.0, true),
            ("half a mask", 5.0, 5.0, 10.0, false),
            ("a clear face", 10.0, 1.5, 10.0, false),
            ("a clear dark face", 4.2, 1.5, 4.0, false),
            ("a clear dark face in noise", 4.4, 3.2, 3.0, false),
            ("a dark face, gone with the noise of encoding", 4.0, 4.5, 4.0, true),
            ("a dark face that is neither there nor masked", 6.5, 7.0, 4.0, false),
            ("a flat wall", 5.9, 5.9, 1.0, true),
            ("a flat wall with something on it", 6.1, 6.1, 1.0, false),
        ];
        for (what, to_expected, to_clear, contrast, is_masked) in table {
            let evidence = MaskEvidence { to_expected, to_clear, contrast };
            assert_eq!(evidence.is_masked(), is_masked, "{what}");
        }
    }
}
