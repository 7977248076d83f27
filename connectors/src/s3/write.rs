//! Writing an object in one request or, where it is large, in parts.

use super::{blame::blame, metadata};
use crate::aws::Failure;
use aws_sdk_s3::{
    Client,
    primitives::ByteStream,
    types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart},
};
use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use ports::{ObjectRef, Put, PutOutcome, Trouble};
use std::{mem, pin::pin};

/// The first parts' size, bytes. S3 wants at least 5 MiB.
const PART: usize = 8 << 20;

/// Part sizes double after so many parts, so that the 10,000 S3 allows hold 480 GiB while the
/// memory of a small upload stays small.
const PARTS_OF_A_SIZE: usize = 2000;

/// S3's own limit.
const MAX_PARTS: usize = 10_000;

/// Parts of one upload under way at a time.
const IN_FLIGHT: usize = 3;

/// Up to so many parts are sent as one object instead.
const SINGLE: usize = 2;

/// What was written, or found.
pub(super) struct Sent {
    pub(super) outcome: PutOutcome,
    pub(super) bytes: u64,
}

/// A body in one request.
pub(super) async fn single(
    client: &Client,
    object: &ObjectRef,
    body: Bytes,
    put: &Put,
) -> Result<Sent, Trouble> {
    let bytes = body.len() as u64;
    let answer = client
        .put_object()
        .bucket(&object.bucket)
        .key(&object.key)
        .set_content_type(put.content_type.clone())
        .set_metadata(metadata::encode(&put.metadata))
        .set_if_none_match(put.only_if_absent.then(|| "*".to_owned()))
        .body(ByteStream::from(body))
        .send()
        .await;
    match answer.map_err(Failure::from) {
        Ok(answer) => Ok(Sent { outcome: written(answer.e_tag.as_deref()), bytes }),
        Err(failure) if put.only_if_absent && exists(&failure) => {
            Ok(Sent { outcome: PutOutcome::Exists, bytes })
        }
        Err(failure) => Err(blame(object, &failure)),
    }
}

/// A body of unknown length. Memory: five parts at most.
pub(super) async fn streamed(
    client: &Client,
    object: &ObjectRef,
    body: impl Stream<Item = Result<Bytes, Trouble>> + Send + 'static,
    limit: u64,
    put: &Put,
) -> Result<Sent, Trouble> {
    let mut parts = pin!(in_parts(object.clone(), body, limit));
    let mut first = Vec::new();
    while first.len() <= SINGLE {
        let Some(part) = parts.try_next().await? else {
            return single(client, object, super::joined(first), put).await;
        };
        first.push(part);
    }
    let upload = Upload::begin(client, object, put).await?;
    let sent = upload.fill(stream::iter(first).map(Ok).chain(parts), put).await;
    upload.settle(sent).await
}

fn written(etag: Option<&str>) -> PutOutcome {
    PutOutcome::Written { etag: super::unquoted(etag) }
}

fn exists(failure: &Failure) -> bool {
    matches!(failure, Failure::Answered { status: 412, .. })
}

/// Cuts a stream of anything into parts; more than `limit` bytes are poison.
fn in_parts(
    object: ObjectRef,
    body: impl Stream<Item = Result<Bytes, Trouble>> + Send + 'static,
    limit: u64,
) -> impl Stream<Item = Result<Bytes, Trouble>> + Send + 'static {
    struct Cutter<S> {
        body: S,
        buffer: BytesMut,
        number: usize,
        total: u64,
        ended: bool,
    }
    let cutter =
        Cutter { body: Box::pin(body), buffer: BytesMut::new(), number: 0, total: 0, ended: false };
    stream::try_unfold((cutter, object), move |(mut cutter, object)| async move {
        let size = part_size(cutter.number);
        while cutter.buffer.len() < size && !cutter.ended {
            let Some(bytes) = cutter.body.try_next().await? else {
                cutter.ended = true;
                break;
            };
            cutter.total += bytes.len() as u64;
            if cutter.total > limit || cutter.number >= MAX_PARTS {
                return Err(Trouble::poison(
                    "object_too_large",
                    format!("{object} is larger than the {limit} bytes allowed"),
                ));
            }
            cutter.buffer.extend_from_slice(&bytes);
        }
        let part = cutter.buffer.split_to(size.min(cutter.buffer.len())).freeze();
        cutter.number += 1;
        Ok((!part.is_empty()).then_some((part, (cutter, object))))
    })
}

fn part_size(number: usize) -> usize {
    PART << (number / PARTS_OF_A_SIZE)
}

/// A multipart upload under way. Dropped half done, it is aborted in the background.
struct Upload {
    client: Client,
    object: ObjectRef,
    id: String,
    settled: bool,
}

impl Upload {
    async fn begin(client: &Client, object: &ObjectRef, put: &Put) -> Result<Self, Trouble> {
        let begun = client
            .create_multipart_upload()
            .bucket(&object.bucket)
            .key(&object.key)
            .set_content_type(put.content_type.clone())
            .set_metadata(metadata::encode(&put.metadata))
            // The client checksums each part with this by itself: a store that was not told so at
            // the beginning may refuse such parts at the end.
            .checksum_algorithm(ChecksumAlgorithm::Crc32)
            .send()
            .await
            .map_err(|e| blame(object, &Failure::from(e)))?;
        let id = begun.upload_id.ok_or_else(|| {
            Trouble::transient("store_failed", format!("{object}: an upload without an id"))
        })?;
        Ok(Self { client: client.clone(), object: object.clone(), id, settled: false })
    }

    async fn fill(
        &self,
        parts: impl Stream<Item = Result<Bytes, Trouble>> + Send,
        put: &Put,
    ) -> Result<Sent, Trouble> {
        let mut sent: Vec<(u64, CompletedPart)> = parts
            .zip(stream::iter(1..))
            .map(|(part, number)| part.map(|part| self.part(number, part)))
            .try_buffer_unordered(IN_FLIGHT)
            .try_collect()
            .await?;
        sent.sort_by_key(|(_, part)| part.part_number);
        let bytes = sent.iter().map(|(bytes, _)| bytes).sum();
        let parts = sent.into_iter().map(|(_, part)| part).collect();
        let answer = self
            .client
            .complete_multipart_upload()
            .bucket(&self.object.bucket)
            .key(&self.object.key)
            .upload_id(&self.id)
            .set_if_none_match(put.only_if_absent.then(|| "*".to_owned()))
            .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(parts)).build())
            .send()
            .await;
        match answer.map_err(Failure::from) {
            Ok(answer) => Ok(Sent { outcome: written(answer.e_tag.as_deref()), bytes }),
            Err(failure) if put.only_if_absent && exists(&failure) => {
                Ok(Sent { outcome: PutOutcome::Exists, bytes })
            }
            Err(failure) => Err(blame(&self.object, &failure)),
        }
    }

    async fn part(&self, number: i32, body: Bytes) -> Result<(u64, CompletedPart), Trouble> {
        let bytes = body.len() as u64;
        let answer = self
            .client
            .upload_part()
            .bucket(&self.object.bucket)
            .key(&self.object.key)
            .upload_id(&self.id)
            .part_number(number)
            .body(ByteStream::from(body))
            .send()
            .await
            .map_err(|e| blame(&self.object, &Failure::from(e)))?;
        let part = CompletedPart::builder()
            .part_number(number)
            .set_e_tag(answer.e_tag)
            .set_checksum_crc32(answer.checksum_crc32)
            .build();
        Ok((bytes, part))
    }

    async fn settle(mut self, sent: Result<Sent, Trouble>) -> Result<Sent, Trouble> {
        self.settled = true;
        if !matches!(&sent, Ok(Sent { outcome: PutOutcome::Written { .. }, .. })) {
            abort(&self.client, &self.object, &self.id).await;
        }
        sent
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if !mem::replace(&mut self.settled, true) {
            let (client, object, id) =
                (self.client.clone(), self.object.clone(), mem::take(&mut self.id));
            runtime.spawn(async move { abort(&client, &object, &id).await });
        }
    }
}

async fn abort(client: &Client, object: &ObjectRef, id: &str) {
    let aborted = client
        .abort_multipart_upload()
        .bucket(&object.bucket)
        .key(&object.key)
        .upload_id(id)
        .send()
        .await;
    if let Err(error) = aborted {
        let trouble = blame(object, &Failure::from(error));
        tracing::warn!(%object, upload = id, %trouble, "parts may remain: a lifecycle rule that aborts incomplete uploads removes them");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_parts_hold_a_day_of_raw_video() {
        let total: u64 = (0..MAX_PARTS).map(|n| part_size(n) as u64).sum();
        assert!(total > 480 << 30, "{total}");
        assert_eq!(part_size(0), 8 << 20);
    }

    async fn cut(pieces: Vec<usize>, limit: u64) -> Result<Vec<usize>, Trouble> {
        let body = stream::iter(pieces).map(|n| Ok(Bytes::from(vec![0; n])));
        in_parts(ObjectRef::new("b", "k"), body, limit).map_ok(|p| p.len()).try_collect().await
    }

    #[tokio::test]
    async fn parts_are_full_but_the_last() {
        let parts = cut(vec![PART - 1, 2, 0, PART * 2, 7], u64::MAX).await.unwrap();
        assert_eq!(parts, [PART, PART, PART, 8]);
    }

    #[tokio::test]
    async fn nothing_has_no_parts() {
        assert_eq!(cut(vec![0, 0], 10).await.unwrap(), [0; 0]);
    }

    #[tokio::test]
    async fn one_byte_over_the_limit_is_too_large() {
        assert_eq!(cut(vec![5, 5], 10).await.unwrap(), [10]);
        let over = cut(vec![5, 6], 10).await.unwrap_err();
        assert!(over.to_string().starts_with("object_too_large"), "{over}");
    }
}
