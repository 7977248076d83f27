//! The embedded ports: broker, registry, store, all under one data directory, on loopback only.

use crate::{
    failure::Failure,
    mill::{LOCAL_KEY, LOCAL_SECRET},
};
use broker::{Broker, Options, Sync};
use connectors::{
    registry::embedded::EmbeddedRegistry,
    s3::embedded::{EmbeddedOptions, EmbeddedStore},
};
use std::path::Path;

/// Partitions of a topic on one machine.
pub const PARTITIONS: i32 = 4;

/// The running ports. The detector is not among them: it needs the store first.
#[derive(Debug)]
pub struct Embedded {
    pub broker: Broker,
    pub registry: EmbeddedRegistry,
    pub store: EmbeddedStore,
}

/// Ports to listen on; 0 is any free one.
#[derive(Debug, Clone, Copy)]
pub struct Listen {
    pub kafka: u16,
    pub registry: u16,
    pub store: u16,
}

impl Embedded {
    /// Starts all three, or none. The broker comes first: it locks the data directory.
    pub async fn start(
        data: &Path,
        listen: Listen,
        sync: Sync,
        bucket: &str,
    ) -> Result<Self, Failure> {
        let broker = Broker::start(Options {
            data: data.join("broker"),
            port: listen.kafka,
            default_partitions: PARTITIONS,
            sync,
            auto_create_topics: false,
        })
        .await
        .map_err(|e| Failure::start("the embedded broker", &e))?;
        let registry = EmbeddedRegistry::start(&data.join("registry"), listen.registry)
            .await
            .map_err(|e| Failure::start("the embedded schema registry", &e))?;
        let store = EmbeddedStore::start(EmbeddedOptions {
            data: data.join("store"),
            port: listen.store,
            access_key: LOCAL_KEY.to_owned(),
            secret_key: LOCAL_SECRET.to_owned(),
            buckets: vec![bucket.to_owned()],
        })
        .await
        .map_err(|e| Failure::start("the embedded object store", &e))?;
        Ok(Self { broker, registry, store })
    }

    /// Stops all three, the broker last.
    pub async fn stop(self) {
        self.store.stop().await;
        self.registry.stop().await;
        self.broker.stop().await;
    }
}
