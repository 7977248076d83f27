//! Points between and beyond the sightings of a face.

use super::{
    BORDER, EXTENSION_FRAMES, EXTENSION_FRAMES_WHERE_GONE, EXTENSION_FRAMES_WHERE_MISSED, Rules,
    Sighting,
    link::{moved, velocity},
};
use schemas::{BoundingBox, TrackPoint};

/// A box held beyond its sightings is grown by this share of its size: soon, and at the very end.
const GROWTH_SOON: f32 = 0.1;
const GROWTH_LATE: f32 = 0.25;
/// A face that is out of sight is expected to go at most this many of its sizes further.
const FURTHEST: f32 = 1.0;
/// A face that the detector is this sure of, 0 to 100, it does not lose from one frame to the next
const PLAIN: f32 = 70.0;
/// if it is this wide, as a share of the picture: 24 of 640 px.
const PLAIN_WIDTH: f32 = 24.0 / 640.0;

/// The points of a track: its sightings, what lies between them, and its two extensions.
///
/// Between sightings with frames in between, the middle third is covered by the hull of both
/// boxes, so that a face that does not move evenly stays under the mask.
pub(super) fn fill(chain: &[Sighting], rules: Rules) -> Vec<TrackPoint> {
    let (Some(first), Some(last)) = (chain.first(), chain.last()) else { return Vec::new() };
    let mut points = Vec::with_capacity(chain.len() + 4);
    let backwards: Vec<_> = chain.iter().rev().copied().collect();
    let mut before = beyond(first, velocity(&backwards, rules), -reach(&backwards, rules), rules);
    before.reverse();
    points.append(&mut before);
    for pair in chain.windows(2) {
        let [a, b] = pair else { continue };
        points.push(seen(a));
        let gap = b.pts - a.pts;
        if gap * 2 > rules.frame * 3 && gap >= 2 {
            let region = a.region.hull(&b.region);
            let third = (gap / 3).max(1);
            points.push(unseen(a.pts + third, region));
            if b.pts - third > a.pts + third {
                points.push(unseen(b.pts - third, region));
            }
        }
    }
    points.push(seen(last));
    points.append(&mut beyond(last, velocity(chain, rules), reach(chain, rules), rules));
    points
}

/// How far a track goes on beyond a chain's end. Where the detector has missed frames just there, or has
/// seen the face only once, it may miss more.
fn reach(chain: &[Sighting], rules: Rules) -> i64 {
    let Some(last) = chain.last().filter(|_| rules.is_every_frame) else { return rules.extend };
    let step = chain.iter().rev().nth(1).map(|before| (last.pts - before.pts).abs());
    let missed = step.filter(|step| 2 * step > 3 * rules.frame);
    let (time, frames) = match (missed, step) {
        (Some(step), _) => (rules.extend_every_frame, EXTENSION_FRAMES_WHERE_MISSED * step),
        _ if is_plain(last) => (rules.extend_gone, EXTENSION_FRAMES_WHERE_GONE * rules.frame),
        (None, Some(step)) => (rules.extend_every_frame, EXTENSION_FRAMES * step.max(rules.frame)),
        (None, None) => (rules.extend_one_frame, EXTENSION_FRAMES_WHERE_MISSED * rules.frame),
    };
    rules.extend.min(time.max(frames))
}

/// Whether a face is such that the detector does not lose it from one frame to the next: where it has no inkling of
/// it, not even a doubt that leads on from here, the face has gone. Small ones it may lose, and those that the
/// border of the picture cuts leave bit by bit.
fn is_plain(face: &Sighting) -> bool {
    let BoundingBox { left, top, width, .. } = face.region;
    let edges = [left, top, face.region.right(), face.region.bottom()];
    let is_inside = edges.iter().all(|edge| (BORDER..1.0 - BORDER).contains(edge));
    face.confidence >= PLAIN && width >= PLAIN_WIDTH && is_inside
}

/// The extension of a track by `reach`, which is negative backwards in time: first as if the face went
/// on, then held.
fn beyond(end: &Sighting, speed: (f32, f32), reach: i64, rules: Rules) -> Vec<TrackPoint> {
    let (direction, reach) = (reach.signum(), reach.abs());
    if reach == 0 {
        return Vec::new();
    }
    let soon = rules.follow.clamp(1, reach);
    let ticks = (soon * direction) as f32;
    let BoundingBox { width, height, .. } = end.region;
    let right = (speed.0 * ticks).clamp(-FURTHEST * width, FURTHEST * width);
    let down = (speed.1 * ticks).clamp(-FURTHEST * height, FURTHEST * height);
    let hull = end.region.hull(&moved(&end.region, right, down));
    let mut points = vec![unseen(end.pts + soon * direction, grown(&hull, GROWTH_SOON))];
    if reach > soon {
        points.push(unseen(end.pts + reach * direction, grown(&hull, GROWTH_LATE)));
    }
    points
}

fn seen(sighting: &Sighting) -> TrackPoint {
    let Sighting { pts, region, confidence } = *sighting;
    TrackPoint { pts, region, confidence }
}

fn unseen(pts: i64, region: BoundingBox) -> TrackPoint {
    TrackPoint { pts, region: region.clamped(), confidence: 0.0 }
}

/// Larger by a share of the size, around the same centre.
fn grown(region: &BoundingBox, share: f32) -> BoundingBox {
    BoundingBox {
        left: region.left - region.width * share / 2.0,
        top: region.top - region.height * share / 2.0,
        width: region.width * (1.0 + share),
        height: region.height * (1.0 + share),
    }
}
