//! A frame that was decoded: what can be taken from it and drawn into it.

use std::fmt;

use ffmpeg_next as ff;

use crate::kept::{Kept, Squares};
use crate::mask;
use crate::orientation::Orientation;
use crate::picture::{Converter, fit, packed_rows, squared};
use crate::{LumaImage, MaskStyle, MediaError, Region, RgbImage, ffi};

/// A decoded frame, seen as it is displayed.
pub struct Frame<'a> {
    pub(crate) video: &'a mut ff::frame::Video,
    pub(crate) converter: &'a mut Converter,
    pub(crate) orientation: Orientation,
    pub(crate) index: u32,
    pub(crate) pts: i64,
}

impl fmt::Debug for Frame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("index", &self.index)
            .field("pts", &self.pts)
            .field("width", &self.width())
            .field("height", &self.height())
            .finish_non_exhaustive()
    }
}

impl Frame<'_> {
    /// Position in presentation order among the frames that are shown, from 0.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Presentation time in ticks of the file that is decoded.
    pub fn pts(&self) -> i64 {
        self.pts
    }

    /// Width as displayed, px.
    pub fn width(&self) -> u32 {
        self.orientation.displayed(self.video.width(), self.video.height()).0
    }

    /// Height as displayed, px.
    pub fn height(&self) -> u32 {
        self.orientation.displayed(self.video.width(), self.video.height()).1
    }

    /// The picture as displayed in packed RGB, scaled down to at most `max_width` px.
    ///
    /// # Errors
    /// `Internal` when FFmpeg cannot convert the pixel format.
    pub fn rgb(&mut self, max_width: u32) -> Result<RgbImage, MediaError> {
        self.converter.rgb(self.video, self.orientation, max_width)
    }

    /// Leaves out the last column and row of a picture that is coded with even sides, where the other one's are odd.
    pub(crate) fn cut_to(&mut self, other: &Self) {
        let (width, height) = (self.video.width(), self.video.height());
        if width == other.video.width() + 1 {
            self.video.set_width(width - 1);
        }
        if height == other.video.height() + 1 {
            self.video.set_height(height - 1);
        }
    }

    /// `None` where the picture's format does not lend itself to it.
    pub fn squares(&self) -> Option<Squares> {
        Squares::of(self.video)
    }

    /// Takes the picture out of the frame, which has none from then on.
    pub fn keep(&mut self) -> Kept {
        let video = std::mem::replace(self.video, ff::frame::Video::empty());
        Kept { video, orientation: self.orientation }
    }

    /// The picture as displayed in packed RGB with square pixels, scaled down to fit into `within`
    /// (width and height, px). `pixel_aspect` is width by height of the film's pixels.
    pub(crate) fn rgb_within(
        &mut self,
        within: (u32, u32),
        pixel_aspect: ff::Rational,
    ) -> Result<RgbImage, MediaError> {
        let coded = squared((self.video.width(), self.video.height()), pixel_aspect);
        let displayed = self.orientation.displayed(coded.0, coded.1);
        let size = fit(displayed, within);
        self.converter.rgb_sized(self.video, self.orientation, size)
    }

    /// The brightness of the picture as displayed, in full size.
    ///
    /// # Errors
    /// `Internal` when FFmpeg cannot convert the pixel format.
    pub fn luma(&mut self) -> Result<LumaImage, MediaError> {
        let (width, height) = (self.video.width(), self.video.height());
        let converted = self.converter.planar(self.video)?;
        let video = converted.as_ref().unwrap_or(self.video);
        let packed = packed_rows(video, width as usize, height as usize);
        let data = self.orientation.turn::<1>(width, height, packed);
        Ok(LumaImage { width: self.width(), height: self.height(), data })
    }

    /// Draws masks over `regions` (of the displayed picture) into this frame.
    ///
    /// # Errors
    /// `Internal` when FFmpeg cannot convert the pixel format.
    pub fn draw(&mut self, regions: &[Region], style: MaskStyle) -> Result<(), MediaError> {
        if regions.is_empty() {
            return Ok(());
        }
        match self.converter.planar(self.video)? {
            Some(planar) => *self.video = planar,
            None => ffi::make_writable(self.video)?,
        }
        mask::draw(self.video, self.orientation, regions, style);
        Ok(())
    }
}
