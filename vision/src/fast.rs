//! Looking at what may have changed.

use crate::{
    FAST_MS, FaceSample, VisionError,
    closely::{Eyes, View},
    profile::{Looking, Moment},
    video::Film,
};
use media::{Limits, Part};
use std::{
    ops::ControlFlow,
    sync::mpsc::{Receiver, sync_channel},
    thread,
};

/// Frames that decoding may be ahead of the detector: bounds memory.
const FRAMES_IN_FLIGHT: usize = 4;

/// Looks at those frames of a film that [`Profile::Fast`](crate::Profile::Fast) does not pass over: of a part's first, at all of them.
pub(crate) fn faces(film: &Film<'_>) -> Result<Vec<FaceSample>, VisionError> {
    let seen = media::side_by_side(film.parts, film.limits, |part, limits| {
        now_and_then(film, part, limits)
    })?;
    Ok(seen.into_iter().flatten().collect())
}

fn now_and_then(
    film: &Film<'_>,
    part: &Part,
    limits: &Limits,
) -> Result<Vec<FaceSample>, VisionError> {
    thread::scope(|scope| {
        let (moments, queue) = sync_channel(FRAMES_IN_FLIGHT);
        let looking = scope.spawn(move || see_faces(&queue, film));
        let mut grid = film.grid(FAST_MS, part);
        let decoded = media::decode_part(film.file, part, limits, &mut |frame| {
            let at_ms = film.at_ms(frame.pts());
            let is_due = grid.is_looked_at(film.ticks(frame.pts()));
            let squares = frame.squares();
            let picture = if is_due { View::of(frame)? } else { View::unscaled(frame)? };
            (film.step)();
            // A closed queue means that the detector failed; its error is the one to tell.
            let bytes = picture.bytes();
            let sent = moments.send(Some(Moment { at_ms, picture, bytes, is_due, squares }));
            Ok(if sent.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        });
        if decoded.is_ok() {
            // Nobody waits for it where the detector failed.
            drop(moments.send(None));
        }
        drop(moments);
        let seen = looking.join().unwrap_or_else(|_| {
            Err(VisionError::inference(crate::DETECTOR, "its thread has panicked"))
        });
        decoded.map_err(VisionError::from).and(seen)
    })
}

/// Looks at what comes until it is told that this was all; without that, nobody wants the rest.
fn see_faces(
    queue: &Receiver<Option<Moment<View>>>,
    film: &Film<'_>,
) -> Result<Vec<FaceSample>, VisionError> {
    let (mut looking, mut eyes) = (Looking::new(), Eyes::new(film.models, film.threshold)?);
    let mut detect = |view: &View| eyes.faces(view);
    for moment in queue {
        match moment {
            Some(moment) => looking.see(moment, &mut detect)?,
            None => looking.finish(&mut detect)?,
        }
    }
    Ok(looking.samples)
}
