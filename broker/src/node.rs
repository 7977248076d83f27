//! The broker's state, shared by all connections.
//!
//! Order of locks: groups, then a log's writer, then metadata. Whoever holds metadata takes no
//! other lock. All of them are taken on blocking threads, where waiting for a disk is allowed.

use std::{
    fs::{self, File, TryLockError},
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Instant,
};

use tokio::sync::watch;

use crate::{
    BrokerError, Options,
    groups::Groups,
    locks::lock,
    metadata::{Metadata, TransactionState},
    topics::Topics,
    transactions::Endings,
};

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) address: SocketAddr,
    pub(crate) default_partitions: i32,
    pub(crate) auto_create_topics: bool,
    pub(crate) topics: Topics,
    pub(crate) metadata: Mutex<Metadata>,
    pub(crate) groups: Mutex<Groups>,
    pub(crate) endings: Endings,
    /// Changes whenever a consumer may be able to read more.
    appended: watch::Sender<()>,
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
        let node = Node {
            address,
            default_partitions: options.default_partitions,
            auto_create_topics: options.auto_create_topics,
            topics: Topics::open(&topics, options.sync, &metadata.view().topics)?,
            metadata: Mutex::new(metadata),
            groups: Mutex::default(),
            endings: Endings::default(),
            appended: watch::channel(()).0,
            _lock: locked,
        };
        let decided: Vec<String> = lock(&node.metadata)
            .view()
            .transactions
            .iter()
            .filter(|(_, transaction)| matches!(transaction.state, TransactionState::Ending(_)))
            .map(|(id, _)| id.clone())
            .collect();
        for id in decided {
            node.finish(&id).map_err(failed)?;
        }
        Ok(node)
    }

    /// Wakes the consumers that wait for more to read.
    pub(crate) fn announce(&self) {
        self.appended.send_replace(());
    }

    pub(crate) fn appended(&self) -> watch::Receiver<()> {
        self.appended.subscribe()
    }

    /// What time alone brings about: silent group members and forgotten transactions.
    pub(crate) fn expire(&self) {
        lock(&self.groups).expire(Instant::now());
        self.abort_expired_transactions();
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
