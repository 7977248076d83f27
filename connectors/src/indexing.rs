//! Gathers a run's tracks and labels and puts one document into the index, whichever keeps it.

use engine::{Connector, Trouble};
use futures::{StreamExt, TryStreamExt, stream};
use ports::{ObjectRef, Search, Store};
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

impl Indexing {
    async fn parts<T>(
        &self,
        bucket: &str,
        keys: Vec<String>,
        read: impl Fn(&[u8]) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Trouble> {
        let objects = keys.into_iter().map(|key| ObjectRef::new(bucket, key));
        let bodies: Vec<_> = stream::iter(objects)
            .map(|object| async move { self.store.read(&object, MAX_PART_BYTES).await })
            .buffered(READS_AT_ONCE)
            .try_collect()
            .await?;
        bodies.iter().map(|body| read(body).map_err(Trouble::from)).collect()
    }
}

impl Connector<IndexRun> for Indexing {
    async fn perform(&self, effect: &IndexRun) -> Result<Indexed, Trouble> {
        let IndexRun { bucket, manifest_key, video_id, run_id, count } = effect;
        let manifest_at = ObjectRef::new(bucket, manifest_key);
        let manifest = Manifest::from_json(&self.store.read(&manifest_at, MAX_PART_BYTES).await?)?;
        let indexes = 0..*count;
        let tracks = indexes.clone().map(|index| keys::tracks(video_id, run_id, index)).collect();
        let labels = indexes.map(|index| keys::labels(video_id, run_id, index)).collect();
        let tracks = self.parts(bucket, tracks, Tracks::from_avro).await?;
        let labels = self.parts(bucket, labels, Labels::from_avro).await?;
        let document = document(&manifest, &tracks, &labels);
        self.search.put(&document).await?;
        Ok(Indexed { moments: i32::try_from(document.moments.len()).unwrap_or(i32::MAX) })
    }
}
