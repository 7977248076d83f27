//! Amazon S3 and stores that speak its protocol.

mod blame;
pub mod embedded;
mod look;
mod metadata;
mod read;
mod write;

use crate::aws::{self, Access, Failure};
use async_trait::async_trait;
use aws_sdk_s3::{
    Client,
    config::Builder,
    presigning::PresigningConfig,
    primitives::DateTime,
    types::{BucketLocationConstraint, CreateBucketConfiguration, Delete, ObjectIdentifier},
};
use blame::{blame, local};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use ports::{ObjectInfo, ObjectRef, ObjectStream, Put, PutOutcome, Store, Trouble};
use std::{
    fmt,
    ops::Range,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::io::AsyncWriteExt;
use tokio_util::io::ReaderStream;

/// S3's limit of one request.
const DELETED_AT_ONCE: usize = 1000;

/// Where the store is and who we are to it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct S3Config {
    /// Absent: AWS itself.
    pub endpoint: Option<String>,
    pub region: String,
    /// With [`S3Config::secret_key`]; without both, AWS's default chain is asked.
    pub access_key: Option<String>,
    pub secret_key: Option<String>,
    /// `endpoint/bucket/key` instead of `bucket.endpoint/key`: most stores but AWS want it.
    pub force_path_style: bool,
}

impl fmt::Debug for S3Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Config")
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .field("access_key", &self.access_key)
            .field("secret_key", &self.secret_key.as_ref().map(|_| "…"))
            .field("force_path_style", &self.force_path_style)
            .finish()
    }
}

/// A [`Store`] over S3's protocol.
///
/// A write that was only to create (`only_if_absent`) and whose answer was lost may report
/// [`PutOutcome::Exists`] for its own object: compare what is there where it matters.
#[derive(Debug, Clone)]
pub struct S3 {
    client: Client,
    region: String,
}

impl S3 {
    /// Connects nothing yet. Fatal where no credentials can be found.
    pub async fn new(config: S3Config) -> Result<Self, Trouble> {
        let sdk = aws::sdk_config(Access {
            endpoint: config.endpoint.as_deref(),
            region: &config.region,
            access_key: config.access_key.as_deref(),
            secret_key: config.secret_key.as_deref(),
        })
        .await?;
        let service = Builder::from(&sdk).force_path_style(config.force_path_style).build();
        Ok(Self { client: Client::from_conf(service), region: config.region })
    }

    /// Creates the bucket unless it is there and ours.
    pub async fn ensure_bucket(&self, bucket: &str) -> Result<(), Trouble> {
        if self.has_bucket(bucket).await? {
            return Ok(());
        }
        // The oldest region has no name in this protocol.
        let place = (self.region != "us-east-1").then(|| {
            CreateBucketConfiguration::builder()
                .location_constraint(BucketLocationConstraint::from(self.region.as_str()))
                .build()
        });
        let created = self
            .client
            .create_bucket()
            .bucket(bucket)
            .set_create_bucket_configuration(place)
            .send()
            .await;
        match created {
            Ok(_) => Ok(()),
            // Somebody else of us was faster.
            Err(_) if self.has_bucket(bucket).await? => Ok(()),
            Err(error) => Err(match Failure::from(error) {
                Failure::Answered { status: 400 | 409, code, message } => Trouble::fatal(format!(
                    "bucket {bucket} cannot be created ({code}: {message}): choose another name"
                )),
                failure => blame(&ObjectRef::new(bucket, ""), &failure),
            }),
        }
    }

    async fn has_bucket(&self, bucket: &str) -> Result<bool, Trouble> {
        match self.client.head_bucket().bucket(bucket).send().await.map_err(Failure::from) {
            Ok(_) => Ok(true),
            Err(Failure::Answered { status: 404, .. }) => Ok(false),
            Err(failure) => Err(blame(&ObjectRef::new(bucket, ""), &failure)),
        }
    }

    async fn found(&self, object: &ObjectRef) -> Result<ObjectInfo, Trouble> {
        self.head(object).await?.ok_or_else(|| {
            Trouble::poison(
                "missing_object",
                format!("{object} does not exist; upload the object before its event"),
            )
        })
    }
}

#[async_trait]
impl Store for S3 {
    async fn head(&self, object: &ObjectRef) -> Result<Option<ObjectInfo>, Trouble> {
        let request = self.client.head_object().bucket(&object.bucket).key(&object.key);
        match request.send().await.map_err(Failure::from) {
            Ok(head) => Ok(Some(ObjectInfo {
                key: object.key.clone(),
                bytes: head.content_length.and_then(|n| u64::try_from(n).ok()).unwrap_or_default(),
                etag: unquoted(head.e_tag.as_deref()),
                metadata: metadata::decode(head.metadata),
                content_type: head.content_type,
                modified_ms: millis(head.last_modified),
            })),
            Err(Failure::Answered { status: 404, .. }) => Ok(None),
            Err(failure) => Err(blame(object, &failure)),
        }
    }

    async fn read(&self, object: &ObjectRef, limit: u64) -> Result<Bytes, Trouble> {
        let info = self.found(object).await?;
        if info.bytes > limit {
            return Err(Trouble::poison(
                "object_too_large",
                format!("{object} has {} bytes, {limit} are allowed", info.bytes),
            ));
        }
        let pieces: Vec<Bytes> = read::pieces(&self.client, object, &info).try_collect().await?;
        Ok(joined(pieces))
    }

    async fn stream(
        &self,
        object: &ObjectRef,
        range: Option<Range<u64>>,
    ) -> Result<ObjectStream, Trouble> {
        let info = self.found(object).await?;
        let range = range.unwrap_or(0..info.bytes);
        let end = range.end.min(info.bytes);
        let range = range.start.min(end)..end;
        let body = read::Ranged::new(&self.client, object, &info.etag, range.clone());
        Ok(ObjectStream { info, range, body: body.into_stream().boxed() })
    }

    async fn download(&self, object: &ObjectRef, file: &Path) -> Result<ObjectInfo, Trouble> {
        let info = self.found(object).await?;
        let broken = |e: &std::io::Error| local(file, e);
        // Removes itself when dropped, so also when this future is.
        let temporary = tempfile::Builder::new()
            .prefix(".download-")
            .tempfile_in(file.parent().unwrap_or(Path::new(".")))
            .map_err(|e| broken(&e))?;
        let handle = temporary.as_file().try_clone().map_err(|e| broken(&e))?;
        let mut out = tokio::fs::File::from_std(handle);
        let mut pieces = std::pin::pin!(read::pieces(&self.client, object, &info));
        while let Some(piece) = pieces.try_next().await? {
            out.write_all(&piece).await.map_err(|e| broken(&e))?;
        }
        out.flush().await.map_err(|e| broken(&e))?;
        temporary.persist(file).map_err(|e| broken(&e.error))?;
        Ok(info)
    }

    async fn write(
        &self,
        object: &ObjectRef,
        body: Bytes,
        put: Put,
    ) -> Result<PutOutcome, Trouble> {
        Ok(write::single(&self.client, object, body, &put).await?.outcome)
    }

    async fn upload(
        &self,
        file: &Path,
        object: &ObjectRef,
        put: Put,
    ) -> Result<PutOutcome, Trouble> {
        let source = tokio::fs::File::open(file).await.map_err(|e| local(file, &e))?;
        let path = file.to_owned();
        let body = ReaderStream::with_capacity(source, 1 << 20).map_err(move |e| local(&path, &e));
        Ok(write::streamed(&self.client, object, body, u64::MAX, &put).await?.outcome)
    }

    /// With `only_if_absent`, an object that was there is poison `object_exists`.
    async fn write_stream(
        &self,
        object: &ObjectRef,
        body: BoxStream<'static, Result<Bytes, Trouble>>,
        limit: u64,
        put: Put,
    ) -> Result<ObjectInfo, Trouble> {
        let sent = write::streamed(&self.client, object, body, limit, &put).await?;
        match sent.outcome {
            PutOutcome::Written { etag } => Ok(ObjectInfo {
                key: object.key.clone(),
                bytes: sent.bytes,
                etag,
                metadata: put.metadata,
                content_type: put.content_type,
                modified_ms: millis(Some(SystemTime::now().into())),
            }),
            PutOutcome::Exists => Err(Trouble::poison(
                "object_exists",
                format!("{object} is there already, and stays; choose another name"),
            )),
        }
    }

    async fn list(&self, bucket: &str, prefix: &str) -> Result<Vec<ObjectInfo>, Trouble> {
        let mut pages =
            self.client.list_objects_v2().bucket(bucket).prefix(prefix).into_paginator().send();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            let page =
                page.map_err(|e| blame(&ObjectRef::new(bucket, prefix), &Failure::from(e)))?;
            found.extend(page.contents.into_iter().flatten().map(|object| ObjectInfo {
                key: object.key.unwrap_or_default(),
                bytes: object.size.and_then(|n| u64::try_from(n).ok()).unwrap_or_default(),
                etag: unquoted(object.e_tag.as_deref()),
                metadata: Default::default(),
                content_type: None,
                modified_ms: millis(object.last_modified),
            }));
        }
        Ok(found)
    }

    async fn delete(&self, bucket: &str, keys: &[String]) -> Result<(), Trouble> {
        for batch in keys.chunks(DELETED_AT_ONCE) {
            let objects = batch
                .iter()
                .map(|key| ObjectIdentifier::builder().key(key).build())
                .collect::<Result<Vec<_>, _>>();
            let request = objects
                .and_then(|objects| {
                    Delete::builder().set_objects(Some(objects)).quiet(true).build()
                })
                .map_err(|e| Trouble::fatal(format!("cannot ask for a deletion: {e}")))?;
            let answer = self
                .client
                .delete_objects()
                .bucket(bucket)
                .delete(request)
                .send()
                .await
                .map_err(|e| blame(&ObjectRef::new(bucket, ""), &Failure::from(e)))?;
            for refused in answer.errors.into_iter().flatten() {
                let code = refused.code.unwrap_or_default();
                if code == "NoSuchKey" {
                    continue;
                }
                let object = ObjectRef::new(bucket, refused.key.unwrap_or_default());
                let status = status_of(&code);
                let message = refused.message.unwrap_or_default();
                return Err(blame(&object, &Failure::Answered { status, code, message }));
            }
        }
        Ok(())
    }

    async fn signed_url(&self, object: &ObjectRef, valid: Duration) -> Result<String, Trouble> {
        let expiry = PresigningConfig::expires_in(valid)
            .map_err(|e| Trouble::fatal(format!("a link cannot be valid for {valid:?}: {e}")))?;
        let request = self.client.get_object().bucket(&object.bucket).key(&object.key);
        let signed =
            request.presigned(expiry).await.map_err(|e| blame(object, &Failure::from(e)))?;
        Ok(signed.uri().to_owned())
    }
}

/// The status a code would have had as an answer of its own: a batch tells codes only.
fn status_of(code: &str) -> u16 {
    match code {
        "InternalError" => 500,
        "SlowDown" | "ServiceUnavailable" => 503,
        "AccessDenied" => 403,
        _ => 400,
    }
}

/// Without a copy where there is nothing to join.
fn joined(pieces: Vec<Bytes>) -> Bytes {
    match <[Bytes; 1]>::try_from(pieces) {
        Ok([whole]) => whole,
        Err(pieces) => Bytes::from(pieces.concat()),
    }
}

/// ETags are quoted on the wire and bare in [`ObjectInfo`].
fn unquoted(etag: Option<&str>) -> String {
    etag.unwrap_or_default().trim_matches('"').to_owned()
}

fn millis(time: Option<DateTime>) -> i64 {
    let since = time.and_then(|t| SystemTime::try_from(t).ok()?.duration_since(UNIX_EPOCH).ok());
    since.and_then(|d| i64::try_from(d.as_millis()).ok()).unwrap_or_default()
}
