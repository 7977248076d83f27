//! Who waits for more to read in a partition. A wait ends for its own partitions only.

use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use crate::{locks::lock, partition::Partition};

#[derive(Debug, Default)]
pub(crate) struct Waiters(Mutex<Vec<Arc<Notify>>>);

impl Waiters {
    pub(crate) fn wake(&self) {
        for waiting in lock(&self.0).iter() {
            waiting.notify_one();
        }
    }
}

/// A consumer that waits for any of some partitions; it is forgotten when this is dropped.
#[derive(Debug)]
pub(crate) struct Waiting {
    notify: Arc<Notify>,
    partitions: Vec<Arc<Partition>>,
}

impl Waiting {
    /// From now on nothing is missed: look first, then wait.
    pub(crate) fn on(partitions: Vec<Arc<Partition>>) -> Waiting {
        let notify = Arc::new(Notify::new());
        for partition in &partitions {
            lock(&partition.waiters.0).push(notify.clone());
        }
        Waiting { notify, partitions }
    }

    /// Returns when something changed since the last call.
    pub(crate) async fn changed(&self) {
        self.notify.notified().await;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        for partition in &self.partitions {
            lock(&partition.waiters.0).retain(|waiting| !Arc::ptr_eq(waiting, &self.notify));
        }
    }
}
