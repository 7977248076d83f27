//! A broker of one's own for each test, and clients for it.

use std::{collections::HashMap, future::Future, time::Duration};

use broker::{Broker, Options, Sync};
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{Consumer, StreamConsumer},
    error::KafkaError,
    producer::{FutureProducer, FutureRecord, Producer},
};
use tempfile::TempDir;

/// Machines that build in parallel are slow; nothing here waits this long when all is well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Long enough for a record that should not be there to show up.
const SURPLUS: Duration = Duration::from_millis(700);

pub(crate) fn options(folder: &TempDir) -> Options {
    Options {
        data: folder.path().join("data"),
        port: 0,
        default_partitions: 4,
        sync: Sync::Never,
        auto_create_topics: false,
    }
}

/// A running broker and what it lives on; its data goes with it.
pub(crate) struct World {
    pub(crate) broker: Broker,
    pub(crate) folder: TempDir,
}

impl World {
    pub(crate) async fn start() -> World {
        let folder = tempfile::tempdir().unwrap();
        let broker = Broker::start(options(&folder)).await.unwrap();
        World { broker, folder }
    }

    /// Stops the broker and starts another one on the same data and port.
    pub(crate) async fn restart(self) -> World {
        let World { broker, folder } = self;
        let port = broker.address().port();
        broker.stop().await;
        let broker = Broker::start(Options { port, ..options(&folder) }).await.unwrap();
        World { broker, folder }
    }

    pub(crate) fn clients(&self) -> Clients {
        Clients { bootstrap: self.broker.bootstrap() }
    }
}

#[derive(Clone)]
pub(crate) struct Clients {
    pub(crate) bootstrap: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) value: String,
}

impl Clients {
    pub(crate) fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap).set("socket.timeout.ms", "15000");
        config
    }

    pub(crate) fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.config().create().unwrap()
    }

    pub(crate) async fn create_topic(&self, name: &str, partitions: i32) {
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        let created = self.admin().create_topics(&[topic], &AdminOptions::new()).await.unwrap();
        assert_eq!(created, [Ok(name.to_owned())]);
    }

    pub(crate) fn producer(&self) -> FutureProducer {
        let mut config = self.config();
        config.set("enable.idempotence", "true").set("linger.ms", "2").create().unwrap()
    }

    /// Has called `init_transactions`.
    pub(crate) async fn transactional(
        &self,
        id: &str,
        timeout_ms: u32,
    ) -> Result<FutureProducer, KafkaError> {
        let mut config = self.config();
        config
            .set("transactional.id", id)
            .set("transaction.timeout.ms", timeout_ms.to_string())
            // The client wants to hear of a lost connection before its transaction expires.
            .set("socket.timeout.ms", timeout_ms.min(15_000).to_string())
            .set("linger.ms", "2");
        let producer: FutureProducer = config.create()?;
        blocking(&producer, |producer| producer.init_transactions(PATIENCE)).await?;
        Ok(producer)
    }

    pub(crate) fn consumer(&self, group: &str, isolation: &str) -> StreamConsumer {
        self.config()
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "earliest")
            .set("isolation.level", isolation)
            .set("session.timeout.ms", "6000")
            .set("heartbeat.interval.ms", "500")
            .create()
            .unwrap()
    }

    /// Every record of `topic`, which must be `count`, for a reader who joins no group.
    pub(crate) async fn read(&self, topic: &str, isolation: &str, count: usize) -> Vec<Read> {
        let consumer = self.consumer("nobody", isolation);
        let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).unwrap();
        let mut assignment = TopicPartitionList::new();
        for partition in metadata.topics()[0].partitions() {
            assignment.add_partition_offset(topic, partition.id(), Offset::Beginning).unwrap();
        }
        consumer.assign(&assignment).unwrap();
        receive(&consumer, count).await
    }

    pub(crate) async fn committed(&self, group: &str, topic: &str) -> HashMap<i32, Offset> {
        let consumer = self.consumer(group, "read_committed");
        let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).unwrap();
        let mut wanted = TopicPartitionList::new();
        for partition in metadata.topics()[0].partitions() {
            wanted.add_partition(topic, partition.id());
        }
        let committed = tokio::task::spawn_blocking(move || {
            consumer.committed_offsets(wanted, PATIENCE).unwrap()
        });
        let committed = committed.await.unwrap();
        committed.elements().iter().map(|it| (it.partition(), it.offset())).collect()
    }
}

/// The next `count` records, and those that come too many.
pub(crate) async fn receive(consumer: &StreamConsumer, count: usize) -> Vec<Read> {
    let mut records = Vec::new();
    loop {
        let patience = if records.len() < count { PATIENCE } else { SURPLUS };
        let Ok(message) = tokio::time::timeout(patience, consumer.recv()).await else {
            return records;
        };
        let message = message.unwrap();
        records.push(Read {
            partition: message.partition(),
            offset: message.offset(),
            value: String::from_utf8(message.payload().unwrap().to_vec()).unwrap(),
        });
    }
}

pub(crate) fn values(records: &[Read]) -> Vec<&str> {
    let mut values: Vec<&str> = records.iter().map(|record| record.value.as_str()).collect();
    values.sort_unstable();
    values
}

/// Sends `values` round robin over `partitions` and waits until all are acknowledged.
pub(crate) async fn send(
    producer: &FutureProducer,
    topic: &str,
    partitions: usize,
    values: impl IntoIterator<Item = String>,
) -> Result<(), KafkaError> {
    let mut sent = Vec::new();
    for (i, value) in values.into_iter().enumerate() {
        let record =
            FutureRecord::<str, _>::to(topic).payload(&value).partition((i % partitions) as i32);
        sent.push(producer.send_result(record).map_err(|(error, _)| error)?);
    }
    for delivery in sent {
        delivery.await.map_err(|_| KafkaError::Canceled)?.map_err(|(error, _)| error)?;
    }
    Ok(())
}

/// Calls of librdkafka that block, on a thread where they may.
pub(crate) async fn blocking<T: Send + 'static>(
    producer: &FutureProducer,
    call: impl FnOnce(FutureProducer) -> T + Send + 'static,
) -> T {
    let producer = producer.clone();
    tokio::task::spawn_blocking(move || call(producer)).await.unwrap()
}

pub(crate) async fn commit(producer: &FutureProducer) -> Result<(), KafkaError> {
    blocking(producer, |producer| producer.commit_transaction(PATIENCE)).await
}

pub(crate) async fn abort(producer: &FutureProducer) -> Result<(), KafkaError> {
    blocking(producer, |producer| producer.abort_transaction(PATIENCE)).await
}

/// Fails the test if `work` hangs.
pub(crate) async fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(2 * PATIENCE, work).await.expect("the test hangs")
}
