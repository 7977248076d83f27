//! Listening, and leaving in bounded time.

use axum::{Router, serve::ListenerExt};
use std::{future::Future, future::IntoFuture, io, net::SocketAddr, time::Duration};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// How long requests under way may go on after the shutdown.
const GRACE: Duration = Duration::from_secs(5);

/// Who can connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// This machine only; another address is refused.
    Loopback,
    /// Whoever reaches the address. There are no accounts yet.
    Everyone,
}

/// Why the API does not serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error(
        "refusing to listen on {0}: there are no accounts yet, so the api answers on loopback only; \
         listen on 127.0.0.1 or [::1]"
    )]
    NotLoopback(SocketAddr),
    #[error("the api cannot listen: {0}")]
    Io(#[from] io::Error),
}

/// Answers until `shutdown` completes, then gives requests under way five seconds to finish.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    reach: Reach,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let address = listener.local_addr()?;
    if reach == Reach::Loopback && !address.ip().is_loopback() {
        return Err(ServeError::NotLoopback(address));
    }
    // Headers and body are separate writes: with Nagle's algorithm the second one waits 40 ms.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "connection keeps nagle's delay");
        }
    });
    let stopping = CancellationToken::new();
    let stopped = stopping.clone();
    let server = axum::serve(listener, router).with_graceful_shutdown(async move {
        shutdown.await;
        stopped.cancel();
    });
    tokio::select! {
        result = server.into_future() => Ok(result?),
        () = async { stopping.cancelled().await; tokio::time::sleep(GRACE).await } => {
            tracing::warn!("requests still open after {GRACE:?} are cut off");
            Ok(())
        }
    }
}
