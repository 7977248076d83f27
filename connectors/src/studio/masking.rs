//! `MaskClip`: the core of a clip is rendered with its tracked faces masked.

use super::{Studio, blame};
use engine::{Connector, Trouble};
use media::{ClipSpan, MaskStyle, Rational, Region, Render, RenderClip};
use ports::ObjectRef;
use processors::blur::{MaskClip, Masked};
use schemas::{BoundingBox, ClipEntry, Manifest, RenderMode, TimeBase, Tracks};

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

        let render = render(&manifest, self.threads)?;
        let (span, time_base) = (span(entry), rational(manifest.time_base));
        let out = masked.clone();
        let report = self
            .on_cpu(move |limits| {
                let regions = |pts: i64| tracks.regions_at(pts).iter().map(region).collect();
                media::mask_clip(&clip, &span, time_base, &regions, &render, &out, limits)
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

pub(super) fn rational(time_base: TimeBase) -> Rational {
    Rational { num: time_base.num, den: time_base.den }
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

pub(super) fn style(manifest: &Manifest) -> Result<MaskStyle, Trouble> {
    manifest.masking.style.parse().map_err(blame)
}

fn render(manifest: &Manifest, threads: usize) -> Result<Render, Trouble> {
    let clip = match manifest.render {
        RenderMode::Full => RenderClip::Full,
        RenderMode::Smart => RenderClip::Smart,
        RenderMode::Copy => RenderClip::Copy,
    };
    Ok(Render { style: style(manifest)?, clip, threads, ..Render::default() })
}
