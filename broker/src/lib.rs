//! A single-node, durable broker that speaks Kafka's wire protocol, for running a whole pipeline
//! in one process with ordinary Kafka clients.
//!
//! It has what exactly-once pipelines need: idempotent and transactional producers, fencing,
//! read-committed consumers, consumer groups with static members, committed offsets. Logs lie in
//! segments; topics keep everything unless `retention.ms` or `retention.bytes` says otherwise. It
//! listens on loopback only.
//!
//! Not modelled: replication, compaction of logs, accounts, quotas, the new consumer protocol.
//! Group members are forgotten at a restart and join again. Look-ups by time are exact to the
//! record, in compressed batches to the batch.

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
    time::{Instant, sleep, timeout, timeout_at},
};

use crate::node::Node;

mod batch;
mod config;
mod connection;
mod groups;
mod handlers;
mod journal;
mod locks;
mod log;
mod metadata;
mod node;
mod partition;
mod records;
mod recovery;
mod segment;
mod sequences;
mod topics;
mod transactions;
mod waiters;
mod wire;

/// How often retention and checkpoints are looked after.
const TIDY_PERIOD: Duration = Duration::from_secs(1);
/// How long the broker waits when it cannot accept connections.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);
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

/// When data counts as safe and is acknowledged. All three survive `kill -9` of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// Once the operating system has it, which writes it to the disk when it likes. Power loss can
    /// take what was acknowledged in the last half minute or so.
    Never,
    /// Once the operating system has it, and it is written to the disk every so often. Power loss
    /// can take what was acknowledged since. Intervals below 10 ms are 10 ms.
    Every(Duration),
    /// Once the disk has it. Power loss takes nothing, and every commit waits for the disk.
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
    /// Records are missing in front of others, which no crash of the broker does.
    #[error(
        "{} is damaged: its records end before offset {offset}, in front of others; restore the \
         data directory from a copy, or delete the topic's folder to go on without it",
        path.display()
    )]
    DamagedLog {
        /// The segment.
        path: PathBuf,
        /// The first offset that cannot be read.
        offset: i64,
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
    scanned_bytes: u64,
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
        let sync = options.sync;
        let opened = tokio::task::spawn_blocking(move || Node::open(&options, address)).await??;
        let scanned_bytes = opened.scanned_bytes;
        let (stopping, stop) = watch::channel(false);
        let listening = tokio::spawn(run(Arc::new(opened), listener, sync, stop));
        Ok(Broker { address, scanned_bytes, stopping, listening })
    }

    /// How much of the logs had to be read at the start, in bytes: nothing after a clean stop, at
    /// most some megabytes of each partition after a crash.
    pub fn scanned_bytes(&self) -> u64 {
        self.scanned_bytes
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

async fn run(node: Arc<Node>, listener: TcpListener, sync: Sync, stop: watch::Receiver<bool>) {
    let expiring = tokio::spawn(expire(node.clone(), stop.clone()));
    let tidying = tokio::spawn(tidy(node.clone(), sync, stop.clone()));
    listen(node.clone(), listener, stop).await;
    for task in [expiring, tidying] {
        if let Err(error) = task.await {
            tracing::error!(%error, "a background task of the broker ended badly");
        }
    }
    if let Err(error) = node::blocking(&node, move |node| node.close(sync)).await {
        tracing::error!(%error, "cannot leave the logs tidy, the next start reads them");
    }
}

async fn listen(node: Arc<Node>, listener: TcpListener, stop: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stopped(&stop) => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let (node, stop) = (node.clone(), stop.clone());
                    connections.spawn(async move {
                        match connection::serve(node, stream, stop).await {
                            Err(error) if error.is_farewell() => {
                                tracing::debug!(%peer, %error, "a client left");
                            }
                            Err(error) => tracing::warn!(%peer, %error, "closed a connection"),
                            Ok(()) => {}
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection, check the limit of open files");
                    sleep(ACCEPT_BACKOFF).await;
                }
            },
        }
    }
    drop(listener);
    let farewell = Instant::now() + FAREWELL;
    while let Ok(Some(_)) = timeout_at(farewell, connections.join_next()).await {}
    connections.shutdown().await;
}

/// Looks after what time alone brings about, often only while there is something to end.
async fn expire(node: Arc<Node>, stop: watch::Receiver<bool>) {
    loop {
        let wait = match node::blocking(&node, Node::expire).await {
            Ok(wait) => wait,
            Err(error) => {
                tracing::error!(%error, "cannot look for expired members and transactions");
                TIDY_PERIOD
            }
        };
        tokio::select! {
            () = stopped(&stop) => break,
            // Whatever began takes at least this long to end.
            woken = timeout(wait, node.stirred.notified()) => if woken.is_ok() {
                sleep(node::BUSY_PERIOD).await;
            },
        }
    }
}

async fn tidy(node: Arc<Node>, sync: Sync, stop: watch::Receiver<bool>) {
    let period = match sync {
        Sync::Every(interval) => interval.clamp(Duration::from_millis(10), TIDY_PERIOD),
        Sync::Never | Sync::Always => TIDY_PERIOD,
    };
    let mut synced = Instant::now();
    loop {
        tokio::select! {
            () = stopped(&stop) => break,
            () = sleep(period) => {}
        }
        let sync_due = matches!(sync, Sync::Every(interval) if synced.elapsed() >= interval);
        if sync_due {
            synced = Instant::now();
        }
        if let Err(error) = node::blocking(&node, move |node| node.tidy(sync_due)).await {
            tracing::error!(%error, "cannot tidy up the logs");
        }
    }
}

/// Returns once the broker is told to stop, or was dropped.
async fn stopped(stopping: &watch::Receiver<bool>) {
    let mut stopping = stopping.clone();
    if stopping.wait_for(|stopping| *stopping).await.is_err() {
        tracing::debug!("the broker was dropped, stopping it");
    }
}
