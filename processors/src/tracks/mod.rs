//! The tracker: single sightings of faces become tracks without gaps.
//!
//! Faces are linked from frame to frame by overlap with where their motion leads them (the idea of
//! SORT, Bewley et al. 2016, without its Kalman filter), then the gaps are filled and the ends are
//! extended. Every sighting ends up in exactly one track, and where there is a doubt a mask is
//! rather too big than too small.

mod fill;
mod link;
#[cfg(test)]
mod tests;

use schemas::{BoundingBox, Track};

/// Sightings further apart are two tracks.
pub const LONGEST_GAP_MS: i64 = 1000;
/// Tracks are never extended further, whatever a run asks for.
pub const LONGEST_EXTENSION_MS: i64 = 1000;
/// Within this time beyond its sightings a face is expected to move on as it did.
pub const FOLLOW_MS: i64 = 400;

/// A face on one frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sighting {
    /// Ticks of the source.
    pub pts: i64,
    /// Inside the picture.
    pub region: BoundingBox,
    /// 0 to 100.
    pub confidence: f32,
}

/// What holds for all tracks of a clip, in ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    pub longest_gap: i64,
    /// Mean time between two frames.
    pub frame: i64,
    /// How far a track reaches beyond its sightings.
    pub extend: i64,
    /// See [`FOLLOW_MS`].
    pub follow: i64,
}

/// The tracks of a clip, numbered from 0 in the order of their first sightings. The order of the
/// sightings does not matter.
#[must_use]
pub fn track(sightings: Vec<Sighting>, rules: Rules) -> Vec<Track> {
    let chains = link::link(sightings, rules);
    chains
        .iter()
        .zip(0..)
        .map(|(chain, id)| Track { id, points: fill::fill(chain, rules) })
        .collect()
}
