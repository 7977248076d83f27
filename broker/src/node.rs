//! The broker's state, shared by all connections.
//!
//! Order of locks: groups, then a log's writing, then metadata. Whoever holds metadata takes no
//! other lock. All of them are taken on blocking threads, where waiting for a disk is allowed; on
//! others only those that are held for moments: a log's index and the view of the metadata.

use std::{
    fs::{self, File, TryLockError},
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use crate::{
    BrokerError, Options, Sync,
    groups::Groups,
    locks::lock,
    metadata::{Metadata, TransactionState},
    partition::Partition,
    topics::Topics,
    transactions::Endings,
};

/// How often silent group members and forgotten transactions are looked for while a group
/// rebalances or a transaction is open, and while all is quiet.
pub(crate) const BUSY_PERIOD: Duration = Duration::from_millis(100);
const QUIET_PERIOD: Duration = Duration::from_secs(1);
/// Threads that bring logs to the disk when the broker stops.
const CLOSING_THREADS: usize = 8;

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) address: SocketAddr,
    pub(crate) default_partitions: i32,
    pub(crate) auto_create_topics: bool,
    pub(crate) topics: Topics,
    pub(crate) metadata: Metadata,
    pub(crate) groups: Mutex<Groups>,
    pub(crate) endings: Endings,
    /// Told when a group or a transaction begins something that time may have to end.
    pub(crate) stirred: Notify,
    /// How much of the logs had to be read at the start, in bytes.
    pub(crate) scanned_bytes: u64,
    /// Locked as long as this node lives.
    _lock: File,
}

impl Node {
    /// Locks the data directory, reads what is in it and finishes what a crash interrupted.
    pub(crate) fn open(options: &Options, address: SocketAddr) -> Result<Node, BrokerError> {
        let data = &options.data;
        let failed = |source| BrokerError::Io { path: data.clone(), source };
        let topics = data.join("topics");
        fs::create_dir_all(&topics).map_err(failed)?;
        let locked = File::create(data.join("lock")).map_err(failed)?;
        locked.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => BrokerError::DataDirInUse { path: data.clone() },
            TryLockError::Error(source) => failed(source),
        })?;
        let metadata = Metadata::open(&data.join("metadata.journal"), options.sync)?;
        let (topics, scanned_bytes) = Topics::open(&topics, options.sync, &metadata.view())?;
        let node = Node {
            address,
            default_partitions: options.default_partitions,
            auto_create_topics: options.auto_create_topics,
            topics,
            metadata,
            groups: Mutex::default(),
            endings: Endings::default(),
            stirred: Notify::new(),
            scanned_bytes,
            _lock: locked,
        };
        let ending = |state| matches!(state, TransactionState::Ending(_));
        let decided: Vec<String> = {
            let view = node.metadata.view();
            let decided = view.transactions.iter().filter(|(_, known)| ending(known.state));
            decided.map(|(id, _)| id.clone()).collect()
        };
        for id in decided {
            node.finish(&id).map_err(failed)?;
        }
        Ok(node)
    }

    /// What time alone brings about: silent group members and forgotten transactions. Returns how
    /// long this can wait until the next time.
    pub(crate) fn expire(&self) -> Duration {
        let groups_busy = lock(&self.groups).expire(Instant::now());
        let transactions_open = self.abort_expired_transactions();
        if groups_busy || transactions_open { BUSY_PERIOD } else { QUIET_PERIOD }
    }

    /// What the logs need from time to time: syncs, retention, checkpoints.
    pub(crate) fn tidy(&self, sync_due: bool) {
        for log in self.topics.all() {
            report(&log, |partition| partition.tidy(sync_due, false));
        }
        if sync_due && let Err(error) = self.metadata.flush() {
            tracing::error!(%error, "cannot sync the metadata, check the disk");
        }
    }

    /// Leaves everything so that the next start reads no log. Many small files at once are synced
    /// in the time of a few.
    pub(crate) fn close(&self, sync: Sync) {
        let logs = self.topics.all();
        std::thread::scope(|scope| {
            for logs in logs.chunks(logs.len().div_ceil(CLOSING_THREADS).max(1)) {
                scope.spawn(move || {
                    for log in logs {
                        report(log, |partition| partition.tidy(false, true));
                    }
                });
            }
        });
        if sync != Sync::Never
            && let Err(error) = self.metadata.flush()
        {
            tracing::error!(%error, "cannot sync the metadata, check the disk");
        }
    }
}

fn report(
    (topic, number, partition): &(String, usize, Arc<Partition>),
    work: impl Fn(&Partition) -> io::Result<()>,
) {
    if let Err(error) = work(partition) {
        tracing::error!(topic, number, %error, "cannot tidy up a log, check the disk");
    }
}

/// Runs `work` where it may wait for locks and for the disk.
///
/// # Errors
/// When `work` panicked or the runtime is going down.
pub(crate) async fn blocking<T: Send + 'static>(
    node: &Arc<Node>,
    work: impl FnOnce(&Node) -> T + Send + 'static,
) -> Result<T, tokio::task::JoinError> {
    let node = node.clone();
    tokio::task::spawn_blocking(move || work(&node)).await
}
