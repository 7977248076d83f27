//! `CutClips`: the source becomes clips with margins and a manifest.

use super::{Studio, footage};
use bytes::Bytes;
use confine::{Allowance, Work};
use engine::{Connector, Trouble};
use media::{CutPlan, Limits, MediaError, Probe};
use ports::{ObjectInfo, ObjectRef, Put, PutOutcome};
use processors::cut::{CutClips, rules};
use schemas::{
    AudioPlan, Blur, ClipEntry, Manifest, Masking, RenderMode, SourceInfo, TimeBase, ids, keys,
};
use serde::{Deserialize, Serialize};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// Source, clips with their margins, and a little.
const SCRATCH_PER_SOURCE: u64 = 3;
const SCRATCH_FLOOR: u64 = 1 << 20;

impl Connector<CutClips> for Studio {
    async fn perform(&self, effect: &CutClips) -> Result<Manifest, Trouble> {
        let Some(info) = self.store.head(&effect.source).await? else {
            return Err(Trouble::poison(
                "missing_object",
                format!(
                    "{} is not in the store: upload it, then produce the event again",
                    effect.source
                ),
            ));
        };
        let video_id = effect
            .video_id
            .clone()
            .unwrap_or_else(|| ids::video(&effect.source.bucket, &effect.source.key, &info.etag));
        let run_id = ids::run(&video_id, &info.etag, &rules(effect), effect.replay);
        let at = ObjectRef::new(&effect.bucket, keys::manifest(&video_id, &run_id));
        if self.store.head(&at).await?.is_some() {
            let there = self.manifest(&at.bucket, &at.key).await?;
            // A second copy of the event, after the end; its first try may have left clips.
            self.working(&effect.bucket, &there).unless_swept(&clip_keys(&there)).await?;
            return Ok(there);
        }

        let job = self.scratch.job(info.bytes * SCRATCH_PER_SOURCE + SCRATCH_FLOOR)?;
        let job = Arc::new(job);
        let source = job.path("source");
        if self.store.download(&effect.source, &source).await?.etag != info.etag {
            let what = format!("{} was replaced just now: it is read again", effect.source);
            return Err(Trouble::transient("source_changed", what));
        }
        let plan = PlanClips {
            source: source.clone(),
            clip_seconds: effect.clip_seconds,
            margin_seconds: effect.margin_seconds,
        };
        let reading = Allowance::reading(job.dir().to_owned(), info.bytes);
        let (plan, sha256) = self.work(&job, plan, reading).await?;
        let manifest = manifest(effect, &info, &plan, sha256, video_id, run_id)?;
        let manifest = self.taking_over(effect, manifest).await?;
        let Manifest { video_id, run_id, .. } = &manifest;

        let mut written = 0..0;
        while written.end < plan.clips.len() {
            let work = WriteClips {
                source: source.clone(),
                plan: plan.clone(),
                folder: job.dir().to_owned(),
                first: written.end,
                enough: info.bytes,
            };
            let next = self.work(&job, work, self.rendering(&job, info.bytes, None)).await?;
            written = written.end..next.clamp(written.end + 1, plan.clips.len());
            for span in &plan.clips[written.clone()] {
                let file = clip_file(job.dir(), span.index);
                let key = keys::clip(video_id, run_id, span.index);
                self.upload(&file, &effect.bucket, &key).await?;
                remove(&file)?;
            }
        }

        self.metrics.count_media("cut", footage(manifest.duration_ms));
        let body = Bytes::from(manifest.to_json()?);
        let put = Put {
            content_type: Some("application/json".to_owned()),
            only_if_absent: true,
            ..Put::default()
        };
        match self.store.write(&at, body, put).await? {
            PutOutcome::Written { .. } => Ok(manifest),
            PutOutcome::Exists => {
                let there = self.manifest(&at.bucket, &at.key).await?;
                self.working(&effect.bucket, &there).unless_swept(&clip_keys(&there)).await?;
                Ok(there)
            }
        }
    }
}

impl Studio {
    /// The manifest of a run that takes faces or labels over, if it may.
    async fn taking_over(
        &self,
        effect: &CutClips,
        mut manifest: Manifest,
    ) -> Result<Manifest, Trouble> {
        for run_id in [&effect.faces_of, &effect.labels_of].into_iter().flatten() {
            let key = keys::manifest(&manifest.video_id, run_id);
            let older = self.manifest(&effect.bucket, &key).await?;
            if (&older.source.sha256, &older.clips) != (&manifest.source.sha256, &manifest.clips) {
                return Err(Trouble::poison(
                    "clips_differ",
                    format!(
                        "run {run_id} had another source or other clips, and what was found in them \
                         fits no more: replay from cut"
                    ),
                ));
            }
            if effect.faces_of.as_ref() == Some(run_id) {
                // What was found is told with what it was found with.
                let Masking { detector, threshold, extend_ms, .. } = older.masking;
                manifest.masking = Masking { detector, threshold, extend_ms, ..manifest.masking };
            }
        }
        Ok(manifest)
    }
}

fn clip_keys(manifest: &Manifest) -> Vec<String> {
    let Manifest { video_id, run_id, clips, .. } = manifest;
    clips.iter().map(|clip| keys::clip(video_id, run_id, clip.index)).collect()
}

/// Reads the source once and plans its clips; answers with the source's SHA-256, too.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PlanClips {
    source: PathBuf,
    clip_seconds: f64,
    margin_seconds: f64,
}

impl Work for PlanClips {
    const NAME: &'static str = "plan-clips";
    type Output = (CutPlan, String);

    fn run(self, limits: &Limits) -> Result<Self::Output, MediaError> {
        let plan = media::plan_cut(&self.source, self.clip_seconds, self.margin_seconds, limits)?;
        Ok((plan, media::file_sha256(&self.source)?))
    }
}

/// Writes clips from the `first` on until they have `enough` bytes together: so many at once that
/// a helper is worth its start, and so few that scratch is bounded. Answers where to go on.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WriteClips {
    source: PathBuf,
    plan: CutPlan,
    folder: PathBuf,
    first: usize,
    enough: u64,
}

impl Work for WriteClips {
    const NAME: &'static str = "write-clips";
    type Output = usize;

    fn run(self, limits: &Limits) -> Result<usize, MediaError> {
        let (mut next, mut bytes) = (self.first, 0);
        for span in self.plan.clips.iter().skip(self.first) {
            let file = clip_file(&self.folder, span.index);
            bytes += media::write_clip(&self.source, &self.plan, span.index, &file, limits)?.bytes;
            next += 1;
            if bytes >= self.enough {
                break;
            }
        }
        Ok(next)
    }
}

fn clip_file(folder: &Path, index: u32) -> PathBuf {
    folder.join(format!("clip-{index}.mp4"))
}

fn remove(file: &Path) -> Result<(), Trouble> {
    std::fs::remove_file(file)
        .map_err(|e| Trouble::transient("scratch_unwritable", format!("{}: {e}", file.display())))
}

fn manifest(
    effect: &CutClips,
    info: &ObjectInfo,
    plan: &CutPlan,
    sha256: String,
    video_id: String,
    run_id: String,
) -> Result<Manifest, Trouble> {
    let probe = &plan.probe;
    let (render, render_reason) = render_mode(&effect.masking, probe);
    Ok(Manifest {
        version: 1,
        video_id,
        run_id,
        owner: effect.owner.clone(),
        assessment: effect.assessment.clone(),
        title: effect.title.clone(),
        visibility: effect.visibility.clone(),
        recorded_at_ms: effect.recorded_at_ms,
        run_order: effect.run_order,
        source: SourceInfo {
            bucket: effect.source.bucket.clone(),
            key: effect.source.key.clone(),
            etag: info.etag.clone(),
            bytes: info.bytes,
            sha256,
            container: probe.container.clone(),
            video_codec: probe.video_codec.clone(),
            audio_codec: probe.audio.as_ref().map(|audio| audio.codec.clone()),
        },
        time_base: TimeBase { num: probe.time_base.num, den: probe.time_base.den },
        start_pts: probe.start_pts,
        duration_ms: probe.duration_ms,
        frames: probe.frames,
        width: probe.width,
        height: probe.height,
        frame_rate: TimeBase { num: probe.frame_rate.num, den: probe.frame_rate.den },
        clips: plan
            .clips
            .iter()
            .map(|span| ClipEntry {
                index: span.index,
                core_start: span.core_start,
                core_end: span.core_end,
                margin_start: span.margin_start,
                margin_end: span.margin_end,
                core_frames: span.core_frames,
                frames: span.frames,
            })
            .collect(),
        render,
        render_reason,
        masking: effect.masking.clone(),
        audio: match &probe.audio {
            None => AudioPlan::None,
            Some(audio) if audio.copyable => AudioPlan::Copy,
            Some(_) => AudioPlan::Transcode,
        },
        replay: effect.replay,
        faces_of: effect.faces_of.clone(),
        labels_of: effect.labels_of.clone(),
        probe: serde_json::to_value(probe).map_err(|e| Trouble::fatal(e.to_string()))?,
    })
}

/// Decided once per run, here; what is not known to be safe is `full`.
fn render_mode(masking: &Masking, probe: &Probe) -> (RenderMode, String) {
    match masking.blur {
        Blur::None if probe.copyable => (RenderMode::Copy, "nothing is masked".to_owned()),
        Blur::None => (RenderMode::Full, "mp4 cannot carry the source's codec".to_owned()),
        Blur::All if probe.smart_ok => (RenderMode::Smart, probe.smart_reason.clone()),
        Blur::All => (RenderMode::Full, probe.smart_reason.clone()),
    }
}
