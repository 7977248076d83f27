//! Contrast evened out over a picture: a Wallis filter (Wallis, "An approach to the space variant restoration and
//! enhancement of images", 1976) whose gain is 1 at least.

use crate::{VisionError, picture::check};
use media::RgbImage;

/// Levels are spread to this standard deviation,
const SPREAD: f32 = 55.0;
/// but not by more than this.
const MOST_GAIN: f32 = 4.0;
/// What is spread so many times lies around the middle of all levels.
const CENTRED: f32 = 3.0;
const MIDDLE: f32 = 127.0;
/// Every second row and column tells enough of a cell.
const STEP: usize = 2;

/// What becomes of the levels of a cell: `level * gain + offset`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Spread {
    gain: f32,
    offset: f32,
}

impl Spread {
    /// From the mean of the levels and of their squares.
    fn of(mean: f32, square: f32) -> Self {
        let deviation = (square - mean * mean).max(0.0).sqrt();
        let gain = (SPREAD / deviation).clamp(1.0, MOST_GAIN);
        let middle = mean + (MIDDLE - mean) * ((gain - 1.0) / (CENTRED - 1.0)).min(1.0);
        Self { gain, offset: middle - mean * gain }
    }

    fn towards(self, other: Self, part: f32) -> Self {
        let mix = |a: f32, b: f32| a + (b - a) * part;
        Self { gain: mix(self.gain, other.gain), offset: mix(self.offset, other.offset) }
    }
}

/// A side of a picture in cells.
struct Cells {
    count: usize,
    /// Px.
    length: f32,
}

impl Cells {
    fn of(side: u32, cell: f32) -> Self {
        let count = (side as f32 / cell).round().max(1.0);
        Self { count: count as usize, length: side as f32 / count }
    }

    fn of_pixel(&self, at: usize) -> usize {
        ((at as f32 / self.length) as usize).min(self.count - 1)
    }

    /// The cells whose middles lie before and after a pixel, and how far it is from the one to the other, 0 to 1.
    fn around(&self, at: usize) -> (usize, usize, f32) {
        let place = ((at as f32 + 0.5) / self.length - 0.5).clamp(0.0, (self.count - 1) as f32);
        let before = place as usize;
        (before, (before + 1).min(self.count - 1), place - before as f32)
    }
}

/// The picture with its contrast evened out between cells of that many px.
pub(crate) fn evened(picture: &RgbImage, cell: f32) -> Result<RgbImage, VisionError> {
    check(picture)?;
    let (width, height) = (picture.width, picture.height);
    let (columns, rows) = (Cells::of(width, cell), Cells::of(height, cell));
    let spreads = spreads(picture, &columns, &rows);
    let across: Vec<_> = (0..width as usize).map(|x| columns.around(x)).collect();
    let mut line = vec![Spread::default(); columns.count];
    let mut data = picture.data[..width as usize * height as usize * 3].to_vec();
    for (y, row) in data.chunks_exact_mut(width as usize * 3).enumerate() {
        let (above, below, part) = rows.around(y);
        let above = &spreads[above * columns.count..][..columns.count];
        let below = &spreads[below * columns.count..][..columns.count];
        for (mixed, (above, below)) in line.iter_mut().zip(above.iter().zip(below)) {
            *mixed = above.towards(*below, part);
        }
        for (pixel, &(left, right, part)) in row.as_chunks_mut::<3>().0.iter_mut().zip(&across) {
            let Spread { gain, offset } = line[left].towards(line[right], part);
            *pixel = pixel.map(|level| (f32::from(level) * gain + offset) as u8);
        }
    }
    Ok(RgbImage { width, height, data })
}

/// Of each cell, row by row.
fn spreads(picture: &RgbImage, columns: &Cells, rows: &Cells) -> Vec<Spread> {
    let mut sums = vec![(0u32, 0.0f32, 0.0f32); columns.count * rows.count];
    let cell_of: Vec<usize> = (0..picture.width as usize).map(|x| columns.of_pixel(x)).collect();
    let lines = picture.data.chunks_exact(picture.width as usize * 3);
    for (y, line) in lines.take(picture.height as usize).enumerate().step_by(STEP) {
        let cells = &mut sums[rows.of_pixel(y) * columns.count..][..columns.count];
        for (&[r, g, b], cell) in line.as_chunks::<3>().0.iter().zip(&cell_of).step_by(STEP) {
            let luma = (77 * u32::from(r) + 150 * u32::from(g) + 29 * u32::from(b)) as f32 / 256.0;
            let (count, sum, squares) = &mut cells[*cell];
            *count += 1;
            *sum += luma;
            *squares += luma * luma;
        }
    }
    let spread = |(count, sum, squares): (u32, f32, f32)| {
        let count = count.max(1) as f32;
        Spread::of(sum / count, squares / count)
    };
    sums.into_iter().map(spread).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_little_contrast_gets_more_and_what_has_enough_stays() {
        // Stripes of 4 px: on the left between 10 and 26, on the right between 0 and 240.
        let level = |x: usize| match (x < 100, x / 4 % 2) {
            (true, 0) => 10,
            (true, _) => 26,
            (false, 0) => 0,
            (false, _) => 240,
        };
        let data = (0..100).flat_map(|_| (0..200).flat_map(|x| [level(x); 3])).collect();
        let picture = RgbImage { width: 200, height: 100, data };
        let even = evened(&picture, 20.0).unwrap();
        let at = |x: usize| f32::from(even.data[(50 * 200 + x) * 3]);
        // Cells do not end where stripes do, so their means differ a little.
        assert!(((at(38) - at(34)).abs() - 4.0 * 16.0).abs() <= 5.0, "{} and {}", at(34), at(38));
        assert!((at(34) + at(38) - 254.0).abs() <= 10.0, "{} and {}", at(34), at(38));
        assert_eq!((at(164), at(160)), (240.0, 0.0));
        // A picture without any contrast has none afterwards.
        let flat = RgbImage { width: 2, height: 1, data: vec![9; 6] };
        assert!(evened(&flat, 20.0).unwrap().data.iter().all(|level| *level == 127));
    }

    #[test]
    fn a_pixel_lies_between_the_middles_of_cells() {
        let cells = Cells::of(100, 20.0);
        assert_eq!((cells.count, cells.of_pixel(0), cells.of_pixel(99)), (5, 0, 4));
        assert_eq!(cells.around(0), (0, 1, 0.0));
        assert_eq!(cells.around(99), (4, 4, 0.0));
        let (before, after, part) = cells.around(20);
        assert_eq!((before, after), (0, 1));
        assert!((part - 0.525).abs() < 1e-6, "{part}");
        assert_eq!(Cells::of(3, 20.0).around(2), (0, 0, 0.0));
    }
}
