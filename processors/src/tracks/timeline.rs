//! What was seen, by time.

use super::Sighting;

/// Sightings in order of time.
pub(super) struct Timeline(Vec<Sighting>);

impl Timeline {
    pub(super) fn of(mut sightings: Vec<Sighting>) -> Self {
        sightings.sort_by(|a, b| a.pts.cmp(&b.pts).then_with(|| by_place(a, b)));
        Self(sightings)
    }

    /// Those of which the detector is this sure, 0 to 100, and the others.
    pub(super) fn split(&self, sure: f32) -> (Self, Self) {
        let (sure, doubtful) =
            self.0.iter().copied().partition(|sighting| sighting.confidence >= sure);
        (Self(sure), Self(doubtful))
    }

    /// Those of each time.
    pub(super) fn frames(&self) -> impl Iterator<Item = &[Sighting]> {
        self.0.chunk_by(|a, b| a.pts == b.pts)
    }

    /// Those after one time and before another.
    pub(super) fn between(&self, from: i64, to: i64) -> std::slice::Iter<'_, Sighting> {
        let start = self.0.partition_point(|seen| seen.pts <= from);
        let end = self.0.partition_point(|seen| seen.pts < to);
        self.0[start..end.max(start)].iter()
    }

    /// Whether anything was seen where a face was, before so many ticks have passed; they are negative backwards in time.
    pub(super) fn has_beyond(&self, end: &Sighting, ticks: i64) -> bool {
        let to = end.pts.saturating_add(ticks);
        let mut beyond = self.between(end.pts.min(to), end.pts.max(to));
        beyond.any(|seen| end.region.iou(&seen.region) > 0.0)
    }
}

/// A total order, so that the same sightings always give the same tracks.
fn by_place(a: &Sighting, b: &Sighting) -> std::cmp::Ordering {
    let sides =
        |s: &Sighting| [s.region.left, s.region.top, s.region.width, s.region.height, s.confidence];
    let pairs = sides(a).into_iter().zip(sides(b));
    pairs
        .map(|(a, b)| a.total_cmp(&b))
        .find(|order| order.is_ne())
        .unwrap_or(std::cmp::Ordering::Equal)
}
