//! The object store: S3's model.

use crate::Trouble;
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, ops::Range, path::Path, time::Duration};

/// A bucket and a key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectRef {
    pub bucket: String,
    pub key: String,
}

impl ObjectRef {
    pub fn new(bucket: impl Into<String>, key: impl Into<String>) -> Self {
        Self { bucket: bucket.into(), key: key.into() }
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.key)
    }
}

/// What the store knows of an object without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    pub key: String,
    pub bytes: u64,
    pub etag: String,
    /// User metadata, names in lower case. Empty in listings.
    pub metadata: BTreeMap<String, String>,
    pub content_type: Option<String>,
    /// Milliseconds since 1970.
    pub modified_ms: i64,
}

/// How to write an object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Put {
    pub content_type: Option<String>,
    pub metadata: BTreeMap<String, String>,
    /// If-None-Match: write only where nothing is.
    pub only_if_absent: bool,
}

/// What a write did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PutOutcome {
    Written {
        etag: String,
    },
    /// Only with `only_if_absent`: something was there, and still is.
    Exists,
}

/// A body in pieces, of a known total length.
pub struct ObjectStream {
    pub info: ObjectInfo,
    /// The bytes of the object this stream covers, half open.
    pub range: Range<u64>,
    pub body: BoxStream<'static, Result<Bytes, Trouble>>,
}

impl fmt::Debug for ObjectStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectStream")
            .field("info", &self.info)
            .field("range", &self.range)
            .finish()
    }
}

/// Objects by key. Memory stays bounded whatever an object's size.
///
/// A missing object is `None` for [`Store::head`] and poison `missing_object` elsewhere.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync {
    async fn head(&self, object: &ObjectRef) -> Result<Option<ObjectInfo>, Trouble>;

    /// The whole of a small object; one larger than `limit` bytes is poison `object_too_large`.
    async fn read(&self, object: &ObjectRef, limit: u64) -> Result<Bytes, Trouble>;

    /// A range (half open, cut to the object's end) or all of an object, as a stream.
    async fn stream(
        &self,
        object: &ObjectRef,
        range: Option<Range<u64>>,
    ) -> Result<ObjectStream, Trouble>;

    /// Into a new file, in ranges; returns what was read. A cut-off transfer leaves no file.
    async fn download(&self, object: &ObjectRef, file: &Path) -> Result<ObjectInfo, Trouble>;

    /// A small object.
    async fn write(&self, object: &ObjectRef, body: Bytes, put: Put)
    -> Result<PutOutcome, Trouble>;

    /// From a file; in parts where it is large. Never leaves a part behind after a failure.
    async fn upload(
        &self,
        file: &Path,
        object: &ObjectRef,
        put: Put,
    ) -> Result<PutOutcome, Trouble>;

    /// From a stream of unknown length, in parts. More than `limit` bytes is poison
    /// `object_too_large`, and nothing is written. Returns the bytes written and the ETag.
    async fn write_stream(
        &self,
        object: &ObjectRef,
        body: BoxStream<'static, Result<Bytes, Trouble>>,
        limit: u64,
        put: Put,
    ) -> Result<ObjectInfo, Trouble>;

    /// All objects below a prefix, every page.
    async fn list(&self, bucket: &str, prefix: &str) -> Result<Vec<ObjectInfo>, Trouble>;

    /// Removes objects; those already gone count as removed.
    async fn delete(&self, bucket: &str, keys: &[String]) -> Result<(), Trouble>;

    /// A link that reads the object without credentials until it expires.
    async fn signed_url(&self, object: &ObjectRef, valid: Duration) -> Result<String, Trouble>;
}
