//! An object store in memory.

use super::lock;
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt, stream, stream::BoxStream};
use ports::{ObjectInfo, ObjectRef, ObjectStream, Put, PutOutcome, Store, Trouble};
use std::{collections::BTreeMap, ops::Range, path::Path, sync::Mutex, time::Duration};

/// Objects in a map; conditional writes are atomic.
#[derive(Debug, Default)]
pub struct MemoryStore {
    objects: Mutex<BTreeMap<ObjectRef, (ObjectInfo, Bytes)>>,
    troubles: Mutex<Vec<Trouble>>,
}

impl MemoryStore {
    /// The next calls fail so, the last first.
    pub fn fail_next(&self, troubles: Vec<Trouble>) {
        lock(&self.troubles).extend(troubles);
    }

    /// All keys of a bucket, in order.
    #[must_use]
    pub fn keys(&self, bucket: &str) -> Vec<String> {
        let objects = lock(&self.objects);
        objects.keys().filter(|o| o.bucket == bucket).map(|o| o.key.clone()).collect()
    }

    /// The bytes of an object.
    #[must_use]
    pub fn get(&self, object: &ObjectRef) -> Option<Bytes> {
        lock(&self.objects).get(object).map(|(_, body)| body.clone())
    }

    fn trouble(&self) -> Result<(), Trouble> {
        lock(&self.troubles).pop().map_or(Ok(()), Err)
    }

    fn find(&self, object: &ObjectRef) -> Result<(ObjectInfo, Bytes), Trouble> {
        self.trouble()?;
        let found = lock(&self.objects).get(object).cloned();
        found.ok_or_else(|| Trouble::poison("missing_object", format!("{object} is not there")))
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn head(&self, object: &ObjectRef) -> Result<Option<ObjectInfo>, Trouble> {
        self.trouble()?;
        Ok(lock(&self.objects).get(object).map(|(info, _)| info.clone()))
    }

    async fn read(&self, object: &ObjectRef, limit: u64) -> Result<Bytes, Trouble> {
        let (info, body) = self.find(object)?;
        if info.bytes > limit {
            return Err(too_large(object, limit));
        }
        Ok(body)
    }

    async fn stream(
        &self,
        object: &ObjectRef,
        range: Option<Range<u64>>,
    ) -> Result<ObjectStream, Trouble> {
        let (info, body) = self.find(object)?;
        let range = range.unwrap_or(0..info.bytes);
        let range = range.start.min(info.bytes)..range.end.min(info.bytes);
        let bounds = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let body = body.slice(bounds(range.start)..bounds(range.end.max(range.start)));
        Ok(ObjectStream { info, range, body: stream::iter([Ok(body)]).boxed() })
    }

    async fn download(&self, object: &ObjectRef, file: &Path) -> Result<ObjectInfo, Trouble> {
        let (info, body) = self.find(object)?;
        tokio::fs::write(file, body).await.map_err(|e| of_file(file, &e))?;
        Ok(info)
    }

    async fn write(
        &self,
        object: &ObjectRef,
        body: Bytes,
        put: Put,
    ) -> Result<PutOutcome, Trouble> {
        self.trouble()?;
        let mut objects = lock(&self.objects);
        if put.only_if_absent && objects.contains_key(object) {
            return Ok(PutOutcome::Exists);
        }
        let etag = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, &body).simple().to_string();
        let info = ObjectInfo {
            key: object.key.clone(),
            bytes: body.len() as u64,
            etag: etag.clone(),
            metadata: put.metadata,
            content_type: put.content_type,
            modified_ms: 0,
        };
        objects.insert(object.clone(), (info, body));
        Ok(PutOutcome::Written { etag })
    }

    async fn upload(
        &self,
        file: &Path,
        object: &ObjectRef,
        put: Put,
    ) -> Result<PutOutcome, Trouble> {
        let body = tokio::fs::read(file).await.map_err(|e| of_file(file, &e))?;
        self.write(object, body.into(), put).await
    }

    async fn write_stream(
        &self,
        object: &ObjectRef,
        mut body: BoxStream<'static, Result<Bytes, Trouble>>,
        limit: u64,
        put: Put,
    ) -> Result<ObjectInfo, Trouble> {
        let mut whole = BytesMut::new();
        while let Some(piece) = body.try_next().await? {
            whole.extend_from_slice(&piece);
            if whole.len() as u64 > limit {
                return Err(too_large(object, limit));
            }
        }
        self.write(object, whole.freeze(), put).await?;
        self.find(object).map(|(info, _)| info)
    }

    async fn list(&self, bucket: &str, prefix: &str) -> Result<Vec<ObjectInfo>, Trouble> {
        self.trouble()?;
        let objects = lock(&self.objects);
        let below = |o: &&ObjectRef| o.bucket == bucket && o.key.starts_with(prefix);
        let infos = objects.iter().filter(|(o, _)| below(o)).map(|(_, (info, _))| info);
        Ok(infos.map(|info| ObjectInfo { metadata: BTreeMap::new(), ..info.clone() }).collect())
    }

    async fn delete(&self, bucket: &str, keys: &[String]) -> Result<(), Trouble> {
        self.trouble()?;
        let mut objects = lock(&self.objects);
        for key in keys {
            objects.remove(&ObjectRef::new(bucket, key));
        }
        Ok(())
    }

    async fn signed_url(&self, object: &ObjectRef, _valid: Duration) -> Result<String, Trouble> {
        Ok(format!("memory://{}/{}", object.bucket, object.key))
    }
}

fn too_large(object: &ObjectRef, limit: u64) -> Trouble {
    Trouble::poison("object_too_large", format!("{object} has more than {limit} bytes"))
}

fn of_file(file: &Path, error: &std::io::Error) -> Trouble {
    Trouble::fatal(format!("{} cannot be used: {error}", file.display()))
}
