//! `StitchClips`: the masked cores become one film with the source's sound, staged but not published.

use super::{Studio, footage, masking, probe};
use engine::{Connector, Trouble};
use futures::{StreamExt, TryStreamExt, stream};
use media::Stitch;
use ports::ObjectRef;
use processors::stitch::{StitchClips, Stitched};
use schemas::{RenderMode, keys};

const SCRATCH_PER_SOURCE: u64 = 3;
const SCRATCH_FLOOR: u64 = 8 << 20;
const DOWNLOADS_AT_ONCE: usize = 4;

impl Connector<StitchClips> for Studio {
    async fn perform(&self, effect: &StitchClips) -> Result<Stitched, Trouble> {
        let manifest = self.manifest(&effect.bucket, &effect.manifest_key).await?;
        let job = self.scratch.job(manifest.source.bytes * SCRATCH_PER_SOURCE + SCRATCH_FLOOR)?;
        let (source, staged) = (job.path("source"), job.path("staged.mp4"));
        let source_at = ObjectRef::new(&manifest.source.bucket, &manifest.source.key);
        self.store.download(&source_at, &source).await?;

        let (out, probe) = (staged.clone(), probe(&manifest)?);
        let report = if manifest.render == RenderMode::Copy {
            self.on_cpu(move |limits| media::copy_all(&source, &probe, &out, limits)).await?
        } else {
            let parts: Vec<_> = manifest
                .clips
                .iter()
                .map(|clip| {
                    let key = keys::masked(&manifest.video_id, &manifest.run_id, clip.index);
                    (ObjectRef::new(&effect.bucket, key), job.path(&format!("{}.mp4", clip.index)))
                })
                .collect();
            stream::iter(parts.clone())
                .map(|(at, file)| async move { self.store.download(&at, &file).await })
                .buffer_unordered(DOWNLOADS_AT_ONCE)
                .try_for_each(|_| async { Ok(()) })
                .await?;
            let spans: Vec<_> = manifest.clips.iter().map(masking::span).collect();
            let files: Vec<_> = parts.into_iter().map(|(_, file)| file).collect();
            self.on_cpu(move |limits| {
                media::stitch(&Stitch {
                    parts: &files,
                    spans: &spans,
                    probe: &probe,
                    source: &source,
                    out: &out,
                    limits,
                })
            })
            .await?
        };
        self.upload(&staged, &effect.bucket, &effect.staged_key).await?;
        self.metrics.count_media("stitch", footage(report.duration_ms));
        Ok(Stitched {
            frames: i64::try_from(report.frames).unwrap_or(i64::MAX),
            duration_ms: report.duration_ms,
            size_bytes: i64::try_from(report.bytes).unwrap_or(i64::MAX),
        })
    }
}
