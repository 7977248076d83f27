//! What the detector tells of itself.

use super::{FrameKind, Metrics, entering::Entering};
use crate::Fatal;
use prometheus::{GaugeVec, HistogramVec, IntCounterVec, IntGaugeVec};
use std::time::Duration;

/// Seconds that a frame may take: the quickest model needs 6 ms of a core, and a core may be busy.
const FRAME_SECONDS: [f64; 10] = [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0];

/// What is looked at, and for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// A video, for faces.
    Faces,
    /// A video, for things.
    Labels,
    /// A photograph.
    Photo,
}

impl Look {
    fn label(self) -> &'static str {
        match self {
            Self::Faces => "faces",
            Self::Labels => "labels",
            Self::Photo => "photo",
        }
    }
}

/// How a job of the detector ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobEnd {
    Succeeded,
    /// The video cannot be looked at.
    Refused,
    /// By no fault of the video.
    Failed,
}

impl JobEnd {
    const ALL: [Self; 3] = [Self::Succeeded, Self::Refused, Self::Failed];

    fn label(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// Of what the detector takes no more for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quota {
    /// Videos in work or waiting.
    Jobs,
    /// Photographs at once.
    Photos,
}

impl Quota {
    fn label(self) -> &'static str {
        match self {
            Self::Jobs => "jobs",
            Self::Photos => "photos",
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Looking {
    frame_seconds: HistogramVec,
    jobs: IntGaugeVec,
    ended: IntCounterVec,
    turned_away: IntCounterVec,
    models: GaugeVec,
}

impl Looking {
    pub(super) fn enter(entering: &Entering) -> Result<Self, Fatal> {
        Ok(Self {
            frame_seconds: entering.histogram(
                "reelmill_detector_frame_seconds",
                "a photograph, or the mean of a video's frames, decoding included",
                &["look"],
                &FRAME_SECONDS,
            )?,
            jobs: entering.level(
                "reelmill_detector_jobs_open",
                "videos that the detector has in work, or that wait to be",
                &["state"],
            )?,
            ended: entering.counter(
                "reelmill_detector_jobs_total",
                "videos that the detector is done with, by how it ended",
                &["look", "end"],
            )?,
            turned_away: entering.counter(
                "reelmill_detector_turned_away_total",
                "questions that the detector did not take because a quota was used up",
                &["quota"],
            )?,
            models: entering.gauge(
                "reelmill_detector_model_info",
                "the weights that the detector looks with; always 1",
                &["model", "sha256"],
            )?,
        })
    }
}

impl Metrics {
    /// This process has a detector: what it counts is shown from 0 on.
    pub fn expect_detector(&self) {
        self.set_jobs(0, 0);
        for end in JobEnd::ALL {
            for look in [Look::Faces, Look::Labels] {
                self.looking.ended.with_label_values(&[look.label(), end.label()]);
            }
        }
        for quota in [Quota::Jobs, Quota::Photos] {
            self.looking.turned_away.with_label_values(&[quota.label()]);
        }
    }

    /// A photograph was looked at, or so many frames of a video.
    pub fn count_look(&self, look: Look, frames: u32, took: Duration) {
        self.count_frames(FrameKind::Detected, frames.into());
        if frames > 0 {
            let seconds = took.as_secs_f64() / f64::from(frames);
            self.looking.frame_seconds.with_label_values(&[look.label()]).observe(seconds);
        }
    }

    pub fn set_jobs(&self, waiting: usize, running: usize) {
        for (state, jobs) in [("waiting", waiting), ("running", running)] {
            let jobs = i64::try_from(jobs).unwrap_or(i64::MAX);
            self.looking.jobs.with_label_values(&[state]).set(jobs);
        }
    }

    pub fn count_job(&self, look: Look, end: JobEnd) {
        self.looking.ended.with_label_values(&[look.label(), end.label()]).inc();
    }

    pub fn count_turned_away(&self, quota: Quota) {
        self.looking.turned_away.with_label_values(&[quota.label()]).inc();
    }

    /// A model, and the SHA-256 of its weights.
    pub fn set_model(&self, model: &str, sha256: &str) {
        self.looking.models.with_label_values(&[model, sha256]).set(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detector_counts_from_zero_and_a_video_by_the_mean_of_its_frames() {
        assert!(FRAME_SECONDS.len() < 12);
        let metrics = Metrics::new().unwrap();
        assert!(!metrics.gather().contains("reelmill_detector"));
        metrics.expect_detector();
        metrics.count_look(Look::Faces, 100, Duration::from_secs(3));
        metrics.count_look(Look::Faces, 0, Duration::from_secs(3));
        metrics.count_job(Look::Faces, JobEnd::Refused);
        metrics.set_jobs(3, 2);
        let text = metrics.gather();
        for line in [
            r#"reelmill_frames_total{kind="detected"} 100"#,
            r#"reelmill_detector_frame_seconds_bucket{look="faces",le="0.02"} 0"#,
            r#"reelmill_detector_frame_seconds_bucket{look="faces",le="0.05"} 1"#,
            r#"reelmill_detector_frame_seconds_count{look="faces"} 1"#,
            r#"reelmill_detector_jobs_total{end="refused",look="faces"} 1"#,
            r#"reelmill_detector_jobs_total{end="succeeded",look="labels"} 0"#,
            r#"reelmill_detector_jobs_open{state="waiting"} 3"#,
            r#"reelmill_detector_turned_away_total{quota="jobs"} 0"#,
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
