//! What a process sees of the object store and the registry: slow, failing, and honest or not.

use crate::{bugs::Bug, ledger::Ledger, process::Process};
use async_trait::async_trait;
use bytes::Bytes;
use engine::memory::{MemoryRegistry, MemoryStore};
use futures::stream::BoxStream;
use ports::{ObjectInfo, ObjectRef, ObjectStream, Put, PutOutcome, SchemaRegistry, Store, Trouble};
use schemas::AvroValue;
use std::{ops::Range, path::Path, sync::Arc, time::Duration};

/// Why calls fail here; dead letters may name these after all retries.
pub(crate) const STORE_AWAY: &str = "store_away";
pub(crate) const REGISTRY_AWAY: &str = "registry_away";

/// The store as one process sees it.
#[derive(Debug, Clone)]
pub(crate) struct SimStore {
    pub(crate) objects: Arc<MemoryStore>,
    pub(crate) process: Arc<Process>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) bug: Option<Bug>,
}

impl SimStore {
    /// The way there. The call may be lost on it.
    async fn go(&self) -> Result<(), Trouble> {
        self.process.pass(0, self.process.weather.call_ms).await;
        self.trouble()
    }

    /// The way back. The answer may be lost on it.
    async fn back(&self) -> Result<(), Trouble> {
        self.process.pass(0, self.process.weather.call_ms / 4).await;
        self.trouble()
    }

    fn trouble(&self) -> Result<(), Trouble> {
        if !self.process.fault(self.process.weather.store / 2) {
            return Ok(());
        }
        if self.bug == Some(Bug::BlamesTheEvent) {
            return Err(Trouble::poison(STORE_AWAY, "simulated"));
        }
        Err(Trouble::transient(STORE_AWAY, "simulated"))
    }
}

#[async_trait]
impl Store for SimStore {
    async fn head(&self, object: &ObjectRef) -> Result<Option<ObjectInfo>, Trouble> {
        self.go().await?;
        let found = self.objects.head(object).await?;
        self.back().await?;
        Ok(found)
    }

    async fn read(&self, object: &ObjectRef, limit: u64) -> Result<Bytes, Trouble> {
        self.go().await?;
        let found = self.objects.read(object, limit).await?;
        self.back().await?;
        Ok(found)
    }

    async fn stream(
        &self,
        object: &ObjectRef,
        range: Option<Range<u64>>,
    ) -> Result<ObjectStream, Trouble> {
        self.objects.stream(object, range).await
    }

    async fn download(&self, object: &ObjectRef, file: &Path) -> Result<ObjectInfo, Trouble> {
        self.objects.download(object, file).await
    }

    async fn write(
        &self,
        object: &ObjectRef,
        body: Bytes,
        mut put: Put,
    ) -> Result<PutOutcome, Trouble> {
        self.go().await?;
        match self.bug {
            Some(Bug::BlindPut) => put.only_if_absent = false,
            Some(Bug::LazyWrite) if !put.only_if_absent => {
                let (lazy, object) = (self.clone(), object.clone());
                tokio::spawn(async move {
                    lazy.process.pass(0, 2_000).await;
                    lazy.objects.write(&object, body, put).await
                });
                return Ok(PutOutcome::Written { etag: String::new() });
            }
            _ => {}
        }
        let written = self.objects.write(object, body, put).await?;
        self.process.note(format_args!("writes {} {written:?}", object.key));
        self.back().await?;
        Ok(written)
    }

    async fn upload(
        &self,
        file: &Path,
        object: &ObjectRef,
        put: Put,
    ) -> Result<PutOutcome, Trouble> {
        self.objects.upload(file, object, put).await
    }

    async fn write_stream(
        &self,
        object: &ObjectRef,
        body: BoxStream<'static, Result<Bytes, Trouble>>,
        limit: u64,
        put: Put,
    ) -> Result<ObjectInfo, Trouble> {
        self.objects.write_stream(object, body, limit, put).await
    }

    async fn list(&self, bucket: &str, prefix: &str) -> Result<Vec<ObjectInfo>, Trouble> {
        self.go().await?;
        let mut found = self.objects.list(bucket, prefix).await?;
        if self.bug == Some(Bug::StaleList) && self.process.timeline.chance(100) {
            found.pop();
        }
        self.back().await?;
        Ok(found)
    }

    async fn delete(&self, bucket: &str, keys: &[String]) -> Result<(), Trouble> {
        self.go().await?;
        for key in keys {
            self.ledger.deleted(key, &self.process);
        }
        self.objects.delete(bucket, keys).await?;
        self.process.note(format_args!("deletes {}", keys.join(" ")));
        self.back().await
    }

    async fn signed_url(&self, object: &ObjectRef, valid: Duration) -> Result<String, Trouble> {
        self.objects.signed_url(object, valid).await
    }
}

/// The registry as one process sees it.
#[derive(Debug)]
pub(crate) struct SimRegistry {
    pub(crate) schemas: &'static MemoryRegistry,
    pub(crate) process: Arc<Process>,
}

impl SimRegistry {
    async fn go(&self) -> Result<(), Trouble> {
        self.process.pass(0, self.process.weather.call_ms / 4).await;
        if self.process.fault(self.process.weather.registry) {
            return Err(Trouble::transient(REGISTRY_AWAY, "simulated"));
        }
        Ok(())
    }
}

#[async_trait]
impl SchemaRegistry for SimRegistry {
    async fn encode(
        &self,
        topic: &str,
        schema: &'static str,
        value: AvroValue,
    ) -> Result<Vec<u8>, Trouble> {
        self.go().await?;
        self.schemas.encode(topic, schema, value).await
    }

    async fn decode(&self, bytes: &[u8]) -> Result<AvroValue, Trouble> {
        self.go().await?;
        self.schemas.decode(bytes).await
    }
}
