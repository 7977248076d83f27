//! Counts faces in the clear, and what was masked without need.

use crate::truth::{Face, Truth};
use media::RgbImage;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Brighter than a black mask after encoding, and darker than any pixel of a film of known faces.
const BLACK: u8 = 32;
/// A face of which less than this is visible, as a share of all of it, is none.
const LEAST_VISIBLE: f32 = 0.3;
/// From this share of its visible pixels on a face is covered.
const COVERED: f32 = 0.95;
/// A frame with more masked pixels than this is masked.
const SPECK: u64 = 16;

/// What is counted frame by frame.
#[derive(Debug, Default)]
pub(crate) struct Count {
    classes: BTreeMap<String, Class>,
    leaked_tracks: BTreeSet<usize>,
    tracks: BTreeSet<usize>,
    face_pixels: u64,
    touched_pixels: u64,
    frames_without_face: u32,
    masked_without_face: u32,
    kinds: BTreeMap<String, Class>,
    leaks: Vec<Leak>,
}

/// A face in the clear.
#[derive(Debug, Serialize)]
struct Leak {
    frame: usize,
    track: usize,
    /// Share of what is visible of it, 0 to 1.
    masked: f32,
}

/// Face-frames and tracks of one kind.
#[derive(Debug, Clone, Default, Serialize)]
struct Class {
    face_frames: u32,
    leaked: u32,
    tracks: u32,
    leaked_tracks: u32,
}

/// The result.
#[derive(Debug, Serialize)]
pub(crate) struct Leaks {
    classes: BTreeMap<String, Class>,
    /// The same by what the faces do.
    kinds: BTreeMap<String, Class>,
    /// Of all faces on all frames.
    face_pixels: u64,
    /// Masked outside of faces.
    touched_pixels: u64,
    frames_without_face: u32,
    /// Of these, those with a mask.
    masked_without_face: u32,
    leaks: Vec<Leak>,
}

impl Count {
    /// Counts one frame of the masked film.
    pub(crate) fn frame(&mut self, truth: &Truth, frame: usize, picture: &RgbImage) {
        let faces: &[Face] = truth.frames.get(frame).map_or(&[], Vec::as_slice);
        // By face: visible pixels, and those of them that are masked.
        let mut pixels = vec![(0_u64, 0_u64); faces.len()];
        let mut touched = 0;
        for (y, row) in (0..).zip(picture.data.chunks_exact(3 * picture.width as usize)) {
            for (x, pixel) in (0..).zip(row.chunks_exact(3)) {
                let is_masked = pixel.iter().all(|&level| level < BLACK);
                // A pixel of a head is of the face in front, if of any.
                let front = faces.iter().rposition(|face| face.ellipse.holds(x, y, truth.head));
                match front.filter(|&at| faces[at].ellipse.holds(x, y, 1.0)) {
                    Some(at) => {
                        pixels[at].0 += 1;
                        pixels[at].1 += u64::from(is_masked);
                    }
                    None => touched += u64::from(is_masked),
                }
            }
        }
        self.touched_pixels += touched;
        if faces.is_empty() {
            self.frames_without_face += 1;
            self.masked_without_face += u32::from(touched > SPECK);
        }
        for (face, (visible, masked)) in faces.iter().zip(pixels) {
            self.face_pixels += visible;
            if face.visible < LEAST_VISIBLE || visible == 0 {
                continue;
            }
            let track = &truth.tracks[face.track];
            let is_leaked = (masked as f32) < COVERED * visible as f32;
            for (names, name) in
                [(&mut self.classes, track.class()), (&mut self.kinds, track.kind.as_str())]
            {
                let class = names.entry(name.to_owned()).or_default();
                class.face_frames += 1;
                class.leaked += u32::from(is_leaked);
            }
            self.tracks.insert(face.track);
            if is_leaked {
                self.leaked_tracks.insert(face.track);
                let masked = masked as f32 / visible as f32;
                self.leaks.push(Leak { frame, track: face.track, masked });
            }
        }
    }

    /// The sums.
    pub(crate) fn finish(mut self, truth: &Truth) -> Leaks {
        for &at in &self.tracks {
            let track = &truth.tracks[at];
            for (names, name) in
                [(&mut self.classes, track.class()), (&mut self.kinds, track.kind.as_str())]
            {
                let class = names.entry(name.to_owned()).or_default();
                class.tracks += 1;
                class.leaked_tracks += u32::from(self.leaked_tracks.contains(&at));
            }
        }
        Leaks {
            classes: self.classes,
            kinds: self.kinds,
            face_pixels: self.face_pixels,
            touched_pixels: self.touched_pixels,
            frames_without_face: self.frames_without_face,
            masked_without_face: self.masked_without_face,
            leaks: self.leaks,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A face of 20 x 20 px in the middle of a picture of 100 x 100, another behind it.
    fn truth() -> Truth {
        serde_json::from_str(
            r#"{"width": 100, "height": 100, "head": 1.5,
                "tracks": [{"kind": "moving", "width": 30, "frames": 9},
                           {"kind": "dark", "width": 30, "frames": 9}],
                "frames": [
                    [{"track": 0, "ellipse": [50, 50, 10, 10, 0], "visible": 1}],
                    [{"track": 0, "ellipse": [64, 50, 10, 10, 0], "visible": 0.6},
                     {"track": 1, "ellipse": [50, 50, 10, 10, 0], "visible": 1}],
                    []]}"#,
        )
        .unwrap()
    }

    /// Grey, and black where `is_masked` says so.
    fn picture(is_masked: impl Fn(u32, u32) -> bool) -> RgbImage {
        let places = (0..100).flat_map(|y| (0..100).map(move |x| (x, y)));
        let data = places.flat_map(|(x, y)| [if is_masked(x, y) { 0 } else { 99 }; 3]).collect();
        RgbImage { width: 100, height: 100, data }
    }

    fn counted(frame: usize, is_masked: impl Fn(u32, u32) -> bool) -> Leaks {
        let truth = truth();
        let mut count = Count::default();
        count.frame(&truth, frame, &picture(is_masked));
        count.finish(&truth)
    }

    #[test]
    fn a_face_is_covered_or_leaks() {
        let nothing = counted(0, |_, _| false);
        assert_eq!((nothing.classes["clear"].leaked, nothing.touched_pixels), (1, 0));
        assert!((nothing.face_pixels as f32 - 314.0).abs() < 10.0, "{nothing:?}");
        let whole = counted(0, |x, y| (40..60).contains(&x) && (40..60).contains(&y));
        assert_eq!((whole.classes["clear"].leaked, whole.classes["clear"].leaked_tracks), (0, 0));
        assert!((whole.touched_pixels as f32 - 86.0).abs() < 10.0, "{whole:?}");
        let most = counted(0, |x, y| (40..60).contains(&x) && (40..56).contains(&y));
        assert_eq!(most.classes["clear"].leaked, 1);
    }

    #[test]
    fn what_is_behind_a_head_is_no_face() {
        // All that is right of the head in front.
        let before = counted(1, |x, _| x < 62);
        assert_eq!((before.classes["dark"].leaked, before.classes["clear"].leaked), (0, 1));
        let both = counted(1, |x, y| {
            let (right, down) = (f64::from(x) + 0.5 - 50.0, f64::from(y) + 0.5 - 50.0);
            x > 60 || right * right + down * down < 101.0
        });
        assert_eq!((both.classes["dark"].leaked, both.classes["clear"].leaked), (0, 0));
    }

    #[test]
    fn masks_without_a_face_are_counted() {
        let masked = counted(2, |x, y| x < 5 && y < 5);
        assert_eq!((masked.frames_without_face, masked.masked_without_face), (1, 1));
        assert_eq!(masked.touched_pixels, 25);
        let clear = counted(2, |x, y| x < 2 && y < 2);
        assert_eq!(clear.masked_without_face, 0);
    }
}
