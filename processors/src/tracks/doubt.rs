//! Sightings that the detector doubts, where a track leads to them.

use super::{Rules, Sighting, link::Chain, timeline::Timeline};

/// Overlap (intersection over union) from which on a doubtful sighting is of the track's face.
const LEAST_OVERLAP: f32 = 0.3;

/// What doubtful sightings add to the chains, up to [`Rules::longest_gap`] beyond what is sure: chains of their own, each
/// from a sure sighting on where the next frame has none. They take nothing away: the mask of what is sure stays as it is.
pub(super) fn led_to(doubts: &Timeline, chains: &[Chain], rules: Rules) -> Vec<Chain> {
    let after = |end: Sighting, to: i64| followed(end, doubts.between(end.pts, to), rules);
    let before = |end: Sighting, from: i64| {
        let mut chain = followed(end, doubts.between(from, end.pts).rev(), rules);
        chain.reverse();
        chain
    };
    let furthest = rules.longest_gap.saturating_add(1);
    let mut added = Vec::new();
    for chain in chains {
        let (Some(&first), Some(&last)) = (chain.first(), chain.last()) else { continue };
        added.push(before(first, first.pts.saturating_sub(furthest)));
        for pair in chain.windows(2) {
            let [a, b] = *pair else { continue };
            if (b.pts - a.pts) * 2 > rules.frame * 3 {
                added.extend([after(a, b.pts), before(b, a.pts)]);
            }
        }
        added.push(after(last, last.pts.saturating_add(furthest)));
    }
    added.retain(|chain| chain.len() > 1);
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
