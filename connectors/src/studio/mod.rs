//! The studio: store, media and scratch disk together. Performs what needs footage on disk.
//!
//! Every job works in a private directory, on files the store gave it, and uploads its result to
//! a key that depends on nothing but the run: doing it twice writes the same object twice.

mod cutting;
mod masking;
mod publishing;
mod scratch;
mod second_look;
mod stitching;
mod verifying;

use engine::{Metrics, Trouble};
use media::{Limits, MediaError, Probe};
use ports::{ObjectRef, Put, Store};
use schemas::{Manifest, Tracks};
use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};
use tokio::sync::Semaphore;

pub use scratch::{Job, Scratch};

/// A manifest of an hour in ten-second clips is 100 kB.
const MAX_MANIFEST_BYTES: u64 = 64 << 20;
/// The faces of a crowded hour are a few megabytes.
const MAX_TRACKS_BYTES: u64 = 256 << 20;

/// Performs the effects of `cut`, `blur`, `stitch`, `verify` and `sweep`.
#[derive(Debug, Clone)]
pub struct Studio {
    pub store: Arc<dyn Store>,
    pub scratch: Scratch,
    /// One permit per core, shared with the detector.
    pub permits: Arc<Semaphore>,
    /// Threads of one encoder or decoder.
    pub threads: usize,
    pub models: Arc<vision::Models>,
    /// Told how many frames and seconds of footage were worked on.
    pub metrics: Metrics,
}

impl Studio {
    async fn manifest(&self, bucket: &str, key: &str) -> Result<Manifest, Trouble> {
        let body = self.store.read(&ObjectRef::new(bucket, key), MAX_MANIFEST_BYTES).await?;
        Ok(Manifest::from_json(&body)?)
    }

    async fn tracks(&self, bucket: &str, key: &str) -> Result<Tracks, Trouble> {
        let body = self.store.read(&ObjectRef::new(bucket, key), MAX_TRACKS_BYTES).await?;
        Ok(Tracks::from_avro(&body)?)
    }

    /// Media work on a thread of its own, under a permit.
    async fn on_cpu<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Limits) -> Result<T, MediaError> + Send + 'static,
    ) -> Result<T, Trouble> {
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .map_err(|_| Trouble::transient("stopping", "the mill is stopping"))?;
        let limits = Limits { threads: self.threads, ..Limits::default() };
        let result = tokio::task::spawn_blocking(move || {
            let result = work(&limits);
            drop(permit);
            result
        })
        .await;
        match result {
            Ok(result) => result.map_err(blame),
            Err(panic) => {
                Err(Trouble::poison("media_panic", format!("media work failed: {panic}")))
            }
        }
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
fn footage(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or_default())
}

/// The source as `cut` found it.
fn probe(manifest: &Manifest) -> Result<Probe, Trouble> {
    serde_json::from_value(manifest.probe.clone()).map_err(|e| {
        Trouble::poison("malformed_manifest", format!("the manifest's probe cannot be read: {e}"))
    })
}

/// Whose fault a media failure is.
fn blame(error: MediaError) -> Trouble {
    if error.blames_input() {
        Trouble::poison(error.reason(), error.to_string())
    } else {
        Trouble::transient(error.reason(), error.to_string())
    }
}
