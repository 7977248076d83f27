//! A single-node, durable broker that speaks Kafka's wire protocol, for running a whole pipeline
//! in one process with ordinary Kafka clients.
//!
//! It has what exactly-once pipelines need: idempotent and transactional producers, fencing,
//! read-committed consumers, consumer groups, committed offsets. It listens on loopback only.
//!
//! Not modelled: replication, retention and compaction of logs, accounts, quotas, static group
//! membership, the new consumer protocol. Look-ups by time answer with the batch, not the record.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::TcpListener,
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::{Instant, MissedTickBehavior, interval, timeout_at},
};

use crate::node::Node;

mod batch;
mod connection;
mod groups;
mod handlers;
mod index;
mod journal;
mod locks;
mod metadata;
mod node;
mod partition;
mod sequences;
mod topics;
mod transactions;
mod wire;

/// How often silent group members and forgotten transactions are looked for.
const EXPIRY_PERIOD: Duration = Duration::from_millis(100);
/// How long clients may take to read their last responses when the broker stops.
const FAREWELL: Duration = Duration::from_secs(2);

/// How to run a [`Broker`].
#[derive(Debug, Clone)]
pub struct Options {
    /// Everything the broker remembers is below this directory; created if missing.
    pub data: PathBuf,
    /// On 127.0.0.1; 0 takes any free one.
    pub port: u16,
    /// Partitions of a topic whose creator does not say how many.
    pub default_partitions: i32,
    /// When data counts as safe.
    pub sync: Sync,
    /// Create topics that a client merely asks about, if the client allows it.
    pub auto_create_topics: bool,
}

/// When data counts as safe and is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// Once the operating system has it: survives `kill -9` of the process.
    Never,
    /// Once the disk has it: survives power loss.
    Always,
}

/// Why a broker cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The port is taken.
    #[error("cannot listen on 127.0.0.1:{port}: {source}; choose another port, or 0 for any")]
    Bind {
        /// The port asked for.
        port: u16,
        /// What the operating system says.
        source: io::Error,
    },
    /// Another broker, here or in another process, works in the directory.
    #[error("data directory {} is in use by another broker; stop it or choose another", path.display())]
    DataDirInUse {
        /// The directory.
        path: PathBuf,
    },
    /// The disk does not do its part.
    #[error("cannot use {}: {source}; check permissions and space", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The journal is damaged in the middle, which no crash of the broker does.
    #[error("{} is damaged in line {line}, in front of good lines; restore it from a copy", path.display())]
    DamagedJournal {
        /// The journal.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
    /// A background task of the runtime failed.
    #[error("the broker's start was interrupted: {0}")]
    Interrupted(#[from] tokio::task::JoinError),
}

/// A running broker: tasks on the tokio runtime it was started on. Dropping it stops it in the
/// background; [`Broker::stop`] waits until the data directory is free again.
#[derive(Debug)]
pub struct Broker {
    address: SocketAddr,
    stopping: watch::Sender<bool>,
    listening: JoinHandle<()>,
}

impl Broker {
    /// Binds the port, locks the data directory, reads it, and serves from then on.
    ///
    /// # Errors
    /// See [`BrokerError`]; nothing in the directory is touched when the port is taken.
    pub async fn start(options: Options) -> Result<Broker, BrokerError> {
        let failed = |source| BrokerError::Bind { port: options.port, source };
        let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).await;
        let listener = bound.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let opened = tokio::task::spawn_blocking(move || Node::open(&options, address)).await??;
        let (stopping, stop) = watch::channel(false);
        let listening = tokio::spawn(listen(Arc::new(opened), listener, stop));
        Ok(Broker { address, stopping, listening })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same for a client's `bootstrap.servers`.
    pub fn bootstrap(&self) -> String {
        self.address.to_string()
    }

    /// Finishes the requests at hand, closes all connections and releases the data directory.
    pub async fn stop(self) {
        self.stopping.send_replace(true);
        if let Err(error) = self.listening.await {
            tracing::error!(%error, "the broker ended badly, its data is checked at the next start");
        }
    }
}

async fn listen(node: Arc<Node>, listener: TcpListener, stop: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    let mut expiry = interval(EXPIRY_PERIOD);
    expiry.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stopped(&stop) => break,
            _ = expiry.tick() => {
                if let Err(error) = node::blocking(&node, Node::expire).await {
                    tracing::error!(%error, "cannot look for expired members and transactions");
                }
            }
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let (node, stop) = (node.clone(), stop.clone());
                    connections.spawn(async move {
                        if let Err(error) = connection::serve(node, stream, stop).await {
                            tracing::warn!(%peer, %error, "closed a connection");
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection, check the limit of open files");
                    tokio::time::sleep(EXPIRY_PERIOD).await;
                }
            },
        }
    }
    drop(listener);
    let farewell = Instant::now() + FAREWELL;
    while let Ok(Some(_)) = timeout_at(farewell, connections.join_next()).await {}
    connections.shutdown().await;
}

/// Returns once the broker is told to stop, or was dropped.
async fn stopped(stopping: &watch::Receiver<bool>) {
    let mut stopping = stopping.clone();
    if stopping.wait_for(|stopping| *stopping).await.is_err() {
        tracing::debug!("the broker was dropped, stopping it");
    }
}
