//! Pictures as other crates see them, and conversions of decoded ones.

use std::ops::Range;

use ff::format::Pixel;
use ff::software::scaling;
use ffmpeg_next as ff;
use yuv::{YuvPlanarImage, YuvRange, YuvStandardMatrix, yuv420_to_rgb};

use crate::MediaError;
use crate::ffi;
use crate::orientation::Orientation;

/// A packed 8-bit RGB picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RgbImage {
    /// Width, px.
    pub width: u32,
    /// Height, px.
    pub height: u32,
    /// `width * height * 3` bytes, rows without padding.
    pub data: Vec<u8>,
}

impl RgbImage {
    /// Some pixels of a row; none outside of the picture.
    pub(crate) fn part(&self, row: u32, columns: &Range<u32>) -> &[u8] {
        part::<3>(&self.data, self.width, row, columns.clone())
    }
}

/// A packed 8-bit brightness (luma) picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LumaImage {
    /// Width, px.
    pub width: u32,
    /// Height, px.
    pub height: u32,
    /// `width * height` bytes, rows without padding.
    pub data: Vec<u8>,
}

impl LumaImage {
    /// The same as [`RgbImage::part`].
    pub(crate) fn part(&self, row: u32, columns: &Range<u32>) -> &[u8] {
        part::<1>(&self.data, self.width, row, columns.clone())
    }
}

fn part<const BYTES: usize>(data: &[u8], width: u32, row: u32, columns: Range<u32>) -> &[u8] {
    if columns.end > width {
        return &[];
    }
    let at = |column: u32| BYTES * (row as usize * width as usize + column as usize);
    data.get(at(columns.start)..at(columns.end)).unwrap_or_default()
}

/// Conversions with the scalers they need, which are costly to set up and therefore kept.
#[derive(Default)]
pub(crate) struct Converter {
    rgb: Option<Scaler>,
    planar: Option<Scaler>,
    fitted: Option<Scaler>,
}

/// Size and format of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    format: Pixel,
    width: u32,
    height: u32,
}

struct Scaler {
    from: Shape,
    to: Shape,
    context: scaling::Context,
    /// What it made last.
    out: ff::frame::Video,
}

impl Scaler {
    fn run(&mut self, video: &ff::frame::Video) -> Result<(), MediaError> {
        let ran = self.context.run(video, &mut self.out);
        ran.map_err(|e| MediaError::writing("a pixel conversion", e))
    }
}

impl Converter {
    /// The picture in displayed orientation, at most `max_width` wide.
    pub(crate) fn rgb(
        &mut self,
        video: &ff::frame::Video,
        orientation: Orientation,
        max_width: u32,
    ) -> Result<RgbImage, MediaError> {
        let (shown_width, shown_height) = orientation.displayed(video.width(), video.height());
        let width = shown_width.min(max_width.max(1));
        let scaled = u64::from(shown_height) * u64::from(width) + u64::from(shown_width) / 2;
        let height = ((scaled / u64::from(shown_width.max(1))) as u32).max(1);
        self.rgb_sized(video, orientation, (width, height))
    }

    /// The picture in displayed orientation, in this width and height.
    pub(crate) fn rgb_sized(
        &mut self,
        video: &ff::frame::Video,
        orientation: Orientation,
        (width, height): (u32, u32),
    ) -> Result<RgbImage, MediaError> {
        let (coded_width, coded_height) = orientation.displayed(width, height);
        // swscale takes most of its time for what is in RGB.
        let is_planar = is_planar(video);
        let format = if is_planar { Pixel::YUV420P } else { Pixel::RGB24 };
        let to = Shape { format, width: coded_width, height: coded_height };
        let is_scaled = (video.width(), video.height()) != (coded_width, coded_height);
        let scaled = if is_scaled || !is_planar {
            let scaler = scaler_for(&mut self.rgb, video, to)?;
            scaler.run(video)?;
            &scaler.out
        } else {
            video
        };
        let packed = if is_planar {
            coloured(scaled, is_full_range(video), is_bt709(video))?
        } else {
            packed_rows(scaled, coded_width as usize * 3, coded_height as usize)
        };
        let data = orientation.turn::<3>(coded_width, coded_height, packed);
        Ok(RgbImage { width, height, data })
    }

    /// The picture in 8-bit 4:2:0, or `None` when it is already.
    pub(crate) fn planar(
        &mut self,
        video: &ff::frame::Video,
    ) -> Result<Option<ff::frame::Video>, MediaError> {
        if is_planar(video) {
            return Ok(None);
        }
        let to = Shape { format: Pixel::YUV420P, width: video.width(), height: video.height() };
        let mut planar = convert(&mut self.planar, video, to)?;
        planar.set_pts(video.pts());
        planar.set_color_range(video.color_range());
        planar.set_color_space(video.color_space());
        Ok(Some(planar))
    }

    /// The picture in 8-bit 4:2:0, scaled to fit into `width` x `height`, in the middle of a black
    /// picture of that size.
    pub(crate) fn fitted(
        &mut self,
        video: &ff::frame::Video,
        (width, height): (u32, u32),
    ) -> Result<ff::frame::Video, MediaError> {
        let (inner_width, inner_height) =
            inscribed((video.width(), video.height()), (width, height));
        let to = Shape { format: Pixel::YUV420P, width: inner_width, height: inner_height };
        let inner = convert(&mut self.fitted, video, to)?;
        let mut framed = ff::frame::Video::new(Pixel::YUV420P, width, height);
        let black = [if is_full_range(video) { 0 } else { 16 }, 128, 128];
        // Chroma has half the size, so the place is even.
        let (left, top) = ((width - inner_width) / 4 * 2, (height - inner_height) / 4 * 2);
        for (plane, black) in black.into_iter().enumerate() {
            let shift = u32::from(plane > 0);
            let (left, top) = ((left >> shift) as usize, (top >> shift) as usize);
            let (from_stride, to_stride) = (inner.stride(plane), framed.stride(plane));
            let row_bytes = inner.plane_width(plane) as usize;
            framed.data_mut(plane).fill(black);
            for row in 0..inner.plane_height(plane) as usize {
                let from = &inner.data(plane)[row * from_stride..][..row_bytes];
                let start = (top + row) * to_stride + left;
                framed.data_mut(plane)[start..start + row_bytes].copy_from_slice(from);
            }
        }
        framed.set_pts(video.pts());
        framed.set_color_range(video.color_range());
        framed.set_color_space(video.color_space());
        Ok(framed)
    }
}

/// The largest size of the aspect ratio of `size` within `within`; sides are at least 1.
fn inscribed(size: (u32, u32), within: (u32, u32)) -> (u32, u32) {
    let [from_width, from_height, width, height] =
        [size.0, size.1, within.0, within.1].map(u64::from);
    let scaled = |side: u64, by: u64, from: u64| ((side * by / from.max(1)) as u32).max(1);
    if width * from_height <= height * from_width {
        (within.0, scaled(from_height, width, from_width))
    } else {
        (scaled(from_width, height, from_height), within.1)
    }
}

/// `size`, made smaller where it does not fit into `within`.
pub(crate) fn fit(size: (u32, u32), within: (u32, u32)) -> (u32, u32) {
    if size.0 <= within.0 && size.1 <= within.1 { size } else { inscribed(size, within) }
}

/// The size in square pixels of a picture with pixels of this aspect ratio (width by height; 0
/// where nothing says): as wide as it must be.
pub(crate) fn squared((width, height): (u32, u32), pixel_aspect: ff::Rational) -> (u32, u32) {
    let (num, den) = (i64::from(pixel_aspect.numerator()), i64::from(pixel_aspect.denominator()));
    if num <= 0 || den <= 0 {
        return (width, height);
    }
    let wide = (i64::from(width) * num + den / 2) / den;
    (u32::try_from(wide).unwrap_or(u32::MAX).max(1), height)
}

fn convert(
    kept: &mut Option<Scaler>,
    video: &ff::frame::Video,
    to: Shape,
) -> Result<ff::frame::Video, MediaError> {
    let scaler = scaler_for(kept, video, to)?;
    scaler.run(video)?;
    Ok(std::mem::replace(&mut scaler.out, ff::frame::Video::empty()))
}

/// The scaler that is kept, or a new one where it is for something else.
fn scaler_for<'a>(
    kept: &'a mut Option<Scaler>,
    video: &ff::frame::Video,
    to: Shape,
) -> Result<&'a mut Scaler, MediaError> {
    let from = Shape { format: video.format(), width: video.width(), height: video.height() };
    if kept.as_ref().is_none_or(|scaler| scaler.from != from || scaler.to != to) {
        let (context, out) = (scaler(video, to)?, ff::frame::Video::empty());
        *kept = Some(Scaler { from, to, context, out });
    }
    kept.as_mut().ok_or_else(|| MediaError::internal("a scaler has gone"))
}

fn scaler(video: &ff::frame::Video, to: Shape) -> Result<scaling::Context, MediaError> {
    let is_smaller = to.width < video.width() || to.height < video.height();
    let flags = if is_smaller { scaling::Flags::AREA } else { scaling::Flags::BILINEAR };
    let mut context = scaling::Context::get(
        video.format(),
        video.width(),
        video.height(),
        to.format,
        to.width,
        to.height,
        flags,
    )
    .map_err(|e| MediaError::writing("a pixel conversion", e))?;
    let is_full = is_full_range(video);
    let is_rgb = to.format == Pixel::RGB24;
    ffi::set_colours(&mut context, is_bt709(video), is_full, is_rgb || is_full);
    Ok(context)
}

/// Whether a picture is in 8-bit 4:2:0.
fn is_planar(video: &ff::frame::Video) -> bool {
    matches!(video.format(), Pixel::YUV420P | Pixel::YUVJ420P)
}

/// A picture of 8-bit 4:2:0 in packed RGB.
fn coloured(
    video: &ff::frame::Video,
    is_full: bool,
    is_bt709: bool,
) -> Result<Vec<u8>, MediaError> {
    let (width, height) = (video.width(), video.height());
    let narrow = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
    let planes = YuvPlanarImage {
        y_plane: video.data(0),
        y_stride: narrow(video.stride(0)),
        u_plane: video.data(1),
        u_stride: narrow(video.stride(1)),
        v_plane: video.data(2),
        v_stride: narrow(video.stride(2)),
        width,
        height,
    };
    let range = if is_full { YuvRange::Full } else { YuvRange::Limited };
    let matrix = if is_bt709 { YuvStandardMatrix::Bt709 } else { YuvStandardMatrix::Bt601 };
    // Not zeros: for those the allocator gets new pages of the kernel for each picture.
    let mut packed = vec![u8::MAX; width as usize * height as usize * 3];
    yuv420_to_rgb(&planes, &mut packed, width * 3, range, matrix)
        .map_err(|e| MediaError::internal(format!("a pixel conversion: {e}")))?;
    Ok(packed)
}

/// Whether luma runs from 0 to 255 instead of 16 to 235.
pub(crate) fn is_full_range(video: &ff::frame::Video) -> bool {
    video.color_range() == ff::color::Range::JPEG
        || matches!(video.format(), Pixel::YUVJ420P | Pixel::YUVJ422P | Pixel::YUVJ444P)
}

/// Players take HD for BT.709 when a file does not say.
fn is_bt709(video: &ff::frame::Video) -> bool {
    match video.color_space() {
        ff::color::Space::BT709 => true,
        ff::color::Space::Unspecified => video.width().max(video.height()) >= 1280,
        _ => false,
    }
}

/// Rows of `width` bytes of the first plane, without the padding between them.
pub(crate) fn packed_rows(video: &ff::frame::Video, width: usize, height: usize) -> Vec<u8> {
    let mut packed = Vec::with_capacity(width * height);
    for row in video.data(0).chunks(video.stride(0)).take(height) {
        packed.extend_from_slice(&row[..width]);
    }
    packed
}

/// The picture with even sides, as 4:2:0 encoders need them: the last column or row is repeated.
pub(crate) fn with_even_sides(video: &ff::frame::Video) -> Option<ff::frame::Video> {
    let (width, height) = (video.width().next_multiple_of(2), video.height().next_multiple_of(2));
    if (width, height) == (video.width(), video.height()) {
        return None;
    }
    let mut even = ff::frame::Video::new(Pixel::YUV420P, width, height);
    for plane in 0..3 {
        let (from_width, from_height) =
            (video.plane_width(plane) as usize, video.plane_height(plane) as usize);
        let (to_width, to_height) =
            (even.plane_width(plane) as usize, even.plane_height(plane) as usize);
        let (from_stride, to_stride) = (video.stride(plane), even.stride(plane));
        let from = video.data(plane);
        let to = even.data_mut(plane);
        for row in 0..to_height {
            let source = &from[row.min(from_height - 1) * from_stride..][..from_width];
            let target = &mut to[row * to_stride..][..to_width];
            target[..from_width].copy_from_slice(source);
            target[from_width..].fill(source[from_width - 1]);
        }
    }
    even.set_pts(video.pts());
    Some(even)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture of 7 x 5 with all planes padded, whose colour is the same everywhere but in the last column.
    fn picture([y, u, v]: [u8; 3], last: u8) -> ff::frame::Video {
        let mut video = ff::frame::Video::new(Pixel::YUV420P, 7, 5);
        for (plane, value) in [y, u, v].into_iter().enumerate() {
            let (width, stride) = (video.plane_width(plane) as usize, video.stride(plane));
            assert!(stride > width);
            for row in video.data_mut(plane).chunks_mut(stride) {
                row[..width].fill(value);
                row[width..].fill(99);
                if plane == 0 {
                    row[width - 1] = last;
                }
            }
        }
        video
    }

    #[test]
    fn colours_are_those_of_the_standards() {
        // Pure colours in ITU-R BT.601 and BT.709, narrow and full range.
        for (yuv, is_full, is_bt709, expected) in [
            ([81, 90, 240], false, false, [255, 0, 0]),
            ([145, 54, 34], false, false, [0, 255, 0]),
            ([41, 240, 110], false, false, [0, 0, 255]),
            ([63, 102, 240], false, true, [255, 0, 0]),
            ([173, 42, 26], false, true, [0, 255, 0]),
            ([32, 240, 118], false, true, [0, 0, 255]),
            ([76, 85, 255], true, false, [254, 0, 0]),
            ([235, 128, 128], false, true, [255, 255, 255]),
            ([235, 128, 128], true, true, [235, 235, 235]),
            ([16, 128, 128], false, false, [0, 0, 0]),
        ] {
            let packed = coloured(&picture(yuv, yuv[0]), is_full, is_bt709).unwrap();
            assert_eq!(packed.len(), 7 * 5 * 3);
            let is_near = |(found, wanted): (&u8, &u8)| found.abs_diff(*wanted) <= 2;
            let is_right = |pixel: &[u8]| pixel.iter().zip(&expected).all(is_near);
            assert!(packed.chunks(3).all(is_right), "{yuv:?}: {:?}", &packed[..3]);
        }
    }

    #[test]
    fn every_pixel_has_its_own_brightness_to_the_last_column() {
        let packed = coloured(&picture([50, 128, 128], 200), true, true).unwrap();
        for row in packed.chunks(7 * 3) {
            assert!(row[..18].iter().all(|level| *level == 50), "{row:?}");
            assert_eq!(row[18..], [200; 3]);
        }
    }
}
