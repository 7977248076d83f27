//! Masks: which pixels of a picture are hidden, and how.

use ffmpeg_next as ff;
use serde::{Deserialize, Serialize};

use crate::orientation::Orientation;
use crate::picture::is_full_range;

/// Radii of a mask's ellipse, in half sides of its box: it holds 97.2 % of the box (all but the
/// tips of its corners) and reaches 12.5 % beyond each side.
const REACH: f32 = 1.25;
/// What is added to the radii, as a share of the picture's longer side: boxes of small faces are less
/// exact.
const MARGIN: f32 = 0.002;
/// A box this near to the border, as a share of the picture, is cut by it.
const BORDER: f32 = 0.005;
/// How far the mask of such a box goes on, as a share of the box.
const BEYOND_BORDER: f32 = 0.25;
/// Blocks of pixelation across a mask: 8 across a face leave some recognisable, 6 do not.
const BLOCKS: f32 = 5.0;
/// No block is smaller than this, px at 720p.
const SMALLEST_BLOCK_AT_720P: f32 = 8.0;
/// Radius of a mask, px, however small its region is.
const SMALLEST_RADIUS: f32 = 4.0;

/// A box relative to the displayed picture: (0, 0) is its top left, (1, 1) its bottom right.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Region {
    /// Left edge as a share of the width; may lie outside of 0..1.
    pub left: f32,
    /// Top edge as a share of the height; may lie outside of 0..1.
    pub top: f32,
    /// Width as a share of the picture's width.
    pub width: f32,
    /// Height as a share of the picture's height.
    pub height: f32,
}

impl Region {
    /// The part inside the picture; `None` when there is none.
    pub fn clamped(&self) -> Option<Self> {
        let left = self.left.clamp(0.0, 1.0);
        let top = self.top.clamp(0.0, 1.0);
        let right = (self.left + self.width).clamp(0.0, 1.0);
        let bottom = (self.top + self.height).clamp(0.0, 1.0);
        let is_inside = right > left && bottom > top;
        is_inside.then_some(Self { left, top, width: right - left, height: bottom - top })
    }
}

/// How a region is hidden.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MaskStyle {
    /// 5 blocks across the mask and a part of one at its border, none smaller than 8 px at 720p.
    #[default]
    Pixelate,
    /// A Gaussian blur whose standard deviation is an eighth of the mask.
    Gaussian,
    /// Black.
    Solid,
}

/// An ellipse in any unit.
#[derive(Debug, Clone, Copy)]
struct Ellipse {
    x: f32,
    y: f32,
    radius_x: f32,
    radius_y: f32,
}

impl Ellipse {
    /// The mask of a region in a picture of `width` x `height`. The region is clamped first, so
    /// that what is left of a face at the border is still covered; the mask of a face that is cut by
    /// the border goes on beyond it, or its tips would leave the corners there.
    fn of(region: &Region, width: f32, height: f32) -> Option<Self> {
        let region = region.clamped()?;
        let (x, radius_x) = span(region.left, region.width);
        let (y, radius_y) = span(region.top, region.height);
        let margin = MARGIN * width.max(height);
        Some(Self {
            x: x * width,
            y: y * height,
            radius_x: radius_x * width + margin,
            radius_y: radius_y * height + margin,
        })
    }

    fn holds(&self, x: f32, y: f32) -> bool {
        let (dx, dy) = ((x - self.x) / self.radius_x, (y - self.y) / self.radius_y);
        dx * dx + dy * dy <= 1.0
    }

    fn longest(&self) -> f32 {
        2.0 * self.radius_x.max(self.radius_y)
    }
}

/// Middle and radius of a mask along one side, of a box that starts at `start` and is `length` long.
fn span(start: f32, length: f32) -> (f32, f32) {
    let mut end = start + length;
    let mut begin = start;
    if start < BORDER {
        begin -= BEYOND_BORDER * length;
    }
    if start + length > 1.0 - BORDER {
        end += BEYOND_BORDER * length;
    }
    ((begin + end) / 2.0, (end - begin) / 2.0 * REACH)
}

/// The share of `region` (its part inside the picture) that lies inside the masks drawn for
/// `masks`, 0 to 1. A region outside the picture is covered.
pub fn mask_coverage(region: &Region, masks: &[Region]) -> f32 {
    const STEPS: u16 = 40;
    let Some(region) = region.clamped() else { return 1.0 };
    // The margin of a square picture is no larger than that of any other.
    let is_masked = is_masked(masks, (1.0, 1.0));
    let at = |step: u16| (f32::from(step) + 0.5) / f32::from(STEPS);
    let mut covered = 0u16;
    for row in 0..STEPS {
        let y = region.top + region.height * at(row);
        for column in 0..STEPS {
            let x = region.left + region.width * at(column);
            covered += u16::from(is_masked(x, y));
        }
    }
    f32::from(covered) / f32::from(STEPS * STEPS)
}

/// Whether a place of a displayed picture of `width` x `height` lies inside the masks drawn for
/// `masks`. Masks of a few pixels are drawn larger than that.
pub fn is_masked(
    masks: &[Region],
    (width, height): (f32, f32),
) -> impl Fn(f32, f32) -> bool + use<> {
    let ellipses: Vec<_> =
        masks.iter().filter_map(|mask| Ellipse::of(mask, width, height)).collect();
    move |x, y| ellipses.iter().any(|ellipse| ellipse.holds(x, y))
}

/// Draws the masks of `regions` (of the displayed picture) into a writable 8-bit 4:2:0 frame.
pub(crate) fn draw(
    video: &mut ff::frame::Video,
    orientation: Orientation,
    regions: &[Region],
    style: MaskStyle,
) {
    let (width, height) = (video.width(), video.height());
    let black = if is_full_range(video) { 0 } else { 16 };
    let short_side = width.min(height) as f32;
    for region in regions {
        let coded = orientation.to_coded(region);
        let Some(ellipse) = Ellipse::of(&coded, width as f32, height as f32) else { continue };
        let ellipse = Ellipse {
            radius_x: ellipse.radius_x.max(SMALLEST_RADIUS),
            radius_y: ellipse.radius_y.max(SMALLEST_RADIUS),
            ..ellipse
        };
        let smallest = SMALLEST_BLOCK_AT_720P * short_side / 720.0;
        let block = ((ellipse.longest() / BLOCKS).max(smallest).ceil() as usize).max(2);
        for plane in 0..3 {
            let chroma = plane > 0;
            let size = (video.plane_width(plane) as usize, video.plane_height(plane) as usize);
            let stride = video.stride(plane);
            let mut canvas = Canvas { data: video.data_mut(plane), stride, size };
            let scale = if chroma { 0.5 } else { 1.0 };
            let local = Ellipse {
                x: ellipse.x * scale,
                y: ellipse.y * scale,
                radius_x: ellipse.radius_x * scale,
                radius_y: ellipse.radius_y * scale,
            };
            let mut patch = canvas.patch(&local);
            match style {
                MaskStyle::Pixelate if chroma => patch.pixelate(block.div_ceil(2)),
                MaskStyle::Pixelate => patch.pixelate(block),
                MaskStyle::Gaussian => patch.blur((local.longest() / 8.0).ceil() as usize),
                MaskStyle::Solid => patch.data.fill(if chroma { 128 } else { black }),
            }
            canvas.paste(&patch, &local);
        }
    }
}

/// One plane of a frame.
struct Canvas<'a> {
    data: &'a mut [u8],
    stride: usize,
    size: (usize, usize),
}

/// A copy of the rectangle around a mask.
struct Patch {
    data: Vec<u8>,
    left: usize,
    top: usize,
    width: usize,
    height: usize,
}

impl Canvas<'_> {
    fn patch(&self, ellipse: &Ellipse) -> Patch {
        let (left, right) = extent(ellipse.x, ellipse.radius_x, self.size.0);
        let (top, bottom) = extent(ellipse.y, ellipse.radius_y, self.size.1);
        let (width, height) = (right - left, bottom - top);
        let data = (top..bottom)
            .flat_map(|row| &self.data[row * self.stride + left..][..width])
            .copied()
            .collect();
        Patch { data, left, top, width, height }
    }

    fn paste(&mut self, patch: &Patch, ellipse: &Ellipse) {
        for row in 0..patch.height {
            let y = (patch.top + row) as f32 + 0.5;
            // A pixel that the ellipse touches is hidden, so half a pixel is added around it.
            let dy = ((y - ellipse.y).abs() - 0.5).max(0.0) / ellipse.radius_y;
            if dy > 1.0 {
                continue;
            }
            let half = ellipse.radius_x * (1.0 - dy * dy).sqrt() + 0.5;
            let from = ((ellipse.x - half).floor().max(0.0) as usize).max(patch.left);
            let to = ((ellipse.x + half).ceil() as usize).min(patch.left + patch.width);
            if from < to {
                let source = &patch.data[row * patch.width..][from - patch.left..to - patch.left];
                let start = (patch.top + row) * self.stride + from;
                self.data[start..start + source.len()].copy_from_slice(source);
            }
        }
    }
}

/// First and last pixel (exclusive) that an ellipse touches along one side.
fn extent(middle: f32, radius: f32, size: usize) -> (usize, usize) {
    let from = ((middle - radius).floor().max(0.0) as usize).min(size);
    let to = ((middle + radius).ceil().max(0.0) as usize + 1).min(size);
    (from, to.max(from))
}

impl Patch {
    /// Every block becomes its mean.
    fn pixelate(&mut self, block: usize) {
        for top in (0..self.height).step_by(block) {
            let rows = top..(top + block).min(self.height);
            for left in (0..self.width).step_by(block) {
                let columns = left..(left + block).min(self.width);
                let span =
                    |row: usize| row * self.width + columns.start..row * self.width + columns.end;
                let sum: u64 = rows
                    .clone()
                    .flat_map(|row| &self.data[span(row)])
                    .map(|&value| u64::from(value))
                    .sum();
                let mean = sum / (rows.len() * columns.len()) as u64;
                let spans: Vec<_> = rows.clone().map(span).collect();
                for span in spans {
                    self.data[span].fill(mean as u8);
                }
            }
        }
    }

    /// Three box blurs of this radius are a Gaussian of about this standard deviation
    /// (P. Kovesi, "Fast almost-Gaussian filtering", 2010).
    fn blur(&mut self, radius: usize) {
        let mut other = vec![0; self.data.len()];
        for _ in 0..3 {
            blur_rows(&self.data, &mut other, self.width, radius);
            transpose(&other, &mut self.data, self.width, self.height);
            blur_rows(&self.data, &mut other, self.height, radius);
            transpose(&other, &mut self.data, self.height, self.width);
        }
    }
}

fn blur_rows(from: &[u8], to: &mut [u8], width: usize, radius: usize) {
    if width == 0 {
        return;
    }
    let count = 2 * radius as u32 + 1;
    for (from, to) in from.chunks_exact(width).zip(to.chunks_exact_mut(width)) {
        let at = |place: usize| u32::from(from[place.min(width - 1)]);
        let mut sum = at(0) * (radius as u32 + 1) + (1..=radius).map(at).sum::<u32>();
        for (column, value) in to.iter_mut().enumerate() {
            *value = ((sum + count / 2) / count) as u8;
            sum = sum + at(column + radius + 1) - at(column.saturating_sub(radius));
        }
    }
}

fn transpose(from: &[u8], to: &mut [u8], width: usize, height: usize) {
    for row in 0..height {
        for column in 0..width {
            to[column * height + row] = from[row * width + column];
        }
    }
}
