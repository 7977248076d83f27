//! What is asked of the services around the mill, and how they answer.

use super::{Metrics, SECONDS, entering::Entering};
use crate::Fatal;
use prometheus::{HistogramVec, IntCounterVec, IntGaugeVec};
use std::time::{Duration, Instant};

/// A service around the mill, whoever makes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    Store,
    Detector,
    Index,
    Registry,
    Database,
}

impl Service {
    fn label(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Detector => "detector",
            Self::Index => "index",
            Self::Registry => "registry",
            Self::Database => "database",
        }
    }
}

/// How a request to a service ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    Ok,
    /// No: what was asked for is not there or cannot be.
    Refused,
    /// A quota or a rate is used up: later.
    Throttled,
    /// It failed in a way that may pass, or did not answer.
    Transient,
    /// It failed in a way that a person must mend.
    Fatal,
}

impl Reply {
    fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::Throttled => "throttled",
            Self::Transient => "transient",
            Self::Fatal => "fatal",
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Services {
    requests: IntCounterVec,
    seconds: HistogramVec,
    connections: IntGaugeVec,
    most: IntGaugeVec,
    waiting: IntGaugeVec,
    waited: HistogramVec,
}

impl Services {
    pub(super) fn enter(entering: &Entering) -> Result<Self, Fatal> {
        Ok(Self {
            requests: entering.counter(
                "reelmill_requests_total",
                "requests to the services around the mill, by how they ended",
                &["service", "operation", "outcome"],
            )?,
            seconds: entering.histogram(
                "reelmill_request_seconds",
                "from a request to a service to its answer; of a stream, to its head",
                &["service"],
                &SECONDS[..8],
            )?,
            connections: entering.level(
                "reelmill_database_connections",
                "connections to the database, at rest or in use",
                &["state"],
            )?,
            most: entering.level(
                "reelmill_database_connections_max",
                "connections to the database that this process may have",
                &[],
            )?,
            waiting: entering.level(
                "reelmill_database_waiting",
                "calls that wait for a connection to the database",
                &[],
            )?,
            waited: entering.histogram(
                "reelmill_database_wait_seconds",
                "until a call had its connection to the database, and its transaction had begun",
                &[],
                &SECONDS[..7],
            )?,
        })
    }
}

impl Metrics {
    /// A request to a service has ended. `operation` is a word of ours, from a closed list.
    pub fn count_answer(
        &self,
        service: Service,
        operation: &'static str,
        reply: Reply,
        took: Duration,
    ) {
        let Services { requests, seconds, .. } = &self.services;
        requests.with_label_values(&[service.label(), operation, reply.label()]).inc();
        seconds.with_label_values(&[service.label()]).observe(took.as_secs_f64());
    }

    /// The pool of connections to the database, as it is now.
    pub fn set_pool(&self, idle: i64, used: i64, most: i64) {
        self.services.connections.with_label_values(&["idle"]).set(idle);
        self.services.connections.with_label_values(&["used"]).set(used);
        self.services.most.with_label_values::<&str>(&[]).set(most);
    }

    /// A call waits for a connection to the database, until this is dropped.
    #[must_use]
    pub fn waits_for_pool(&self) -> PoolWait {
        self.services.waiting.with_label_values::<&str>(&[]).inc();
        PoolWait { services: self.services.clone(), since: Instant::now() }
    }
}

/// A call that waits for a connection until this is dropped: one that is given up has waited too.
#[derive(Debug)]
pub struct PoolWait {
    services: Services,
    since: Instant,
}

impl Drop for PoolWait {
    fn drop(&mut self) {
        let Services { waiting, waited, .. } = &self.services;
        waiting.with_label_values::<&str>(&[]).dec();
        waited.with_label_values::<&str>(&[]).observe(self.since.elapsed().as_secs_f64());
    }
}
