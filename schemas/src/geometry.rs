//! Time and place in a film: time bases and boxes.

use serde::{Deserialize, Serialize};

/// Seconds per tick, as a fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeBase {
    pub num: i32,
    pub den: i32,
}

impl TimeBase {
    /// Ticks to milliseconds, rounded down.
    #[must_use]
    pub fn to_ms(self, ticks: i64) -> i64 {
        let ms = i128::from(ticks) * 1000 * i128::from(self.num);
        narrow(ms.div_euclid(i128::from(self.den.max(1))))
    }

    /// Milliseconds to ticks, rounded to the nearest.
    #[must_use]
    pub fn to_ticks(self, ms: i64) -> i64 {
        let scale = 1000 * i128::from(self.num.max(1));
        let ticks = (i128::from(ms) * i128::from(self.den) + scale / 2).div_euclid(scale);
        narrow(ticks)
    }
}

/// What does not fit is as far away as can be said.
fn narrow(number: i128) -> i64 {
    i64::try_from(number).unwrap_or(if number < 0 { i64::MIN } else { i64::MAX })
}

/// A box relative to the displayed picture.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BoundingBox {
    pub left: f32,
    pub top: f32,
    pub width: f32,
    pub height: f32,
}

impl BoundingBox {
    /// All of the picture.
    pub const WHOLE: Self = Self { left: 0.0, top: 0.0, width: 1.0, height: 1.0 };

    /// The smallest box a clamped one can be, so that none is ever lost at the border.
    const LEAST: f32 = 1.0 / 1024.0;

    /// Cut to the picture. A box beside it becomes a sliver at the border; one that is not made of
    /// numbers becomes the whole picture, because its face may be anywhere.
    #[must_use]
    pub fn clamped(self) -> Self {
        let Self { left, top, width, height } = self;
        if ![left, top, width, height].iter().all(|side| side.is_finite()) {
            return Self::WHOLE;
        }
        let (left, width) = clamp(left, width);
        let (top, height) = clamp(top, height);
        Self { left, top, width, height }
    }

    /// The box `part` (0 to 1) of the way to another, border by border.
    #[must_use]
    pub fn towards(&self, other: &Self, part: f32) -> Self {
        let mix = |a: f32, b: f32| a + (b - a) * part.clamp(0.0, 1.0);
        Self {
            left: mix(self.left, other.left),
            top: mix(self.top, other.top),
            width: mix(self.width, other.width),
            height: mix(self.height, other.height),
        }
    }

    /// The smallest box around both.
    #[must_use]
    pub fn hull(&self, other: &Self) -> Self {
        let left = self.left.min(other.left);
        let top = self.top.min(other.top);
        Self {
            left,
            top,
            width: self.right().max(other.right()) - left,
            height: self.bottom().max(other.bottom()) - top,
        }
    }

    #[must_use]
    pub fn right(&self) -> f32 {
        self.left + self.width
    }

    #[must_use]
    pub fn bottom(&self) -> f32 {
        self.top + self.height
    }

    /// As a share of the picture.
    #[must_use]
    pub fn area(&self) -> f32 {
        self.width.max(0.0) * self.height.max(0.0)
    }

    /// What both cover, as a share of the picture.
    #[must_use]
    pub fn overlap(&self, other: &Self) -> f32 {
        let width = self.right().min(other.right()) - self.left.max(other.left);
        let height = self.bottom().min(other.bottom()) - self.top.max(other.top);
        width.max(0.0) * height.max(0.0)
    }

    /// Intersection over union, 0 to 1.
    #[must_use]
    pub fn iou(&self, other: &Self) -> f32 {
        let both = self.overlap(other);
        let any = self.area() + other.area() - both;
        if any > 0.0 { both / any } else { 0.0 }
    }
}

/// One dimension of a box, cut to 0..1 and no smaller than [`BoundingBox::LEAST`].
fn clamp(start: f32, length: f32) -> (f32, f32) {
    let least = BoundingBox::LEAST;
    let low = start.clamp(0.0, 1.0 - least);
    let high = (start + length).clamp(low + least, 1.0);
    (low, high - low)
}
