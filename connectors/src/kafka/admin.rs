//! Topics, and a look at all of a topic.

use super::{
    Kafka, blame,
    door::{self, Door},
    look::{Cluster, TopicLook, Unseen, cluster},
    records::record_of,
    writer::farewell,
};
use ports::{Record, Trouble};
use rdkafka::{
    Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, KafkaResult},
    types::RDKafkaErrorCode,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        mpsc::{RecvTimeoutError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};
use tokio::task::spawn_blocking;

/// Bounds every request.
const REQUEST: Duration = Duration::from_secs(10);
/// Between two looks whether a client is told that it is not let in.
const HEARING: Duration = Duration::from_millis(20);
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
        self.cluster("hello", within).is_ok()
    }

    /// What a broker says of the cluster, or why it cannot be asked; this at once where somebody has to
    /// change a setting first. Blocks.
    pub(super) fn cluster(&self, name: &'static str, within: Duration) -> Result<Cluster, Unseen> {
        let door = self.door(name);
        let client = self.with_extra(self.client(name));
        let client = Arc::new(door::consumer(&client, &door, door.clone())?);
        let (tell, told) = sync_channel(1);
        let asking = Arc::clone(&client);
        let asked = thread::Builder::new().name("kafka metadata".to_owned()).spawn(move || {
            let answer = asking.fetch_metadata(None, within).map(|told| cluster(&told));
            // Whoever asked may have heard enough.
            drop(tell.try_send(answer));
        });
        asked.map_err(|error| Trouble::fatal(format!("cannot start a thread: {error}")))?;
        let answer = loop {
            match told.recv_timeout(HEARING) {
                Ok(answer) => break answer,
                Err(RecvTimeoutError::Timeout) if door.is_barred_for_certain() => {
                    break Err(KafkaError::MetadataFetch(RDKafkaErrorCode::Authentication));
                }
                Err(RecvTimeoutError::Timeout) => door::hear(&client),
                Err(RecvTimeoutError::Disconnected) => break Err(KafkaError::Canceled),
            }
        };
        let answer = answer.map_err(|error| {
            door::hear(&client);
            let trouble = door.explained(blame(&error));
            Unseen { trouble, barred: door.barred() }
        });
        farewell(client);
        answer
    }

    /// Creates the topics that are not there yet; those that are stay as they are. Returns once the
    /// broker shows them.
    pub async fn create_topics(&self, topics: &[TopicSpec]) -> Result<(), Trouble> {
        let admin = self.admin("admin").await?;
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
        on_thread(move || shown(&admin, names).map_err(|error| blame(&error))).await
    }

    /// A client for requests to a cluster that lets us in: it does not hear by itself why it is not.
    pub(super) async fn admin(&self, name: &'static str) -> Result<AdminClient<Door>, Trouble> {
        let kafka = self.clone();
        on_thread(move || {
            kafka.cluster(name, REQUEST).map_err(|unseen| unseen.trouble)?;
            door::admin(&kafka.with_extra(kafka.client(name)), &kafka.door(name))
        })
        .await
    }

    /// All topics but Kafka's own, by name.
    pub async fn list_topics(&self) -> Result<Vec<TopicInfo>, Trouble> {
        let kafka = self.clone();
        on_thread(move || {
            let cluster = kafka.cluster("reelmill-admin", REQUEST);
            let topics = cluster.map_err(|unseen| unseen.trouble)?.topics;
            let topics = topics.into_iter().filter(|(name, _)| !name.starts_with("__"));
            let info =
                |(name, look): (String, TopicLook)| TopicInfo { name, partitions: look.partitions };
            Ok(topics.map(info).collect())
        })
        .await
    }

    /// Every committed record of a topic, partition by partition, as of now. Holds all of them
    /// in memory: for dead letters and tests.
    pub async fn read_all(&self, topic: &str) -> Result<Vec<Record>, Trouble> {
        let (kafka, topic) = (self.clone(), topic.to_owned());
        on_thread(move || {
            let mut client = kafka.consumer("reelmill-admin");
            let door = kafka.door("reelmill-admin");
            let client = client.set("enable.partition.eof", "true");
            let consumer = door::consumer(client, &door, door.clone())?;
            read_all(&consumer, &topic).map_err(|error| {
                door::hear(&consumer);
                door.explained(blame(&error))
            })
        })
        .await
    }
}

/// Every committed record of a topic, in the order of their positions.
fn read_all(consumer: &BaseConsumer<Door>, topic: &str) -> KafkaResult<Vec<Record>> {
    let metadata = consumer.fetch_metadata(Some(topic), REQUEST)?;
    let partitions = metadata.topics().iter().flat_map(|t| t.partitions());
    let mut unread: BTreeSet<i32> = partitions.map(|p| p.id()).collect();
    let mut assignment = TopicPartitionList::new();
    for partition in &unread {
        assignment.add_partition_offset(topic, *partition, Offset::Beginning)?;
    }
    consumer.assign(&assignment)?;
    let mut records = Vec::new();
    let mut heard = Instant::now();
    while !unread.is_empty() {
        match consumer.poll(Duration::from_millis(100)) {
            None if heard.elapsed() > SILENCE => {
                return Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut));
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
}

/// Waits until a broker shows these topics. Kafka says that they are created when its controller
/// knows them, and a consumer who looks before the brokers do looks again after half a minute.
fn shown(admin: &AdminClient<Door>, names: BTreeSet<String>) -> KafkaResult<()> {
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

/// Work that blocks, on a thread for such.
pub(super) async fn on_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Trouble> + Send + 'static,
) -> Result<T, Trouble> {
    spawn_blocking(work)
        .await
        .map_err(|error| Trouble::fatal(format!("a task ended by itself: {error}")))?
}
