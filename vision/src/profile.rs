//! How closely films are looked at.

use crate::{FaceBox, FaceSample, VisionError, closely::Seen};
use media::Squares;
use schemas::TimeBase;
use serde::{Deserialize, Serialize};

/// What faces that are there for a moment are worth beside speed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Profile {
    /// Every frame is looked at.
    #[default]
    Careful,
    /// The first frame of every [`FAST_MS`] is looked at. Where the detector is sure, and sees the same faces on
    /// two such frames or none on both, and nothing of those in between stands out from both, these are passed
    /// over: a face that is there for less may not be seen.
    Fast,
}

/// The first frame of every such stretch of time is looked at.
pub const FAST_MS: i64 = 150;
/// Pictures that wait take this much memory at most: what a film says of its times may be anything.
const MOST_WAITING_BYTES: usize = 64 << 20;
/// And so many do.
const MOST_WAITING: usize = 64;
/// How a detector's name ends where it worked fast; receipts say so.
const FAST: &str = ", fast: a frame in 150 ms";
const EVERY_FRAME: &str = "looked at every frame";
const A_FRAME_IN: &str = "looked at a frame in ";
const MILLISECONDS: &str = " ms";
/// Faces less sure than this are looked at on every frame.
const SURE: f32 = 50.0;
/// Boxes overlap by this (intersection over union) or the face moves fast.
const SAME_PLACE: f32 = 0.5;
/// What stands out does so by this much, levels of 0 to 255; encoding changes the mean of a square by less.
const OUTSTANDING: u8 = 20;
/// In so many squares of 12 px (of 640): a face of 24 px has four.
const LEAST_SQUARES: usize = 3;

impl Profile {
    /// A detector's name with the profile.
    #[must_use]
    pub fn name(self, detector: &str) -> String {
        match self {
            Self::Careful => detector.to_owned(),
            Self::Fast => format!("{detector}{FAST}"),
        }
    }

    /// The profile that a name from [`name`](Self::name) tells of.
    #[must_use]
    pub fn of(name: &str) -> Self {
        if name.ends_with(FAST) { Self::Fast } else { Self::Careful }
    }

    /// A frame in so many milliseconds is looked at at least; 0 for every frame.
    #[must_use]
    pub fn pause_ms(self) -> i64 {
        match self {
            Self::Careful => 0,
            Self::Fast => FAST_MS,
        }
    }

    /// What a detector that works so tells of it.
    #[must_use]
    pub fn told(self) -> String {
        match self {
            Self::Careful => EVERY_FRAME.to_owned(),
            Self::Fast => format!("{A_FRAME_IN}{FAST_MS}{MILLISECONDS}"),
        }
    }

    /// How long a detector that tells this has looked away at most, ms; `None` where it tells nothing of it.
    #[must_use]
    pub fn pause_told(words: &str) -> Option<i64> {
        if words == EVERY_FRAME {
            return Some(0);
        }
        words
            .strip_prefix(A_FRAME_IN)?
            .strip_suffix(MILLISECONDS)?
            .parse()
            .ok()
            .filter(|ms| *ms > 0)
    }

    /// Which frames of a film are looked at.
    #[must_use]
    pub fn grid(self, time_base: TimeBase) -> Grid {
        Grid::every(self.pause_ms(), time_base)
    }
}

/// Chooses the first frame of every so many ms. All who ask about a clip, in times from its first frame on,
/// choose the same frames: what the check before publishing looks at, the detector has looked at.
#[derive(Debug)]
pub struct Grid {
    pause_ms: i64,
    time_base: TimeBase,
    last: Option<i128>,
}

impl Grid {
    /// The first frame in so many ms; 0 for every frame.
    pub(crate) fn every(pause_ms: i64, time_base: TimeBase) -> Self {
        Self { pause_ms, time_base, last: None }
    }

    /// Whether the next frame, so many ticks from the first, is looked at. Nothing is rounded: time bases that tell
    /// the same moments choose the same frames.
    pub fn is_looked_at(&mut self, ticks: i64) -> bool {
        if self.pause_ms == 0 {
            return true;
        }
        let [ticks, num, den, pause] =
            [ticks, self.time_base.num.into(), self.time_base.den.into(), self.pause_ms]
                .map(i128::from);
        let cell = Some((ticks * 1000 * num).div_euclid(den.max(1) * pause));
        std::mem::replace(&mut self.last, cell) != cell
    }
}

/// A frame that may be looked at.
#[derive(Debug)]
pub(crate) struct Moment<P> {
    /// From the first frame.
    pub(crate) at_ms: i64,
    pub(crate) picture: P,
    /// Memory that it takes.
    pub(crate) bytes: usize,
    /// It is looked at whatever comes.
    pub(crate) is_due: bool,
    pub(crate) squares: Option<Squares>,
}

/// Looks at the frames of a film, or lets them wait.
#[derive(Debug)]
pub(crate) struct Looking<P> {
    /// The last one that was due, and its faces.
    last: Option<(Option<Squares>, Seen)>,
    /// Frames since then, and the memory that they take.
    waiting: Vec<Moment<P>>,
    waiting_bytes: usize,
    pub(crate) samples: Vec<FaceSample>,
}

/// Finds the faces of a picture.
type Detect<'a, P> = dyn FnMut(&P) -> Result<Seen, VisionError> + 'a;

impl<P> Looking<P> {
    pub(crate) fn new() -> Self {
        Self { last: None, waiting: Vec::new(), waiting_bytes: 0, samples: Vec::new() }
    }

    pub(crate) fn see(
        &mut self,
        moment: Moment<P>,
        detect: &mut Detect<'_, P>,
    ) -> Result<(), VisionError> {
        let has_room = self.waiting_bytes + moment.bytes <= MOST_WAITING_BYTES
            && self.waiting.len() < MOST_WAITING;
        if !moment.is_due && has_room {
            self.waiting_bytes += moment.bytes;
            self.waiting.push(moment);
            return Ok(());
        }
        let Moment { at_ms, picture, squares, .. } = moment;
        let now = detect(&picture)?;
        let is_calm = self.last.as_ref().is_some_and(|(before, seen)| {
            are_same(seen, &now) && !self.stands_out(before.as_ref(), squares.as_ref())
        });
        if is_calm {
            self.waiting.clear();
            self.waiting_bytes = 0;
        } else {
            self.finish(detect)?;
        }
        self.samples.push(FaceSample { at_ms, faces: now.faces.clone() });
        self.last = Some((squares, now));
        Ok(())
    }

    /// Whether something of what waits is neither in the frame before nor in the one after, or nobody knows.
    fn stands_out(&self, before: Option<&Squares>, after: Option<&Squares>) -> bool {
        self.waiting.iter().any(|moment| match (before, &moment.squares, after) {
            (Some(before), Some(squares), Some(after)) => {
                squares.outstanding(before, after, OUTSTANDING) >= LEAST_SQUARES
            }
            _ => true,
        })
    }

    /// Looks at what waits: nothing is known of what comes after it.
    pub(crate) fn finish(&mut self, detect: &mut Detect<'_, P>) -> Result<(), VisionError> {
        for Moment { at_ms, picture, .. } in self.waiting.drain(..) {
            self.samples.push(FaceSample { at_ms, faces: detect(&picture)?.faces });
        }
        self.waiting_bytes = 0;
        Ok(())
    }
}

/// Whether two frames show the same faces, all of them surely, or none.
fn are_same(before: &Seen, now: &Seen) -> bool {
    if before.had_doubts || now.had_doubts {
        return false;
    }
    let (before, now) = (&before.faces, &now.faces);
    let is_sure = |face: &FaceBox| face.confidence >= SURE;
    let mut gone: Vec<&FaceBox> = before.iter().collect();
    let mut was_there = |face: &FaceBox| {
        let same = |old: &&FaceBox| is_sure(old) && old.region.iou(&face.region) >= SAME_PLACE;
        gone.iter().position(same).map(|at| gone.swap_remove(at)).is_some()
    };
    before.len() == now.len() && now.iter().all(|face| is_sure(face) && was_there(face))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BoundingBox;

    const MS: TimeBase = TimeBase { num: 1, den: 1000 };

    fn face(left: f32, confidence: f32) -> FaceBox {
        let region = BoundingBox { left, top: 0.4, width: 0.2, height: 0.2 };
        FaceBox { region, confidence, landmarks: [(0.0, 0.0); 5] }
    }

    fn seen(faces: Vec<FaceBox>) -> Seen {
        Seen { faces, had_doubts: false }
    }

    /// The times that are looked at of a film of 25 frames a second, whose faces are `faces` of the time.
    fn looked_at(profile: Profile, faces: impl Fn(i64) -> Vec<FaceBox>) -> Vec<(i64, usize)> {
        looked_at_squares(profile, faces, |_| Some(vec![100; 3].into()))
    }

    fn looked_at_squares(
        profile: Profile,
        faces: impl Fn(i64) -> Vec<FaceBox>,
        squares: impl Fn(i64) -> Option<Squares>,
    ) -> Vec<(i64, usize)> {
        let (mut looking, mut grid) = (Looking::new(), profile.grid(MS));
        // The picture tells the detector its time.
        let mut detect = |picture: &i64| Ok(seen(faces(*picture)));
        for at_ms in (0..=1000).step_by(40) {
            let is_due = grid.is_looked_at(at_ms);
            let moment =
                Moment { at_ms, picture: at_ms, bytes: 1, is_due, squares: squares(at_ms) };
            looking.see(moment, &mut detect).unwrap();
        }
        looking.finish(&mut detect).unwrap();
        looking.samples.iter().map(|sample| (sample.at_ms, sample.faces.len())).collect()
    }

    #[test]
    fn careful_is_every_frame() {
        let seen = looked_at(Profile::Careful, |_| Vec::new());
        assert_eq!(seen, (0..=1000).step_by(40).map(|at| (at, 0)).collect::<Vec<_>>());
    }

    #[test]
    fn fast_passes_over_what_does_not_change_and_sees_the_last_frames() {
        let times = [0, 160, 320, 480, 600, 760, 920, 960, 1000];
        assert_eq!(looked_at(Profile::Fast, |_| Vec::new()), times.map(|at| (at, 0)));
        assert_eq!(looked_at(Profile::Fast, |_| vec![face(0.3, 90.0)]), times.map(|at| (at, 1)));
    }

    #[test]
    fn where_something_stands_out_or_cannot_be_compared_every_frame_is_looked_at() {
        let one = |at| Some(vec![if at == 240 { 121 } else { 100 }; 3].into());
        let unknown = |at| (at != 240).then(|| vec![100; 3].into());
        let looked = |squares: &dyn Fn(i64) -> Option<Squares>| {
            let seen = looked_at_squares(Profile::Fast, |_| Vec::new(), squares);
            seen.into_iter().map(|(at, _)| at).filter(|at| *at <= 480).collect::<Vec<_>>()
        };
        assert_eq!(looked(&one), [0, 160, 200, 240, 280, 320, 480]);
        assert_eq!(looked(&unknown), [0, 160, 200, 240, 280, 320, 480]);
        // Slow change is calm.
        let rising = |at| Some(vec![(at / 10) as u8; 3].into());
        assert_eq!(looked(&rising), [0, 160, 320, 480]);
    }

    #[test]
    fn a_face_that_goes_while_another_is_seen_twice_is_missed() {
        let [one, other] = [0.3, 0.7].map(|left| face(left, 90.0));
        let [both, turned] =
            [[one.clone(), other.clone()], [other, one.clone()]].map(|faces| seen(faces.into()));
        assert!(are_same(&both, &turned));
        assert!(!are_same(&both, &seen(vec![one.clone(), one])));
        // What was doubted is looked at on every frame, though a closer look has confirmed it.
        assert!(!are_same(&both, &Seen { had_doubts: true, ..turned }));
    }

    #[test]
    fn a_film_whose_times_stand_still_fills_no_memory() {
        let mut looking = Looking::new();
        for _ in 0..200 {
            let moment =
                Moment { at_ms: 0, picture: (), bytes: 6 << 20, is_due: false, squares: None };
            looking.see(moment, &mut |()| Ok(seen(Vec::new()))).unwrap();
            assert!(looking.waiting.len() <= 10);
        }
    }

    #[test]
    fn a_grid_is_that_of_the_clip_wherever_it_begins() {
        let chosen = |times: std::ops::Range<i64>| {
            let mut grid = Profile::Fast.grid(MS);
            times.step_by(40).filter(|at| grid.is_looked_at(*at)).collect::<Vec<_>>()
        };
        let whole = chosen(0..4000);
        assert!(whole.windows(2).all(|pair| pair[1] - pair[0] < 2 * FAST_MS), "{whole:?}");
        // The first of a part may lie in the middle of a stretch.
        let part = chosen(1240..2000);
        let in_part: Vec<_> = whole.into_iter().filter(|at| (1240..2000).contains(at)).collect();
        assert!(part.ends_with(&in_part) && part.len() <= in_part.len() + 1, "{part:?}");
        let mut every = Profile::Careful.grid(MS);
        assert!((0..10).all(|at| every.is_looked_at(at)));
    }

    #[test]
    fn time_bases_that_tell_the_same_moments_choose_the_same_frames() {
        for (num, den) in [(1001, 30_000), (1001, 24_000), (1001, 60_000), (1, 25), (1, 7)] {
            let chosen = |finer: i32| {
                let mut grid = Profile::Fast.grid(TimeBase { num, den: den * finer });
                (0..20_000)
                    .filter(|frame| grid.is_looked_at(frame * i64::from(finer)))
                    .collect::<Vec<i64>>()
            };
            assert_eq!(chosen(1), chosen(512), "{num}/{den}");
        }
    }

    #[test]
    fn where_a_face_comes_and_goes_every_frame_is_looked_at() {
        let seen = looked_at(Profile::Fast, |at| {
            if (400..=600).contains(&at) { vec![face(0.3, 90.0)] } else { Vec::new() }
        });
        let around: Vec<_> = seen.into_iter().filter(|(at, _)| (320..=800).contains(at)).collect();
        let expected = [
            (320, 0),
            (360, 0),
            (400, 1),
            (440, 1),
            (480, 1),
            (600, 1),
            (640, 0),
            (680, 0),
            (720, 0),
            (760, 0),
        ];
        assert_eq!(around, expected);
    }

    #[test]
    fn a_doubtful_face_and_one_that_moves_fast_are_looked_at_on_every_frame() {
        assert_eq!(looked_at(Profile::Fast, |_| vec![face(0.3, 40.0)]).len(), 26);
        let moving = |at| vec![face(at as f32 / 1000.0, 90.0)];
        assert_eq!(looked_at(Profile::Fast, moving).len(), 26);
    }

    #[test]
    fn a_name_tells_the_profile() {
        for profile in [Profile::Careful, Profile::Fast] {
            assert_eq!(Profile::of(&profile.name("yunet_s@640 a0bc")), profile);
        }
        assert!(FAST.contains(&format!(" {FAST_MS} ms")));
    }

    #[test]
    fn a_detector_that_tells_nothing_is_not_believed() {
        for profile in [Profile::Careful, Profile::Fast] {
            assert_eq!(Profile::pause_told(&profile.told()), Some(profile.pause_ms()));
        }
        for words in ["", "ok", "looked at a frame in 0 ms", "looked at a frame in -5 ms"] {
            assert_eq!(Profile::pause_told(words), None, "{words}");
        }
    }
}
