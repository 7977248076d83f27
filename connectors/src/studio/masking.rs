//! `MaskClip`: the core of a clip is rendered with its tracked faces masked.

use super::{Studio, probe};
use engine::{Connector, Trouble};
use media::{ClipSpan, MaskJob, MaskStyle, Region, Render};
use ports::ObjectRef;
use processors::blur::{MaskClip, Masked};
use schemas::{Blur, BoundingBox, ClipEntry, Manifest, RenderMode, Tracks};

const MAX_TRACKS_BYTES: u64 = 256 << 20;
/// A clip may grow a little when it is rendered again.
const SCRATCH_PER_CLIP: u64 = 3;
const SCRATCH_FLOOR: u64 = 8 << 20;

impl Connector<MaskClip> for Studio {
    async fn perform(&self, effect: &MaskClip) -> Result<Masked, Trouble> {
        let manifest = self.manifest(&effect.bucket, &effect.manifest_key).await?;
        let entry = entry(&manifest, effect.index)?;
        let tracks_at = ObjectRef::new(&effect.bucket, &effect.tracks_key);
        let tracks = Tracks::from_avro(&self.store.read(&tracks_at, MAX_TRACKS_BYTES).await?)?;

        let clip_at = ObjectRef::new(&effect.bucket, &effect.clip_key);
        let Some(info) = self.store.head(&clip_at).await? else {
            return Err(Trouble::poison("missing_object", format!("{clip_at} is gone")));
        };
        let job = self.scratch.job(info.bytes * SCRATCH_PER_CLIP + SCRATCH_FLOOR)?;
        let (clip, masked) = (job.path("clip.mp4"), job.path("masked.mp4"));
        self.store.download(&clip_at, &clip).await?;

        let render = render(&manifest, self.threads);
        let (span, probe) = (span(entry), probe(&manifest)?);
        let masked_file = masked.clone();
        let blur = manifest.masking.blur;
        let report = self
            .on_cpu(move |limits| {
                let regions_at = |pts: i64| match blur {
                    Blur::All => tracks.regions_at(pts).iter().map(region).collect(),
                    Blur::None => Vec::new(),
                };
                let job = MaskJob {
                    clip: &clip,
                    span: &span,
                    probe: &probe,
                    render: &render,
                    out: &masked_file,
                    limits,
                };
                media::mask_clip(&job, &regions_at, &mut |_| {})
            })
            .await?;
        if report.frames != entry.core_frames {
            return Err(Trouble::poison(
                "frames_missing",
                format!(
                    "clip {} has {} frames and {} were rendered: the footage is damaged there",
                    entry.index, entry.core_frames, report.frames
                ),
            ));
        }
        self.upload(&masked, &effect.bucket, &effect.masked_key).await?;
        Ok(Masked {
            frames: count(report.frames),
            masked_frames: count(report.masked_frames),
            copied: report.copied,
        })
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
        // Clips without a region, here all of them, are copied in this mode.
        RenderMode::Smart | RenderMode::Copy => media::RenderMode::Smart,
    };
    let threads = u32::try_from(threads).unwrap_or(1);
    Render { style: style(manifest), mode, threads, ..Render::default() }
}
