//! Reading an object in ranges, resumed where a connection breaks.

use super::blame::blame;
use crate::aws::Failure;
use aws_sdk_s3::{Client, primitives::ByteStream};
use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use ports::{ObjectInfo, ObjectRef, Trouble};
use std::{ops::Range, time::Duration};

/// What one GET asks for at most in a download, bytes.
const PIECE: u64 = 8 << 20;

/// GETs of one download at a time: the next piece travels while this one is written.
const IN_FLIGHT: usize = 2;

/// Broken connections in a row before a read is given up.
const RESUMES: u32 = 3;

/// Waited before the first resumption; doubles.
const PAUSE: Duration = Duration::from_millis(200);

/// All of an object, in order, in pieces of at most 8 MiB.
pub(super) fn pieces(
    client: &Client,
    object: &ObjectRef,
    info: &ObjectInfo,
) -> impl Stream<Item = Result<Bytes, Trouble>> + Send + 'static {
    let (client, object) = (client.clone(), object.clone());
    let (etag, bytes) = (info.etag.clone(), info.bytes);
    stream::iter((0..bytes.div_ceil(PIECE)).map(move |n| n * PIECE..(n * PIECE + PIECE).min(bytes)))
        .map(move |range| collect(Ranged::new(&client, &object, &etag, range)))
        .buffered(IN_FLIGHT)
}

async fn collect(ranged: Ranged) -> Result<Bytes, Trouble> {
    let capacity = usize::try_from(ranged.end - ranged.next).unwrap_or_default();
    let mut whole = BytesMut::with_capacity(capacity);
    let mut stream = std::pin::pin!(ranged.into_stream());
    while let Some(bytes) = stream.try_next().await? {
        whole.extend_from_slice(&bytes);
    }
    Ok(whole.freeze())
}

/// A range of one version of an object; the version is known by its ETag.
pub(super) struct Ranged {
    client: Client,
    object: ObjectRef,
    etag: String,
    next: u64,
    end: u64,
    body: Option<ByteStream>,
    broken: u32,
}

impl Ranged {
    pub(super) fn new(client: &Client, object: &ObjectRef, etag: &str, range: Range<u64>) -> Self {
        Self {
            client: client.clone(),
            object: object.clone(),
            etag: etag.to_owned(),
            next: range.start,
            end: range.end,
            body: None,
            broken: 0,
        }
    }

    /// The bytes as they arrive.
    pub(super) fn into_stream(self) -> impl Stream<Item = Result<Bytes, Trouble>> + Send + 'static {
        stream::try_unfold(self, |mut ranged| async move {
            Ok(ranged.advance().await?.map(|bytes| (bytes, ranged)))
        })
    }

    async fn advance(&mut self) -> Result<Option<Bytes>, Trouble> {
        while self.next < self.end {
            match self.try_advance().await {
                Ok(bytes) => {
                    self.next += bytes.len() as u64;
                    self.broken = 0;
                    return Ok(Some(bytes));
                }
                Err(trouble) => {
                    self.body = None;
                    if self.broken >= RESUMES || !resumable(&trouble) {
                        return Err(trouble);
                    }
                    tokio::time::sleep(PAUSE * 2u32.pow(self.broken)).await;
                    self.broken += 1;
                }
            }
        }
        Ok(None)
    }

    async fn try_advance(&mut self) -> Result<Bytes, Trouble> {
        let body = match &mut self.body {
            Some(body) => body,
            None => {
                let opened = self.open().await?;
                self.body.insert(opened)
            }
        };
        match body.next().await {
            Some(Ok(mut bytes)) => {
                let wanted = usize::try_from(self.end - self.next).unwrap_or(usize::MAX);
                bytes.truncate(wanted);
                Ok(bytes)
            }
            Some(Err(error)) => Err(self.cut_off(&error.to_string())),
            None => Err(self.cut_off("the body ended early")),
        }
    }

    async fn open(&self) -> Result<ByteStream, Trouble> {
        let mut request = self
            .client
            .get_object()
            .bucket(&self.object.bucket)
            .key(&self.object.key)
            .range(format!("bytes={}-{}", self.next, self.end - 1));
        if !self.etag.is_empty() {
            request = request.if_match(format!("\"{}\"", self.etag));
        }
        let answer = request.send().await.map_err(|e| blame(&self.object, &Failure::from(e)))?;
        // Not every store honours If-Match on a GET.
        let etag = super::unquoted(answer.e_tag.as_deref());
        if etag != self.etag {
            return Err(Trouble::transient(
                "object_changed",
                format!("{} became {etag} while {} was read", self.object, self.etag),
            ));
        }
        Ok(answer.body)
    }

    fn cut_off(&self, cause: &str) -> Trouble {
        Trouble::transient(
            "store_unreachable",
            format!("{}: cut off at byte {}: {cause}", self.object, self.next),
        )
    }
}

/// Whether the same version may still be had.
fn resumable(trouble: &Trouble) -> bool {
    matches!(trouble, Trouble::Transient { reason, .. } if *reason != "object_changed")
}
