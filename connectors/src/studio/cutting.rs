//! `CutClips`: the source becomes clips with margins and a manifest.

use super::{Studio, footage};
use bytes::Bytes;
use engine::{Connector, Trouble};
use media::{CutPlan, Probe};
use ports::{ObjectInfo, ObjectRef, Put, PutOutcome};
use processors::cut::{CutClips, rules};
use schemas::{
    AudioPlan, Blur, ClipEntry, Manifest, Masking, RenderMode, SourceInfo, TimeBase, ids, keys,
};
use std::path::Path;

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
            return self.manifest(&at.bucket, &at.key).await;
        }

        let job = self.scratch.job(info.bytes * SCRATCH_PER_SOURCE + SCRATCH_FLOOR)?;
        let source = job.path("source");
        self.store.download(&effect.source, &source).await?;
        let (seconds, margin) = (effect.clip_seconds, effect.margin_seconds);
        let looked_at = source.clone();
        let (plan, sha256) = self
            .on_cpu(move |limits| {
                let plan = media::plan_cut(&looked_at, seconds, margin, limits)?;
                Ok((plan, media::file_sha256(&looked_at)?))
            })
            .await?;

        for span in &plan.clips {
            let file = job.path(&format!("clip-{}.mp4", span.index));
            let (source, plan, out, index) =
                (source.clone(), plan.clone(), file.clone(), span.index);
            self.on_cpu(move |limits| media::write_clip(&source, &plan, index, &out, limits))
                .await?;
            self.upload(&file, &effect.bucket, &keys::clip(&video_id, &run_id, span.index)).await?;
            remove(&file)?;
        }

        let manifest = manifest(effect, &info, &plan, sha256, video_id, run_id)?;
        self.metrics.count_media("cut", footage(manifest.duration_ms));
        let body = Bytes::from(manifest.to_json()?);
        let put = Put {
            content_type: Some("application/json".to_owned()),
            only_if_absent: true,
            ..Put::default()
        };
        match self.store.write(&at, body, put).await? {
            PutOutcome::Written { .. } => Ok(manifest),
            PutOutcome::Exists => self.manifest(&at.bucket, &at.key).await,
        }
    }
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
