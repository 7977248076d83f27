//! A schema registry in this process: Confluent's REST API as far as clients use it, on loopback.
//!
//! Not modelled: schema references, JSON Schema and Protobuf, deletion, modes, contexts and
//! accounts. Stricter than Confluent's where a named type moves to an earlier field, and towards web
//! pages: those of other sites are turned away ([`doors`]), and what is sent must call itself JSON.

mod book;
mod level;
mod rest;

use book::Book;
pub use book::BookError;
pub use level::Level;
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    time::Duration,
};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

/// How long requests under way may take to end at a stop.
const GRACE: Duration = Duration::from_secs(2);

/// Why an embedded registry did not start.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    #[error("port {port} on 127.0.0.1 is not free ({cause}): stop its user or choose another port")]
    Port { port: u16, cause: io::Error },
    #[error(transparent)]
    Book(#[from] BookError),
}

/// A running registry. Dropped, it stops without waiting.
#[derive(Debug)]
pub struct EmbeddedRegistry {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<()>,
}

impl EmbeddedRegistry {
    /// Keeps its schemas in `data`, a folder of its own. Port 0: any free one.
    pub async fn start(data: &Path, port: u16) -> Result<Self, EmbeddedError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .await
            .map_err(|cause| EmbeddedError::Port { port, cause })?;
        let address = listener.local_addr().map_err(|cause| EmbeddedError::Port { port, cause })?;
        let router = rest::router(Book::open(data)?);
        let router = doors::guarded(router, address, rest::turned_away);
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(async move {
            // The sender's end, by a message or by a drop, is the signal.
            let signal = async move { drop(stopped.await) };
            let served = axum::serve(listener, router).with_graceful_shutdown(signal).await;
            if let Err(error) = served {
                tracing::warn!(%error, "the embedded registry ended badly");
            }
        });
        Ok(Self { address, stop: Some(stop), server })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL for [`super::ConfluentRegistry::new`].
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Takes no more requests, and gives those under way 2 s.
    pub async fn stop(mut self) {
        drop(self.stop.take());
        if tokio::time::timeout(GRACE, &mut self.server).await.is_err() {
            tracing::debug!("the embedded registry stopped with connections open");
        }
    }
}

impl Drop for EmbeddedRegistry {
    fn drop(&mut self) {
        self.server.abort();
    }
}
