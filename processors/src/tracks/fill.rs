//! Points between and beyond the sightings of a face.

use super::{
    EXTENSION_FRAMES, EXTENSION_FRAMES_WHERE_GONE, EXTENSION_FRAMES_WHERE_MISSED, Rules, Sighting,
    is_plain,
    link::{moved, velocity},
    steady::steady,
    timeline::Timeline,
};
use schemas::{BoundingBox, TrackPoint};

/// A box held beyond its sightings is grown by this share of its size: soon, and at the very end.
const GROWTH_SOON: f32 = 0.1;
const GROWTH_LATE: f32 = 0.25;
/// A face that is out of sight is expected to go at most this many of its sizes further.
const FURTHEST: f32 = 1.0;
/// Boxes of a face that does not hurry overlap by this (intersection over union) from frame to frame.
const STEADY: f32 = 0.7;

/// The points of a track: its sightings, what lies between them, and its two extensions. `all` are the sightings of the
/// clip, its own among them.
///
/// Between sightings with frames in between, the middle third is covered by the hull of both
/// boxes, so that a face that does not move evenly stays under the mask.
pub(super) fn fill(seen: &[Sighting], all: &Timeline, rules: Rules) -> Vec<TrackPoint> {
    let chain = steady(seen, rules);
    let (Some(first), Some(last)) = (chain.first(), chain.last()) else { return Vec::new() };
    let mut points = Vec::with_capacity(chain.len() + 4);
    let reversed = |of: &[Sighting]| of.iter().rev().copied().collect::<Vec<_>>();
    let (seen_backwards, backwards) = (reversed(seen), reversed(&chain));
    let back = reach(&seen_backwards, first, all, rules);
    let mut before = extension(first, velocity(&backwards, rules), back.map(|it| -it), rules);
    before.reverse();
    points.append(&mut before);
    for pair in chain.windows(2) {
        let [a, b] = pair else { continue };
        points.push(point(a));
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
    points.push(point(last));
    let on = reach(seen, last, all, rules);
    points.append(&mut extension(last, velocity(&chain, rules), on, rules));
    points
}

/// How far a track goes on beyond a chain's end, and how far where anything else was seen in its place soon: another face
/// may hide it, and a doubt may be of it. Where the detector has missed frames just there, or has seen the face only once,
/// it may miss more. `end` is the last sighting of `chain`, larger where it is half hidden.
fn reach(chain: &[Sighting], end: &Sighting, all: &Timeline, rules: Rules) -> [i64; 2] {
    if !rules.is_every_frame {
        return [rules.extend; 2];
    }
    let frames = |count: i64, step: i64| count * step.max(rules.frame);
    let missed = |step| rules.extend_one_frame.max(frames(EXTENSION_FRAMES_WHERE_MISSED, step));
    let [.., before, last] = chain else { return [rules.extend.min(missed(0)); 2] };
    let (step, way) = ((last.pts - before.pts).abs(), (last.pts - before.pts).signum());
    let usual = rules.extend_every_frame.max(frames(EXTENSION_FRAMES, step));
    let near = if 2 * step > 3 * rules.frame {
        missed(step)
    } else if last.region == end.region && is_steady(before, last, rules) {
        rules.extend_gone.max(frames(EXTENSION_FRAMES_WHERE_GONE, step))
    } else {
        usual
    };
    let far = if all.has_beyond(last, way * usual) { near.max(missed(step)) } else { near };
    [near, far].map(|reach| reach.min(rules.extend))
}

/// Whether a face was plain to see on two frames, and about the same there: where nothing is seen there on the next ones,
/// not even a doubt, it has gone, and not turned away or been hidden bit by bit.
fn is_steady(before: &Sighting, last: &Sighting, rules: Rules) -> bool {
    let is_same = before.region.iou(&last.region) >= STEADY;
    is_same && is_plain(before, rules) && is_plain(last, rules)
}

/// The extension of a track by the further `reach`, which holds that by the nearer one.
fn extension(
    end: &Sighting,
    speed: (f32, f32),
    [near, far]: [i64; 2],
    rules: Rules,
) -> Vec<TrackPoint> {
    let mut points = beyond(end, speed, near, rules);
    let further = |point: &TrackPoint| (point.pts - end.pts).abs() > near.abs();
    points.extend(beyond(end, speed, far, rules).into_iter().filter(further));
    points
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

fn point(sighting: &Sighting) -> TrackPoint {
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
