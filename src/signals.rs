//! When to stop.

use crate::failure::Failure;
use engine::CancellationToken;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Ctrl-C and SIGTERM, from the moment this is made: whoever reads that the mill is up may stop it.
#[derive(Debug)]
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    pub fn new() -> Result<Self, Failure> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Cancels `shutdown` once one has come.
    pub fn cancel(mut self, shutdown: CancellationToken) {
        tokio::spawn(async move {
            self.any().await;
            shutdown.cancel();
        });
    }

    /// Returns once one has come.
    pub async fn any(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
