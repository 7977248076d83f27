//! A second look: a face that the detector sees in a rendered clip, where no mask touches it, is
//! masked too, and the clip rendered again.
//!
//! On the source the detector may have doubted it; encoding can turn a doubt into a sighting. The
//! check before publishing takes no excuse for a face without a mask, so it is dealt with here.

use super::masking::region;
use media::{ClipSpan, Limits, MediaError};
use processors::tracks::{EVERY_FRAME_MS, is_every_frame};
use schemas::{Track, TrackPoint, Tracks};
use std::{ops::Range, path::Path, slice};
use vision::{FaceDetector, Profile};

/// The detector's working width.
pub(super) const DETECTOR_WIDTH: u32 = 640;
/// Less of a box than this inside masks: no mask touches it.
pub(super) const TOUCHED: f32 = 0.05;
/// How long a face seen once is masked before and after, milliseconds.
const HOLD_MS: i64 = 200;
/// A face seen once gets a box larger by this share on each side.
const GROW: f32 = 0.1;

/// Whether the sightings of some face tell that every frame was looked at.
fn is_of_every_frame(tracks: &Tracks) -> bool {
    let near = tracks.time_base.to_ticks(EVERY_FRAME_MS);
    tracks.tracks.iter().any(|track| {
        let seen = track.points.iter().filter(|point| point.confidence > 0.0);
        is_every_frame(seen.map(|point| point.pts).collect(), near, tracks.frame_ticks)
    })
}

/// The faces of a rendered core that no mask of `tracks` touches, as tracks to be masked. Where the
/// first look has seen every frame, only what was `encoded` anew is looked at: copied packets show
/// what it has seen. A fast one passes over frames, also between such as follow one another.
///
/// The threshold is 0 to 1.
pub(super) fn faces_in_the_clear(
    rendered: &Path,
    span: &ClipSpan,
    encoded: &[Range<i64>],
    tracks: &Tracks,
    detector: &mut FaceDetector,
    (threshold, profile): (f32, Profile),
    limits: &Limits,
) -> Result<Vec<Track>, MediaError> {
    let hold = tracks.time_base.to_ticks(HOLD_MS);
    let whole = span.core_start..span.core_end;
    let is_seen = profile == Profile::Careful && is_of_every_frame(tracks);
    let looked_at = if is_seen { encoded } else { slice::from_ref(&whole) };
    let time_base = media::Rational { num: tracks.time_base.num, den: tracks.time_base.den };
    let mut found = Vec::new();
    let mut grid = profile.grid();
    media::decode_core(rendered, span, time_base, looked_at, limits, &mut |pts, frame| {
        if !grid.is_looked_at(tracks.time_base.to_ms(pts)) {
            return Ok(());
        }
        let masks: Vec<_> = tracks.regions_at(pts).iter().map(region).collect();
        for face in detector.detect(&frame.rgb(DETECTOR_WIDTH)?, threshold)? {
            if media::mask_coverage(&region(&face.region), &masks) >= TOUCHED {
                continue;
            }
            let grown = schemas::BoundingBox {
                left: face.region.left - GROW * face.region.width,
                top: face.region.top - GROW * face.region.height,
                width: face.region.width * (1.0 + 2.0 * GROW),
                height: face.region.height * (1.0 + 2.0 * GROW),
            };
            let point =
                |pts| TrackPoint { pts, region: grown.clamped(), confidence: face.confidence };
            let id = i32::try_from(tracks.tracks.len() + found.len()).unwrap_or(i32::MAX);
            found.push(Track { id, points: vec![point(pts - hold), point(pts + hold)] });
        }
        Ok(())
    })?;
    Ok(found)
}
