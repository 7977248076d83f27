//! Times of packets: decoding times are derived from presentation times, never taken over.
//!
//! Matroska stores no DTS, encoders and clips disagree about their offset, and muxers refuse any
//! that do not rise. With the PTS of all packets known, `DTS[i] = sorted PTS[i - delay]` is
//! strictly rising and never above the PTS, where `delay` is the largest number of places that a
//! frame is displayed earlier than it is decoded.

use crate::{MediaError, Rational};

/// The presentation times of a run of packets in decoding order.
#[derive(Debug)]
pub(crate) struct Schedule {
    sorted: Vec<i64>,
    delay: usize,
    end: i64,
}

impl Schedule {
    /// `decode_order` are PTS in decoding order, `end` is where the last frame ends (ticks).
    pub(crate) fn new(decode_order: &[i64], end: i64) -> Result<Self, MediaError> {
        let mut by_time: Vec<(i64, usize)> =
            decode_order.iter().enumerate().map(|(at, &pts)| (pts, at)).collect();
        by_time.sort_unstable();
        if let Some(pair) = by_time.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            let detail = format!("two frames have the same time stamp {}", pair[0].0);
            return Err(MediaError::Broken { detail });
        }
        let delay =
            by_time.iter().enumerate().map(|(rank, &(_, at))| at.saturating_sub(rank)).max();
        let sorted = by_time.into_iter().map(|(pts, _)| pts).collect();
        Ok(Self { sorted, delay: delay.unwrap_or(0), end })
    }

    /// The same with room for packets that come up to `places` before their display.
    pub(crate) fn with_delay(self, places: usize) -> Self {
        Self { delay: self.delay.max(places), ..self }
    }

    /// Presentation times, rising.
    pub(crate) fn times(&self) -> &[i64] {
        &self.sorted
    }

    /// Decoding time of the packet at place `at` in decoding order, ticks.
    pub(crate) fn dts(&self, at: usize) -> i64 {
        let first = self.sorted.first().copied().unwrap_or(0);
        match at.checked_sub(self.delay) {
            Some(place) => self.sorted.get(place).copied().unwrap_or(self.end),
            None => first - (self.delay - at) as i64 * self.typical_step(),
        }
    }

    /// How long the frame at `pts` is displayed, ticks.
    pub(crate) fn duration(&self, pts: i64) -> i64 {
        let after = self.sorted.partition_point(|&time| time <= pts);
        let next = self.sorted.get(after).copied().unwrap_or(self.end);
        (next - pts).max(1)
    }

    fn typical_step(&self) -> i64 {
        match (self.sorted.first(), self.sorted.last()) {
            (Some(first), Some(last)) if last > first => {
                ((last - first) / (self.sorted.len() as i64 - 1)).max(1)
            }
            _ => 1,
        }
    }
}

/// Converts ticks between time bases, to the nearest tick.
pub(crate) fn rescale(ticks: i64, from: Rational, to: Rational) -> i64 {
    let numerator = i128::from(ticks) * i128::from(from.num) * i128::from(to.den);
    let denominator = i128::from(from.den) * i128::from(to.num);
    if denominator == 0 {
        return ticks;
    }
    let rounded = (2 * numerator + denominator).div_euclid(2 * denominator);
    i64::try_from(rounded).unwrap_or(i64::MAX)
}

/// Milliseconds of a number of ticks.
pub(crate) fn to_ms(ticks: i64, time_base: Rational) -> i64 {
    rescale(ticks, time_base, Rational { num: 1, den: 1000 })
}

/// The time base of an mp4 track in which every tick of `source` is a whole number.
pub(crate) fn track_time_base(source: Rational) -> Rational {
    Rational { num: 1, den: source.den }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoding_times_rise_and_never_pass_presentation_times() {
        // I P B B with a pyramid, twice, with uneven steps.
        let pts = [0, 160, 80, 41, 120, 200, 367, 280, 240, 320];
        let schedule = Schedule::new(&pts, 400).unwrap();
        let dts: Vec<i64> = (0..pts.len()).map(|at| schedule.dts(at)).collect();
        assert!(dts.windows(2).all(|pair| pair[0] < pair[1]), "{dts:?}");
        assert!(dts.iter().zip(&pts).all(|(dts, pts)| dts <= pts), "{dts:?}");
        assert_eq!(schedule.duration(41), 39);
        assert_eq!(schedule.duration(367), 33);
    }

    #[test]
    fn frames_in_display_order_need_no_delay() {
        let schedule = Schedule::new(&[5, 7, 11], 13).unwrap();
        assert_eq!((schedule.dts(0), schedule.dts(2)), (5, 11));
    }

    #[test]
    fn two_frames_at_one_time_are_refused() {
        assert_eq!(Schedule::new(&[5, 5], 6).unwrap_err().reason(), "broken");
    }

    #[test]
    fn ticks_are_rescaled_to_the_nearest() {
        let film = Rational { num: 1001, den: 30000 };
        assert_eq!(rescale(3, film, track_time_base(film)), 3003);
        assert_eq!(rescale(-1, Rational { num: 1, den: 2000 }, Rational { num: 1, den: 1000 }), 0);
        assert_eq!(to_ms(12800, Rational { num: 1, den: 12800 }), 1000);
    }
}
