//! The embedded ports: broker, registry, store, all under one data directory, on loopback only. Each
//! may run elsewhere instead.

use crate::{cli::UpArgs, connections::lock, failure::Failure};
use broker::{Broker, Options};
use connectors::{
    registry::embedded::EmbeddedRegistry,
    s3::embedded::{EmbeddedOptions, EmbeddedStore},
};
use std::{fs::File, path::Path};

/// Partitions of a topic on one machine.
pub const PARTITIONS: i32 = 4;

/// The running ports. The detector is not among them: it needs the store first.
#[derive(Debug)]
pub struct Embedded {
    /// Only one mill at a time has the data directory.
    _lock: File,
    broker: Option<Broker>,
    registry: Option<EmbeddedRegistry>,
    store: Option<EmbeddedStore>,
    /// Where they, or those that run elsewhere, are.
    pub kafka: String,
    pub registry_url: String,
    pub s3: String,
}

impl Embedded {
    /// Starts what does not run elsewhere, or nothing.
    pub async fn start(data: &Path, args: &UpArgs) -> Result<Self, Failure> {
        let lock = lock(data)?;
        let real = &args.real;
        let broker = match &real.kafka {
            Some(_) => None,
            None => Some(start_broker(data, args).await?),
        };
        let registry = match &real.registry {
            Some(_) => None,
            None => {
                let started =
                    EmbeddedRegistry::start(&data.join("registry"), args.registry_port).await;
                Some(started.map_err(|e| Failure::start("the embedded schema registry", &e))?)
            }
        };
        let store = match &real.s3 {
            Some(_) => None,
            None => Some(start_store(data, args).await?),
        };
        let at =
            |real: &Option<String>, own: Option<String>| real.clone().or(own).unwrap_or_default();
        Ok(Self {
            kafka: at(&real.kafka, broker.as_ref().map(Broker::bootstrap)),
            registry_url: at(&real.registry, registry.as_ref().map(EmbeddedRegistry::url)),
            s3: at(&real.s3, store.as_ref().map(EmbeddedStore::endpoint)),
            _lock: lock,
            broker,
            registry,
            store,
        })
    }

    /// How many partitions new topics get: few on one machine, else as the topic needs.
    #[must_use]
    pub fn partitions(&self) -> Option<i32> {
        self.broker.is_some().then_some(PARTITIONS)
    }

    /// Stops what was started, the broker last.
    pub async fn stop(self) {
        if let Some(store) = self.store {
            store.stop().await;
        }
        if let Some(registry) = self.registry {
            registry.stop().await;
        }
        if let Some(broker) = self.broker {
            broker.stop().await;
        }
    }
}

async fn start_broker(data: &Path, args: &UpArgs) -> Result<Broker, Failure> {
    let options = Options {
        data: data.join("broker"),
        port: args.kafka_port,
        default_partitions: PARTITIONS,
        sync: args.kafka_sync,
        auto_create_topics: false,
    };
    Broker::start(options).await.map_err(|e| Failure::start("the embedded broker", &e))
}

async fn start_store(data: &Path, args: &UpArgs) -> Result<EmbeddedStore, Failure> {
    let keys = &args.real.keys;
    let options = EmbeddedOptions {
        data: data.join("store"),
        port: args.store_port,
        access_key: keys.access_key().to_owned(),
        secret_key: keys.secret_key().to_owned(),
        buckets: vec![args.mill.shared.bucket.clone()],
    };
    EmbeddedStore::start(options).await.map_err(|e| Failure::start("the embedded object store", &e))
}
