//! The studio: store, media and scratch disk together. Performs what needs footage on disk.
//!
//! Every job works in a private directory, on files the store gave it, and uploads its result to
//! a key that depends on nothing but the run: doing it twice writes the same object twice. What
//! reads footage is a [`Work`], done by a [`Helper`] in a process that sees that directory only.

mod cutting;
mod masking;
mod publishing;
mod scratch;
mod second_look;
mod sighting;
mod still;
mod stitching;
mod verifying;

use confine::{Allowance, Entry, Failure, Helper, Work};
use engine::{Metrics, Trouble, WorkingObjects};
use media::Probe;
use ports::{ObjectRef, Put, Store};
use schemas::{Manifest, Tracks};
use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};
use tokio::{sync::Semaphore, task::spawn_blocking};

pub use scratch::{Job, Scratch};

// A face that only a closer look shows must not end a mask as soon as one that is plain to see.
const _: () = assert!(vision::NOT_PLAIN <= processors::tracks::PLAIN);

/// A manifest of an hour in ten-second clips is 100 kB.
const MAX_MANIFEST_BYTES: u64 = 64 << 20;
/// The faces of a crowded hour are a few megabytes.
const MAX_TRACKS_BYTES: u64 = 256 << 20;

/// What a helper of the studio must know.
pub const WORKS: [Entry; 6] = [
    Entry::of::<cutting::PlanClips>(),
    Entry::of::<cutting::WriteClips>(),
    Entry::of::<masking::MaskCore>(),
    Entry::of::<still::WriteStill>(),
    Entry::of::<stitching::StitchFilm>(),
    Entry::of::<verifying::Inspection>(),
];

/// Performs the effects of `cut`, `blur`, `stitch`, `verify`, `thumbnail` and `sweep`.
#[derive(Debug, Clone)]
pub struct Studio {
    pub store: Arc<dyn Store>,
    pub scratch: Scratch,
    /// One permit per core, shared with the detector.
    pub permits: Arc<Semaphore>,
    /// Threads of one encoder or decoder.
    pub threads: usize,
    pub models: Arc<vision::Models>,
    /// Does what reads footage.
    pub helper: Helper,
    /// Told how many frames and seconds of footage were worked on.
    pub metrics: Metrics,
}

impl Studio {
    async fn manifest(&self, bucket: &str, key: &str) -> Result<Manifest, Trouble> {
        let body = self.store.read(&ObjectRef::new(bucket, key), MAX_MANIFEST_BYTES).await?;
        Ok(Manifest::from_json(&body)?)
    }

    fn working<'a>(&'a self, bucket: &'a str, manifest: &'a Manifest) -> WorkingObjects<'a> {
        WorkingObjects::of(&*self.store, bucket, manifest)
    }

    /// The source of a run, as it was cut.
    async fn source(&self, manifest: &Manifest, to: &Path) -> Result<(), Trouble> {
        let at = ObjectRef::new(&manifest.source.bucket, &manifest.source.key);
        self.store.download(&at, to).await?;
        let file = to.to_owned();
        let hash = spawn_blocking(move || media::file_sha256(&file));
        let hash = hash.await.map_err(|e| Trouble::fatal(e.to_string()))?;
        let hash = hash.map_err(|e| Trouble::transient("scratch_unreadable", e.to_string()))?;
        if hash == manifest.source.sha256 {
            return Ok(());
        }
        Err(Trouble::poison(
            "source_changed",
            format!(
                "{at} was replaced while its video was worked on, and nothing of it is published: \
                 upload each file under a key of its own"
            ),
        ))
    }

    async fn tracks(&self, bucket: &str, key: &str) -> Result<Tracks, Trouble> {
        let body = self.store.read(&ObjectRef::new(bucket, key), MAX_TRACKS_BYTES).await?;
        Ok(Tracks::from_avro(&body)?)
    }

    /// What work on `bytes` of footage that lasts `footage` (where that is known) may use.
    fn rendering(&self, job: &Job, bytes: u64, footage: Option<Duration>) -> Allowance {
        Allowance::new(job.dir().to_owned(), bytes, footage, self.threads)
    }

    /// Work under a permit. Permit and directory are given back when nothing works any more, also if nobody waits.
    async fn work<W: Work>(
        &self,
        job: &Arc<Job>,
        work: W,
        allowance: Allowance,
    ) -> Result<W::Output, Trouble> {
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .map_err(|_| Trouble::transient("stopping", "the mill is stopping"))?;
        let held = (permit, Arc::clone(job));
        self.helper.run(work, allowance, held).await.map_err(blame)
    }

    async fn upload(&self, file: &Path, bucket: &str, key: &str) -> Result<(), Trouble> {
        let put = Put {
            content_type: Some("video/mp4".to_owned()),
            metadata: BTreeMap::new(),
            only_if_absent: false,
        };
        self.store.upload(file, &ObjectRef::new(bucket, key), put).await.map(drop)
    }
}

/// A length of footage; negative ones are none.
pub(crate) fn footage(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or_default())
}

/// The source as `cut` found it.
fn probe(manifest: &Manifest) -> Result<Probe, Trouble> {
    serde_json::from_value(manifest.probe.clone()).map_err(|e| {
        Trouble::poison("malformed_manifest", format!("the manifest's probe cannot be read: {e}"))
    })
}

/// Whose fault a failure of media work is.
fn blame(failure: Failure) -> Trouble {
    match failure {
        Failure::Unavailable { lasting: true, .. } => Trouble::fatal(failure.to_string()),
        _ if failure.blames_input() => Trouble::poison(failure.reason(), failure.to_string()),
        _ => Trouble::transient(failure.reason(), failure.to_string()),
    }
}
