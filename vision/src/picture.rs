//! Pictures on their way into a model: scaled, padded and laid out as planes.

use crate::VisionError;
use fast_image_resize::{
    FilterType, ResizeAlg, ResizeOptions, Resizer,
    images::{TypedImage, TypedImageRef},
    pixels::U8x3,
};
use image::{ImageBuffer, Rgb, imageops};
use media::RgbImage;
use schemas::BoundingBox;
use std::{borrow::Cow, fmt::Display};

/// Fails where a picture has no area or too few bytes.
pub(crate) fn check(picture: &RgbImage) -> Result<(), VisionError> {
    let bytes = picture.data.len();
    let needed = u64::from(picture.width) * u64::from(picture.height) * 3;
    if needed == 0 || u64::try_from(bytes).is_ok_and(|b| b < needed) {
        let (width, height) = (picture.width, picture.height);
        return Err(VisionError::NotAPicture { width, height, bytes });
    }
    Ok(())
}

/// The picture in another size; itself where it has that size.
pub(crate) fn scaled(
    picture: &RgbImage,
    width: u32,
    height: u32,
) -> Result<Cow<'_, RgbImage>, VisionError> {
    check(picture)?;
    if (picture.width, picture.height) == (width, height) {
        return Ok(Cow::Borrowed(picture));
    }
    let bytes = picture.data.len();
    let view: ImageBuffer<Rgb<u8>, &[u8]> =
        ImageBuffer::from_raw(picture.width, picture.height, picture.data.as_slice())
            .ok_or(VisionError::NotAPicture { width, height, bytes })?;
    // The triangle widens when it scales down, so fine detail is averaged, not skipped.
    let data = imageops::resize(&view, width, height, imageops::FilterType::Triangle).into_raw();
    Ok(Cow::Owned(RgbImage { width, height, data }))
}

/// A part of a picture, as far as it lies inside of it, made larger or smaller by a factor; and where it lies.
pub(crate) fn part_of(
    picture: &RgbImage,
    part: BoundingBox,
    factor: f32,
) -> Result<Option<(RgbImage, BoundingBox)>, VisionError> {
    check(picture)?;
    let (width, height) = (picture.width as f32, picture.height as f32);
    let inside = |at: f32, side: f32| (at * side).round().clamp(0.0, side) as u32;
    let (left, top) = (inside(part.left, width), inside(part.top, height));
    let (right, bottom) = (inside(part.right(), width), inside(part.bottom(), height));
    if left >= right || top >= bottom {
        return Ok(None);
    }
    let size = |side: u32| ((side as f32 * factor).round() as u32).max(1);
    let cut = resized(picture, [left, top, right - left, bottom - top], size)?;
    let at = BoundingBox {
        left: left as f32 / width,
        top: top as f32 / height,
        width: (right - left) as f32 / width,
        height: (bottom - top) as f32 / height,
    };
    Ok(Some((cut, at)))
}

/// A part (left, top, width and height, px) in the sizes that its sides get. `image` would take ten times as long, and
/// [`scaled`] takes it for photographs, on which landmarks and thresholds were tried with it.
fn resized(
    picture: &RgbImage,
    part: [u32; 4],
    size: impl Fn(u32) -> u32,
) -> Result<RgbImage, VisionError> {
    let failed = |error: &dyn Display| VisionError::inference("a picture's new size", error);
    // Of this kind of pixels alone: of all that the crate knows, it takes minutes to compile.
    let from = TypedImageRef::<U8x3>::from_buffer(picture.width, picture.height, &picture.data)
        .map_err(|e| failed(&e))?;
    let [left, top, across, down] = part.map(f64::from);
    let (width, height) = (size(part[2]), size(part[3]));
    let mut data = vec![0; 3 * width as usize * height as usize];
    let mut to =
        TypedImage::<U8x3>::from_buffer(width, height, &mut data).map_err(|e| failed(&e))?;
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(FilterType::Bilinear))
        .crop(left, top, across, down);
    Resizer::new().resize_typed(&from, &mut to, &options).map_err(|e| failed(&e))?;
    Ok(RgbImage { width, height, data })
}

/// Lays a picture out as a blue, a green and a red plane of `canvas` size, at the top left, the
/// rest filled with `fill`.
pub(crate) fn bgr_planes(
    picture: &RgbImage,
    (canvas_width, canvas_height): (usize, usize),
    fill: f32,
    planes: &mut Vec<f32>,
) {
    let area = canvas_width * canvas_height;
    planes.resize(3 * area, fill);
    let (width, height) = (picture.width as usize, picture.height as usize);
    let (blue, rest) = planes.split_at_mut(area);
    let (green, red) = rest.split_at_mut(area);
    let rows = picture.data.chunks_exact(width * 3).take(height);
    let cells = blue
        .chunks_exact_mut(canvas_width)
        .zip(green.chunks_exact_mut(canvas_width).zip(red.chunks_exact_mut(canvas_width)));
    for (row, (blue, (green, red))) in rows.zip(cells) {
        let cells = blue.iter_mut().zip(green.iter_mut().zip(red.iter_mut()));
        for (&[r, g, b], (blue, (green, red))) in row.as_chunks::<3>().0.iter().zip(cells) {
            *red = f32::from(r);
            *green = f32::from(g);
            *blue = f32::from(b);
        }
        for plane in [blue, green, red] {
            plane.iter_mut().skip(width).for_each(|cell| *cell = fill);
        }
    }
    // What the picture does not reach may hold the one before.
    for plane in planes.chunks_exact_mut(area) {
        plane.iter_mut().skip(height * canvas_width).for_each(|cell| *cell = fill);
    }
}

/// A box in pixels of a model's input.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PixelBox {
    pub(crate) left: f32,
    pub(crate) top: f32,
    pub(crate) right: f32,
    pub(crate) bottom: f32,
}

impl PixelBox {
    pub(crate) fn around(x: f32, y: f32, width: f32, height: f32) -> Self {
        Self {
            left: x - width / 2.0,
            top: y - height / 2.0,
            right: x + width / 2.0,
            bottom: y + height / 2.0,
        }
    }

    /// The shared area over the joint area, 0 to 1 (intersection over union).
    pub(crate) fn overlap(&self, other: &Self) -> f32 {
        let width = (self.right.min(other.right) - self.left.max(other.left)).max(0.0);
        let height = (self.bottom.min(other.bottom) - self.top.max(other.top)).max(0.0);
        let shared = width * height;
        let joint = self.area() + other.area() - shared;
        if joint > 0.0 { shared / joint } else { 0.0 }
    }

    fn area(&self) -> f32 {
        (self.right - self.left).max(0.0) * (self.bottom - self.top).max(0.0)
    }

    /// Cut to a picture of that size and made relative to it; `None` where nothing is left.
    pub(crate) fn relative(&self, width: f32, height: f32) -> Option<BoundingBox> {
        let left = (self.left / width).clamp(0.0, 1.0);
        let top = (self.top / height).clamp(0.0, 1.0);
        let right = (self.right / width).clamp(0.0, 1.0);
        let bottom = (self.bottom / height).clamp(0.0, 1.0);
        let region = BoundingBox { left, top, width: right - left, height: bottom - top };
        // False for NaN too.
        (region.width > 0.0 && region.height > 0.0).then_some(region)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_are_cut_at_the_border_and_dropped_only_where_nothing_is_left() {
        let over_the_edge = PixelBox { left: -10.0, top: 20.0, right: 30.0, bottom: 60.0 };
        let region = over_the_edge.relative(100.0, 50.0).unwrap();
        assert_eq!((region.left, region.top), (0.0, 0.4));
        assert!((region.width - 0.3).abs() < 1e-6 && (region.height - 0.6).abs() < 1e-6);
        let outside = PixelBox { left: -30.0, top: 0.0, right: -10.0, bottom: 10.0 };
        assert!(outside.relative(100.0, 50.0).is_none());
        let nowhere = PixelBox { left: f32::NAN, top: 0.0, right: f32::NAN, bottom: 10.0 };
        assert!(nowhere.relative(100.0, 50.0).is_none());
    }

    #[test]
    fn a_part_of_a_picture_is_cut_at_its_border_and_enlarged() {
        let picture = RgbImage { width: 4, height: 2, data: (0..24).collect() };
        let part = |left, width, factor| {
            let part = BoundingBox { left, top: 0.5, width, height: 0.5 };
            part_of(&picture, part, factor).unwrap()
        };
        let (cut, at) = part(0.5, 9.0, 1.0).unwrap();
        assert_eq!((cut.width, cut.height, cut.data), (2, 1, (18..24).collect()));
        assert_eq!((at.left, at.top, at.width, at.height), (0.5, 0.5, 0.5, 0.5));
        let (cut, at) = part(-3.0, 3.5, 3.0).unwrap();
        assert_eq!((cut.width, cut.height, cut.data.len()), (6, 3, 54));
        assert_eq!((at.left, at.width), (0.0, 0.5));
        assert!(part(1.0, 0.5, 2.0).is_none() && part(f32::NAN, 0.5, 2.0).is_none());
    }

    #[test]
    fn planes_hold_blue_green_red_at_the_top_left_and_the_fill_elsewhere() {
        let picture = RgbImage { width: 2, height: 1, data: vec![1, 2, 3, 4, 5, 6] };
        let mut planes = Vec::new();
        let before = RgbImage { width: 3, height: 2, data: vec![7; 18] };
        bgr_planes(&before, (3, 2), 9.0, &mut planes);
        assert_eq!(planes, [7.0; 18]);
        bgr_planes(&picture, (3, 2), 9.0, &mut planes);
        let blue = [3.0, 6.0, 9.0, 9.0, 9.0, 9.0];
        let green = [2.0, 5.0, 9.0, 9.0, 9.0, 9.0];
        let red = [1.0, 4.0, 9.0, 9.0, 9.0, 9.0];
        assert_eq!(planes, [blue, green, red].concat());
    }

    #[test]
    fn a_picture_with_too_few_bytes_is_refused() {
        let picture = RgbImage { width: 4, height: 4, data: vec![0; 10] };
        assert!(matches!(scaled(&picture, 2, 2), Err(VisionError::NotAPicture { .. })));
    }
}
