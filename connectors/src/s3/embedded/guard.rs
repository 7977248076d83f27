//! Stands before s3s-fs: bad keys do not reach it, writers of one key take turns, and the
//! conditions it does not know are kept here.

use super::{file::Opened, folder::Folder};
use axum::http::StatusCode;
use s3s::{S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result, dto::*, s3_error};
use s3s_fs::FileSystem;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};
use tokio::sync::OwnedMutexGuard;

/// Longer keys do not fit into the names of s3s-fs's hidden files.
const LONGEST_KEY: usize = 160;

/// Less free space than this is none: a write that failed then failed for want of it.
const FULL: u64 = 8 << 20;

/// s3s-fs looks whether an object exists and then renames: without turns, two conditional writers
/// could both win.
#[derive(Default)]
struct Turns(Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>);

impl Turns {
    /// Waits for this key's turn, which lasts until the guard is dropped.
    async fn take(&self, bucket: &str, key: &str) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if turns.len() >= 1024 {
                turns.retain(|_, turn| turn.strong_count() > 0);
            }
            let turn = turns.entry(format!("{bucket}/{key}")).or_default();
            turn.upgrade().unwrap_or_else(|| {
                let new = Arc::default();
                *turn = Arc::downgrade(&new);
                new
            })
        };
        turn.lock_owned().await
    }
}

/// The operations reelmill uses, and no others.
pub(super) struct Guard {
    files: FileSystem,
    folder: Folder,
    turns: Turns,
}

impl Guard {
    pub(super) fn new(files: FileSystem, folder: Folder) -> Self {
        Self { files, folder, turns: Turns::default() }
    }

    /// What a write failed with; a full disk is told as such, where s3s-fs only says that
    /// something is wrong.
    fn told(&self, error: S3Error) -> S3Error {
        match fs4::available_space(self.folder.root()) {
            Ok(free) if free < FULL && *error.code() == S3ErrorCode::InternalError => {
                let mut full = S3Error::with_message(
                    S3ErrorCode::Custom("InsufficientStorage".into()),
                    format!(
                        "the disk of {} is full: {free} bytes are left; make room",
                        self.folder.root().display()
                    ),
                );
                full.set_status_code(StatusCode::INSUFFICIENT_STORAGE);
                full
            }
            _ => error,
        }
    }

    /// For readers and deleters: a folder of keys is no object.
    fn is_object(&self, bucket: &str, key: &str) -> S3Result<bool> {
        check(key)?;
        Ok(!self.folder.is_folder(bucket, key))
    }

    fn readable(&self, bucket: &str, key: &str) -> S3Result<()> {
        if self.is_object(bucket, key)? { Ok(()) } else { Err(s3_error!(NoSuchKey)) }
    }

    /// For writers: the bucket exists, and files can stand where the key wants them.
    fn writable(&self, bucket: &str, key: &str) -> S3Result<()> {
        if !self.is_object(bucket, key)? {
            return Err(s3_error!(
                InvalidArgument,
                "other keys begin with `{key}/`: this store cannot hold both"
            ));
        }
        if !self.folder.has_bucket(bucket) {
            return Err(s3_error!(NoSuchBucket));
        }
        match self.folder.object_in_the_way(bucket, key) {
            None => Ok(()),
            Some(object) => Err(s3_error!(
                InvalidArgument,
                "`{object}` is an object: this store cannot hold keys below it"
            )),
        }
    }
}

/// Refuses keys that would leave their bucket's folder, or that s3s-fs cannot hold.
fn check(key: &str) -> S3Result<()> {
    if key.len() > LONGEST_KEY {
        return Err(s3_error!(KeyTooLongError, "this store holds keys of up to 160 bytes"));
    }
    let harmless = |segment: &str| !matches!(segment, "" | "." | "..");
    let printable = !key.contains(|c: char| c.is_control() || c == '\\');
    if printable && key.split('/').all(harmless) {
        Ok(())
    } else {
        Err(s3_error!(
            InvalidArgument,
            "a key here has no empty, `.` or `..` segments, control characters or backslashes"
        ))
    }
}

#[async_trait::async_trait]
impl S3 for Guard {
    async fn create_bucket(
        &self,
        req: S3Request<CreateBucketInput>,
    ) -> S3Result<S3Response<CreateBucketOutput>> {
        self.files.create_bucket(req).await
    }

    async fn head_bucket(
        &self,
        req: S3Request<HeadBucketInput>,
    ) -> S3Result<S3Response<HeadBucketOutput>> {
        self.files.head_bucket(req).await
    }

    async fn list_buckets(
        &self,
        req: S3Request<ListBucketsInput>,
    ) -> S3Result<S3Response<ListBucketsOutput>> {
        self.files.list_buckets(req).await
    }

    async fn get_bucket_location(
        &self,
        req: S3Request<GetBucketLocationInput>,
    ) -> S3Result<S3Response<GetBucketLocationOutput>> {
        self.files.get_bucket_location(req).await
    }

    async fn head_object(
        &self,
        req: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        self.readable(&req.input.bucket, &req.input.key)?;
        self.files.head_object(req).await
    }

    async fn get_object(
        &self,
        req: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        if !self.folder.has_bucket(&req.input.bucket) {
            return Err(s3_error!(NoSuchBucket));
        }
        self.readable(&req.input.bucket, &req.input.key)?;
        let (expected, range) = (req.input.if_match.clone(), req.input.range);
        let opened = Opened::at(&self.folder.object(&req.input.bucket, &req.input.key)).await;
        let mut answer = self.files.get_object(req).await?;
        if let Some(ETagCondition::ETag(expected)) = expected
            && answer.output.e_tag.as_ref().is_none_or(|found| !found.strong_cmp(&expected))
        {
            return Err(s3_error!(PreconditionFailed));
        }
        if let Ok(opened) = opened
            && let Ok(Some(bytes)) = opened.bytes(range).await
        {
            answer.output.body = Some(bytes);
        }
        Ok(answer)
    }

    async fn put_object(
        &self,
        req: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        let (bucket, key) = (&req.input.bucket, &req.input.key);
        self.writable(bucket, key)?;
        let _turn = self.turns.take(bucket, key).await;
        self.files.put_object(req).await.map_err(|error| self.told(error))
    }

    async fn create_multipart_upload(
        &self,
        req: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        self.writable(&req.input.bucket, &req.input.key)?;
        self.files.create_multipart_upload(req).await.map_err(|error| self.told(error))
    }

    async fn upload_part(
        &self,
        req: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        check(&req.input.key)?;
        self.files.upload_part(req).await.map_err(|error| self.told(error))
    }

    async fn complete_multipart_upload(
        &self,
        req: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let (bucket, key) = (&req.input.bucket, &req.input.key);
        self.writable(bucket, key)?;
        let _turn = self.turns.take(bucket, key).await;
        self.files.complete_multipart_upload(req).await.map_err(|error| self.told(error))
    }

    async fn abort_multipart_upload(
        &self,
        req: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        check(&req.input.key)?;
        self.files.abort_multipart_upload(req).await
    }

    async fn delete_object(
        &self,
        req: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        let (bucket, key) = (req.input.bucket.clone(), req.input.key.clone());
        if !self.is_object(&bucket, &key)? {
            return Ok(S3Response::new(DeleteObjectOutput::default()));
        }
        let _turn = self.turns.take(&bucket, &key).await;
        let answer = self.files.delete_object(req).await?;
        self.folder.tidy(&bucket, &key);
        Ok(answer)
    }

    async fn delete_objects(
        &self,
        req: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        if !self.folder.has_bucket(&req.input.bucket) {
            return Err(s3_error!(NoSuchBucket));
        }
        let (mut deleted, mut errors) = (Vec::new(), Vec::new());
        let bucket = req.input.bucket.clone();
        let keys: Vec<String> =
            req.input.delete.objects.iter().map(|object| object.key.clone()).collect();
        let bare = req.map_input(drop);
        for key in keys {
            let one = DeleteObjectInput {
                bucket: bucket.clone(),
                key: key.clone(),
                ..DeleteObjectInput::default()
            };
            match self.delete_object(bare.clone().map_input(|()| one)).await {
                Ok(_) => {
                    deleted.push(DeletedObject { key: Some(key), ..DeletedObject::default() });
                }
                Err(error) => errors.push(Error {
                    code: Some(error.code().as_str().to_owned()),
                    key: Some(key),
                    message: error.message().map(str::to_owned),
                    version_id: None,
                }),
            }
        }
        Ok(S3Response::new(DeleteObjectsOutput {
            deleted: Some(deleted),
            errors: Some(errors),
            ..DeleteObjectsOutput::default()
        }))
    }

    async fn list_objects_v2(
        &self,
        req: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        // Only people ask for folders (with a delimiter), and may wait for a walk of the bucket.
        if req.input.delimiter.is_some() {
            return self.files.list_objects_v2(req).await;
        }
        let input = req.input;
        let prefix = input.prefix.as_deref().unwrap_or_default();
        if !self.folder.has_bucket(&input.bucket) {
            return Err(s3_error!(NoSuchBucket));
        }
        let stays_inside = |segment: &str| !matches!(segment, "." | "..");
        if prefix.starts_with('/') || !prefix.split('/').all(stays_inside) {
            return Err(s3_error!(InvalidArgument, "no key here begins like that"));
        }
        let (folder, bucket, below) =
            (self.folder.clone(), input.bucket.clone(), prefix.to_owned());
        let mut found = tokio::task::spawn_blocking(move || folder.list(&bucket, &below))
            .await
            .map_err(|e| s3_error!(e, InternalError))?
            .map_err(|e| s3_error!(e, InternalError))?;
        if let Some(after) = input.continuation_token.as_ref().or(input.start_after.as_ref()) {
            found.retain(|object| object.key.as_ref() > Some(after));
        }
        let page = input.max_keys.unwrap_or(1000).clamp(0, 1000);
        let rest = found.len() > page as usize;
        found.truncate(page as usize);
        Ok(S3Response::new(ListObjectsV2Output {
            key_count: i32::try_from(found.len()).ok(),
            max_keys: Some(page),
            is_truncated: Some(rest),
            next_continuation_token: found
                .last()
                .and_then(|last| last.key.clone())
                .filter(|_| rest),
            contents: Some(found),
            name: Some(input.bucket),
            prefix: input.prefix,
            continuation_token: input.continuation_token,
            start_after: input.start_after,
            encoding_type: input.encoding_type,
            ..ListObjectsV2Output::default()
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_harmless_keys_pass() {
        let longest = "k".repeat(160);
        for key in ["a", "a/b/c.mp4", "ü ñ?&=#%.ts", "..dots..", "a/.hidden", longest.as_str()] {
            assert!(check(key).is_ok(), "{key}");
        }
        let too_long = "k".repeat(161);
        for key in [
            "",
            "/",
            "/a",
            "a/",
            "a//b",
            ".",
            "..",
            "../a",
            "a/../b",
            "a/..",
            "./a",
            "a/./b",
            "a\nb",
            "a\0b",
            "..\\a",
            too_long.as_str(),
        ] {
            assert!(check(key).is_err(), "{key:?}");
        }
    }

    #[tokio::test]
    async fn turns_that_nobody_waits_for_are_forgotten() {
        let turns = Turns::default();
        for n in 0..3000 {
            drop(turns.take("bucket", &n.to_string()).await);
        }
        assert!(turns.0.lock().unwrap().len() <= 1024);
    }
}
