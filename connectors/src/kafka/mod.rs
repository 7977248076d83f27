//! Kafka: each processor's log is a consumer group and a transactional producer (librdkafka).
//!
//! One thread per log polls the consumer without pause, also while effects run for hours;
//! transactions are opened only for the writes. Whatever goes wrong with either client, both are
//! dropped and started over under a new epoch: half a session is never reused.
//!
//! librdkafka lacks KIP-890: on a time-out or a lost connection it resends EndTxn by itself, and the
//! delayed first one could end a later transaction of the same producer. Its resends cannot be seen,
//! but they take time: what took as long as the shortest back-off is in doubt, and the next
//! transaction is begun under a new producer epoch, which fences all that is still under way (ADR
//! 0016). After an error all is started over. Derived ids and idempotent sinks are the second line.

mod admin;
mod blame;
mod door;
mod ffi;
mod inbox;
mod log;
mod look;
mod producing;
mod reader;
mod records;
mod redrive;
mod security;
mod statistics;
mod token;
mod watching;
mod writer;

pub use admin::{TopicInfo, TopicSpec};
pub use blame::blame;
pub use log::KafkaLog;
pub use look::{Cluster, Node, Settings, TopicLook, Unseen};
pub use redrive::{Letter, Redriven};
pub use security::{Bar, Barred, Protocol, Security};
pub use watching::{Waiting, Watch};

use engine::{LogOpener, Metrics, Spec};
use ports::Trouble;
use producing::Producer;
use rdkafka::{ClientConfig, config::RDKafkaLogLevel};
use reader::Members;
use std::{collections::BTreeMap, sync::Arc};
use token::Tokens;
use tokio::sync::OnceCell;

/// How to reach Kafka, and who we are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KafkaConfig {
    /// `host:port`, several separated by commas.
    pub bootstrap: String,
    /// TLS and who we are to the brokers.
    pub security: Security,
    /// librdkafka's settings by name; they win over ours.
    pub extra: BTreeMap<String, String>,
    /// Tells apart the processes that run the same processor: the transactional id is
    /// `processor.instance`. The same after a restart, so that the new process fences the old.
    pub instance: String,
}

/// A Kafka cluster. Cloning shares.
#[derive(Debug, Clone)]
pub struct Kafka(Arc<Shared>);

struct Shared {
    config: KafkaConfig,
    /// Where the brokers want them.
    tokens: Option<Arc<Tokens>>,
    /// For records that come from outside the mill; started by the first.
    producer: OnceCell<Producer>,
    /// Where the clients of processors tell of themselves, if anywhere.
    metrics: Option<Metrics>,
    /// The consumers of processors that run here.
    members: Members,
}

impl Kafka {
    /// Connects to nothing yet.
    #[must_use]
    pub fn new(config: KafkaConfig) -> Self {
        Self::shared(config, None)
    }

    /// The same; the clients of processors tell of themselves.
    #[must_use]
    pub fn counting(config: KafkaConfig, metrics: &Metrics) -> Self {
        Self::shared(config, Some(metrics.clone()))
    }

    fn shared(config: KafkaConfig, metrics: Option<Metrics>) -> Self {
        let (producer, members) = (OnceCell::new(), Members::default());
        let tokens = config.security.wants_tokens().then(|| Tokens::new(&config.security.region));
        Self(Arc::new(Shared { tokens: tokens.map(Arc::new), config, producer, metrics, members }))
    }

    /// Settings that every client has.
    fn client(&self, name: &str) -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", &self.0.config.bootstrap).set("client.id", name);
        // A broker that comes back is found within a second, not ten.
        client.set("reconnect.backoff.ms", "50").set("reconnect.backoff.max.ms", "1000");
        // So that a door hears of connections that the broker ends.
        client.set_log_level(RDKafkaLogLevel::Info);
        self.0.config.security.set(&mut client);
        client
    }

    /// The settings the user gave, over all others.
    fn with_extra(&self, mut client: ClientConfig) -> ClientConfig {
        for (name, value) in &self.0.config.extra {
            client.set(name, value);
        }
        client
    }

    fn consumer(&self, group: &str) -> ClientConfig {
        let mut client = self.client(group);
        client
            .set("group.id", group)
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "earliest")
            .set("partition.assignment.strategy", "range")
            .set("session.timeout.ms", "10000")
            // A rebalance is learnt of by the next heartbeat: three must fit into a session.
            .set("heartbeat.interval.ms", "3000")
            // New topics and partitions are noticed soon.
            .set("topic.metadata.refresh.interval.ms", "30000")
            // The default of a second starves a fast loop.
            .set("fetch.queue.backoff.ms", "5")
            // What an idle consumer costs is its number of fetches; a partition that is resumed
            // may have to wait for the one under way.
            .set("fetch.wait.max.ms", "2000")
            // Enough to go on with while the next fetch is under way. Pausing a partition throws
            // them away: have not too many.
            .set("queued.min.messages", "10000")
            .set("queued.max.messages.kbytes", "8192");
        self.with_extra(client)
    }

    fn transactional(&self, processor: &str) -> ClientConfig {
        let mut client = self.client(processor);
        client
            .set("transactional.id", format!("{processor}.{}", self.0.config.instance))
            .set("transaction.timeout.ms", "15000")
            // A dead letter is its event and the headers that say why: larger than its topic's
            // producers could send.
            .set("message.max.bytes", "4000000")
            .set("partitioner", "murmur2_random")
            .set("linger.ms", "0")
            // What takes four fifths of it may have been sent twice (see `writer`).
            .set("retry.backoff.ms", "100");
        self.with_extra(client)
    }
}

impl LogOpener for Kafka {
    type Log = KafkaLog;

    async fn open(&self, spec: &Spec) -> Result<KafkaLog, Trouble> {
        KafkaLog::open(self.clone(), spec.clone()).await
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Settings may hold passwords.
        f.debug_struct("Kafka").field("bootstrap", &self.config.bootstrap).finish_non_exhaustive()
    }
}

/// The client's own messages say nothing a person must act on.
fn log_line(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            tracing::warn!(facility, message, "kafka client");
        }
        _ => tracing::debug!(facility, message, "kafka client"),
    }
}
