//! What a helper does for a job: it looks at one video and answers with what it found.

use super::{decoding::DecodePhoto, wire::Kind};
use crate::{
    LabelDetector, Models, Profile, VideoFaces, VideoLabels, VisionError, faces_in_video,
    labels_in_video,
};
use confine::{Entry, Work};
use media::{Limits, MediaError};
use serde::{Deserialize, Serialize};
use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

/// What a helper of the server must know.
pub const WORKS: [Entry; 2] = [Entry::of::<Look>(), Entry::of::<DecodePhoto>()];

/// One look at a whole video.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Look {
    pub(super) video: PathBuf,
    pub(super) kind: Kind,
    /// 0 to 1.
    pub(super) face_threshold: f32,
    pub(super) profile: Profile,
    /// Of the model that names things.
    pub(super) threads: usize,
    /// ONNX Runtime's shared library.
    pub(super) runtime: PathBuf,
}

/// What was seen.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Seen {
    Faces(VideoFaces),
    Labels(VideoLabels),
}

impl Seen {
    /// Frames that were looked at.
    pub(super) fn frames(&self) -> u32 {
        let frames = match self {
            Self::Faces(found) => found.samples.len(),
            Self::Labels(found) => found.samples.len(),
        };
        u32::try_from(frames).unwrap_or(u32::MAX)
    }
}

impl Work for Look {
    const NAME: &'static str = "look-at-video";
    /// And how long it took, without finding the library; with `Faces`, networks are opened meanwhile.
    type Output = (Seen, Duration);

    fn prepare(&self) -> Result<(), MediaError> {
        Ok(Models::preload(&self.runtime)?)
    }

    fn run(self, limits: &Limits) -> Result<Self::Output, MediaError> {
        Ok(self.look(limits)?)
    }
}

impl Look {
    fn look(&self, limits: &Limits) -> Result<(Seen, Duration), VisionError> {
        let models = Models::find(Some(&self.runtime))?;
        let (seen, since) = match self.kind {
            Kind::Faces => {
                let (threshold, profile) = (self.face_threshold, self.profile);
                let (video, since) = (&self.video, Instant::now());
                let found =
                    faces_in_video(video, &models, threshold, profile, limits, &mut |_| {})?;
                (Seen::Faces(found), since)
            }
            Kind::Labels => {
                let mut eyes = LabelDetector::new(&models, self.threads)?;
                let since = Instant::now();
                let found = labels_in_video(&self.video, &mut eyes, limits, &mut |_| {})?;
                (Seen::Labels(found), since)
            }
        };
        Ok((seen, since.elapsed()))
    }
}
