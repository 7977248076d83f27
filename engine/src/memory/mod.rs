//! A log, a store and a registry that live in memory: for tests, of this and of other crates.

mod log;
mod registry;
mod store;

pub use log::{MemoryBroker, MemoryLog};
pub use registry::MemoryRegistry;
pub use store::MemoryStore;

use std::sync::{Mutex, MutexGuard, PoisonError};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
