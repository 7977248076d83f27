//! A store in memory that can be told to fail or to wait.

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use ports::{ObjectInfo, ObjectRef, ObjectStream, Put, PutOutcome, Store, Trouble};
use std::{
    collections::BTreeMap,
    ops::Range,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

#[derive(Debug, Default)]
pub(crate) struct MemoryStore {
    objects: Mutex<BTreeMap<ObjectRef, Vec<u8>>>,
    failing: AtomicU32,
    holding: AtomicBool,
}

impl MemoryStore {
    pub(crate) fn put(&self, bucket: &str, key: &str, body: Vec<u8>) {
        self.objects.lock().unwrap().insert(ObjectRef::new(bucket, key), body);
    }

    /// The next downloads fail in a way that may pass.
    pub(crate) fn fail_downloads(&self, times: u32) {
        self.failing.store(times, Ordering::SeqCst);
    }

    /// Downloads and reads wait until this is taken back.
    pub(crate) fn hold_downloads(&self, hold: bool) {
        self.holding.store(hold, Ordering::SeqCst);
    }

    fn body(&self, object: &ObjectRef) -> Option<Vec<u8>> {
        self.objects.lock().unwrap().get(object).cloned()
    }
}

fn info(object: &ObjectRef, bytes: usize) -> ObjectInfo {
    ObjectInfo {
        key: object.key.clone(),
        bytes: bytes as u64,
        etag: "etag".into(),
        metadata: BTreeMap::new(),
        content_type: None,
        modified_ms: 0,
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn head(&self, object: &ObjectRef) -> Result<Option<ObjectInfo>, Trouble> {
        Ok(self.body(object).map(|body| info(object, body.len())))
    }

    async fn download(&self, object: &ObjectRef, file: &Path) -> Result<ObjectInfo, Trouble> {
        while self.holding.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let failing = |n: u32| n.checked_sub(1);
        if self.failing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, failing).is_ok() {
            return Err(Trouble::transient("store_down", "told to fail"));
        }
        let body = self.body(object);
        let body = body.ok_or_else(|| Trouble::poison("missing_object", object.to_string()))?;
        assert!(!file.exists(), "a download makes a new file");
        std::fs::write(file, &body).unwrap();
        Ok(info(object, body.len()))
    }

    async fn read(&self, object: &ObjectRef, limit: u64) -> Result<Bytes, Trouble> {
        while self.holding.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let body = self.body(object);
        let body = body.ok_or_else(|| Trouble::poison("missing_object", object.to_string()))?;
        assert!(body.len() as u64 <= limit, "the server asks for the size first");
        Ok(body.into())
    }

    async fn stream(&self, _: &ObjectRef, _: Option<Range<u64>>) -> Result<ObjectStream, Trouble> {
        Err(Trouble::fatal("the vision server only heads, reads and downloads"))
    }

    async fn write(&self, _: &ObjectRef, _: Bytes, _: Put) -> Result<PutOutcome, Trouble> {
        Err(Trouble::fatal("the vision server only heads, reads and downloads"))
    }

    async fn upload(&self, _: &Path, _: &ObjectRef, _: Put) -> Result<PutOutcome, Trouble> {
        Err(Trouble::fatal("the vision server only heads, reads and downloads"))
    }

    async fn write_stream(
        &self,
        _: &ObjectRef,
        _: BoxStream<'static, Result<Bytes, Trouble>>,
        _: u64,
        _: Put,
    ) -> Result<ObjectInfo, Trouble> {
        Err(Trouble::fatal("the vision server only heads, reads and downloads"))
    }

    async fn list(&self, _: &str, _: &str) -> Result<Vec<ObjectInfo>, Trouble> {
        Err(Trouble::fatal("the vision server only heads, reads and downloads"))
    }

    async fn delete(&self, _: &str, _: &[String]) -> Result<(), Trouble> {
        Err(Trouble::fatal("the vision server only heads, reads and downloads"))
    }

    async fn signed_url(&self, _: &ObjectRef, _: Duration) -> Result<String, Trouble> {
        Err(Trouble::fatal("the vision server only heads, reads and downloads"))
    }
}
