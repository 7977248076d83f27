//! `TakeStill`: a frame of a published recording becomes a JPEG beside it.

use super::{Studio, publishing};
use confine::Work;
use engine::{Connector, Refusal, Trouble};
use image::{ExtendedColorType, codecs::jpeg::JpegEncoder};
use media::{Limits, MediaError};
use ports::{ObjectRef, Put};
use processors::thumbnail::{TakeStill, Taken};
use serde::{Deserialize, Serialize};
use std::{
    io::{BufWriter, Write},
    path::PathBuf,
    sync::Arc,
};

const SCRATCH_FLOOR: u64 = 8 << 20;
/// Of 100: artefacts cannot be told at this size.
const QUALITY: u8 = 85;

impl Connector<TakeStill> for Studio {
    async fn perform(&self, effect: &TakeStill) -> Result<Taken, Trouble> {
        let recording_at = ObjectRef::new(&effect.bucket, &effect.recording_key);
        let Some(recording) = self.store.head(&recording_at).await? else {
            return Err(Trouble::poison("missing_object", format!("{recording_at} is gone")));
        };
        let job = Arc::new(self.scratch.job(recording.bytes + SCRATCH_FLOOR)?);
        let (film, jpeg) = (job.path("recording.mp4"), job.path("thumbnail.jpg"));
        let recording = self.store.download(&recording_at, &film).await?;
        if !publishing::is_of_run(&recording, &effect.video_id, &effect.run_id) {
            return Err(Refusal::Skip("superseded").into());
        }
        let work =
            WriteStill { film, at_ms: effect.at_ms, within: effect.within, out: jpeg.clone() };
        let allowance = self.rendering(&job, recording.bytes, None);
        let taken = self.work(&job, work, allowance).await?;
        let put = Put {
            content_type: Some("image/jpeg".to_owned()),
            // What is shown of a video must be of the run that is shown, and no other.
            metadata: publishing::of_run(&effect.video_id, &effect.run_id),
            only_if_absent: false,
        };
        self.store
            .upload(&jpeg, &ObjectRef::new(&effect.bucket, &effect.thumbnail_key), put)
            .await?;
        Ok(taken)
    }
}

/// Writes a frame of a film as a JPEG.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WriteStill {
    film: PathBuf,
    at_ms: i64,
    within: (u32, u32),
    out: PathBuf,
}

impl Work for WriteStill {
    const NAME: &'static str = "write-still";
    type Output = Taken;

    fn run(self, limits: &Limits) -> Result<Taken, MediaError> {
        let probe = media::probe(&self.film, limits)?;
        let still = media::still(&self.film, &probe, self.at_ms, self.within, limits)?;
        let (width, height) = (still.image.width, still.image.height);
        let mut out = BufWriter::new(std::fs::File::create(&self.out)?);
        JpegEncoder::new_with_quality(&mut out, QUALITY)
            .encode(&still.image.data, width, height, ExtendedColorType::Rgb8)
            .map_err(|e| MediaError::Internal(format!("the still cannot be written: {e}")))?;
        out.flush()?;
        Ok(Taken { width, height, at_ms: still.at_ms })
    }
}
