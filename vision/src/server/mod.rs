//! A server that speaks Rekognition's wire protocol (awsJson1_1) for stored videos, photographs
//! and collections of faces.
//!
//! AWS's SDKs work against it unchanged. `docs/rekognition.md` lists
//! the operations, what each leaves out, and where its figures come from.

mod clock;
mod collections;
mod decoding;
mod face_store;
mod fault;
mod images;
mod jobs;
mod looking;
mod observer;
mod photos;
mod quality_bar;
mod routes;
mod signature;
mod videos;
mod wire;
mod worker;

pub use clock::Clock;
pub use observer::{Ended, Full, Looked, Observer};
pub use signature::Keys;

use crate::{Models, Profile, VisionError};
use confine::Helper;
use face_store::FaceStore;
use jobs::Jobs;
use photos::Photos;
use ports::Store;
use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinHandle, time::timeout};
use worker::Worker;

pub use looking::WORKS;

/// A failed job's `StatusMessage` is a reason word and a sentence: `no_video: the file has no video
/// stream; …`. These words mean that the video is not at fault (it could not be fetched or read,
/// or the server failed): starting the job again, also with the same token, runs it again. Any
/// other word means that it is: the words of [`media::MediaError::reason`] and
/// [`confine::Failure::reason`], or those with which the store refused the object.
pub const PASSING_REASONS: [&str; 5] =
    ["io", "internal", "media_stalled", "media_killed", "media_unavailable"];

/// How long [`Server::stop`] waits for requests and for running jobs, each.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// How to run the server.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Port 0 takes a free one. On loopback, web pages of other sites are turned away.
    pub listen: SocketAddr,
    /// Whose requests are taken; those of everybody who signs them, where `None`.
    pub keys: Option<Keys>,
    /// Jobs and their results are kept here for seven days, collections until they are deleted;
    /// unfinished jobs run again after a restart. One server per folder.
    pub data: PathBuf,
    pub models: Arc<Models>,
    /// Where the videos are.
    pub store: Arc<dyn Store>,
    /// One permit is held while a video is analysed.
    pub permits: Arc<Semaphore>,
    /// Threads of a model that looks at photographs or for things. Looking at films for faces has its own.
    pub threads: usize,
    /// Does what reads videos and photographs.
    pub helper: Helper,
    /// 0 to 1, usually [`FACE_THRESHOLD`](crate::FACE_THRESHOLD); photographs take at least 0.7.
    pub face_threshold: f32,
    /// How closely films are looked at.
    pub profile: Profile,
    /// Decides when results are old.
    pub clock: Clock,
    /// Hears what is done; `()` where nobody wants to know.
    pub observer: Arc<dyn Observer>,
}

/// All that answers are made from.
#[derive(Debug)]
struct Services {
    worker: Arc<Worker>,
    photos: Photos,
    faces: FaceStore,
    clock: Clock,
    keys: Option<Keys>,
}

/// A running server. Dropping it stops it without waiting.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    services: Arc<Services>,
    serving: JoinHandle<()>,
}

impl Server {
    /// Binds the port, takes up unfinished jobs and serves.
    ///
    /// # Errors
    /// `Io` when the port is taken or the data folder cannot be used.
    pub async fn start(options: ServerOptions) -> Result<Self, VisionError> {
        let listener = TcpListener::bind(options.listen)
            .await
            .map_err(|e| VisionError::io(format!("vision server on {}", options.listen), e))?;
        let address =
            listener.local_addr().map_err(|e| VisionError::io("vision server's address", e))?;
        let jobs = Jobs::open(&options.data)
            .map_err(|e| VisionError::io(options.data.display().to_string(), e))?;
        let faces = FaceStore::open(&options.data).await?;
        let (photos, clock) = (Photos::new(&options), options.clock.clone());
        let keys = options.keys.clone();
        let worker = Arc::new(Worker::new(options, jobs)?);
        worker.resume();
        let services = Arc::new(Services { worker, photos, faces, clock, keys });

        let routes = routes::router(services.clone(), address);
        let stop = services.clone();
        let serving = tokio::spawn(async move {
            let serve = axum::serve(listener, routes);
            let stop = async move { stop.worker.stopping().await };
            if let Err(error) = serve.with_graceful_shutdown(stop).await {
                tracing::error!(%error, "vision server stopped; restart reelmill");
            }
        });
        tracing::info!(%address, "vision server is up");
        Ok(Self { address, services, serving })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The endpoint for clients, e.g. `http://127.0.0.1:4512`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Stops taking requests, stops running jobs and waits up to ten seconds for both. Stopped
    /// jobs run again at the next start on the same folder.
    pub async fn stop(mut self) {
        self.services.worker.stop();
        if timeout(STOP_WITHIN, &mut self.serving).await.is_err() {
            self.serving.abort();
        }
        if timeout(STOP_WITHIN, self.services.worker.idle()).await.is_err() {
            tracing::warn!("a vision job did not stop in time; it runs again at the next start");
        }
        self.services.faces.close().await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.services.worker.stop();
    }
}
