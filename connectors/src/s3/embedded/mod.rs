//! An object store in this process: s3s-fs behind a guard, on loopback.
//!
//! It speaks S3's protocol, so that the client is the same as in production. Not modelled: copies,
//! versions, tags, policies, life cycles and listing of unfinished uploads; those left by a crash
//! are removed at the start. Writes survive the process; they are not synced to the disk one by
//! one, so a power cut may lose the last ones. Web pages of other sites are turned away, with the
//! right keys too ([`doors`]).

mod file;
mod folder;
mod guard;

use doors::Stranger;
use folder::Folder;
use guard::Guard;
use hyper::{Request, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::{conn::auto::Builder, graceful::GracefulShutdown},
};
use s3s::{
    Body, HttpError, HttpResponse, S3Error, S3ErrorCode,
    auth::SimpleAuth,
    service::{S3Service, S3ServiceBuilder},
};
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

/// How long requests under way may take to end at a stop.
const GRACE: Duration = Duration::from_secs(5);

/// What an embedded store needs.
#[derive(Clone)]
pub struct EmbeddedOptions {
    /// A folder of its own; created where absent. One process at a time.
    pub data: PathBuf,
    /// 0: any free one.
    pub port: u16,
    pub access_key: String,
    pub secret_key: String,
    /// Created where absent.
    pub buckets: Vec<String>,
}

impl std::fmt::Debug for EmbeddedOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EmbeddedOptions")
            .field("data", &self.data)
            .field("port", &self.port)
            .field("access_key", &self.access_key)
            .field("secret_key", &"…")
            .field("buckets", &self.buckets)
            .finish()
    }
}

/// Why an embedded store did not start.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    #[error("port {port} on 127.0.0.1 is not free ({cause}): stop its user or choose another port")]
    Port { port: u16, cause: io::Error },
    #[error("{folder} cannot hold objects ({cause}): choose another data folder")]
    Folder { folder: PathBuf, cause: String },
    #[error(
        "`{0}` is no name for a bucket: use 3 to 63 lower-case letters, digits, dots and dashes"
    )]
    Bucket(String),
}

/// A running store. Dropped, it stops without waiting.
#[derive(Debug)]
pub struct EmbeddedStore {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<()>,
}

impl EmbeddedStore {
    pub async fn start(options: EmbeddedOptions) -> Result<Self, EmbeddedError> {
        let port = options.port;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .await
            .map_err(|cause| EmbeddedError::Port { port, cause })?;
        let address = listener.local_addr().map_err(|cause| EmbeddedError::Port { port, cause })?;

        let root = options.data.join("objects");
        let unusable = |cause: String| EmbeddedError::Folder { folder: root.clone(), cause };
        let folder = Folder::open(&root).map_err(|e| unusable(e.to_string()))?;
        for bucket in &options.buckets {
            if !s3s::path::check_bucket_name(bucket) {
                return Err(EmbeddedError::Bucket(bucket.clone()));
            }
            folder.create_bucket(bucket).map_err(|e| unusable(e.to_string()))?;
        }
        let files = s3s_fs::FileSystem::new(&root).map_err(|e| unusable(format!("{e:?}")))?;
        let mut service = S3ServiceBuilder::new(Guard::new(files, folder));
        service.set_auth(SimpleAuth::from_single(options.access_key, options.secret_key));

        let (stop, stopped) = oneshot::channel();
        let server = tokio::spawn(serve(listener, service.build(), stopped));
        Ok(Self { address, stop: Some(stop), server })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL for [`crate::s3::S3Config::endpoint`]; path style.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Takes no more requests, and gives those under way 5 s.
    pub async fn stop(mut self) {
        // Dropping the sender is the signal.
        drop(self.stop.take());
        if let Err(error) = (&mut self.server).await {
            tracing::warn!(%error, "the embedded store ended badly");
        }
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, service: S3Service, mut stopped: oneshot::Receiver<()>) {
    let http = Builder::new(TokioExecutor::new());
    let graceful = GracefulShutdown::new();
    let service = service_fn(move |request| answer(service.clone(), request));
    loop {
        let socket = tokio::select! {
            _ = &mut stopped => break,
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => socket,
                Err(error) => {
                    // Out of file descriptors, most likely: some will be closed.
                    tracing::warn!(%error, "the embedded store cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        let connection = http.serve_connection(TokioIo::new(socket), service.clone()).into_owned();
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to the embedded store broke");
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(GRACE, graceful.shutdown()).await.is_err() {
        tracing::warn!("the embedded store stopped with requests under way");
    }
}

async fn answer(service: S3Service, request: Request<Incoming>) -> Result<HttpResponse, HttpError> {
    // Before anything else of the request is read.
    match doors::check(request.uri(), request.headers()) {
        Ok(()) => service.call(request.map(Body::from)).await,
        Err(stranger) => turned_away(stranger),
    }
}

fn turned_away(stranger: Stranger) -> Result<HttpResponse, HttpError> {
    S3Error::with_message(S3ErrorCode::AccessDenied, stranger.to_string())
        .to_http_response()
        .map_err(|error| HttpError::new(Box::new(error)))
}
