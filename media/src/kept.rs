//! Decoded pictures that wait, perhaps for nothing: scaling costs as much as decoding.

use std::fmt;

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
