//! `StitchClips`: the masked cores become one film with the source's sound, staged but not published.

use super::{Studio, footage, masking, probe};
use confine::Work;
use engine::{Connector, Trouble};
use futures::{StreamExt, TryStreamExt, stream};
use media::{ClipSpan, Limits, MediaError, Probe, Stitch, StitchReport};
use ports::ObjectRef;
use processors::stitch::{StitchClips, Stitched};
use schemas::{Manifest, RenderMode, keys};
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, sync::Arc};

const SCRATCH_PER_SOURCE: u64 = 3;
const SCRATCH_FLOOR: u64 = 8 << 20;
const DOWNLOADS_AT_ONCE: usize = 4;

impl Connector<StitchClips> for Studio {
    async fn perform(&self, effect: &StitchClips) -> Result<Stitched, Trouble> {
        let manifest = self.manifest(&effect.bucket, &effect.manifest_key).await?;
        let written = std::slice::from_ref(&effect.staged_key);
        let stitched = self.stitch(effect, &manifest).await;
        self.working(&effect.bucket, &manifest).or_swept(stitched, written).await
    }
}

impl Studio {
    async fn stitch(&self, effect: &StitchClips, manifest: &Manifest) -> Result<Stitched, Trouble> {
        let bytes = manifest.source.bytes;
        let job = Arc::new(self.scratch.job(bytes * SCRATCH_PER_SOURCE + SCRATCH_FLOOR)?);
        let (source, staged) = (job.path("source"), job.path("staged.mp4"));
        let mut parts = Vec::new();
        if manifest.render != RenderMode::Copy {
            parts.extend(manifest.clips.iter().map(|clip| {
                let key = keys::masked(&manifest.video_id, &manifest.run_id, clip.index);
                (ObjectRef::new(&effect.bucket, key), job.path(&format!("{}.mp4", clip.index)))
            }));
        }
        let masked = stream::iter(parts.clone())
            .map(|(at, file)| async move { self.store.download(&at, &file).await })
            .buffer_unordered(DOWNLOADS_AT_ONCE)
            .try_for_each(|_| async { Ok(()) });
        let (found, masked) = tokio::join!(self.source(manifest, &source), masked);
        // Where both fail, the source tells more.
        found.and(masked)?;
        let work = StitchFilm {
            source,
            copy: manifest.render == RenderMode::Copy,
            parts: parts.into_iter().map(|(_, file)| file).collect(),
            spans: manifest.clips.iter().map(masking::span).collect(),
            probe: probe(manifest)?,
            out: staged.clone(),
        };
        let length = footage(manifest.duration_ms);
        let allowance = self.rendering(&job, bytes, Some(length));
        let report = self.work(&job, work, allowance).await?;
        self.upload(&staged, &effect.bucket, &effect.staged_key).await?;
        let written = [effect.staged_key.clone()];
        self.working(&effect.bucket, manifest).unless_swept(&written).await?;
        self.metrics.count_media("stitch", footage(report.duration_ms));
        Ok(Stitched {
            frames: i64::try_from(report.frames).unwrap_or(i64::MAX),
            duration_ms: report.duration_ms,
            size_bytes: i64::try_from(report.bytes).unwrap_or(i64::MAX),
        })
    }
}

/// Joins masked cores and the source's sound, or copies the source where nothing is masked.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StitchFilm {
    source: PathBuf,
    copy: bool,
    /// None where the source is copied.
    parts: Vec<PathBuf>,
    spans: Vec<ClipSpan>,
    probe: Probe,
    out: PathBuf,
}

impl Work for StitchFilm {
    const NAME: &'static str = "stitch-film";
    type Output = StitchReport;

    fn run(self, limits: &Limits) -> Result<StitchReport, MediaError> {
        let Self { source, copy, parts, spans, probe, out } = &self;
        if *copy {
            return media::copy_all(source, probe, out, limits);
        }
        media::stitch(&Stitch { parts, spans, probe, source, out, limits })
    }
}
