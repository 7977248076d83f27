//! What performs the effects here: small connectors that keep to each effect's contract, with
//! texts for films. A clip of the source `v0` is `v0/1`, masked `[v0/1]`, and the film is all of
//! them in order.

use crate::{bugs::Bug, process::Process, store::SimStore};
use bytes::Bytes;
use engine::{Connector, Refusal, Trouble, WorkingObjects};
use ports::{Document, ObjectRef, Put, PutOutcome, Store};
use processors::{
    blur::{MaskClip, Masked},
    cut::{CutClips, rules},
    detect::{FindFaces, FoundFaces, SeenFace, SeenFaces},
    index::{IndexRun, Indexed, document},
    label::{FindLabels, FoundLabels, SeenLabel},
    stitch::{StitchClips, Stitched},
    sweep::SweepRun,
    thumbnail::{TakeStill, Taken},
    verify::{Verified, VerifyRecording, judge, recording_key, statement},
};
use schemas::{
    AudioPlan, BoundingBox, Checks, ClipEntry, Labels, Manifest, Receipt, RenderMode, SourceInfo,
    TimeBase, Tracks, ids, keys,
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

const LIMIT: u64 = 1 << 20;
/// Frames of a clip, at 10 a second and 100 ticks a frame.
const FRAMES: u32 = 10;
const TICKS: i64 = 1_000;

/// The index: documents by video.
pub(crate) type Documents = Arc<Mutex<BTreeMap<String, Document>>>;

/// Performs every effect, for one process.
#[derive(Debug, Clone)]
pub(crate) struct Studio {
    pub(crate) store: SimStore,
    pub(crate) documents: Documents,
}

impl Studio {
    fn process(&self) -> &Process {
        &self.store.process
    }

    fn is(&self, bug: Bug) -> bool {
        self.store.bug == Some(bug)
    }

    async fn begin(&self, what: &str, of: &str) {
        self.process().note(format_args!("begins {what} {of}"));
        let weather = &self.process().weather;
        self.process().pass(1, weather.effect_ms).await;
        if self.process().fault(weather.panic) {
            self.process().note(format_args!("panics in {what} {of}"));
            // Without the noise of a panic nobody meant.
            std::panic::resume_unwind(Box::new("simulated"));
        }
    }

    async fn text(&self, bucket: &str, key: &str) -> Result<String, Trouble> {
        let body = self.store.read(&ObjectRef::new(bucket, key), LIMIT).await?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    async fn put(&self, bucket: &str, key: &str, text: String) -> Result<(), Trouble> {
        let to = ObjectRef::new(bucket, key);
        self.store.write(&to, Bytes::from(text), Put::default()).await.map(drop)
    }

    async fn manifest(&self, bucket: &str, key: &str) -> Result<Manifest, Trouble> {
        Ok(Manifest::from_json(&self.store.read(&ObjectRef::new(bucket, key), LIMIT).await?)?)
    }
}

/// A masked clip.
pub(crate) fn masked(clip: &str) -> String {
    format!("[{clip}]")
}

/// An effect that writes temporary objects, until it has ended by itself.
struct Writing<'a> {
    studio: &'a Studio,
    keys: Vec<String>,
}

impl Writing<'_> {
    fn ended(mut self) {
        self.keys.clear();
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        if !self.keys.is_empty() {
            self.studio.store.ledger.book().cut_short.extend(self.keys.drain(..));
        }
    }
}

impl Connector<CutClips> for Studio {
    async fn perform(&self, effect: &CutClips) -> Result<Manifest, Trouble> {
        self.begin("cut", &effect.source.key).await;
        let Some(info) = self.store.head(&effect.source).await? else {
            return Err(Trouble::poison("missing_object", "there is no source"));
        };
        let video_id = effect
            .video_id
            .clone()
            .unwrap_or_else(|| ids::video(&effect.source.bucket, &effect.source.key, &info.etag));
        let mut rules = rules(effect);
        if self.is(Bug::RandomRun) {
            rules += &self.process().timeline.draw(0..=i64::MAX).to_string();
        }
        let run_id = ids::run(&video_id, &info.etag, &rules, effect.replay);
        let at = ObjectRef::new(&effect.bucket, keys::manifest(&video_id, &run_id));
        if self.store.head(&at).await?.is_some() {
            let there = self.manifest(&at.bucket, &at.key).await?;
            let clips: Vec<_> =
                there.clips.iter().map(|c| keys::clip(&video_id, &run_id, c.index)).collect();
            self.unless_swept(&effect.bucket, &there, &clips).await?;
            return Ok(there);
        }
        let source = self.text(&effect.source.bucket, &effect.source.key).await?;
        let Some((name, clips)) = source.split_once(' ') else {
            if self.is(Bug::BlamesTheWorld) {
                return Err(Trouble::transient("no_video", "simulated"));
            }
            return Err(Trouble::poison("no_video", "the source is no video"));
        };
        let clips: u32 = clips.parse().unwrap();
        let keys: Vec<_> = (0..clips).map(|index| keys::clip(&video_id, &run_id, index)).collect();
        let writing = Writing { studio: self, keys: keys.clone() };
        for (index, key) in keys.iter().enumerate() {
            self.put(&effect.bucket, key, format!("{name}/{index}")).await?;
        }
        let manifest = manifest(effect, &info.etag, name, clips, video_id, run_id);
        let body = Bytes::from(manifest.to_json()?);
        let put = Put { only_if_absent: true, ..Put::default() };
        let cut = match self.store.write(&at, body, put).await? {
            PutOutcome::Written { .. } => manifest,
            PutOutcome::Exists => {
                let there = self.manifest(&at.bucket, &at.key).await?;
                self.unless_swept(&effect.bucket, &there, &keys).await?;
                there
            }
        };
        writing.ended();
        Ok(cut)
    }
}

fn manifest(
    effect: &CutClips,
    etag: &str,
    name: &str,
    clips: u32,
    video_id: String,
    run_id: String,
) -> Manifest {
    let last = i64::from(clips) * TICKS;
    let clip = |index: u32| {
        let core_start = i64::from(index) * TICKS;
        ClipEntry {
            index,
            core_start,
            core_end: core_start + TICKS,
            margin_start: (core_start - TICKS / 2).max(0),
            margin_end: (core_start + TICKS * 3 / 2).min(last),
            core_frames: FRAMES,
            frames: FRAMES,
        }
    };
    Manifest {
        version: 1,
        video_id,
        run_id,
        run_order: effect.run_order,
        owner: effect.owner.clone(),
        assessment: effect.assessment.clone(),
        title: effect.title.clone(),
        visibility: effect.visibility.clone(),
        recorded_at_ms: effect.recorded_at_ms,
        source: SourceInfo {
            bucket: effect.source.bucket.clone(),
            key: effect.source.key.clone(),
            etag: etag.to_owned(),
            bytes: 1,
            sha256: name.to_owned(),
            container: "mp4".to_owned(),
            video_codec: "h264".to_owned(),
            audio_codec: None,
        },
        time_base: TimeBase { num: 1, den: 1_000 },
        start_pts: 0,
        duration_ms: last,
        frames: i64::from(clips * FRAMES),
        width: 640,
        height: 360,
        frame_rate: TimeBase { num: 10, den: 1 },
        clips: (0..clips).map(clip).collect(),
        render: RenderMode::Full,
        render_reason: String::new(),
        masking: effect.masking.clone(),
        audio: AudioPlan::None,
        replay: effect.replay,
        faces_of: effect.faces_of.clone(),
        labels_of: effect.labels_of.clone(),
        probe: serde_json::Value::Null,
    }
}

impl Connector<FindFaces> for Studio {
    async fn perform(&self, effect: &FindFaces) -> Result<FoundFaces, Trouble> {
        self.begin("detect", &effect.clip.key).await;
        self.text(&effect.clip.bucket, &effect.clip.key).await?;
        let region = BoundingBox { left: 0.1, top: 0.1, width: 0.2, height: 0.2 };
        let faces = vec![SeenFace { at_ms: 500, region, confidence: 99.0 }];
        Ok(FoundFaces::Seen(SeenFaces { faces, looked_every_ms: Some(0) }))
    }
}

impl Connector<FindLabels> for Studio {
    async fn perform(&self, effect: &FindLabels) -> Result<FoundLabels, Trouble> {
        self.begin("label", &effect.clip.key).await;
        let name = self.text(&effect.clip.bucket, &effect.clip.key).await?;
        let label =
            SeenLabel { at_ms: 600, name, parents: vec![], confidence: 99.0, regions: vec![] };
        Ok(FoundLabels::Seen(vec![label]))
    }
}

impl Connector<MaskClip> for Studio {
    async fn perform(&self, effect: &MaskClip) -> Result<Masked, Trouble> {
        self.begin("mask", &effect.clip_key).await;
        let manifest = self.manifest(&effect.bucket, &effect.manifest_key).await?;
        let writing = Writing { studio: self, keys: vec![effect.masked_key.clone()] };
        let done = self.mask(effect, &manifest).await;
        writing.ended();
        let written = std::slice::from_ref(&effect.masked_key);
        self.or_swept(done, &effect.bucket, &manifest, written).await
    }
}

impl Studio {
    async fn mask(&self, effect: &MaskClip, manifest: &Manifest) -> Result<Masked, Trouble> {
        let MaskClip { bucket, clip_key, tracks_key, masked_key, index, .. } = effect;
        let clip = self.text(bucket, clip_key).await?;
        Tracks::from_avro(&self.store.read(&ObjectRef::new(bucket, tracks_key), LIMIT).await?)?;
        let there = self.store.head(&ObjectRef::new(bucket, masked_key)).await?.is_some();
        if there && self.is(Bug::NotIdempotent) {
            return Err(Trouble::poison("exists", "simulated"));
        }
        self.put(bucket, masked_key, masked(&clip)).await?;
        self.unless_swept(bucket, manifest, std::slice::from_ref(masked_key)).await?;
        let frames = manifest.clips[*index as usize].core_frames;
        Ok(Masked { frames: i32::try_from(frames).unwrap(), masked_frames: 5, copied: false })
    }
}

impl Connector<StitchClips> for Studio {
    async fn perform(&self, effect: &StitchClips) -> Result<Stitched, Trouble> {
        self.begin("stitch", &effect.staged_key).await;
        let manifest = self.manifest(&effect.bucket, &effect.manifest_key).await?;
        let writing = Writing { studio: self, keys: vec![effect.staged_key.clone()] };
        let done = self.stitch(effect, &manifest).await;
        writing.ended();
        let written = std::slice::from_ref(&effect.staged_key);
        self.or_swept(done, &effect.bucket, &manifest, written).await
    }
}

impl Studio {
    async fn stitch(&self, effect: &StitchClips, manifest: &Manifest) -> Result<Stitched, Trouble> {
        let mut film = String::new();
        for index in 0..effect.count {
            let key = keys::masked(&manifest.video_id, &manifest.run_id, index);
            film += &self.text(&effect.bucket, &key).await?;
        }
        let size_bytes = i64::try_from(film.len()).unwrap();
        self.put(&effect.bucket, &effect.staged_key, film).await?;
        let written = std::slice::from_ref(&effect.staged_key);
        self.unless_swept(&effect.bucket, manifest, written).await?;
        let Manifest { frames, duration_ms, .. } = *manifest;
        Ok(Stitched { frames, duration_ms, size_bytes })
    }
}

impl Connector<VerifyRecording> for Studio {
    async fn perform(&self, effect: &VerifyRecording) -> Result<Verified, Trouble> {
        self.begin("verify", &effect.staged_key).await;
        let manifest = self.manifest(&effect.bucket, &effect.manifest_key).await?;
        let done = self.verify(effect, &manifest).await;
        self.or_swept(done, &effect.bucket, &manifest, &[]).await
    }
}

impl Studio {
    async fn verify(
        &self,
        effect: &VerifyRecording,
        manifest: &Manifest,
    ) -> Result<Verified, Trouble> {
        let film = self.text(&effect.bucket, &effect.staged_key).await?;
        let frames = film.matches('[').count() as i64 * i64::from(FRAMES);
        let checks = Checks {
            frames_source: manifest.frames,
            frames_output: frames,
            duration_source_ms: manifest.duration_ms,
            duration_output_ms: manifest.duration_ms,
            ..Checks::default()
        };
        judge(manifest, &checks).map_err(|poison| Trouble::from(Refusal::from(poison)))?;
        let to = ObjectRef::new(&effect.bucket, recording_key(manifest));
        self.publish(film.clone(), &to, manifest).await?;
        if self.is(Bug::EarlySweep) {
            let staged = [effect.staged_key.clone()];
            self.store.delete(&effect.bucket, &staged).await?;
        }
        Ok(Verified {
            recording_key: to.key,
            recorded_at_ms: manifest.recorded_at_ms,
            frames,
            duration_ms: manifest.duration_ms,
            size_bytes: i64::try_from(film.len()).unwrap(),
            replay: manifest.replay,
            receipt: Receipt {
                version: 1,
                video_id: manifest.video_id.clone(),
                run_id: manifest.run_id.clone(),
                statement: statement(manifest, &manifest.masking.detector),
                source_sha256: manifest.source.sha256.clone(),
                output_sha256: film,
                masking: manifest.masking.clone(),
                checks,
            },
        })
    }
}

impl Studio {
    fn working<'a>(&'a self, bucket: &'a str, manifest: &'a Manifest) -> WorkingObjects<'a> {
        WorkingObjects::of(&self.store, bucket, manifest)
    }

    async fn unless_swept(
        &self,
        bucket: &str,
        manifest: &Manifest,
        written: &[String],
    ) -> Result<(), Trouble> {
        if self.is(Bug::LateWriters) {
            return Ok(());
        }
        self.working(bucket, manifest).unless_swept(written).await
    }

    async fn or_swept<T>(
        &self,
        result: Result<T, Trouble>,
        bucket: &str,
        manifest: &Manifest,
        written: &[String],
    ) -> Result<T, Trouble> {
        if self.is(Bug::LateWriters) {
            return result;
        }
        self.working(bucket, manifest).or_swept(result, written).await
    }

    /// Where nothing is, or over an older run of the same video.
    async fn publish(&self, film: String, to: &ObjectRef, of: &Manifest) -> Result<(), Trouble> {
        let put = |only_if_absent| Put {
            metadata: BTreeMap::from([
                ("video".to_owned(), of.video_id.clone()),
                ("run".to_owned(), of.run_id.clone()),
                ("order".to_owned(), of.run_order.to_string()),
            ]),
            only_if_absent,
            ..Put::default()
        };
        let film = Bytes::from(film);
        if let PutOutcome::Written { .. } = self.store.write(to, film.clone(), put(true)).await? {
            return Ok(());
        }
        let Some(there) = self.store.head(to).await? else {
            return Err(Trouble::transient("recording_moved", "simulated"));
        };
        if there.metadata.get("video") != Some(&of.video_id) {
            return Err(Trouble::poison("name_taken", "simulated"));
        }
        let order = there.metadata.get("order").and_then(|order| order.parse::<i64>().ok());
        if order.is_some_and(|order| order > of.run_order) {
            return Err(Refusal::Skip("superseded").into());
        }
        self.store.write(to, film, put(false)).await.map(drop)
    }
}

impl Connector<IndexRun> for Studio {
    async fn perform(&self, effect: &IndexRun) -> Result<Indexed, Trouble> {
        let IndexRun { bucket, manifest_key, video_id, run_id, count } = effect;
        self.begin("index", run_id).await;
        let manifest = self.manifest(bucket, manifest_key).await?;
        let (mut tracks, mut labels) = (Vec::new(), Vec::new());
        for index in 0..*count {
            let at = |key| ObjectRef::new(bucket, key);
            let of_clip =
                self.store.read(&at(keys::tracks(video_id, run_id, index)), LIMIT).await?;
            tracks.push(Tracks::from_avro(&of_clip)?);
            let of_clip =
                self.store.read(&at(keys::labels(video_id, run_id, index)), LIMIT).await?;
            labels.push(Labels::from_avro(&of_clip)?);
        }
        let document = document(&manifest, &tracks, &labels);
        let moments = i32::try_from(document.moments.len()).unwrap();
        self.process().pass(0, self.process().weather.call_ms).await;
        self.store.ledger.indexed(bucket, &manifest);
        let mut documents = self.documents.lock().unwrap();
        let newer = documents.get(video_id).is_some_and(|there| there.version > document.version);
        if !newer {
            documents.insert(video_id.clone(), document);
        }
        Ok(Indexed { moments })
    }
}

impl Connector<TakeStill> for Studio {
    async fn perform(&self, effect: &TakeStill) -> Result<Taken, Trouble> {
        self.begin("thumbnail", &effect.run_id).await;
        let at = ObjectRef::new(&effect.bucket, &effect.recording_key);
        let Some(shown) = self.store.head(&at).await? else {
            return Err(Trouble::poison("missing_object", "there is no recording"));
        };
        if shown.metadata.get("run") != Some(&effect.run_id) {
            return Err(Refusal::Skip("superseded").into());
        }
        self.put(&effect.bucket, &effect.thumbnail_key, effect.run_id.clone()).await?;
        Ok(Taken { width: 320, height: 180, at_ms: effect.at_ms })
    }
}

impl Connector<SweepRun> for Studio {
    async fn perform(&self, effect: &SweepRun) -> Result<(), Trouble> {
        let SweepRun { bucket, video_id, run_id, .. } = effect;
        self.begin("sweep", run_id).await;
        let folder = keys::run(video_id, run_id);
        if self.is(Bug::GreedySweep) {
            let all = self.store.list(bucket, &folder).await?;
            let all: Vec<_> = all.into_iter().map(|object| object.key).collect();
            return self.store.delete(bucket, &all).await;
        }
        WorkingObjects { store: &self.store, bucket, video_id, run_id }
            .sweep(&effect.gathered(), &effect.temporary())
            .await
    }
}
