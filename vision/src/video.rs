//! Whole videos: every frame for faces, one frame a second for labels.

use crate::{
    FaceBox, Grid, LabelBox, LabelDetector, Models, Profile, VisionError, careful, fast, labels,
};
use media::{Frame, Limits, MediaError, Part, Probe, Rational, RgbImage};
use schemas::TimeBase;
use serde::{Deserialize, Serialize};
use std::{
    path::Path,
    sync::{Mutex, PoisonError},
};

/// Time between two frames that are looked at for labels, ms.
const LABEL_EVERY_MS: i64 = 1000;

/// What was looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VideoInfo {
    pub duration_ms: i64,
    /// Average frames per second.
    pub frame_rate: f64,
    /// As displayed, px.
    pub width: u32,
    /// As displayed, px.
    pub height: u32,
    /// FFmpeg's name, e.g. `h264`.
    pub codec: String,
    /// `mp4` (also mov), `matroska` (also webm), `avi` or `mpegts`.
    pub container: String,
}

/// The faces of one frame, perhaps none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FaceSample {
    /// From the first frame, rounded to the nearest ms.
    pub at_ms: i64,
    /// Surest first.
    pub faces: Vec<FaceBox>,
}

/// The faces of a video: a sample for every frame that was looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VideoFaces {
    pub video: VideoInfo,
    /// In order of time.
    pub samples: Vec<FaceSample>,
}

/// The things in one frame, perhaps none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LabelSample {
    /// From the first frame, rounded to the nearest ms.
    pub at_ms: i64,
    /// Surest first.
    pub labels: Vec<LabelBox>,
}

/// The things in a video: a sample for the first frame of every second.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VideoLabels {
    pub video: VideoInfo,
    /// In order of time.
    pub samples: Vec<LabelSample>,
}

/// Looks for faces on every frame, or those that a profile does not pass over. `progress` gets the number
/// of frames decoded; `limits.cancel` stops it. Parts of the film are looked at side by side, by as many threads as
/// `limits` says.
///
/// # Errors
/// Those of [`media`] about the file, or of the model.
pub fn faces_in_video(
    file: &Path,
    models: &Models,
    threshold: f32,
    profile: Profile,
    limits: &Limits,
    progress: &mut (dyn FnMut(u32) + Send),
) -> Result<VideoFaces, VisionError> {
    let probe = media::probe(file, limits)?;
    let parts = media::parts(file, limits, limits.threads)?;
    let progress = Mutex::new((0, progress));
    let step = || {
        let (frames, progress) = &mut *progress.lock().unwrap_or_else(PoisonError::into_inner);
        *frames += 1;
        progress(*frames);
    };
    let film = Film { file, probe: &probe, models, threshold, parts: &parts, limits, step: &step };
    let samples = match profile {
        Profile::Careful => careful::faces(&film)?,
        Profile::Fast => fast::faces(&film)?,
    };
    Ok(VideoFaces { samples, video: info(probe) })
}

/// A film in which faces are looked for.
pub(crate) struct Film<'a> {
    pub(crate) file: &'a Path,
    pub(crate) probe: &'a Probe,
    pub(crate) models: &'a Models,
    pub(crate) threshold: f32,
    pub(crate) parts: &'a [Part],
    pub(crate) limits: &'a Limits,
    /// Counts a frame.
    pub(crate) step: &'a (dyn Fn() + Sync),
}

impl Film<'_> {
    /// Milliseconds from the first displayed frame, to the nearest.
    pub(crate) fn at_ms(&self, pts: i64) -> i64 {
        since_start(self.probe, pts)
    }

    /// Ticks from the first displayed frame.
    pub(crate) fn ticks(&self, pts: i64) -> i64 {
        pts - self.probe.start_pts
    }

    /// Which frames of a part are looked at, one in so many ms: the grid is that of the whole film.
    pub(crate) fn grid(&self, pause_ms: i64, part: &Part) -> Grid {
        let Rational { num, den } = self.probe.time_base;
        let mut grid = Grid::every(pause_ms, TimeBase { num, den });
        if let Some(before) = part.before {
            grid.is_looked_at(self.ticks(before));
        }
        grid
    }
}

/// Looks for things on the first frame of every second, and decodes no more than these need where the film
/// allows that. `progress` gets the number of frames looked at; `limits.cancel` stops it.
///
/// # Errors
/// Those of [`media`] about the file, or of the model.
pub fn labels_in_video(
    file: &Path,
    detector: &mut LabelDetector,
    limits: &Limits,
    progress: &mut dyn FnMut(u32),
) -> Result<VideoLabels, VisionError> {
    let probe = media::probe(file, limits)?;
    let mut samples = Vec::new();
    let mut next_second = 0;
    let mut choose = |pts| {
        let second = since_start(&probe, pts).div_euclid(LABEL_EVERY_MS);
        let is_first = second >= next_second;
        next_second = next_second.max(second + 1);
        is_first
    };
    let mut failure = None;
    let decoded = media::decode_some(file, limits, &mut choose, &mut |frame| {
        let at_ms = since_start(&probe, frame.pts());
        match detector.detect(&shrunk(frame, labels::input_size)?) {
            Ok(labels) => samples.push(LabelSample { at_ms, labels }),
            Err(error) => {
                failure = Some(error);
                return Err(MediaError::Cancelled);
            }
        }
        progress(u32::try_from(samples.len()).unwrap_or(u32::MAX));
        Ok(())
    });
    match failure {
        Some(error) => Err(error),
        None => Ok(decoded.map(|_| VideoLabels { video: info(probe), samples })?),
    }
}

fn info(probe: Probe) -> VideoInfo {
    VideoInfo {
        duration_ms: probe.duration_ms,
        frame_rate: probe.frame_rate.as_f64(),
        width: probe.width,
        height: probe.height,
        codec: probe.video_codec,
        container: probe.container,
    }
}

/// Milliseconds from the first displayed frame, to the nearest.
fn since_start(probe: &Probe, pts: i64) -> i64 {
    let (num, den) = (i128::from(probe.time_base.num), i128::from(probe.time_base.den.max(1)));
    let ticks = i128::from(pts) - i128::from(probe.start_pts);
    let ms = (ticks * 1000 * num + den / 2).div_euclid(den);
    i64::try_from(ms).unwrap_or(i64::MAX)
}

/// The picture of a frame, no larger than a model looks at.
pub(crate) fn shrunk(
    frame: &mut Frame<'_>,
    input_size: fn(u32, u32) -> (u32, u32),
) -> Result<RgbImage, MediaError> {
    let (width, _) = input_size(frame.width().max(1), frame.height().max(1));
    frame.rgb(width)
}
