//! Boxes of faces that are half hidden: the detector then finds what is left of them.

use super::{BORDER, Rules, Sighting};
use schemas::BoundingBox;

/// A side this much shorter than the face's own is that of a face half hidden.
const SHRUNK: f32 = 0.85;
/// Of the face's own side, on both ends: the box of what is left of a face is not exact.
const SPARE: f32 = 0.1;
/// The face's own side: of four sightings around, one is larger.
const USUAL: f32 = 0.75;

/// A chain whose boxes hold its face as it is around that time (twice [`Rules::follow`] before and after),
/// whichever side of it is hidden. Those of a face that is not half hidden stay as they are.
pub(super) fn steady(chain: &[Sighting], rules: Rules) -> Vec<Sighting> {
    let reach = 2 * rules.follow;
    let (mut from, mut to) = (0, 0);
    chain
        .iter()
        .map(|sighting| {
            while chain[from].pts < sighting.pts - reach {
                from += 1;
            }
            while to < chain.len() && chain[to].pts <= sighting.pts + reach {
                to += 1;
            }
            let around = &chain[from..to];
            let BoundingBox { left, top, width, height } = sighting.region;
            let wide = whole((left, width), usual(around, |region| region.width));
            let high = whole((top, height), usual(around, |region| region.height));
            let region = BoundingBox { left: wide.0, top: high.0, width: wide.1, height: high.1 };
            let is_whole = region == sighting.region;
            if is_whole { *sighting } else { Sighting { region: region.clamped(), ..*sighting } }
        })
        .collect()
}

fn usual(around: &[Sighting], side: fn(&BoundingBox) -> f32) -> f32 {
    let mut sides: Vec<f32> = around.iter().map(|sighting| side(&sighting.region)).collect();
    sides.sort_unstable_by(f32::total_cmp);
    let at = (sides.len().saturating_sub(1) as f32 * USUAL).ceil() as usize;
    sides.get(at).copied().unwrap_or(0.0)
}

/// One dimension of a box, start and length, where it is usually `usual` long: what is hidden may be at either
/// end.
fn whole((start, length): (f32, f32), usual: f32) -> (f32, f32) {
    let is_cut = start < BORDER || start + length > 1.0 - BORDER;
    if is_cut || length >= SHRUNK * usual {
        return (start, length);
    }
    let more = usual - length + SPARE * usual;
    (start - more, length + 2.0 * more)
}
