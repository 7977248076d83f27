//! A server that speaks Rekognition's wire protocol (awsJson1_1) for stored videos.
//!
//! It answers StartFaceDetection, GetFaceDetection, StartLabelDetection and GetLabelDetection on
//! loopback, so that the AWS SDK works against it unchanged. Differences from AWS: every frame is
//! analysed (AWS samples about two a second); a face has box, confidence and landmarks only;
//! labels are looked for once a second among COCO's 80 classes; requests must be signed, but any
//! signature is taken; notification channels, `FaceAttributes: ALL`, object versions and results
//! sorted or aggregated other than by time stamp are refused by name.

mod jobs;
mod looking;
mod routes;
mod wire;
mod worker;

use crate::{Models, VisionError};
use confine::Helper;
use jobs::Jobs;
use ports::Store;
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
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
    /// On loopback; 0 takes a free one.
    pub port: u16,
    /// Jobs and their results are kept here for seven days; unfinished jobs run again after a
    /// restart. One server per folder.
    pub data: PathBuf,
    pub models: Arc<Models>,
    /// Where the videos are.
    pub store: Arc<dyn Store>,
    /// One permit is held while a video is analysed.
    pub permits: Arc<Semaphore>,
    /// Threads per analysed video, for decoding and for inference each.
    pub threads: usize,
    /// Does what reads videos.
    pub helper: Helper,
    /// 0 to 1, usually [`FACE_THRESHOLD`](crate::FACE_THRESHOLD).
    pub face_threshold: f32,
}

/// A running server. Dropping it stops it without waiting.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    worker: Arc<Worker>,
    serving: JoinHandle<()>,
}

impl Server {
    /// Binds the port, takes up unfinished jobs and serves.
    ///
    /// # Errors
    /// `Io` when the port is taken or the data folder cannot be used.
    pub async fn start(options: ServerOptions) -> Result<Self, VisionError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port))
            .await
            .map_err(|e| VisionError::io(format!("vision server on port {}", options.port), e))?;
        let address =
            listener.local_addr().map_err(|e| VisionError::io("vision server's address", e))?;
        let jobs = Jobs::open(&options.data)
            .map_err(|e| VisionError::io(options.data.display().to_string(), e))?;
        let worker = Arc::new(Worker::new(options, jobs)?);
        worker.resume();

        let routes = routes::router(worker.clone());
        let stop = worker.clone();
        let serving = tokio::spawn(async move {
            let serve = axum::serve(listener, routes);
            let stop = async move { stop.stopping().await };
            if let Err(error) = serve.with_graceful_shutdown(stop).await {
                tracing::error!(%error, "vision server stopped; restart reelmill");
            }
        });
        tracing::info!(%address, "vision server is up");
        Ok(Self { address, worker, serving })
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
        self.worker.stop();
        if timeout(STOP_WITHIN, &mut self.serving).await.is_err() {
            self.serving.abort();
        }
        if timeout(STOP_WITHIN, self.worker.idle()).await.is_err() {
            tracing::warn!("a vision job did not stop in time; it runs again at the next start");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.worker.stop();
    }
}
