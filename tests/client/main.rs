//! The commands of the command line, against the real API over ports kept in memory.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first surprise")]

mod asking;
mod downloading;
#[path = "../../api/tests/http/ports_in_memory.rs"]
mod ports_in_memory;
mod uploading;

use api::{Health, Reach, UploadLimits, router, serve};
use ports::{ObjectRef, Put, VideoRow, VideoState};
use ports_in_memory::{Memory, MemoryCatalog, MemorySearch, MemoryStore, MemoryUploads, video_row};
use reelmill::client::{Client, UploadOptions};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

struct Mill {
    client: Client,
    base: String,
    store: Arc<MemoryStore>,
    catalog: Arc<MemoryCatalog>,
    search: Arc<MemorySearch>,
    uploads: Arc<MemoryUploads>,
    folder: TempDir,
    _stop: DropGuard,
}

impl Mill {
    async fn start() -> Self {
        Self::with_limits(UploadLimits::default()).await
    }

    async fn with_limits(limits: UploadLimits) -> Self {
        let memory = Memory::new();
        let health = Health {
            metrics: Arc::new(String::new),
            readiness: Arc::new(Vec::new),
            answered: Arc::new(|_| {}),
        };
        let stopping = CancellationToken::new();
        let services = Arc::new(memory.services(limits, health, stopping.clone()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let shutdown = stopping.clone().cancelled_owned();
        tokio::spawn(serve(listener, router(services), Reach::Loopback, shutdown));
        let (client, folder) = (Client::new(&base).unwrap(), TempDir::new().unwrap());
        let _stop = stopping.drop_guard();
        let Memory { store, catalog, search, uploads, .. } = memory;
        Self { client, base, store, catalog, search, uploads, folder, _stop }
    }

    fn file(&self, name: &str, body: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, body).unwrap();
        path
    }

    /// A video with a recording in the store.
    fn publish(&self, video_id: &str, title: &str, body: &[u8]) {
        let key = format!("recordings/local/{video_id}.mp4");
        self.store.insert(&ObjectRef::new("mill", &key), body, Put::default());
        self.catalog.add(VideoRow {
            title: title.to_owned(),
            state: VideoState::Ready,
            searchable: true,
            recording_bucket: Some("mill".to_owned()),
            recording_key: Some(key),
            ..video_row(video_id)
        });
    }

    /// Changes the `index`-th uploaded video, once it is there.
    async fn change(&self, index: usize, change: impl Fn(&mut VideoRow)) {
        for _ in 0..1000 {
            if let Some(row) = self.catalog.rows.lock().unwrap().get_mut(index) {
                return change(row);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("video {index} was not uploaded within 10 s");
    }
}

fn waiting() -> UploadOptions {
    UploadOptions { wait: true, ..UploadOptions::default() }
}

fn text(out: Vec<u8>) -> String {
    String::from_utf8(out).unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}
