//! How the coded picture is turned and mirrored for display.

use crate::{MediaError, Region};

/// A turn by a multiple of 90 degrees, possibly mirrored. From the middle of the picture, with
/// y downwards, the coded point (u, v) is displayed at (a*u + c*v, b*u + d*v).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Orientation {
    a: i32,
    b: i32,
    c: i32,
    d: i32,
}

impl Default for Orientation {
    fn default() -> Self {
        Self { a: 1, b: 0, c: 0, d: 1 }
    }
}

impl Orientation {
    /// From the display matrix of ISO 14496-12 (`tkhd`): 9 numbers, the first columns 16.16.
    pub(crate) fn from_display_matrix(bytes: &[u8]) -> Result<Self, MediaError> {
        let entry = |at: usize| {
            let word = bytes.get(at * 4..at * 4 + 4).and_then(|word| word.try_into().ok());
            f64::from(word.map_or(0, i32::from_ne_bytes)) / 65536.0
        };
        let (a, b, c, d) = (entry(0), entry(1), entry(3), entry(4));
        let size = a.hypot(b);
        let unit = |value: f64| if size > 0.0 { (value / size).round() as i32 } else { 0 };
        let is_axis_aligned =
            [a, b, c, d].iter().all(|&value| (value / size - f64::from(unit(value))).abs() < 0.02);
        let found = Self { a: unit(a), b: unit(b), c: unit(c), d: unit(d) };
        if !is_axis_aligned || (found.a * found.d - found.b * found.c).abs() != 1 {
            let what = "a picture turned by other than a multiple of 90 degrees".to_owned();
            return Err(MediaError::Unsupported { what });
        }
        Ok(found)
    }

    /// Clockwise rotation in degrees, without the mirroring.
    pub(crate) fn rotation(self) -> u16 {
        match (self.a, self.b) {
            (0, 1) => 90,
            (-1, 0) => 180,
            (0, -1) => 270,
            _ => 0,
        }
    }

    /// The size as displayed.
    pub(crate) fn displayed(self, width: u32, height: u32) -> (u32, u32) {
        if self.a == 0 { (height, width) } else { (width, height) }
    }

    /// A box of the displayed picture as a box of the coded one.
    pub(crate) fn to_coded(self, region: &Region) -> Region {
        let x = region.left + region.width / 2.0 - 0.5;
        let y = region.top + region.height / 2.0 - 0.5;
        let (a, b, c, d) = (self.a as f32, self.b as f32, self.c as f32, self.d as f32);
        let (u, v) = (a * x + b * y + 0.5, c * x + d * y + 0.5);
        let (width, height) =
            if self.a == 0 { (region.height, region.width) } else { (region.width, region.height) };
        Region { left: u - width / 2.0, top: v - height / 2.0, width, height }
    }

    /// Turns packed pixels of `N` bytes from coded to displayed order.
    pub(crate) fn turn<const N: usize>(self, width: u32, height: u32, coded: Vec<u8>) -> Vec<u8> {
        if self == Self::default() {
            return coded;
        }
        let (out_width, out_height) = self.displayed(width, height);
        let mut out = Vec::with_capacity(coded.len());
        // Positions in half pixels from the middle, so that all stay whole numbers.
        for row in 0..out_height as i32 {
            for column in 0..out_width as i32 {
                let x = 2 * column + 1 - out_width as i32;
                let y = 2 * row + 1 - out_height as i32;
                let u = (self.a * x + self.b * y + width as i32 - 1) / 2;
                let v = (self.c * x + self.d * y + height as i32 - 1) / 2;
                let at = (v as usize * width as usize + u as usize) * N;
                out.extend_from_slice(coded.get(at..at + N).unwrap_or(&[0; N]));
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(a: i32, b: i32, c: i32, d: i32) -> Vec<u8> {
        [a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30]
            .iter()
            .flat_map(|word: &i32| word.to_ne_bytes())
            .collect()
    }

    #[test]
    fn a_quarter_turn_clockwise_puts_the_left_column_on_top() {
        let turn = Orientation::from_display_matrix(&matrix(0, 1, -1, 0)).unwrap();
        assert_eq!(turn.rotation(), 90);
        assert_eq!(turn.displayed(3, 2), (2, 3));
        // 1 2 3      4 1
        // 4 5 6  ->  5 2
        //            6 3
        assert_eq!(turn.turn::<1>(3, 2, vec![1, 2, 3, 4, 5, 6]), [4, 1, 5, 2, 6, 3]);
    }

    #[test]
    fn a_mirrored_picture_keeps_its_rows() {
        let mirror = Orientation::from_display_matrix(&matrix(-1, 0, 0, 1)).unwrap();
        assert_eq!(mirror.turn::<1>(3, 1, vec![1, 2, 3]), [3, 2, 1]);
    }

    #[test]
    fn a_displayed_box_is_found_in_the_coded_picture() {
        let turn = Orientation::from_display_matrix(&matrix(0, 1, -1, 0)).unwrap();
        let shown = Region { left: 0.75, top: 0.0, width: 0.25, height: 0.5 };
        // Top right as displayed is top left as coded.
        let coded = turn.to_coded(&shown);
        assert_eq!(coded, Region { left: 0.0, top: 0.0, width: 0.5, height: 0.25 });
    }

    #[test]
    fn a_slanted_picture_is_refused() {
        let bytes: Vec<u8> = [46341, 46341, 0, -46341, 46341, 0, 0, 0, 1 << 30]
            .iter()
            .flat_map(|w: &i32| w.to_ne_bytes())
            .collect();
        let error = Orientation::from_display_matrix(&bytes).unwrap_err();
        assert_eq!(error.reason(), "unsupported");
    }
}
