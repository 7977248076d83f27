//! Which sightings are of the same face.

use super::{Rules, Sighting, is_plain, timeline::Timeline};
use schemas::BoundingBox;

/// Sightings of one face, strictly rising in time.
pub(super) type Chain = Vec<Sighting>;

/// Boxes whose sides differ by more than this factor are not the same face a moment later.
const MOST_GROWTH: f32 = 1.8;
/// Overlap (intersection over union) from which on two boxes are the same face.
const LEAST_OVERLAP: f32 = 0.15;
/// Without enough overlap: how far a face may be from where it was or is led, in box sizes per
/// [`Rules::longest_gap`]. From frame to frame that is next to nothing: a new face beside one that
/// is lost must not end the lost one's mask.
const MOST_SPEED: f32 = 3.0;

/// Links frame by frame, the likeliest pairs first.
pub(super) fn link(seen: &Timeline, rules: Rules) -> Vec<Chain> {
    let mut chains: Vec<Chain> = Vec::new();
    // Chains that may still go on; the others are only kept.
    let mut open: Vec<usize> = Vec::new();
    for frame in seen.frames() {
        let Some(now) = frame.first().map(|sighting| sighting.pts) else { continue };
        open.retain(|&c| chains[c].last().is_some_and(|last| now - last.pts <= rules.longest_gap));
        let continued = pair(&chains, &open, frame, rules);
        for (sighting, chain) in frame.iter().zip(continued) {
            match chain {
                Some(chain) => chains[chain].push(*sighting),
                None => {
                    open.push(chains.len());
                    chains.push(vec![*sighting]);
                }
            }
        }
    }
    chains
}

/// For each sighting of a frame, the chain it continues.
fn pair(chains: &[Chain], open: &[usize], frame: &[Sighting], rules: Rules) -> Vec<Option<usize>> {
    let mut likely: Vec<(f32, usize, usize)> = Vec::new();
    for &chain in open {
        for (place, sighting) in frame.iter().enumerate() {
            if let Some(likeness) = likeness(&chains[chain], sighting, rules) {
                likely.push((likeness, chain, place));
            }
        }
    }
    likely.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
    let mut continued = vec![None; frame.len()];
    let mut taken = Vec::new();
    for (_, chain, place) in likely {
        if continued[place].is_none() && !taken.contains(&chain) {
            continued[place] = Some(chain);
            taken.push(chain);
        }
    }
    continued
}

/// How likely a sighting continues a chain; `None` where it does not.
fn likeness(chain: &Chain, seen: &Sighting, rules: Rules) -> Option<f32> {
    let last = chain.last()?;
    let (was, is) = (&last.region, &seen.region);
    if ratio(was.width, is.width) > MOST_GROWTH || ratio(was.height, is.height) > MOST_GROWTH {
        return None;
    }
    let (right, down) = velocity(chain, rules);
    let ticks = (seen.pts - last.pts).min(rules.follow) as f32;
    let led = moved(was, right * ticks, down * ticks);
    // A face may stop as well as go on.
    let overlap = led.iou(is).max(was.iou(is));
    if overlap >= LEAST_OVERLAP {
        return Some(overlap);
    }
    // A face that is plain to see does not go unseen and come back, as plain to see, where it was not going: that is
    // another one.
    let gap = seen.pts - last.pts;
    let went_on = moved(was, right * gap as f32, down * gap as f32).iou(is) >= LEAST_OVERLAP;
    let is_for_long = rules.is_every_frame && gap > rules.follow && !went_on;
    if is_for_long && is_plain(last, rules) && is_plain(seen, rules) {
        return None;
    }
    let distance = distance(&led, is).min(distance(was, is));
    let reach = MOST_SPEED * gap as f32 / rules.longest_gap.max(1) as f32;
    (distance <= reach).then_some(-distance)
}

/// Change of place per tick at a chain's end, as shares of the picture.
pub(super) fn velocity(chain: &[Sighting], rules: Rules) -> (f32, f32) {
    let Some(last) = chain.last() else { return (0.0, 0.0) };
    // The oldest sighting that is still recent: over a longer time a detector's jitter weighs less.
    let recent = chain.iter().rev().take_while(|s| (last.pts - s.pts).abs() <= rules.follow).last();
    // Where sightings are sparse, the one before will do.
    let Some(from) = recent.filter(|s| s.pts != last.pts).or_else(|| chain.iter().rev().nth(1))
    else {
        return (0.0, 0.0);
    };
    let ticks = (last.pts - from.pts) as f32;
    let (x1, y1) = centre(&from.region);
    let (x2, y2) = centre(&last.region);
    ((x2 - x1) / ticks, (y2 - y1) / ticks)
}

pub(super) fn moved(region: &BoundingBox, right: f32, down: f32) -> BoundingBox {
    BoundingBox { left: region.left + right, top: region.top + down, ..*region }
}

fn centre(region: &BoundingBox) -> (f32, f32) {
    (region.left + region.width / 2.0, region.top + region.height / 2.0)
}

/// Of the centres, in mean box sizes.
fn distance(a: &BoundingBox, b: &BoundingBox) -> f32 {
    let ((ax, ay), (bx, by)) = (centre(a), centre(b));
    let across = (ax - bx) / (a.width + b.width).max(f32::EPSILON);
    let down = (ay - by) / (a.height + b.height).max(f32::EPSILON);
    2.0 * across.hypot(down)
}

fn ratio(a: f32, b: f32) -> f32 {
    a.max(b) / a.min(b).max(f32::EPSILON)
}
