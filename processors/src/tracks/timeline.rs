//! What was seen, by time.

use super::{Sighting, link::by_place};

/// Sightings in order of time.
pub(super) struct Timeline(Vec<Sighting>);

impl Timeline {
    pub(super) fn of(mut sightings: Vec<Sighting>) -> Self {
        sightings.sort_by(|a, b| a.pts.cmp(&b.pts).then_with(|| by_place(a, b)));
        Self(sightings)
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
