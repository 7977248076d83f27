//! `MaskClip`: the core of a clip is rendered with its tracked faces masked.

use super::{
    Studio, footage, probe,
    second_look::{SecondLook, TOUCHED, faces_in_the_clear, is_looked_at},
    sighting::COVERED,
};
use bytes::Bytes;
use confine::Work;
use engine::{Connector, FrameKind, Trouble};
use media::{ClipSpan, Limits, MaskJob, MaskReport, MaskStyle, MediaError, Probe, Region, Render};
use ports::{ObjectRef, Put};
use processors::blur::{MaskClip, Masked};
use schemas::{Blur, BoundingBox, ClipEntry, Manifest, Masking, RenderMode, Tracks, keys};
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, slice::from_ref, sync::Arc};
use vision::{Models, Profile};

/// A clip may grow a little when it is rendered again.
const SCRATCH_PER_CLIP: u64 = 3;
const SCRATCH_FLOOR: u64 = 8 << 20;
/// How often a clip is looked at again and rendered again; what is still in the clear then is for
/// the check before publishing to refuse.
const SECOND_LOOKS: u32 = 2;

impl Connector<MaskClip> for Studio {
    async fn perform(&self, effect: &MaskClip) -> Result<Masked, Trouble> {
        let manifest = self.manifest(&effect.bucket, &effect.manifest_key).await?;
        let written = std::slice::from_ref(&effect.masked_key);
        let masked = self.mask(effect, &manifest).await;
        self.working(&effect.bucket, &manifest).or_swept(masked, written).await
    }
}

impl Studio {
    async fn mask(&self, effect: &MaskClip, manifest: &Manifest) -> Result<Masked, Trouble> {
        let entry = entry(manifest, effect.index)?;
        let tracks = self.tracks(&effect.bucket, &effect.tracks_key).await?;

        let clip_at = ObjectRef::new(&effect.bucket, &effect.clip_key);
        let Some(info) = self.store.head(&clip_at).await? else {
            return Err(Trouble::poison("missing_object", format!("{clip_at} is gone")));
        };
        let job = self.scratch.job(info.bytes * SCRATCH_PER_CLIP + SCRATCH_FLOOR)?;
        let job = Arc::new(job);
        let (clip, masked) = (job.path("clip.mp4"), job.path("masked.mp4"));
        self.store.download(&clip_at, &clip).await?;

        let work = MaskCore {
            clip,
            out: masked.clone(),
            span: span(entry),
            probe: probe(manifest)?,
            render: render(manifest, self.threads),
            masking: manifest.masking.clone(),
            tracks,
            runtime: self.models.library().to_owned(),
        };
        let length = manifest.time_base.to_ms(entry.margin_end - entry.margin_start);
        let allowance = self.rendering(&job, info.bytes, Some(footage(length)));
        let (report, second) = self.work(&job, work, allowance).await?;
        if report.frames != entry.core_frames {
            return Err(Trouble::poison(
                "frames_missing",
                format!(
                    "clip {} has {} frames and {} were rendered: the footage is damaged there",
                    entry.index, entry.core_frames, report.frames
                ),
            ));
        }
        let key = keys::second_look(&manifest.video_id, &manifest.run_id, effect.index);
        let second_at = ObjectRef::new(&effect.bucket, key);
        // An attempt before this one may have left what another machine saw.
        if !second.tracks.is_empty() || self.store.head(&second_at).await?.is_some() {
            let body = Bytes::from(second.to_avro()?);
            self.store.write(&second_at, body, Put::default()).await?;
        }
        self.upload(&masked, &effect.bucket, &effect.masked_key).await?;
        let written = [effect.masked_key.clone()];
        self.working(&effect.bucket, manifest).unless_swept(&written).await?;
        let encoded = report.frames - report.copied_frames;
        self.metrics.count_frames(FrameKind::Copied, report.copied_frames.into());
        self.metrics.count_frames(FrameKind::Encoded, encoded.into());
        self.metrics.count_frames(FrameKind::Masked, report.masked_frames.into());
        let core = manifest.time_base.to_ms(entry.core_end - entry.core_start);
        self.metrics.count_media("blur", footage(core));
        Ok(Masked {
            frames: count(report.frames),
            masked_frames: count(report.masked_frames),
            copied: report.copied_frames == report.frames,
        })
    }
}

/// Renders a clip's core with its tracks masked, looks at the result, and masks what it missed.
/// Answers with the tracks of what the second looks have found.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct MaskCore {
    clip: PathBuf,
    out: PathBuf,
    span: ClipSpan,
    probe: Probe,
    render: Render,
    masking: Masking,
    tracks: Tracks,
    /// ONNX Runtime's shared library.
    runtime: PathBuf,
}

impl Work for MaskCore {
    const NAME: &'static str = "mask-core";
    type Output = (MaskReport, Tracks);

    fn prepare(&self) -> Result<(), MediaError> {
        Ok(Models::preload(&self.runtime)?)
    }

    fn run(self, limits: &Limits) -> Result<Self::Output, MediaError> {
        let known = self.tracks.tracks.len();
        let job = MaskJob {
            clip: &self.clip,
            span: &self.span,
            probe: &self.probe,
            render: &self.render,
            out: &self.out,
            limits,
        };
        let models = Models::find(Some(&self.runtime))?;
        let mut tracks = self.tracks;
        let mut looks = 0;
        loop {
            let regions_at = |pts: i64| match self.masking.blur {
                Blur::All => tracks.regions_at(pts).iter().map(region).collect(),
                Blur::None => Vec::new(),
            };
            let report = media::mask_clip(&job, &regions_at, &mut |_| {})?;
            let masking = &self.masking;
            let profile = Profile::of(&masking.detector);
            // Copied packets show what the detector has seen, if it has.
            let whole = self.span.core_start..self.span.core_end;
            let is_looked_at = is_looked_at(&tracks, profile);
            let times = if is_looked_at { &report.encoded } else { from_ref(&whole) };
            let is_over = masking.blur == Blur::None || looks == SECOND_LOOKS || times.is_empty();
            let missed = if is_over {
                Vec::new()
            } else {
                // Masks that lie between samples may have lost a face that moves.
                let covered = if is_looked_at { TOUCHED } else { COVERED };
                let look = SecondLook { threshold: masking.verify_threshold, profile, covered };
                let (out, span) = (&self.out, &self.span);
                faces_in_the_clear(out, span, times, &tracks, &models, &look, limits)?
            };
            if missed.is_empty() {
                tracks.tracks.drain(..known);
                return Ok((report, tracks));
            }
            tracks.tracks.extend(missed);
            looks += 1;
        }
    }
}

fn count(frames: u32) -> i32 {
    i32::try_from(frames).unwrap_or(i32::MAX)
}

fn entry(manifest: &Manifest, index: u32) -> Result<&ClipEntry, Trouble> {
    manifest.clips.iter().find(|clip| clip.index == index).ok_or_else(|| {
        Trouble::poison("unknown_clip", format!("the manifest of the run has no clip {index}"))
    })
}

pub(super) fn span(entry: &ClipEntry) -> ClipSpan {
    ClipSpan {
        index: entry.index,
        core_start: entry.core_start,
        core_end: entry.core_end,
        margin_start: entry.margin_start,
        margin_end: entry.margin_end,
        core_frames: entry.core_frames,
        frames: entry.frames,
    }
}

pub(super) fn region(b: &BoundingBox) -> Region {
    Region { left: b.left, top: b.top, width: b.width, height: b.height }
}

/// The style a manifest names; one it does not name hides most.
pub(super) fn style(manifest: &Manifest) -> MaskStyle {
    match manifest.masking.style.as_str() {
        "pixelate" => MaskStyle::Pixelate,
        "gaussian" => MaskStyle::Gaussian,
        _ => MaskStyle::Solid,
    }
}

fn render(manifest: &Manifest, threads: usize) -> Render {
    let mode = match manifest.render {
        RenderMode::Full => media::RenderMode::Full,
        // Groups without a region, here all of them, are copied in this mode.
        RenderMode::Smart | RenderMode::Copy => media::RenderMode::Smart,
    };
    let threads = u32::try_from(threads).unwrap_or(1);
    Render { style: style(manifest), mode, threads, ..Render::default() }
}
