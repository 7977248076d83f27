//! Ports that keep everything in memory, and fail when told to.

use api::{Cause, DeadLetters, Health, Redriven, Services, UploadLimits, Uploads};
use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream, stream::BoxStream};
use ports::{
    Catalog, DeadLetterRow, Document, Fact, Hit, ObjectInfo, ObjectRef, ObjectStream, Page,
    Position, Put, PutOutcome, Search, SearchRequest, Store, Trouble, VideoFilter, VideoPage,
    VideoRow, VideoState, Viewer,
};
use schemas::VideoUploaded;
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// All ports of an API.
pub(crate) struct Memory {
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) catalog: Arc<MemoryCatalog>,
    pub(crate) search: Arc<MemorySearch>,
    pub(crate) uploads: Arc<MemoryUploads>,
    pub(crate) letters: Arc<MemoryLetters>,
}

impl Memory {
    pub(crate) fn new() -> Self {
        let store = Arc::new(MemoryStore::default());
        Self {
            uploads: Arc::new(MemoryUploads::new(Arc::clone(&store))),
            store,
            catalog: Arc::default(),
            search: Arc::default(),
            letters: Arc::default(),
        }
    }

    /// An API's services over them.
    pub(crate) fn services(
        &self,
        limits: UploadLimits,
        health: Health,
        stopping: CancellationToken,
    ) -> Services {
        Services {
            store: self.store.clone(),
            catalog: self.catalog.clone(),
            search: self.search.clone(),
            uploads: self.uploads.clone(),
            letters: self.letters.clone(),
            bucket: "mill".to_owned(),
            owner: "local".to_owned(),
            limits,
            health,
            stopping,
        }
    }
}

/// Objects by key; the bucket is part of the name.
#[derive(Debug, Default)]
pub(crate) struct MemoryStore {
    pub(crate) objects: Mutex<BTreeMap<String, (ObjectInfo, Bytes)>>,
    /// Streamed writes that have begun, and that ran to their end or saw the body fail. One whose
    /// future is dropped could not abort its parts, and never counts as ended.
    pub(crate) begun: AtomicUsize,
    pub(crate) ended: AtomicUsize,
    /// Streams break off after their first piece.
    pub(crate) breaks: AtomicBool,
    /// Reading a key that ends so fails so.
    pub(crate) refusal: Mutex<Option<Refusal>>,
}

/// The end of a key, and what reading it comes to.
pub(crate) type Refusal = (&'static str, fn() -> Trouble);

impl MemoryStore {
    pub(crate) fn insert(&self, object: &ObjectRef, body: &[u8], put: Put) -> ObjectInfo {
        let info = ObjectInfo {
            key: object.key.clone(),
            bytes: body.len() as u64,
            etag: format!("\"{}-{}\"", body.len(), object.key.len()),
            metadata: put.metadata,
            content_type: put.content_type,
            modified_ms: 0,
        };
        let kept = (info.clone(), Bytes::copy_from_slice(body));
        self.objects.lock().unwrap().insert(object.to_string(), kept);
        info
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        self.objects.lock().unwrap().keys().cloned().collect()
    }

    fn get(&self, object: &ObjectRef) -> Result<(ObjectInfo, Bytes), Trouble> {
        if let Some((end, with)) = *self.refusal.lock().unwrap()
            && object.key.ends_with(end)
        {
            return Err(with());
        }
        let kept = self.objects.lock().unwrap().get(&object.to_string()).cloned();
        kept.ok_or_else(|| Trouble::poison("missing_object", format!("{object} is not there")))
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn head(&self, object: &ObjectRef) -> Result<Option<ObjectInfo>, Trouble> {
        Ok(self.get(object).ok().map(|(info, _)| info))
    }

    async fn read(&self, object: &ObjectRef, limit: u64) -> Result<Bytes, Trouble> {
        let (info, body) = self.get(object)?;
        assert!(info.bytes <= limit);
        Ok(body)
    }

    async fn stream(
        &self,
        object: &ObjectRef,
        range: Option<Range<u64>>,
    ) -> Result<ObjectStream, Trouble> {
        let (info, body) = self.get(object)?;
        let range = range.unwrap_or(0..info.bytes);
        let body = body.slice(range.start as usize..range.end as usize);
        let pieces: Vec<_> = body.chunks(64).map(|c| Ok(Bytes::copy_from_slice(c))).collect();
        let body = if self.breaks.load(Ordering::SeqCst) {
            let end = Err(Trouble::transient("store_unreachable", "the store went away"));
            stream::iter(pieces.into_iter().take(1).chain([end])).boxed()
        } else {
            stream::iter(pieces).boxed()
        };
        Ok(ObjectStream { info, range, body })
    }

    async fn download(&self, _: &ObjectRef, _: &Path) -> Result<ObjectInfo, Trouble> {
        Err(Trouble::fatal("the api downloads nothing"))
    }

    async fn write(
        &self,
        object: &ObjectRef,
        body: Bytes,
        put: Put,
    ) -> Result<PutOutcome, Trouble> {
        if put.only_if_absent && self.get(object).is_ok() {
            return Ok(PutOutcome::Exists);
        }
        Ok(PutOutcome::Written { etag: self.insert(object, &body, put).etag })
    }

    async fn upload(&self, _: &Path, _: &ObjectRef, _: Put) -> Result<PutOutcome, Trouble> {
        Err(Trouble::fatal("the api uploads no files"))
    }

    async fn write_stream(
        &self,
        object: &ObjectRef,
        mut body: BoxStream<'static, Result<Bytes, Trouble>>,
        limit: u64,
        put: Put,
    ) -> Result<ObjectInfo, Trouble> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        let mut whole = Ok(Vec::new());
        while let (Ok(bytes), Some(piece)) = (&mut whole, body.next().await) {
            match piece {
                Ok(piece) if (bytes.len() + piece.len()) as u64 > limit => {
                    let detail = format!("over {limit} bytes");
                    whole = Err(Trouble::poison("object_too_large", detail));
                }
                Ok(piece) => bytes.extend_from_slice(&piece),
                Err(trouble) => whole = Err(trouble),
            }
        }
        self.ended.fetch_add(1, Ordering::SeqCst);
        Ok(self.insert(object, &whole?, put))
    }

    async fn list(&self, bucket: &str, prefix: &str) -> Result<Vec<ObjectInfo>, Trouble> {
        let start = ObjectRef::new(bucket, prefix).to_string();
        let objects = self.objects.lock().unwrap();
        let below = objects.iter().filter(|(name, _)| name.starts_with(&start));
        let bare = |info: &ObjectInfo| ObjectInfo { metadata: BTreeMap::new(), ..info.clone() };
        Ok(below.map(|(_, (info, _))| bare(info)).collect())
    }

    async fn delete(&self, bucket: &str, keys: &[String]) -> Result<(), Trouble> {
        for key in keys {
            self.objects.lock().unwrap().remove(&ObjectRef::new(bucket, key).to_string());
        }
        Ok(())
    }

    async fn signed_url(&self, object: &ObjectRef, valid: Duration) -> Result<String, Trouble> {
        Ok(format!("http://127.0.0.1:9000/{}?expires={}", object.key, valid.as_secs()))
    }
}

/// Rows as the tests set them.
#[derive(Debug, Default)]
pub(crate) struct MemoryCatalog {
    pub(crate) rows: Mutex<Vec<VideoRow>>,
    pub(crate) letters: Mutex<Vec<DeadLetterRow>>,
    pub(crate) down: AtomicBool,
}

impl MemoryCatalog {
    pub(crate) fn add(&self, row: VideoRow) {
        self.rows.lock().unwrap().push(row);
    }

    fn check(&self) -> Result<(), Trouble> {
        if self.down.load(Ordering::SeqCst) {
            return Err(Trouble::transient("database_busy", "the database is locked"));
        }
        Ok(())
    }
}

/// A row of a video that has just been uploaded.
pub(crate) fn video_row(video_id: &str) -> VideoRow {
    VideoRow {
        video_id: video_id.to_owned(),
        run_id: String::new(),
        owner: "local".to_owned(),
        assessment: String::new(),
        title: String::new(),
        visibility: "private".to_owned(),
        recorded_at_ms: 1,
        uploaded_at_ms: 2,
        state: VideoState::Processing,
        reason: None,
        detail: None,
        bytes: None,
        duration_ms: None,
        recording_bucket: None,
        recording_key: None,
        receipt_key: None,
        searchable: false,
        retried_at_ms: None,
        stopped: Vec::new(),
        stages: Vec::new(),
        runs: 0,
        next_run: None,
    }
}

#[async_trait]
impl Catalog for MemoryCatalog {
    async fn record(&self, facts: &[Fact]) -> Result<(), Trouble> {
        self.check()?;
        for fact in facts {
            let (video_id, owner, assessment, title, bytes) = match fact {
                Fact::Uploaded { video_id, owner, assessment, title, bytes, .. } => {
                    (video_id, owner, assessment, title, bytes)
                }
                Fact::Redriven { topic, partition, offset, at_ms } => {
                    let mut letters = self.letters.lock().unwrap();
                    let place = (topic, partition, offset);
                    let same =
                        letters.iter_mut().filter(|l| (&l.topic, &l.partition, &l.offset) == place);
                    same.for_each(|letter| letter.redriven_at_ms = Some(*at_ms));
                    continue;
                }
                _ => return Err(Trouble::fatal("the api records no other facts")),
            };
            self.add(VideoRow {
                owner: owner.clone(),
                assessment: assessment.clone(),
                title: title.clone(),
                bytes: *bytes,
                ..video_row(video_id)
            });
        }
        Ok(())
    }

    async fn video(&self, _: &Viewer, video_id: &str) -> Result<Option<VideoRow>, Trouble> {
        self.check()?;
        Ok(self.rows.lock().unwrap().iter().find(|row| row.video_id == video_id).cloned())
    }

    async fn videos(&self, filter: &VideoFilter) -> Result<VideoPage, Trouble> {
        self.check()?;
        let wanted = |filter: &Option<String>, value: &String| {
            filter.as_ref().is_none_or(|wanted| wanted == value)
        };
        let rows = self.rows.lock().unwrap();
        let found: Vec<_> = rows
            .iter()
            .filter(|row| wanted(&filter.owner, &row.owner))
            .filter(|row| wanted(&filter.assessment, &row.assessment))
            .collect();
        let page = found.iter().skip((filter.page * filter.page_size) as usize);
        let videos = page.take(filter.page_size as usize).map(|&row| row.clone()).collect();
        Ok(VideoPage { total: found.len() as i64, videos })
    }

    async fn dead_letters(
        &self,
        video_id: Option<&str>,
        limit: u32,
    ) -> Result<Vec<DeadLetterRow>, Trouble> {
        let letters = self.letters.lock().unwrap();
        let of_video = letters.iter().filter(|letter| letter.video_id.as_deref() == video_id);
        Ok(of_video.take(limit as usize).cloned().collect())
    }
}

/// Answers every search with the hits it was given, and keeps what it was asked.
#[derive(Debug, Default)]
pub(crate) struct MemorySearch {
    pub(crate) hits: Mutex<Vec<Hit>>,
    pub(crate) asked: Mutex<Vec<SearchRequest>>,
}

#[async_trait]
impl Search for MemorySearch {
    async fn put(&self, _: &Document) -> Result<(), Trouble> {
        Err(Trouble::fatal("the api indexes nothing"))
    }

    async fn remove(&self, _: &str) -> Result<(), Trouble> {
        Err(Trouble::fatal("the api removes nothing"))
    }

    async fn search(&self, request: &SearchRequest) -> Result<Page, Trouble> {
        self.asked.lock().unwrap().push(request.clone());
        let hits = self.hits.lock().unwrap().clone();
        Ok(Page { total: hits.len() as u64, hits })
    }
}

/// Announcements, each with the keys the store held at that moment.
#[derive(Debug)]
pub(crate) struct MemoryUploads {
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) announced: Mutex<Vec<(VideoUploaded, String, Vec<String>)>>,
    pub(crate) down: AtomicBool,
    /// An acknowledgement takes one permit.
    pub(crate) acks: Semaphore,
}

impl MemoryUploads {
    pub(crate) fn new(store: Arc<MemoryStore>) -> Self {
        let acks = Semaphore::new(Semaphore::MAX_PERMITS);
        Self { store, announced: Mutex::default(), down: AtomicBool::new(false), acks }
    }
}

#[async_trait]
impl Uploads for MemoryUploads {
    async fn announce(&self, event: &VideoUploaded, id: &str, _: &Cause) -> Result<(), Trouble> {
        let keys = self.store.keys();
        self.announced.lock().unwrap().push((event.clone(), id.to_owned(), keys));
        self.acks.acquire().await.unwrap().forget();
        if self.down.load(Ordering::SeqCst) {
            return Err(Trouble::transient("broker_unavailable", "no broker answers"));
        }
        Ok(())
    }
}

/// Sends back what it is asked to, each letter once.
#[derive(Debug, Default)]
pub(crate) struct MemoryLetters {
    pub(crate) sent: Mutex<BTreeSet<Position>>,
    pub(crate) down: AtomicBool,
}

#[async_trait]
impl DeadLetters for MemoryLetters {
    fn processors(&self) -> &[&'static str] {
        &["cut", "detect", "label", "blur", "stitch", "verify", "thumbnail", "index", "sweep"]
    }

    async fn redrive(&self, _: &str, letters: &BTreeSet<Position>) -> Result<Redriven, Trouble> {
        if self.down.load(Ordering::SeqCst) {
            return Err(Trouble::transient("broker_unavailable", "no broker answers"));
        }
        let mut sent = self.sent.lock().unwrap();
        let new = letters.iter().filter(|letter| sent.insert((*letter).clone())).count();
        Ok(Redriven { sent: new, before: letters.len() - new })
    }
}
