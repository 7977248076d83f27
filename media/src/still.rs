//! One picture of a film.

use std::path::Path;

use crate::decode::FrameReader;
use crate::picture::RgbImage;
use crate::schedule::to_ms;
use crate::source::Source;
use crate::{Limits, MediaError, Probe};

/// A frame of a film as it is displayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Still {
    /// With square pixels.
    pub image: RgbImage,
    /// Time of the frame since the film's first one, ms.
    pub at_ms: i64,
}

/// The first frame at or after `at_ms` (since the first frame of the film), scaled down to fit into
/// `within` (width and height, px) with the film's aspect ratio; the first frame of the film where
/// there is none so late.
///
/// `probe` is of `path`. Only the frames from the last key frame before that time are decoded.
///
/// # Errors
/// As of [`crate::decode`].
pub fn still(
    path: &Path,
    probe: &Probe,
    at_ms: i64,
    within: (u32, u32),
    limits: &Limits,
) -> Result<Still, MediaError> {
    let size = Source::open_video(path, limits)?.stated_size()?;
    let ticks = i128::from(at_ms.max(0)) * i128::from(probe.time_base.den)
        / (1000 * i128::from(probe.time_base.num.max(1)));
    let wanted = probe.start_pts.saturating_add(i64::try_from(ticks).unwrap_or(i64::MAX));
    for from in [wanted, i64::MIN] {
        let mut reader = FrameReader::open(path, size, limits)?;
        if from > probe.start_pts && reader.seek(from).is_err() {
            continue;
        }
        let pixel_aspect = reader.pixel_aspect;
        while let Some(mut frame) = reader.next()? {
            if frame.pts() >= from {
                let image = frame.rgb_within(within, pixel_aspect)?;
                return Ok(Still {
                    image,
                    at_ms: to_ms(frame.pts() - probe.start_pts, probe.time_base),
                });
            }
        }
    }
    Err(MediaError::NoVideo)
}
