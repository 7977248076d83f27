//! `VerifyRecording`: the staged film is held against its source, frame by frame; only a film that
//! passes is published.
//!
//! Two things run side by side: this thread decodes both films in lock step and holds every tracked
//! box against the mask that should be there; a second one runs the detector over every frame of
//! the output.

use super::{
    Studio, footage, masking,
    second_look::{DETECTOR_WIDTH, TOUCHED},
};
use confine::Work;
use engine::{Connector, FrameKind, Trouble};
use media::{Compared, Limits, MaskStyle, MediaError, Region};
use ports::ObjectRef;
use processors::verify::{Verified, VerifyRecording, judge, recording_key, statement};
use schemas::{AudioPlan, Blur, Checks, Manifest, Receipt, Tracks, keys};
use serde::{Deserialize, Serialize};
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{Receiver, sync_channel},
    },
    thread,
};
use vision::{FaceBox, FaceDetector, FaceEmbedder, Models, VisionError};

const SCRATCH_FLOOR: u64 = 8 << 20;
/// Frames the detector may be behind: bounds memory.
const FRAMES_IN_FLIGHT: usize = 4;
/// A detection on the output is a leak when no mask touches it. It is one too when less of its box
/// than this lies inside masks and the source, looked at with the masking threshold, shows a face
/// there that is not covered: detectors see heads in the edges of masks, but a film shows no face its
/// source does not show. See docs/decisions/0005.
const COVERED: f32 = 0.95;
/// AAC adds a packet or two of priming and padding, of 21 ms each at 48 kHz and 128 ms at 8 kHz.
const SOUND_TOLERANCE_MS: i64 = 260;
/// Two boxes that coincide this much (intersection over union) are of one face.
const SAME_FACE: f32 = 0.3;
/// A masked face may come as close as 0.49 to itself (measured with six blocks across a face);
/// the same person unmasked lies between 0.11 and 0.48.
const RECOGNISED: f32 = 0.45;
/// Of fewer pixels (a share of the picture's width: 40 px of 640) an embedding says nothing: backs
/// of heads come as near to each other as 0.2.
const SMALLEST_RECOGNISABLE: f32 = 40.0 / 640.0;

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
        let source_at = ObjectRef::new(&manifest.source.bucket, &manifest.source.key);
        self.store.download(&source_at, &films.source).await?;
        self.store.download(&staged_at, &films.output).await?;

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
        judge(manifest, &checks).map_err(|poison| Trouble::from(engine::Refusal::from(poison)))?;
        self.publish(&film, &recording_at, manifest).await?;
        Ok(Verified {
            recording_key: recording_at.key,
            recorded_at_ms: manifest.recorded_at_ms,
            frames: checks.frames_output,
            duration_ms: checks.duration_output_ms,
            size_bytes: i64::try_from(staged.bytes).unwrap_or(i64::MAX),
            receipt: Receipt {
                version: 1,
                video_id: manifest.video_id.clone(),
                run_id: manifest.run_id.clone(),
                statement: statement(manifest),
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

/// One frame for the detector: both pictures, and where masks were drawn.
struct Shot {
    /// Ticks of the source.
    pts: i64,
    source: media::RgbImage,
    output: media::RgbImage,
    regions: Vec<Region>,
}

/// What the detector found.
#[derive(Default)]
struct Found {
    under_mask: i64,
    unconfirmed: i64,
    leaks: i64,
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
        let (shots, queue) = sync_channel::<Shot>(FRAMES_IN_FLIGHT);
        let (compared, found) = thread::scope(|scope| {
            let detector = scope.spawn(move || {
                if masked { self.detect(&queue, limits.threads) } else { Ok(Found::default()) }
            });
            let mut boxes = (0_i64, 0_i64);
            let compared =
                media::compare(&self.films.source, &self.films.output, limits, &mut |pair| {
                    if masked {
                        let shot = self.look(pair, &mut boxes)?;
                        // A closed queue means that the detector failed; its error is the one to tell.
                        shots.send(shot).map_err(|_| MediaError::Cancelled)?;
                    }
                    Ok(())
                });
            drop(shots);
            let found = detector.join().unwrap_or_else(|_| {
                Err(VisionError::Inference {
                    model: vision::DETECTOR,
                    detail: "its thread has panicked".to_owned(),
                })
            });
            (compared.map(|report| (report, boxes)), found)
        });
        let found = found?;
        let (report, (boxes, boxes_masked)) = compared?;
        let frames = i64::from(report.frames);
        let output = media::probe(&self.films.output, limits)?;
        let checks = Checks {
            frames_source: frames,
            frames_output: frames,
            duration_source_ms: self.manifest.duration_ms,
            duration_output_ms: output.duration_ms,
            sound: self.sound(limits)?,
            tracks: self.tracks.iter().map(|t| t.tracks.len() as i64).sum(),
            boxes,
            boxes_masked,
            detections_under_mask: found.under_mask,
            detections_unconfirmed: found.unconfirmed,
            leaks: found.leaks,
        };
        Ok((checks, media::file_sha256(&self.films.output)?))
    }

    /// Holds the boxes of one moment against their masks; the pictures go on to the detector.
    fn look(&self, pair: &mut Compared<'_>, boxes: &mut (i64, i64)) -> Result<Shot, MediaError> {
        // Before the evidence: it redraws the masks on the source's frame.
        let shot = Shot {
            pts: pair.source.pts(),
            source: pair.source.rgb(DETECTOR_WIDTH)?,
            output: pair.output.rgb(DETECTOR_WIDTH)?,
            regions: self.regions(pair.source.pts()),
        };
        let evidence =
            media::mask_evidence(&mut pair.source, &mut pair.output, &shot.regions, self.style)?;
        boxes.0 += evidence.len() as i64;
        boxes.1 += evidence.iter().filter(|e| e.is_masked()).count() as i64;
        Ok(shot)
    }

    /// The boxes masked at a time of the source: those of the clip whose core holds it.
    fn regions(&self, pts: i64) -> Vec<Region> {
        let clips = &self.manifest.clips;
        let index =
            clips.partition_point(|clip| clip.core_end <= pts).min(clips.len().saturating_sub(1));
        let Some(tracks) = self.tracks.get(index) else { return Vec::new() };
        tracks.regions_at(pts).iter().map(masking::region).collect()
    }

    fn detect(&self, queue: &Receiver<Shot>, threads: usize) -> Result<Found, VisionError> {
        let models = Models::find(Some(&self.runtime))?;
        let threshold = self.manifest.masking.verify_threshold;
        let mut eyes = Eyes {
            detector: FaceDetector::new(&models, threads)?,
            embedder: None,
            models: &models,
            threads,
            threshold: self.manifest.masking.threshold,
        };
        let mut found = Found::default();
        for shot in queue {
            for face in eyes.detector.detect(&shot.output, threshold)? {
                let covered = media::mask_coverage(&masking::region(&face.region), &shot.regions);
                let region = &face.region;
                if covered >= COVERED {
                    if eyes.recognises(&shot, &face)? {
                        found.leaks += 1;
                        tracing::warn!(
                            pts = shot.pts,
                            ?region,
                            "a face is recognised under its mask"
                        );
                    } else {
                        found.under_mask += 1;
                    }
                } else if covered < TOUCHED || eyes.shows_through(&shot, &face)? {
                    found.leaks += 1;
                    tracing::warn!(pts = shot.pts, ?region, covered, "a face is outside masks");
                } else {
                    found.unconfirmed += 1;
                }
            }
        }
        Ok(found)
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

/// What looks at single frames.
struct Eyes<'a> {
    detector: FaceDetector,
    /// Loaded when first needed.
    embedder: Option<FaceEmbedder>,
    models: &'a Models,
    threads: usize,
    /// 0 to 1: the threshold for looking at the source, that of masking.
    threshold: f32,
}

impl Eyes<'_> {
    /// The face of the source at the place of one found on the output.
    fn clear_face(&mut self, shot: &Shot, found: &FaceBox) -> Result<Option<FaceBox>, VisionError> {
        let faces = self.detector.detect(&shot.source, self.threshold)?;
        Ok(faces.into_iter().find(|face| face.region.iou(&found.region) >= SAME_FACE))
    }

    /// Whether what was found outside masks is a face of the source's.
    fn shows_through(&mut self, shot: &Shot, found: &FaceBox) -> Result<bool, VisionError> {
        let clear = self.clear_face(shot, found)?;
        Ok(clear.is_some_and(|face| {
            media::mask_coverage(&masking::region(&face.region), &shot.regions) < COVERED
        }))
    }

    /// Whether a face found under a mask is still the one the source shows there.
    fn recognises(&mut self, shot: &Shot, found: &FaceBox) -> Result<bool, VisionError> {
        let Some(clear) = self.clear_face(shot, found)? else {
            return Ok(false);
        };
        if clear.region.width < SMALLEST_RECOGNISABLE {
            return Ok(false);
        }
        let embedder = match &mut self.embedder {
            Some(embedder) => embedder,
            none => none.insert(FaceEmbedder::new(self.models, self.threads)?),
        };
        let before = embedder.embed(&shot.source, &clear.landmarks)?;
        let after = embedder.embed(&shot.output, &found.landmarks)?;
        Ok(vision::distance(&before, &after) < RECOGNISED)
    }
}
