//! Looking at every frame, and now and then into the dark.

use crate::{
    DETECTOR, FaceBox, FaceSample, VisionError,
    closely::{CONFIRMED, Eyes, Seen, View, is_known, join},
    in_parallel,
    video::Film,
};
use media::{Limits, Part};
use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    ops::ControlFlow,
};

/// The first frame of every such stretch of time is looked at with its contrast evened out, too, ms.
const DARK_MS: i64 = 200;

/// What was seen of a frame.
struct Sight {
    pts: i64,
    faces: Vec<FaceBox>,
    /// What is seen with contrast evened out; `None` where that was not looked at.
    dark: Option<Vec<FaceBox>>,
}

/// Looks at every frame of a film.
pub(crate) fn faces(film: &Film<'_>) -> Result<Vec<FaceSample>, VisionError> {
    let seen = media::side_by_side(film.parts, film.limits, |part, limits| {
        on_every_frame(film, part, limits)
    })?;
    let mut sights: Vec<Sight> = seen.into_iter().flatten().collect();
    into_the_dark(film, &mut sights)?;
    let sample = |Sight { pts, faces, .. }| FaceSample { at_ms: film.at_ms(pts), faces };
    Ok(sights.into_iter().map(sample).collect())
}

fn on_every_frame(
    film: &Film<'_>,
    part: &Part,
    limits: &Limits,
) -> Result<Vec<Sight>, VisionError> {
    let look = |eyes: &mut Eyes, (pts, view, is_due): (i64, View, bool)| {
        let Seen { faces, .. } = eyes.faces(&view)?;
        let dark = if is_due { Some(eyes.dark_faces(&view)?) } else { None };
        Ok(Some(Sight { pts, faces, dark }))
    };
    let open = || Eyes::new(film.models, film.threshold);
    let mut grid = film.grid(DARK_MS, part);
    let (_, seen) = in_parallel(limits.threads, &open, &look, |give| {
        media::decode_part(film.file, part, limits, &mut |frame| {
            (film.step)();
            let (pts, is_due) = (frame.pts(), grid.is_looked_at(film.ticks(frame.pts())));
            give((pts, View::of(frame)?, is_due)).map(ControlFlow::Continue)
        })
    })?;
    Ok(seen)
}

/// Adds faces that are seen in the dark only. Of the frames that were looked at for them, they are on those that have
/// one that is confirmed, and on those beside these that have one at all: hysteresis, as in Canny, "A computational approach
/// to edge detection", 1986. The frames around these are looked at now.
fn into_the_dark(film: &Film<'_>, sights: &mut [Sight]) -> Result<(), VisionError> {
    let surest_new = |sight: &Sight| {
        let dark = sight.dark.as_ref()?;
        let new = dark.iter().filter(|face| !is_known(&sight.faces, face, film.threshold));
        Some(new.map(|face| face.confidence).fold(0.0, f32::max))
    };
    let around = around_dark_faces(&sights.iter().map(surest_new).collect::<Vec<_>>());
    let unknown = around.iter().filter(|number| sights[**number].dark.is_none());
    // A film may tell the same time twice.
    let mut chosen: HashMap<i64, VecDeque<usize>> = HashMap::new();
    for number in unknown {
        chosen.entry(sights[*number].pts).or_default().push_back(*number);
    }
    let times: HashSet<i64> = chosen.keys().copied().collect();
    if !times.is_empty() {
        let look = |eyes: &mut Eyes, (number, view): (usize, View)| {
            Ok(Some((number, eyes.dark_faces(&view)?)))
        };
        let (limits, open) = (film.limits, || Eyes::new(film.models, film.threshold));
        let (_, seen) = in_parallel(limits.threads, &open, &look, |give| {
            media::decode_some(film.file, limits, &mut |pts| times.contains(&pts), &mut |frame| {
                match chosen.get_mut(&frame.pts()).and_then(VecDeque::pop_front) {
                    Some(number) => give((number, View::scaled(frame)?)),
                    None => Ok(()),
                }
            })
        })?;
        if chosen.values().any(|numbers| !numbers.is_empty()) {
            return Err(VisionError::inference(DETECTOR, "a frame did not come a second time"));
        }
        for (number, dark) in seen {
            sights[number].dark = Some(dark);
        }
    }
    for number in around {
        let Sight { faces, dark, .. } = &mut sights[number];
        join(faces, dark.take().unwrap_or_default(), film.threshold);
    }
    Ok(())
}

/// Of frames in order, the numbers of those with a face in the dark, and of all between them and the next that were
/// looked at on both sides. `surest` is how sure the detector is of one that is not seen otherwise, 0 to 100; `None` where
/// it did not look.
fn around_dark_faces(surest: &[Option<f32>]) -> BTreeSet<usize> {
    let looked: Vec<(usize, f32)> =
        surest.iter().enumerate().filter_map(|(at, sure)| sure.map(|sure| (at, sure))).collect();
    let is_there = |&(_, sure): &(usize, f32)| sure > 0.0;
    let is_confirmed = |&(_, sure): &(usize, f32)| sure >= CONFIRMED * 100.0;
    looked
        .chunk_by(|one, next| is_there(one) && is_there(next))
        .filter(|run| run.iter().any(is_confirmed))
        .flat_map(|run| {
            let (first, last) = (run[0].0, run[run.len() - 1].0);
            let unknown = |of: &Option<f32>| of.is_none();
            let before = surest[..first].iter().rev().take_while(|sure| unknown(sure)).count();
            let after = surest[last + 1..].iter().take_while(|sure| unknown(sure)).count();
            first - before..=last + after
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn around_a_face_in_the_dark_all_frames_are_looked_at() {
        let around = |darks: &str| {
            let sure = |letter| match letter {
                '.' => None,
                'n' => Some(0.0),
                'w' => Some(50.0),
                _ => Some(70.0),
            };
            let surest: Vec<_> = darks.chars().map(sure).collect();
            around_dark_faces(&surest).into_iter().collect::<Vec<_>>()
        };
        assert!(around("n...n...n..").is_empty());
        assert_eq!(around("n...F...n.."), [1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(around("F..n...F.."), [0, 1, 2, 4, 5, 6, 7, 8, 9]);
        assert_eq!(around("F..F"), [0, 1, 2, 3]);
        // One that is not confirmed is there beside one that is, however far it goes on, and not by itself.
        assert_eq!(around("n.w.w.F.w.n.w.n"), (1..10).collect::<Vec<_>>());
        assert!(around("n.w.w.n").is_empty() && around("").is_empty());
    }
}
