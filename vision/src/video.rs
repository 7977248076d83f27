//! Whole videos: every frame for faces, one frame a second for labels.

use crate::{
    FaceBox, FaceDetector, LabelBox, LabelDetector, Models, Profile, VisionError, faces,
    in_parallel, labels,
    profile::{Looking, Moment},
};
use media::{Frame, Kept, Limits, MediaError, Part, Probe, RgbImage, Shrinker};
use schemas::TimeBase;
use serde::{Deserialize, Serialize};
use std::{
    ops::ControlFlow,
    path::Path,
    sync::{
        Mutex, PoisonError,
        mpsc::{Receiver, sync_channel},
    },
    thread,
};

/// Time between two frames that are looked at for labels, ms.
const LABEL_EVERY_MS: i64 = 1000;

/// Frames that decoding may be ahead of the detector: bounds memory.
const FRAMES_IN_FLIGHT: usize = 4;

/// Larger pictures are scaled before they wait: 1080p takes 3 MiB.
const MOST_KEPT_PIXELS: u64 = 1920 * 1088;

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
    let seen = media::side_by_side(&parts, limits, |part, limits| match profile {
        Profile::Careful => on_every_frame(file, &probe, part, models, threshold, limits, &step),
        Profile::Fast => now_and_then(file, &probe, part, models, threshold, limits, &step),
    })?;
    Ok(VideoFaces { samples: seen.into_iter().flatten().collect(), video: info(probe) })
}

fn on_every_frame(
    file: &Path,
    probe: &Probe,
    part: &Part,
    models: &Models,
    threshold: f32,
    limits: &Limits,
    step: &dyn Fn(),
) -> Result<Vec<FaceSample>, VisionError> {
    let open = || FaceDetector::new(models, 1);
    let look = |detector: &mut FaceDetector, (at_ms, picture): (i64, RgbImage)| {
        Ok(Some(FaceSample { at_ms, faces: detector.detect(&picture, threshold)? }))
    };
    let (_, seen) = in_parallel(limits.threads, &open, &look, |give| {
        media::decode_part(file, part, limits, &mut |frame| {
            step();
            let picture = shrunk(frame, faces::input_size)?;
            give((since_start(probe, frame.pts()), picture)).map(ControlFlow::Continue)
        })
    })?;
    Ok(seen)
}

/// Looks at what may have changed since the frame before: of a part's first frames, at all of them.
fn now_and_then(
    file: &Path,
    probe: &Probe,
    part: &Part,
    models: &Models,
    threshold: f32,
    limits: &Limits,
    step: &dyn Fn(),
) -> Result<Vec<FaceSample>, VisionError> {
    let mut detector = FaceDetector::new(models, 1)?;
    thread::scope(|scope| {
        let (moments, queue) = sync_channel(FRAMES_IN_FLIGHT);
        let eyes = scope.spawn(move || see_faces(&queue, &mut detector, threshold));
        let time_base = TimeBase { num: probe.time_base.num, den: probe.time_base.den };
        let mut grid = Profile::Fast.grid(time_base);
        // The grid is that of the whole film.
        if let Some(before) = part.before {
            grid.is_looked_at(before - probe.start_pts);
        }
        let decoded = media::decode_part(file, part, limits, &mut |frame| {
            let at_ms = since_start(probe, frame.pts());
            let is_due = grid.is_looked_at(frame.pts() - probe.start_pts);
            let squares = frame.squares();
            let pixels = u64::from(frame.width()) * u64::from(frame.height());
            let picture = if is_due || pixels > MOST_KEPT_PIXELS {
                Picture::Shrunk(shrunk(frame, faces::input_size)?)
            } else {
                Picture::Kept(frame.keep())
            };
            step();
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
        let seen = eyes.join().unwrap_or_else(|_| {
            Err(VisionError::inference(crate::DETECTOR, "its thread has panicked"))
        });
        decoded.map_err(VisionError::from).and(seen)
    })
}

/// A frame on its way to the detector.
enum Picture {
    Shrunk(RgbImage),
    /// In the size of the film, as it may be passed over.
    Kept(Kept),
}

impl Picture {
    fn bytes(&self) -> usize {
        match self {
            Self::Shrunk(picture) => picture.data.len(),
            Self::Kept(kept) => kept.bytes(),
        }
    }
}

/// Looks at what comes until it is told that this was all; without that, nobody wants the rest.
fn see_faces(
    queue: &Receiver<Option<Moment<Picture>>>,
    detector: &mut FaceDetector,
    threshold: f32,
) -> Result<Vec<FaceSample>, VisionError> {
    let (mut looking, mut shrinker) = (Looking::new(), Shrinker::default());
    let mut detect = |picture: &Picture| match picture {
        Picture::Shrunk(picture) => detector.detect(picture, threshold),
        Picture::Kept(kept) => {
            let (width, height) = kept.size();
            let (width, _) = faces::input_size(width.max(1), height.max(1));
            detector.detect(&shrinker.rgb(kept, width)?, threshold)
        }
    };
    for moment in queue {
        match moment {
            Some(moment) => looking.see(moment, &mut detect)?,
            None => looking.finish(&mut detect)?,
        }
    }
    Ok(looking.samples)
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
fn shrunk(
    frame: &mut Frame<'_>,
    input_size: fn(u32, u32) -> (u32, u32),
) -> Result<RgbImage, MediaError> {
    let (width, _) = input_size(frame.width().max(1), frame.height().max(1));
    frame.rgb(width)
}
