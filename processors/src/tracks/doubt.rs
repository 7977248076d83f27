//! Sightings that the detector doubts, where a track leads to them.

use super::{
    Rules, Sighting,
    link::{Chain, by_place},
};

/// Overlap (intersection over union) from which on a doubtful sighting is of the track's face.
const LEAST_OVERLAP: f32 = 0.3;

/// Lengthens the chains at both ends by doubtful sightings, up to [`Rules::longest_gap`] beyond
/// what is sure.
pub(super) fn prolong(chains: &mut [Chain], mut doubtful: Vec<Sighting>, rules: Rules) {
    doubtful.sort_by(|a, b| a.pts.cmp(&b.pts).then_with(|| by_place(a, b)));
    for chain in chains {
        let (Some(first), Some(last)) = (chain.first().copied(), chain.last().copied()) else {
            continue;
        };
        let is_near =
            |end: Sighting| move |seen: &&Sighting| (seen.pts - end.pts).abs() <= rules.longest_gap;
        let later = doubtful.iter().filter(|seen| seen.pts > last.pts).filter(is_near(last));
        let earlier = doubtful.iter().rev().filter(|seen| seen.pts < first.pts);
        let after = followed(last, later, rules);
        let before = followed(first, earlier.filter(is_near(first)), rules);
        chain.splice(0..0, before.into_iter().rev());
        chain.extend(after);
    }
}

/// The sightings that a chain's end leads to, one of each time. `doubtful` go away from the end, in
/// whichever direction of time.
fn followed<'a>(
    end: Sighting,
    doubtful: impl Iterator<Item = &'a Sighting>,
    rules: Rules,
) -> Vec<Sighting> {
    let is_soon = |seen: &Sighting, after: &Sighting| (seen.pts - after.pts).abs() <= rules.follow;
    let mut found: Vec<Sighting> = Vec::new();
    let mut now = end;
    // Of the sightings of one time, the likeliest.
    let mut best: Option<(f32, Sighting)> = None;
    for seen in doubtful {
        if let Some((_, chosen)) = best.filter(|(_, chosen)| chosen.pts != seen.pts) {
            found.push(chosen);
            now = chosen;
            best = None;
        }
        let overlap = now.region.iou(&seen.region);
        let is_better = best.is_none_or(|(most, _)| overlap > most);
        if is_soon(seen, &now) && overlap >= LEAST_OVERLAP && is_better {
            best = Some((overlap, *seen));
        }
    }
    found.extend(best.map(|(_, chosen)| chosen));
    found
}
