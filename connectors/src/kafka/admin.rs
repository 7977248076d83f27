//! Topics, and a look at all of a topic.

use super::{Kafka, blame, records::record_of, writer::farewell};
use ports::{Record, Trouble};
use rdkafka::{
    Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, KafkaResult},
    types::RDKafkaErrorCode,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    thread,
    time::{Duration, Instant},
};
use tokio::task::spawn_blocking;

/// Bounds every request.
const REQUEST: Duration = Duration::from_secs(10);
/// Between two looks whether a new topic is shown.
const LOOK: Duration = Duration::from_millis(20);
/// Nothing of a topic for so long is an error, not its end.
const SILENCE: Duration = Duration::from_secs(10);

/// A topic to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSpec {
    pub name: String,
    pub partitions: i32,
    /// Kafka's names, e.g. `retention.ms`.
    pub config: BTreeMap<String, String>,
    /// The broker's default where absent.
    pub replication: Option<i32>,
}

/// A topic that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicInfo {
    pub name: String,
    pub partitions: usize,
}

impl Kafka {
    /// Whether a broker is there. Blocks.
    pub(super) fn answers(&self, within: Duration) -> bool {
        let client: Result<BaseConsumer, _> = self.with_extra(self.client("hello")).create();
        client.is_ok_and(|client| {
            let answered = client.fetch_metadata(None, within).is_ok();
            farewell(client);
            answered
        })
    }

    /// Creates the topics that are not there yet; those that are stay as they are. Returns once the
    /// broker shows them.
    pub async fn create_topics(&self, topics: &[TopicSpec]) -> Result<(), Trouble> {
        let admin: AdminClient<DefaultClientContext> =
            self.with_extra(self.client("admin")).create().map_err(|error| blame(&error))?;
        let new: Vec<NewTopic<'_>> = topics
            .iter()
            .map(|topic| {
                let replication = TopicReplication::Fixed(topic.replication.unwrap_or(-1));
                let new = NewTopic::new(&topic.name, topic.partitions, replication);
                topic.config.iter().fold(new, |new, (name, value)| new.set(name, value))
            })
            .collect();
        let options =
            AdminOptions::new().operation_timeout(Some(REQUEST)).request_timeout(Some(REQUEST));
        let created = admin.create_topics(&new, &options).await.map_err(|error| blame(&error))?;
        for topic in created {
            match topic {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((_, code)) => return Err(blame(&KafkaError::AdminOp(code))),
            }
        }
        let names: BTreeSet<_> = topics.iter().map(|topic| topic.name.clone()).collect();
        blocking(move || shown(&admin, names)).await
    }

    /// All topics but Kafka's own, by name.
    pub async fn list_topics(&self) -> Result<Vec<TopicInfo>, Trouble> {
        let kafka = self.clone();
        blocking(move || {
            let consumer: BaseConsumer = kafka.consumer("reelmill-admin").create()?;
            let metadata = consumer.fetch_metadata(None, REQUEST)?;
            let topics = metadata.topics().iter().filter(|t| !t.name().starts_with("__"));
            let info = |t: &rdkafka::metadata::MetadataTopic| TopicInfo {
                name: t.name().to_owned(),
                partitions: t.partitions().len(),
            };
            let mut topics: Vec<_> = topics.map(info).collect();
            topics.sort_by(|a, b| a.name.cmp(&b.name));
            Ok(topics)
        })
        .await
    }

    /// Every committed record of a topic, partition by partition, as of now. Holds all of them
    /// in memory: for dead letters and tests.
    pub async fn read_all(&self, topic: &str) -> Result<Vec<Record>, Trouble> {
        let (kafka, topic) = (self.clone(), topic.to_owned());
        blocking(move || {
            let mut client = kafka.consumer("reelmill-admin");
            let consumer: BaseConsumer = client.set("enable.partition.eof", "true").create()?;
            let metadata = consumer.fetch_metadata(Some(&topic), REQUEST)?;
            let partitions = metadata.topics().iter().flat_map(|t| t.partitions());
            let mut unread: BTreeSet<i32> = partitions.map(|p| p.id()).collect();
            let mut assignment = TopicPartitionList::new();
            for partition in &unread {
                assignment.add_partition_offset(&topic, *partition, Offset::Beginning)?;
            }
            consumer.assign(&assignment)?;
            let mut records = Vec::new();
            let mut heard = Instant::now();
            while !unread.is_empty() {
                match consumer.poll(Duration::from_millis(100)) {
                    None if heard.elapsed() > SILENCE => {
                        return Err(KafkaError::MessageConsumption(
                            RDKafkaErrorCode::OperationTimedOut,
                        ));
                    }
                    None => continue,
                    Some(Ok(message)) => records.push(record_of(&message)),
                    Some(Err(KafkaError::PartitionEOF(partition))) => {
                        unread.remove(&partition);
                    }
                    Some(Err(error)) => return Err(error),
                }
                heard = Instant::now();
            }
            consumer.unassign()?;
            records.sort_by(|a, b| a.position.cmp(&b.position));
            Ok(records)
        })
        .await
    }
}

/// Waits until a broker shows these topics. Kafka says that they are created when its controller
/// knows them, and a consumer who looks before the brokers do looks again after half a minute.
fn shown(admin: &AdminClient<DefaultClientContext>, names: BTreeSet<String>) -> KafkaResult<()> {
    let began = Instant::now();
    loop {
        let metadata = admin.inner().fetch_metadata(None, REQUEST)?;
        let shown: BTreeSet<_> = metadata.topics().iter().map(|topic| topic.name()).collect();
        if names.iter().all(|name| shown.contains(name.as_str())) {
            return Ok(());
        }
        if began.elapsed() > REQUEST {
            tracing::warn!("kafka does not show all topics that were created, going on");
            return Ok(());
        }
        thread::sleep(LOOK);
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, KafkaError> + Send + 'static,
) -> Result<T, Trouble> {
    on_thread(move || work().map_err(|error| blame(&error))).await
}

/// Work that blocks, on a thread for such.
pub(super) async fn on_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Trouble> + Send + 'static,
) -> Result<T, Trouble> {
    spawn_blocking(work)
        .await
        .map_err(|error| Trouble::fatal(format!("a task ended by itself: {error}")))?
}
