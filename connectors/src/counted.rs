//! Ports whose calls are counted, whoever serves them.

use crate::calls::Calls;
use async_trait::async_trait;
use bytes::Bytes;
use engine::{Metrics, Service};
use futures::stream::BoxStream;
use ports::{
    Catalog, DeadLetterRow, Document, Fact, ObjectInfo, ObjectRef, ObjectStream, Page, Put,
    PutOutcome, Search, SearchRequest, Store, Trouble, VideoFilter, VideoPage, VideoRow, Viewer,
};
use std::{ops::Range, path::Path, sync::Arc, time::Duration};

/// A port behind a counter.
#[derive(Debug)]
struct Counted<Port: ?Sized> {
    port: Arc<Port>,
    calls: Calls,
}

/// A store whose calls are counted.
#[must_use]
pub fn store(store: Arc<dyn Store>, metrics: &Metrics) -> Arc<dyn Store> {
    Arc::new(Counted { port: store, calls: Calls::to(Service::Store, metrics) })
}

/// An index whose calls are counted.
#[must_use]
pub fn search(search: Arc<dyn Search>, metrics: &Metrics) -> Arc<dyn Search> {
    Arc::new(Counted { port: search, calls: Calls::to(Service::Index, metrics) })
}

/// A catalogue whose calls are counted.
#[must_use]
pub fn catalog(catalog: Arc<dyn Catalog>, metrics: &Metrics) -> Arc<dyn Catalog> {
    Arc::new(Counted { port: catalog, calls: Calls::to(Service::Database, metrics) })
}

#[async_trait]
impl Store for Counted<dyn Store> {
    async fn head(&self, object: &ObjectRef) -> Result<Option<ObjectInfo>, Trouble> {
        self.calls.count("head", self.port.head(object)).await
    }

    async fn read(&self, object: &ObjectRef, limit: u64) -> Result<Bytes, Trouble> {
        self.calls.count("read", self.port.read(object, limit)).await
    }

    async fn stream(
        &self,
        object: &ObjectRef,
        range: Option<Range<u64>>,
    ) -> Result<ObjectStream, Trouble> {
        self.calls.count("stream", self.port.stream(object, range)).await
    }

    async fn download(&self, object: &ObjectRef, file: &Path) -> Result<ObjectInfo, Trouble> {
        self.calls.count("download", self.port.download(object, file)).await
    }

    async fn write(
        &self,
        object: &ObjectRef,
        body: Bytes,
        put: Put,
    ) -> Result<PutOutcome, Trouble> {
        self.calls.count("write", self.port.write(object, body, put)).await
    }

    async fn upload(
        &self,
        file: &Path,
        object: &ObjectRef,
        put: Put,
    ) -> Result<PutOutcome, Trouble> {
        self.calls.count("upload", self.port.upload(file, object, put)).await
    }

    async fn write_stream(
        &self,
        object: &ObjectRef,
        body: BoxStream<'static, Result<Bytes, Trouble>>,
        limit: u64,
        put: Put,
    ) -> Result<ObjectInfo, Trouble> {
        let written = self.port.write_stream(object, body, limit, put);
        self.calls.count("write_stream", written).await
    }

    async fn list(&self, bucket: &str, prefix: &str) -> Result<Vec<ObjectInfo>, Trouble> {
        self.calls.count("list", self.port.list(bucket, prefix)).await
    }

    async fn delete(&self, bucket: &str, keys: &[String]) -> Result<(), Trouble> {
        self.calls.count("delete", self.port.delete(bucket, keys)).await
    }

    /// Nobody is asked for one.
    async fn signed_url(&self, object: &ObjectRef, valid: Duration) -> Result<String, Trouble> {
        self.port.signed_url(object, valid).await
    }
}

#[async_trait]
impl Search for Counted<dyn Search> {
    async fn put(&self, document: &Document) -> Result<(), Trouble> {
        self.calls.count("put", self.port.put(document)).await
    }

    /// One request; the first that was refused speaks for all.
    async fn put_all(&self, documents: &[Document]) -> Vec<Result<(), Trouble>> {
        let mut answers = Vec::new();
        let all = async {
            answers = self.port.put_all(documents).await;
            answers.iter().find(|answer| answer.is_err()).cloned().unwrap_or(Ok(()))
        };
        drop(self.calls.count("put_all", all).await);
        answers
    }

    async fn remove(&self, video_id: &str) -> Result<(), Trouble> {
        self.calls.count("remove", self.port.remove(video_id)).await
    }

    async fn search(&self, request: &SearchRequest) -> Result<Page, Trouble> {
        self.calls.count("search", self.port.search(request)).await
    }
}

#[async_trait]
impl Catalog for Counted<dyn Catalog> {
    async fn record(&self, facts: &[Fact]) -> Result<(), Trouble> {
        self.calls.count("record", self.port.record(facts)).await
    }

    async fn video(&self, viewer: &Viewer, video_id: &str) -> Result<Option<VideoRow>, Trouble> {
        self.calls.count("video", self.port.video(viewer, video_id)).await
    }

    async fn videos(&self, filter: &VideoFilter) -> Result<VideoPage, Trouble> {
        self.calls.count("videos", self.port.videos(filter)).await
    }

    async fn dead_letters(
        &self,
        video_id: Option<&str>,
        limit: u32,
    ) -> Result<Vec<DeadLetterRow>, Trouble> {
        self.calls.count("dead_letters", self.port.dead_letters(video_id, limit)).await
    }
}
