//! `VerifyRecording`: the staged film is held against its source, frame by frame; only a film that
//! passes is published.
//!
//! Two things run side by side: this thread decodes the film, and its source where their packets differ,
//! and holds every tracked box against the mask that should be there; others run the detector over
//! every frame of the film, or those that the profile does not pass over.

use super::{
    Studio, footage, masking,
    second_look::DETECTOR_WIDTH,
    sighting::{Eyes, Found, SharedEmbedder, Shot},
};
use confine::Work;
use engine::{Connector, FrameKind, Trouble};
use media::{Inspected, Inspector, Limits, MaskStyle, MediaError, Region};
use ports::ObjectRef;
use processors::verify::{Verified, VerifyRecording, judge, recording_key, statement};
use schemas::{AudioPlan, Blur, Checks, Manifest, Receipt, Tracks, keys};
use serde::{Deserialize, Serialize};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use vision::{Grid, Models, Profile, VisionError, in_parallel};

const SCRATCH_FLOOR: u64 = 8 << 20;
/// AAC adds a packet or two of priming and padding, of 21 ms each at 48 kHz and 128 ms at 8 kHz.
const SOUND_TOLERANCE_MS: i64 = 260;
impl Connector<VerifyRecording> for Studio {
    async fn perform(&self, effect: &VerifyRecording) -> Result<Verified, Trouble> {
        let manifest = self.manifest(&effect.bucket, &effect.manifest_key).await?;
        let verified = self.verify(effect, &manifest).await;
        self.working(&effect.bucket, &manifest).or_swept(verified, &[]).await
    }
}

impl Studio {
    async fn verify(
        &self,
        effect: &VerifyRecording,
        manifest: &Manifest,
    ) -> Result<Verified, Trouble> {
        let staged_at = ObjectRef::new(&effect.bucket, &effect.staged_key);
        let recording_at = ObjectRef::new(&effect.bucket, recording_key(manifest));
        let Some(staged) = self.store.head(&staged_at).await? else {
            return Err(Trouble::poison("missing_object", format!("{staged_at} is gone")));
        };
        let bytes = manifest.source.bytes + staged.bytes;
        let job = Arc::new(self.scratch.job(bytes + SCRATCH_FLOOR)?);
        let films = Films { source: job.path("source"), output: job.path("staged.mp4") };
        tokio::try_join!(
            self.source(manifest, &films.source),
            self.store.download(&staged_at, &films.output)
        )?;

        let mut tracks = Vec::new();
        if manifest.masking.blur == Blur::All {
            for clip in &manifest.clips {
                let key = keys::tracks(&manifest.video_id, &manifest.run_id, clip.index);
                let mut of_clip = self.tracks(&effect.bucket, &key).await?;
                let key = keys::second_look(&manifest.video_id, &manifest.run_id, clip.index);
                if self.store.head(&ObjectRef::new(&effect.bucket, &key)).await?.is_some() {
                    of_clip.tracks.extend(self.tracks(&effect.bucket, &key).await?.tracks);
                }
                tracks.push(of_clip);
            }
        }

        let film = films.output.clone();
        let inspection = Inspection {
            films,
            tracks,
            style: masking::style(manifest),
            manifest: manifest.clone(),
            runtime: self.models.library().to_owned(),
        };
        let length = footage(manifest.duration_ms);
        let allowance = self.rendering(&job, bytes, Some(length));
        let (checks, output_sha256) = self.work(&job, inspection, allowance).await?;
        self.metrics
            .count_frames(FrameKind::Verified, u64::try_from(checks.frames_output).unwrap_or(0));
        self.metrics.count_media("verify", footage(checks.duration_output_ms));
        let detector = Profile::of(&manifest.masking.detector).name(&vision::detector_name());
        judge(manifest, &checks).map_err(|poison| Trouble::from(engine::Refusal::from(poison)))?;
        self.publish(&film, &recording_at, manifest).await?;
        Ok(Verified {
            recording_key: recording_at.key,
            recorded_at_ms: manifest.recorded_at_ms,
            frames: checks.frames_output,
            duration_ms: checks.duration_output_ms,
            size_bytes: i64::try_from(staged.bytes).unwrap_or(i64::MAX),
            replay: manifest.replay,
            receipt: Receipt {
                version: 1,
                video_id: manifest.video_id.clone(),
                run_id: manifest.run_id.clone(),
                statement: statement(manifest, &detector),
                source_sha256: manifest.source.sha256.clone(),
                output_sha256,
                masking: manifest.masking.clone(),
                checks,
            },
        })
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Films {
    source: PathBuf,
    output: PathBuf,
}

/// All that a verification looks at.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Inspection {
    films: Films,
    manifest: Manifest,
    /// By clip; none where nothing is masked.
    tracks: Vec<Tracks>,
    style: MaskStyle,
    /// ONNX Runtime's shared library.
    runtime: PathBuf,
}

/// What a comparison has seen of a part.
#[derive(Debug, Default)]
struct Seen {
    frames: i64,
    boxes: i64,
    masked: i64,
    /// See [`media::difference_outside`]; of the frames of `grid`.
    difference: f32,
    found: Found,
    grid: Option<ClipGrid>,
    /// The frame before, ticks of the source.
    last: Option<i64>,
}

/// Which frames of a clip are looked at.
#[derive(Debug)]
struct ClipGrid {
    clip: usize,
    grid: Grid,
}

impl Seen {
    /// Both parts.
    fn and(self, other: Self) -> Self {
        Self {
            frames: self.frames + other.frames,
            boxes: self.boxes + other.boxes,
            masked: self.masked + other.masked,
            difference: self.difference.max(other.difference),
            found: [self.found, other.found].into_iter().sum(),
            ..Self::default()
        }
    }
}

impl Work for Inspection {
    const NAME: &'static str = "inspect-film";
    type Output = (Checks, String);

    fn prepare(&self) -> Result<(), MediaError> {
        Ok(Models::preload(&self.runtime)?)
    }

    fn run(self, limits: &Limits) -> Result<(Checks, String), MediaError> {
        self.inspect(limits)
    }
}

impl Inspection {
    fn inspect(&self, limits: &Limits) -> Result<(Checks, String), MediaError> {
        let masked = self.manifest.masking.blur == Blur::All;
        let profile =
            if masked { Profile::of(&self.manifest.masking.detector) } else { Profile::Careful };
        let embedder = SharedEmbedder::default();
        let models = masked.then(|| Models::find(Some(&self.runtime))).transpose()?;
        let open = || {
            models
                .as_ref()
                .map(|models| Eyes::open(models, &embedder, &self.manifest.masking))
                .transpose()
        };
        let look = |eyes: &mut Option<Eyes<'_>>, shot: Shot| match eyes {
            Some(eyes) => eyes.look(&shot),
            None => Ok(None),
        };
        let is_clear = |pts| self.regions(pts).is_empty();
        let Films { source, output } = &self.films;
        let inspector = Inspector::open(source, output, limits, &is_clear)?;
        let seen = media::side_by_side(inspector.parts(), limits, |part, limits| {
            let mut seen = Seen { last: part.before(), ..Seen::default() };
            // Where nothing is looked for, comparing is all there is.
            let threads = if masked { limits.threads } else { 1 };
            let (report, found) = in_parallel(threads, &open, &look, |give| {
                inspector.inspect(part, limits, &mut |moment| {
                    let is_looked_at = self.is_looked_at(moment.pts, profile, &mut seen);
                    let shot = self.look(moment, is_looked_at, &mut seen)?;
                    shot.filter(|_| masked).map_or(Ok(()), &mut *give)
                })
            })?;
            seen.frames = report.frames.into();
            seen.found = found.into_iter().sum();
            Ok::<_, VisionError>(seen)
        })?;
        let last = seen.iter().filter_map(|part| part.last).max();
        let seen = seen.into_iter().fold(Seen::default(), Seen::and);
        let output = media::probe(&self.films.output, limits)?;
        let checks = Checks {
            frames_source: seen.frames,
            // Counted packet by packet: no frame lies between parts, or beside them.
            frames_output: output.frames,
            duration_source_ms: self.manifest.duration_ms,
            duration_output_ms: self.lasts(output.duration_ms, last),
            sound: self.sound(limits)?,
            tracks: self.tracks.iter().map(|t| t.tracks.len() as i64).sum(),
            boxes: seen.boxes,
            boxes_masked: seen.masked,
            difference: seen.difference,
            detections_under_mask: seen.found.under_mask,
            detections_unconfirmed: seen.found.unconfirmed,
            leaks: seen.found.leaks,
        };
        Ok((checks, media::file_sha256(&self.films.output)?))
    }

    /// Holds one moment's boxes against their masks, and, where the profile does not pass over it, the
    /// rest against the source. A copied moment has no boxes, and is the source's.
    fn look(
        &self,
        moment: &mut Inspected<'_>,
        is_looked_at: bool,
        seen: &mut Seen,
    ) -> Result<Option<Shot>, MediaError> {
        let pts = moment.pts;
        let Some(from) = &mut moment.source else {
            if !is_looked_at {
                return Ok(None);
            }
            let output = moment.output.rgb(DETECTOR_WIDTH)?;
            return Ok(Some(Shot { pts, source: None, output, regions: Vec::new() }));
        };
        let regions = self.regions(pts);
        let mut shot = None;
        if is_looked_at {
            // Before the evidence: it redraws the masks on the source's frame.
            let (source, output) = (from.rgb(DETECTOR_WIDTH)?, moment.output.rgb(DETECTOR_WIDTH)?);
            let difference = media::difference_outside(&source, &output, &regions);
            seen.difference = seen.difference.max(difference);
            shot = Some(Shot { pts, source: Some(source), output, regions: regions.clone() });
        }
        let evidence = media::mask_evidence(from, &mut moment.output, &regions, self.style)?;
        seen.boxes += evidence.len() as i64;
        for (evidence, region) in evidence.iter().zip(&regions) {
            if evidence.is_masked() {
                seen.masked += 1;
            } else {
                tracing::warn!(pts, ?region, ?evidence, "a box is not masked");
            }
        }
        Ok(shot)
    }

    /// Whether faces are looked for on the next frame. The detector has looked at the same ones, in the clip.
    fn is_looked_at(&self, pts: i64, profile: Profile, seen: &mut Seen) -> bool {
        let index = self.clip_at(pts);
        let start = self.manifest.clips.get(index).map_or(0, |clip| clip.margin_start);
        let before = seen.last.replace(pts);
        let of_clip = match seen.grid.take().filter(|of_clip| of_clip.clip == index) {
            Some(of_clip) => of_clip,
            None => {
                let mut grid = profile.grid(self.manifest.time_base);
                if let Some(of_margin) = before.filter(|pts| *pts >= start) {
                    grid.is_looked_at(of_margin - start);
                }
                ClipGrid { clip: index, grid }
            }
        };
        seen.grid.insert(of_clip).grid.is_looked_at(pts - start)
    }

    /// How long the film lasts, ms, of which FFmpeg tells `told`. It guesses the last frame's part of it in an mp4 whose
    /// frames are reordered: that frame begins with the source's, at `last` (ticks of the source), and a source without
    /// reordered frames tells that it lasts longer.
    fn lasts(&self, told: i64, last: Option<i64>) -> i64 {
        let whole = self.manifest.duration_ms;
        let end = self.manifest.clips.last().map(|clip| clip.core_end);
        let of_last = end.zip(last).map_or(0, |(end, last)| end.saturating_sub(last));
        let unknown = 0..=self.manifest.time_base.to_ms(of_last);
        if unknown.contains(&whole.saturating_sub(told)) { whole } else { told }
    }

    /// The clip whose core holds a time of the source.
    fn clip_at(&self, pts: i64) -> usize {
        let clips = &self.manifest.clips;
        clips.partition_point(|clip| clip.core_end <= pts).min(clips.len().saturating_sub(1))
    }

    /// The boxes masked at a time of the source: those of the clip whose core holds it.
    fn regions(&self, pts: i64) -> Vec<Region> {
        let Some(tracks) = self.tracks.get(self.clip_at(pts)) else { return Vec::new() };
        tracks.regions_at(pts).iter().map(masking::region).collect()
    }

    /// Whether transcoded sound is as long as the source's.
    fn sound_lasts(&self, limits: &Limits) -> Result<bool, MediaError> {
        let of = |film: &Path| -> Result<i64, MediaError> {
            Ok(media::probe(film, limits)?.audio.map_or(0, |audio| audio.duration_ms))
        };
        Ok((of(&self.films.source)? - of(&self.films.output)?).abs() <= SOUND_TOLERANCE_MS)
    }

    fn sound(&self, limits: &Limits) -> Result<Option<String>, MediaError> {
        let of = |film: &Path| media::elementary_sha256(film, media::Track::Audio, limits);
        let (source, output) = (of(&self.films.source)?, of(&self.films.output)?);
        let word = match self.manifest.audio {
            AudioPlan::None if output.packets == 0 => return Ok(None),
            AudioPlan::None => "from nowhere",
            _ if output.packets == 0 => "lost",
            AudioPlan::Copy if source == output => Checks::SOUND_IDENTICAL,
            AudioPlan::Copy => "changed",
            AudioPlan::Transcode if self.sound_lasts(limits)? => Checks::SOUND_TRANSCODED,
            AudioPlan::Transcode => "of another length",
        };
        Ok(Some(word.to_owned()))
    }
}
