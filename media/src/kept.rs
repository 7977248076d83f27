//! Decoded pictures that wait, perhaps for nothing, and what tells whether they may: scaling costs half as much as
//! decoding.

use std::fmt;

use ff::format::Pixel;
use ffmpeg_next as ff;

use crate::orientation::Orientation;
use crate::picture::Converter;
use crate::{MediaError, RgbImage};

/// A decoded picture in the decoder's own format.
pub struct Kept {
    pub(crate) video: ff::frame::Video,
    pub(crate) orientation: Orientation,
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (width, height) = self.size();
        f.debug_struct("Kept")
            .field("width", &width)
            .field("height", &height)
            .finish_non_exhaustive()
    }
}

impl Kept {
    /// Width and height as displayed, px.
    pub fn size(&self) -> (u32, u32) {
        self.orientation.displayed(self.video.width(), self.video.height())
    }

    /// Memory that it takes.
    pub fn bytes(&self) -> usize {
        (0..self.video.planes())
            .map(|plane| self.video.stride(plane) * self.video.plane_height(plane) as usize)
            .sum()
    }
}

/// Brightness of the squares of a picture, as coded: what is there for a moment shows in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Squares(Vec<u8>);

/// Squares from one side of the picture to the other: 12 px of a picture that is 640 px wide.
const ACROSS: usize = 53;
/// Every second row and column tells enough of a square's mean.
const STEP: usize = 2;

/// Means from left to right and from top to bottom.
impl From<Vec<u8>> for Squares {
    fn from(means: Vec<u8>) -> Self {
        Self(means)
    }
}

impl Squares {
    /// `None` where a picture's first plane is not its brightness in 8 bits.
    pub(crate) fn of(video: &ff::frame::Video) -> Option<Self> {
        let is_luma = matches!(
            video.format(),
            Pixel::YUV420P
                | Pixel::YUVJ420P
                | Pixel::YUV422P
                | Pixel::YUVJ422P
                | Pixel::YUV444P
                | Pixel::YUVJ444P
                | Pixel::NV12
                | Pixel::GRAY8
        );
        let (width, height) = (video.width() as usize, video.height() as usize);
        let side = (width / ACROSS).max(STEP);
        if !is_luma {
            return None;
        }
        let (columns, stride) = (width.div_ceil(side), video.stride(0));
        let mut means = Vec::with_capacity(columns * height.div_ceil(side));
        let (mut sums, mut counted) = (vec![0u32; columns], vec![0u32; columns]);
        for top in (0..height).step_by(side) {
            sums.fill(0);
            counted.fill(0);
            for row in (top..height.min(top + side)).step_by(STEP) {
                let row = &video.data(0)[row * stride..row * stride + width];
                for (square, (sum, counted)) in
                    row.chunks(side).zip(sums.iter_mut().zip(&mut counted))
                {
                    *sum += square.iter().step_by(STEP).map(|&level| u32::from(level)).sum::<u32>();
                    *counted += square.len().div_ceil(STEP) as u32;
                }
            }
            means.extend(sums.iter().zip(&counted).map(|(sum, counted)| (sum / counted) as u8));
        }
        Some(Self(means))
    }

    /// How many squares are brighter or darker than in both others by more than so many levels: something is
    /// there that was not before and is not after. All of them where pictures cannot be compared.
    #[must_use]
    pub fn outstanding(&self, before: &Self, after: &Self, levels: u8) -> usize {
        if self.0.len() != before.0.len() || self.0.len() != after.0.len() {
            return self.0.len();
        }
        let squares = self.0.iter().zip(before.0.iter().zip(&after.0));
        let stands_out = |square: &(&u8, (&u8, &u8))| {
            let (&level, (&before, &after)) = *square;
            level > before.max(after).saturating_add(levels)
                || level < before.min(after).saturating_sub(levels)
        };
        squares.filter(stands_out).count()
    }
}

/// Scales pictures, with what that needs kept from one to the next.
#[derive(Default)]
pub struct Shrinker(Converter);

impl fmt::Debug for Shrinker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shrinker").finish_non_exhaustive()
    }
}

impl Shrinker {
    /// As [`Frame::rgb`](crate::Frame::rgb) of the frame that was kept.
    ///
    /// # Errors
    /// `Internal` when FFmpeg cannot convert the pixel format.
    pub fn rgb(&mut self, picture: &Kept, max_width: u32) -> Result<RgbImage, MediaError> {
        self.0.rgb(&picture.video, picture.orientation, max_width)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A grey picture with a brighter box.
    fn picture(level: u8, box_at: Option<(usize, usize)>) -> ff::frame::Video {
        let mut video = ff::frame::Video::new(Pixel::YUV420P, 640, 360);
        let stride = video.stride(0);
        video.data_mut(0).fill(level);
        if let Some((left, top)) = box_at {
            for row in top..top + 24 {
                video.data_mut(0)[row * stride + left..row * stride + left + 24].fill(level + 50);
            }
        }
        video
    }

    #[test]
    fn what_is_there_for_a_moment_stands_out_wherever_it_is_and_slow_change_does_not() {
        let squares = |level, at| Squares::of(&picture(level, at)).unwrap();
        let empty = squares(100, None);
        for at in [(0, 0), (7, 5), (301, 177), (616, 336)] {
            let seen = squares(100, Some(at));
            assert!(seen.outstanding(&empty, &empty, 20) >= 3, "{at:?}");
            assert_eq!(seen.outstanding(&seen, &empty, 20), 0);
            assert_eq!(empty.outstanding(&seen, &empty, 20), 0);
        }
        assert_eq!(squares(110, None).outstanding(&empty, &squares(120, None), 20), 0);
        assert_eq!(empty.outstanding(&empty, &empty, 0), 0);
    }

    #[test]
    fn pictures_that_cannot_be_compared_stand_out() {
        let (small, large) = (ff::frame::Video::new(Pixel::GRAY8, 64, 64), picture(9, None));
        let (small, large) = (Squares::of(&small).unwrap(), Squares::of(&large).unwrap());
        assert!(small.outstanding(&large, &large, 20) >= 3);
        assert_eq!(Squares::of(&ff::frame::Video::new(Pixel::YUV420P10LE, 640, 360)), None);
    }
}
