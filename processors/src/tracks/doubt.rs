//! Sightings that the detector doubts, where a track leads to them.

use super::{
    Rules, Sighting,
    link::{Chain, by_place},
};

/// Overlap (intersection over union) from which on a doubtful sighting is of the track's face.
const LEAST_OVERLAP: f32 = 0.3;

/// What doubtful sightings add to the chains at their ends, up to [`Rules::longest_gap`] beyond what is
/// sure: chains of their own, each from the sure end on. They take nothing away: the mask of a sure end
/// stays as it is.
pub(super) fn led(chains: &[Chain], mut doubtful: Vec<Sighting>, rules: Rules) -> Vec<Chain> {
    doubtful.sort_by(|a, b| a.pts.cmp(&b.pts).then_with(|| by_place(a, b)));
    let mut added = Vec::new();
    for chain in chains {
        let (Some(&first), Some(&last)) = (chain.first(), chain.last()) else { continue };
        let is_near =
            |end: Sighting| move |seen: &&Sighting| (seen.pts - end.pts).abs() <= rules.longest_gap;
        let later = doubtful.iter().filter(|seen| seen.pts > last.pts).filter(is_near(last));
        let earlier = doubtful.iter().rev().filter(|seen| seen.pts < first.pts);
        let after = followed(last, later, rules);
        let mut before = followed(first, earlier.filter(is_near(first)), rules);
        before.reverse();
        added.extend([before, after].into_iter().filter(|chain| chain.len() > 1));
    }
    added
}

/// A chain's end and the sightings that it leads to, one of each time. `doubtful` go away from the
/// end, in whichever direction of time.
fn followed<'a>(
    end: Sighting,
    doubtful: impl Iterator<Item = &'a Sighting>,
    rules: Rules,
) -> Chain {
    let longest = rules.follow.max(2 * rules.frame);
    let mut found = vec![end];
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
        let is_soon = (seen.pts - now.pts).abs() <= longest;
        if is_soon && overlap >= LEAST_OVERLAP && is_better {
            best = Some((overlap, *seen));
        }
    }
    found.extend(best.map(|(_, chosen)| chosen));
    found
}
