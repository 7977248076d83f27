//! Whole videos: every frame for faces, one frame a second for labels.

use crate::{
    FaceBox, FaceDetector, LabelBox, LabelDetector, Profile, VisionError, faces, labels,
    profile::Looking,
};
use media::{Frame, Limits, MediaError, Probe, RgbImage};
use serde::{Deserialize, Serialize};
use std::{ops::ControlFlow, path::Path};

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
    /// Frames that were decoded.
    pub frames: u32,
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
/// of frames decoded; `limits.cancel` stops it.
///
/// # Errors
/// Those of [`media`] about the file, or of the model.
pub fn faces_in_video(
    file: &Path,
    detector: &mut FaceDetector,
    threshold: f32,
    profile: Profile,
    limits: &Limits,
    progress: &mut dyn FnMut(u32),
) -> Result<VideoFaces, VisionError> {
    let mut looking = Looking::new(profile);
    let mut detect = |picture: &RgbImage| detector.detect(picture, threshold);
    let video = look(file, limits, progress, &mut |at_ms, frame| {
        looking.see(at_ms, shrunk(frame, faces::input_size)?, &mut detect)
    })?;
    looking.finish(&mut detect)?;
    Ok(VideoFaces { video, samples: looking.samples })
}

/// Looks for things on the first frame of every second. All frames are decoded, and `progress`
/// gets their number; `limits.cancel` stops it.
///
/// # Errors
/// Those of [`media`] about the file, or of the model.
pub fn labels_in_video(
    file: &Path,
    detector: &mut LabelDetector,
    limits: &Limits,
    progress: &mut dyn FnMut(u32),
) -> Result<VideoLabels, VisionError> {
    let mut samples = Vec::new();
    let mut next_second = 0;
    let video = look(file, limits, progress, &mut |at_ms, frame| {
        let second = at_ms.div_euclid(LABEL_EVERY_MS);
        if second < next_second {
            return Ok(());
        }
        next_second = second + 1;
        let labels = detector.detect(&shrunk(frame, labels::input_size)?)?;
        samples.push(LabelSample { at_ms, labels });
        Ok(())
    })?;
    Ok(VideoLabels { video, samples })
}

/// Decodes a file and shows `see` every frame with its time.
fn look(
    file: &Path,
    limits: &Limits,
    progress: &mut dyn FnMut(u32),
    see: &mut dyn FnMut(i64, &mut Frame<'_>) -> Result<(), VisionError>,
) -> Result<VideoInfo, VisionError> {
    let probe = media::probe(file, limits)?;
    let mut failure = None;
    let mut frames = 0;
    let report = media::decode(file, limits, &mut |frame| {
        let at_ms = since_start(&probe, frame.pts());
        match see(at_ms, frame) {
            Ok(()) => {
                frames += 1;
                progress(frames);
                Ok(ControlFlow::Continue(()))
            }
            Err(VisionError::Media(error)) => Err(error),
            Err(error) => {
                failure = Some(error);
                Ok(ControlFlow::Break(()))
            }
        }
    })?;
    match failure {
        Some(error) => Err(error),
        None => Ok(info(probe, report.frames)),
    }
}

fn info(probe: Probe, frames: u32) -> VideoInfo {
    VideoInfo {
        duration_ms: probe.duration_ms,
        frame_rate: probe.frame_rate.as_f64(),
        width: probe.width,
        height: probe.height,
        codec: probe.video_codec,
        container: probe.container,
        frames,
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
fn shrunk(
    frame: &mut Frame<'_>,
    input_size: fn(u32, u32) -> (u32, u32),
) -> Result<RgbImage, MediaError> {
    let (width, _) = input_size(frame.width().max(1), frame.height().max(1));
    frame.rgb(width)
}
