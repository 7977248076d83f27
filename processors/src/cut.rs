//! `video-uploaded` → `clips-ready`: footage becomes clips with margins, and a manifest.

use engine::{Effect, Input, Outcome, Processor};
use ports::{ObjectRef, Poison, Refusal};
use schemas::{ClipEntry, ClipsReady, Manifest, Masking, VideoUploaded, keys};

/// Checks a source, cuts it into clips, uploads them, and writes the manifest once.
///
/// The connector reads the source's ETag, derives the video id where there is none
/// ([`schemas::ids::video`]) and the run id ([`schemas::ids::run`] over [`rules`]). A manifest
/// that is already there belongs to the same run, wins, and is the answer.
#[derive(Debug, Clone, PartialEq)]
pub struct CutClips {
    pub source: ObjectRef,
    pub video_id: Option<String>,
    pub owner: String,
    pub assessment: String,
    pub title: String,
    pub visibility: String,
    /// Milliseconds since 1970.
    pub recorded_at_ms: i64,
    /// For [`Manifest::run_order`].
    pub run_order: i64,
    /// Where clips and manifest go.
    pub bucket: String,
    pub clip_seconds: f64,
    /// At least this much is looked at on both sides of a clip.
    pub margin_seconds: f64,
    pub masking: Masking,
    pub replay: u32,
}

impl Effect for CutClips {
    type Answer = Manifest;
}

/// All that makes two runs of one source differ, as one canonical text.
#[must_use]
pub fn rules(cut: &CutClips) -> String {
    let Masking { blur, style, detector, threshold, extend_ms } = &cut.masking;
    // Debug text of strings is quoted and escaped, so no value can look like its neighbour.
    format!(
        "cut 1, clip {} s, margin {} s, blur {blur:?}, style {style:?}, detector {detector:?}, \
         threshold {threshold}, extend {extend_ms} ms",
        cut.clip_seconds, cut.margin_seconds,
    )
}

/// The processor, with what an operator may set.
#[derive(Debug, Clone, PartialEq)]
pub struct Cut {
    /// Buckets a source may lie in.
    pub allowed_buckets: Vec<String>,
    /// The mill's own bucket, for everything under `work/`.
    pub bucket: String,
    pub clip_seconds: f64,
    pub margin_seconds: f64,
    /// `blur` is replaced by each event's wish.
    pub masking: Masking,
}

impl Processor for Cut {
    const NAME: &'static str = "cut";

    type In = VideoUploaded;
    type Out = ClipsReady;
    type Effect = CutClips;

    fn plan(&self, input: &Input<VideoUploaded>) -> Result<CutClips, Refusal> {
        let event = &input.event;
        if !self.allowed_buckets.contains(&event.bucket) {
            return Err(Poison::new(
                "foreign_bucket",
                format!(
                    "bucket {:?} is not among the allowed ones: upload to one of {:?} or allow it in \
                     store.allowed_buckets",
                    event.bucket, self.allowed_buckets
                ),
            )
            .into());
        }
        for (name, value) in [("key", &event.key), ("owner", &event.owner)] {
            if value.trim().is_empty() {
                return Err(Poison::new(
                    "malformed_event",
                    format!("{name} is empty: the producer must name it"),
                )
                .into());
            }
        }
        if let Some(id) = &event.video_id
            && keys::safe(id) != *id
        {
            return Err(Poison::new(
                "malformed_event",
                format!(
                    "video_id {id:?} is no id: use at most 40 letters, digits, - and _, or leave it out"
                ),
            )
            .into());
        }
        let replay = u32::try_from(event.replay).map_err(|_| {
            Poison::new(
                "malformed_event",
                format!("replay {} is negative: count replays from 0", event.replay),
            )
        })?;
        let masking =
            Masking { blur: schemas::Blur::from_word(&event.blur), ..self.masking.clone() };
        // A mask reaches over a clip's border only if what casts it has been looked at.
        let margin_seconds = self.margin_seconds.max(masking.extend_ms as f64 / 1000.0);
        Ok(CutClips {
            source: ObjectRef::new(&event.bucket, &event.key),
            video_id: event.video_id.clone(),
            owner: event.owner.clone(),
            assessment: event.assessment.clone(),
            title: event.title.clone(),
            // What is not clearly meant for all is for nobody else.
            visibility: if event.visibility == "listed" { "listed" } else { "private" }.to_owned(),
            recorded_at_ms: event.recorded_at_ms.unwrap_or(input.at_ms),
            run_order: input.at_ms.saturating_add(i64::from(replay)),
            bucket: self.bucket.clone(),
            clip_seconds: self.clip_seconds,
            margin_seconds,
            masking,
            replay,
        })
    }

    fn conclude(
        &self,
        _: Input<VideoUploaded>,
        manifest: Manifest,
    ) -> Result<Outcome<ClipsReady>, Refusal> {
        if manifest.clips.is_empty() {
            return Err(Poison::new(
                "no_frames",
                "the source has no picture to cut: upload a file with a video stream",
            )
            .into());
        }
        let events = manifest
            .clips
            .iter()
            .map(|clip| self.ready(&manifest, clip))
            .collect::<Result<_, _>>()?;
        Ok(Outcome { events, objects: Vec::new() })
    }

    fn video_id(&self, input: &Input<VideoUploaded>) -> Option<String> {
        input.video_id.clone()
    }
}

impl Cut {
    fn ready(&self, manifest: &Manifest, clip: &ClipEntry) -> Result<ClipsReady, Refusal> {
        let Manifest { video_id, run_id, .. } = manifest;
        let core_frames = small(clip.core_frames as usize, "frames")?;
        Ok(ClipsReady {
            video_id: video_id.clone(),
            run_id: run_id.clone(),
            owner: manifest.owner.clone(),
            assessment: manifest.assessment.clone(),
            title: manifest.title.clone(),
            visibility: manifest.visibility.clone(),
            recorded_at_ms: manifest.recorded_at_ms,
            index: small(clip.index as usize, "clips")?,
            count: Some(small(manifest.clips.len(), "clips")?),
            bucket: self.bucket.clone(),
            clip_key: keys::clip(video_id, run_id, clip.index),
            manifest_key: keys::manifest(video_id, run_id),
            core_frames,
            total_frames: manifest.frames,
            duration_ms: manifest.duration_ms,
            size_bytes: i64::try_from(manifest.source.bytes).unwrap_or(i64::MAX),
            time_base_num: manifest.time_base.num,
            time_base_den: manifest.time_base.den,
            start_pts: manifest.start_pts,
            margin_start_pts: clip.margin_start,
            margin_end_pts: clip.margin_end,
            core_start_pts: clip.core_start,
            core_end_pts: clip.core_end,
            frame_ticks: ((clip.core_end - clip.core_start) / i64::from(core_frames.max(1))).max(1),
            face_threshold: manifest.masking.threshold,
            extend_ms: manifest.masking.extend_ms,
        })
    }
}

fn small(number: usize, of: &str) -> Result<i32, Refusal> {
    i32::try_from(number).map_err(|_| {
        Poison::new("too_long", format!("{number} {of} are too many: split the recording")).into()
    })
}
