//! A second look: a face that the detector sees in a rendered clip, where no mask touches it, is
//! masked too, and the clip rendered again; so is one half outside of its mask where nobody told how closely the clip
//! was looked at.
//!
//! On the source the detector may have doubted it; encoding can turn a doubt into a sighting. The
//! check before publishing takes no excuse for a face without a mask, so it is dealt with here.

use super::masking::region;
use media::{ClipSpan, Limits, MediaError};
use schemas::{BoundingBox, TimeBase, Track, TrackPoint, Tracks};
use std::{ops::Range, path::Path};
use vision::{FaceBox, FaceDetector, Models, Profile, RgbImage, in_parallel};

/// The detector's working width.
pub(super) const DETECTOR_WIDTH: u32 = 640;
/// Less of a box than this inside masks: no mask touches it.
pub(super) const TOUCHED: f32 = 0.05;
/// How long a face seen once is masked before and after, milliseconds.
const HOLD_MS: i64 = 200;
/// A face seen once gets a box larger by this share on each side.
const GROW: f32 = 0.1;

/// Whether the detector told that it has looked at all the frames that the check before publishing will look at.
pub(super) fn is_looked_at(tracks: &Tracks, profile: Profile) -> bool {
    tracks.looked_every_ms.is_some_and(|told| told == 0 || told == profile.pause_ms())
}

/// How a rendered core is looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct SecondLook {
    /// 0 to 1.
    pub(super) threshold: f32,
    /// A fast look passes over frames, also between such as follow one another.
    pub(super) profile: Profile,
    /// Faces of which less than this share lies inside masks are masked too.
    pub(super) covered: f32,
}

/// The faces of a rendered core that masks of `tracks` do not cover, as tracks to be masked; within `times`, which
/// are those of whole groups.
pub(super) fn faces_in_the_clear(
    rendered: &Path,
    span: &ClipSpan,
    times: &[Range<i64>],
    tracks: &Tracks,
    models: &Models,
    how: &SecondLook,
    limits: &Limits,
) -> Result<Vec<Track>, MediaError> {
    let time_base = media::Rational { num: tracks.time_base.num, den: tracks.time_base.den };
    let mut grid = how.profile.grid(tracks.time_base);
    let open = || FaceDetector::new(models, 1);
    let look = |detector: &mut FaceDetector, (pts, picture): (i64, RgbImage)| {
        let mut faces = detector.detect(&picture, how.threshold)?;
        if !faces.is_empty() {
            let masks: Vec<_> = tracks.regions_at(pts).iter().map(region).collect();
            faces.retain(|face| media::mask_coverage(&region(&face.region), &masks) < how.covered);
        }
        Ok((!faces.is_empty()).then_some((pts, faces)))
    };
    let ((), seen) = in_parallel(limits.threads, &open, &look, |give| {
        media::decode_core(rendered, span, time_base, times, limits, &mut |pts, frame| {
            if grid.is_looked_at(pts - span.margin_start) {
                give((pts, frame.rgb(DETECTOR_WIDTH)?))?;
            }
            Ok(())
        })
    })?;
    let first = tracks.tracks.len();
    let faces = seen.into_iter().flat_map(|(pts, faces)| faces.into_iter().map(move |f| (pts, f)));
    Ok(faces.zip(first..).map(|((pts, face), id)| held(pts, &face, id, tracks.time_base)).collect())
}

/// A face that was seen once, as a track.
fn held(pts: i64, face: &FaceBox, id: usize, time_base: TimeBase) -> Track {
    let hold = time_base.to_ticks(HOLD_MS);
    let BoundingBox { left, top, width, height } = face.region;
    let grown = BoundingBox {
        left: left - GROW * width,
        top: top - GROW * height,
        width: width * (1.0 + 2.0 * GROW),
        height: height * (1.0 + 2.0 * GROW),
    };
    let point = |pts| TrackPoint { pts, region: grown.clamped(), confidence: face.confidence };
    let id = i32::try_from(id).unwrap_or(i32::MAX);
    Track { id, points: vec![point(pts - hold), point(pts + hold)] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_detector_that_told_that_it_looked_as_closely_is_believed() {
        let is_believed = |looked_every_ms, profile| {
            let (video_id, run_id) = (String::new(), String::new());
            let time_base = schemas::TimeBase { num: 1, den: 25 };
            let tracks = Tracks {
                video_id,
                run_id,
                index: 0,
                time_base,
                frame_ticks: 1,
                looked_every_ms,
                tracks: Vec::new(),
            };
            is_looked_at(&tracks, profile)
        };
        // Who looks every 100 ms does not look at the frames of a check every 150 ms.
        let told = [None, Some(0), Some(100), Some(150), Some(500)];
        let believed = |profile| told.map(|told| is_believed(told, profile));
        assert_eq!(believed(Profile::Careful), [false, true, false, false, false]);
        assert_eq!(believed(Profile::Fast), [false, true, false, true, false]);
    }
}
