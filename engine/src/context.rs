//! What every processor of a process shares.

use crate::{Clock, Metrics, Policy, Traces};
use ports::{SchemaRegistry, Store};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// What every processor of a process shares. Cloning shares.
#[derive(Debug, Clone)]
pub struct Context {
    pub registry: Arc<dyn SchemaRegistry>,
    pub store: Arc<dyn Store>,
    /// Where working objects, and so tombstones, live.
    pub bucket: String,
    pub clock: Arc<dyn Clock>,
    pub policy: Policy,
    pub metrics: Metrics,
    /// Who is told of every event's spans. Where it is nobody, the trace of an event is passed on.
    pub traces: Option<Arc<dyn Traces>>,
    /// Cancelled: finish what is in hand, within [`Policy::grace`], and stop.
    pub shutdown: CancellationToken,
    /// Effects at once per processor, at least 1.
    pub concurrency: usize,
}
