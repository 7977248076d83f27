//! An API on a port of its own, and what tests ask it with.

use crate::openapi::is_described;
use crate::ports_in_memory::{
    Memory, MemoryCatalog, MemoryLetters, MemorySearch, MemoryStore, MemoryUploads, video_row,
};
use api::{Answered, Health, Reach, Services, Unready, UploadLimits, router, serve};
use ports::{ObjectRef, Put, VideoRow, VideoState};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::Value;
use std::{
    future::Future,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// A running API; it stops with the test.
pub(crate) struct Mill {
    pub(crate) address: SocketAddr,
    pub(crate) base: String,
    pub(crate) http: reqwest::Client,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) catalog: Arc<MemoryCatalog>,
    pub(crate) search: Arc<MemorySearch>,
    pub(crate) uploads: Arc<MemoryUploads>,
    pub(crate) letters: Arc<MemoryLetters>,
    pub(crate) services: Arc<Services>,
    pub(crate) unready: Arc<Mutex<Vec<Unready>>>,
    /// Every request that was told of: method, route, status.
    pub(crate) answered: Arc<Mutex<Vec<String>>>,
    pub(crate) stopping: CancellationToken,
}

impl Mill {
    pub(crate) async fn start() -> Self {
        Self::with_limits(UploadLimits::default()).await
    }

    pub(crate) async fn with_limits(limits: UploadLimits) -> Self {
        let memory = Memory::new();
        let unready: Arc<Mutex<Vec<Unready>>> = Arc::default();
        let told = Arc::clone(&unready);
        let answered: Arc<Mutex<Vec<String>>> = Arc::default();
        let counted = Arc::clone(&answered);
        let stopping = CancellationToken::new();
        let health = Health {
            metrics: Arc::new(|| "reelmill_events_total 1\n".to_owned()),
            readiness: Arc::new(move || told.lock().unwrap().clone()),
            answered: Arc::new(move |answered: &Answered<'_>| {
                let Answered { method, route, status, .. } = answered;
                counted.lock().unwrap().push(format!("{method} {route} {status}"));
            }),
        };
        let services = Arc::new(memory.services(limits, health, stopping.clone()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = stopping.clone().cancelled_owned();
        tokio::spawn(serve(listener, router(services.clone()), Reach::Loopback, shutdown));
        let base = format!("http://{address}");
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let Memory { store, catalog, search, uploads, letters } = memory;
        Self {
            address,
            base,
            http,
            store,
            catalog,
            search,
            uploads,
            letters,
            services,
            unready,
            answered,
            stopping,
        }
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.http.get(format!("{}{path}", self.base))
    }

    pub(crate) fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
        self.http.post(format!("{}{path}", self.base)).body(body)
    }

    pub(crate) async fn json(&self, path: &str) -> Value {
        let answer = self.get(path).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer.json().await.unwrap()
    }

    /// A video whose verified recording is in the store.
    pub(crate) fn publish(&self, video_id: &str, title: &str, body: &[u8]) -> VideoRow {
        let key = "recordings/local/exam-7-1000.mp4".to_owned();
        self.store.insert(&ObjectRef::new("mill", &key), body, Put::default());
        let row = VideoRow {
            title: title.to_owned(),
            state: VideoState::Ready,
            recording_bucket: Some("mill".to_owned()),
            recording_key: Some(key),
            receipt_key: Some(format!("receipts/{video_id}.json")),
            ..video_row(video_id)
        };
        self.catalog.add(row.clone());
        row
    }
}

/// The problem of a refused request, after checking what every problem has, and that the API's
/// description lists it.
pub(crate) async fn problem(request: RequestBuilder, status: u16, code: &str) -> Value {
    checked(request.send().await.unwrap(), status, code).await
}

pub(crate) async fn checked(answer: Response, status: u16, code: &str) -> Value {
    let content_type = answer.headers()["content-type"].to_str().unwrap().to_owned();
    let actual = answer.status().as_u16();
    let path = answer.url().path().to_owned();
    let text = answer.text().await.unwrap();
    assert_eq!(actual, status, "{text}");
    assert_eq!(content_type, "application/problem+json");
    let problem: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(problem["code"], code, "{text}");
    assert_eq!(problem["status"], status);
    assert_eq!(problem["type"], format!("urn:reelmill:problem:{code}"));
    // What the fallbacks answer belongs to no operation.
    if !["wrong_method", "no_such_route"].contains(&code) {
        assert!(is_described(&path, code), "{code} is not described for {path}");
    }
    for member in ["title", "detail", "next_step"] {
        assert!(!problem[member].as_str().unwrap().is_empty(), "{member} of {text}");
    }
    problem
}

/// Waits until `holds`, for at most 10 s.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    for _ in 0..1000 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not within 10 s: {what}");
}
