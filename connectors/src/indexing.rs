//! Gathers a run's tracks and labels and puts one document into the index, whichever keeps it.

use engine::{Connector, Trouble};
use futures::{StreamExt, TryStreamExt, stream};
use ports::{Document, ObjectRef, Search, Store};
use processors::index::{IndexRun, Indexed, document};
use schemas::{Labels, Malformed, Manifest, Tracks, keys};
use std::sync::Arc;

/// Tracks or labels of one clip; an hour of faces is a few megabytes.
const MAX_PART_BYTES: u64 = 256 << 20;
const READS_AT_ONCE: usize = 8;

/// The connector of `index`.
#[derive(Debug, Clone)]
pub struct Indexing {
    pub store: Arc<dyn Store>,
    pub search: Arc<dyn Search>,
}

impl Connector<IndexRun> for Indexing {
    async fn perform(&self, effect: &IndexRun) -> Result<Indexed, Trouble> {
        let IndexRun { bucket, manifest_key, video_id, run_id, count } = effect;
        let manifest = manifest(&*self.store, bucket, manifest_key).await?;
        let findings = Findings { bucket, video_id, run_id, count: *count };
        let document = findings.document(&*self.store, &manifest).await?;
        self.search.put(&document).await?;
        Ok(Indexed { moments: i32::try_from(document.moments.len()).unwrap_or(i32::MAX) })
    }
}

pub(crate) async fn manifest(
    store: &dyn Store,
    bucket: &str,
    key: &str,
) -> Result<Manifest, Trouble> {
    let bytes = store.read(&ObjectRef::new(bucket, key), MAX_PART_BYTES).await?;
    Ok(Manifest::from_json(&bytes)?)
}

/// What was found in each clip of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Findings<'a> {
    pub(crate) bucket: &'a str,
    pub(crate) video_id: &'a str,
    pub(crate) run_id: &'a str,
    /// Clips.
    pub(crate) count: u32,
}

impl Findings<'_> {
    pub(crate) fn tracks(&self) -> Vec<String> {
        (0..self.count).map(|index| keys::tracks(self.video_id, self.run_id, index)).collect()
    }

    pub(crate) fn labels(&self) -> Vec<String> {
        (0..self.count).map(|index| keys::labels(self.video_id, self.run_id, index)).collect()
    }

    pub(crate) async fn document(
        &self,
        store: &dyn Store,
        manifest: &Manifest,
    ) -> Result<Document, Trouble> {
        let tracks = self.parts(store, self.tracks(), Tracks::from_avro).await?;
        let labels = self.parts(store, self.labels(), Labels::from_avro).await?;
        Ok(document(manifest, &tracks, &labels))
    }

    async fn parts<T>(
        &self,
        store: &dyn Store,
        keys: Vec<String>,
        read: impl Fn(&[u8]) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Trouble> {
        let objects = keys.into_iter().map(|key| ObjectRef::new(self.bucket, key));
        let bodies: Vec<_> = stream::iter(objects)
            .map(|object| async move { store.read(&object, MAX_PART_BYTES).await })
            .buffered(READS_AT_ONCE)
            .try_collect()
            .await?;
        bodies.iter().map(|body| read(body).map_err(Trouble::from)).collect()
    }
}
