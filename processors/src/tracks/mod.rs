//! The tracker: single sightings of faces become tracks without gaps.
//!
//! Faces are linked from frame to frame by overlap with where their motion leads them (the idea of
//! SORT, Bewley et al. 2016, without its Kalman filter), then the gaps are filled and the ends are
//! extended. Every sure sighting ends up in exactly one track, and where there is a doubt a mask is
//! rather too big than too small.
//!
//! Two thresholds decide (the idea of ByteTrack, Zhang et al. 2021): a sure sighting is a face, a
//! doubtful one only where a track leads to it. So a face that turns away keeps its mask for as long as
//! the detector has an inkling of it, and a mask does not outlive its face by much.

mod doubt;
mod fill;
mod link;
mod steady;
#[cfg(test)]
mod tests;
mod timeline;

use schemas::{BoundingBox, TimeBase, Track};
use timeline::Timeline;

/// Sightings further apart are two tracks.
pub const LONGEST_GAP_MS: i64 = 1000;
/// Tracks are never extended further, whatever a run asks for.
pub const LONGEST_EXTENSION_MS: i64 = 1000;
/// Within this time beyond its sightings a face is expected to move on as it did.
pub const FOLLOW_MS: i64 = 400;
/// How far a track is extended where the detector has looked at every frame, and so would have
/// seen the face; more in films of few frames a second, and where it has missed some.
pub const EXTENSION_OF_EVERY_FRAME_MS: i64 = 120;
/// So many frames at least.
const EXTENSION_FRAMES: i64 = 3;
/// The same of a face that was seen on one frame only, or that leaves where another face is: the detector may have missed
/// it on others.
pub const EXTENSION_OF_ONE_FRAME_MS: i64 = 200;
/// So many frames there, and of the last step where frames were missed.
const EXTENSION_FRAMES_WHERE_MISSED: i64 = 5;
/// The same of a face that was plain to see and that the detector had no inkling of on the next frames: it has gone.
pub const EXTENSION_OF_GONE_MS: i64 = 80;
/// So many frames there.
const EXTENSION_FRAMES_WHERE_GONE: i64 = 2;
/// Who looks at least this often, and says so, looks at every frame where faces come and go. Rekognition looks twice a
/// second and does not say so.
const EVERY_FRAME_MS: i64 = 250;
/// A box this near to the border of the picture, as a share of it, is cut by it.
const BORDER: f32 = 0.005;
/// A face that the detector is surer of than this, 0 to 100, and than twice what makes a sighting sure, is plain to see
pub const PLAIN: f32 = 70.0;
/// if it is this wide, as a share of the picture: 24 of 640 px.
const PLAIN_WIDTH: f32 = 24.0 / 640.0;
/// A sighting is doubtful from this share of the confidence on that makes a sure one.
pub const DOUBTFUL: f32 = 0.5;

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
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    pub longest_gap: i64,
    /// Mean time between two frames.
    pub frame: i64,
    /// How far a track reaches beyond its sightings.
    pub extend: i64,
    /// The same where every frame was looked at; see [`EXTENSION_OF_EVERY_FRAME_MS`].
    pub extend_every_frame: i64,
    /// The same of a face that was seen once; see [`EXTENSION_OF_ONE_FRAME_MS`].
    pub extend_one_frame: i64,
    /// The same of a face that has gone at once; see [`EXTENSION_OF_GONE_MS`].
    pub extend_gone: i64,
    /// The detector said that it looks at every frame where faces come and go. What it saw does not tell: who looks now
    /// and then may have done so twice in a row.
    pub is_every_frame: bool,
    /// Confidence from which a sighting is sure, 0 to 100.
    pub sure: f32,
    /// See [`FOLLOW_MS`].
    pub follow: i64,
}

impl Rules {
    /// Those of a clip whose frames are `frame` ticks apart in the mean. `extend_ms` is cut to
    /// [`LONGEST_EXTENSION_MS`]; `threshold` is 0 to 1. `looked_every_ms` is what the detector told of itself, see
    /// [`schemas::Tracks::looked_every_ms`].
    #[must_use]
    pub fn of(
        time_base: TimeBase,
        frame: i64,
        extend_ms: i64,
        threshold: f32,
        looked_every_ms: Option<i64>,
    ) -> Self {
        Self {
            longest_gap: time_base.to_ticks(LONGEST_GAP_MS),
            frame,
            extend: time_base.to_ticks(extend_ms.clamp(0, LONGEST_EXTENSION_MS)),
            extend_every_frame: time_base.to_ticks(EXTENSION_OF_EVERY_FRAME_MS),
            extend_one_frame: time_base.to_ticks(EXTENSION_OF_ONE_FRAME_MS),
            extend_gone: time_base.to_ticks(EXTENSION_OF_GONE_MS),
            is_every_frame: looked_every_ms.is_some_and(|ms| ms <= EVERY_FRAME_MS),
            sure: threshold * 100.0,
            follow: time_base.to_ticks(FOLLOW_MS),
        }
    }
}

/// Whether the detector would hardly lose this face from one frame to the next. It may lose small ones, and those
/// that the border of the picture cuts leave bit by bit.
fn is_plain(face: &Sighting, rules: Rules) -> bool {
    let region = face.region;
    let edges = [region.left, region.top, region.right(), region.bottom()];
    let is_inside = edges.iter().all(|edge| (BORDER..1.0 - BORDER).contains(edge));
    face.confidence > PLAIN.max(2.0 * rules.sure) && region.width >= PLAIN_WIDTH && is_inside
}

/// The tracks of a clip, numbered from 0 in the order of their first sightings. The order of the
/// sightings does not matter.
#[must_use]
pub fn track(sightings: Vec<Sighting>, rules: Rules) -> Vec<Track> {
    let all = Timeline::of(sightings);
    let (sure, doubtful) = all.split(rules.sure);
    let mut chains = link::link(&sure, rules);
    let led = doubt::led_to(&doubtful, &chains, rules);
    chains.extend(led);
    chains
        .iter()
        .zip(0..)
        .map(|(chain, id)| Track { id, points: fill::fill(chain, &all, rules) })
        .collect()
}
