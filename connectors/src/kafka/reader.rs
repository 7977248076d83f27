//! The thread that polls a consumer, and does nothing else.

use super::{
    Kafka,
    blame::{NOT_LET_IN, blame},
    door::{self, Door},
    inbox::Inbox,
    inbox::Lane,
    records::record_of,
    statistics::Told,
    writer::farewell,
};
use engine::Client;
use ports::Trouble;
use rdkafka::{
    ClientContext, TopicPartitionList,
    client::OAuthToken,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance},
    error::{KafkaError, KafkaResult},
    types::RDKafkaErrorCode,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

/// The longest wait for a record, and to be told to stop where nothing is assigned.
const WAIT: Duration = Duration::from_secs(1);
/// The same while a partition is paused: it should be read on soon after there is room.
const SHORT_WAIT: Duration = Duration::from_millis(5);
/// A partition that is full is paused only when it has been full for so long: to pause it throws
/// away what is prefetched, and takes it a new fetch to go on. Rebalances wait meanwhile.
const PATIENCE: Duration = Duration::from_millis(100);
/// Records that are there already are handed on so many at a time.
const BATCH: usize = 256;
/// ... or until they have so many bytes.
const BATCH_BYTES: usize = 1 << 20;

/// The consumers that are at work in this process, by their groups.
pub(super) type Members = Mutex<BTreeMap<String, Weak<BaseConsumer<Group>>>>;

impl Kafka {
    /// The consumer of a group, where a processor of this process has one.
    pub(super) fn member(&self, group: &str) -> Option<Arc<BaseConsumer<Group>>> {
        let members = self.0.members.lock().unwrap_or_else(PoisonError::into_inner);
        members.get(group).and_then(Weak::upgrade)
    }
}

/// Gives back what was borrowed. Whoever is the last has the end of the consumer, which may hang.
pub(super) fn give_back(consumer: Arc<BaseConsumer<Group>>) {
    if let Some(consumer) = Arc::into_inner(consumer) {
        farewell(consumer);
    }
}

/// A consumer on a thread of its own; the thread ends when this is dropped.
#[derive(Debug)]
pub(super) struct Reader {
    consumer: Weak<BaseConsumer<Group>>,
    stop: Arc<AtomicBool>,
    ended: mpsc::Receiver<()>,
}

impl Reader {
    /// Subscribes and starts to read into `inbox`.
    pub(super) fn start(
        kafka: &Kafka,
        group: &str,
        topics: &[String],
        inbox: Arc<Inbox>,
    ) -> Result<Self, Trouble> {
        let mut client = kafka.consumer(group);
        let told = kafka.told(&mut client, group, Client::Consumer).begin();
        let door = kafka.door("consumer");
        let context = Group { inbox: inbox.clone(), told, door: door.clone() };
        let consumer = door::consumer(&client, &door, context)?;
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        consumer.subscribe(&topics).map_err(|error| blame(&error))?;
        let polled = Arc::new(consumer);
        let consumer = Arc::downgrade(&polled);
        let mut members = kafka.0.members.lock().unwrap_or_else(PoisonError::into_inner);
        members.insert(group.to_owned(), consumer.clone());
        drop(members);
        let stop = Arc::new(AtomicBool::new(false));
        let (ending, ended) = mpsc::channel();
        let stopped = stop.clone();
        thread::Builder::new()
            .name(format!("kafka {group}"))
            .spawn(move || {
                if let Err(error) = read(&polled, &inbox, &stopped) {
                    inbox.fail(polled.context().door.explained(blame(&error)));
                }
                // Leaves the group; may hang with a dead broker, so nobody waits long for it.
                drop(polled);
                drop(ending);
            })
            .map_err(|error| Trouble::fatal(format!("cannot start a thread: {error}")))?;
        Ok(Self { consumer, stop, ended })
    }

    /// Ends the thread and waits until it has left the group, at most `at_most`. Blocks.
    pub(super) fn close(self, at_most: Duration) {
        self.stop();
        // Nothing is ever sent: the end of the channel is the end of the thread.
        if self.ended.recv_timeout(at_most) == Err(mpsc::RecvTimeoutError::Timeout) {
            tracing::warn!("a consumer takes long to leave its group, going on without it");
        }
    }

    fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(consumer) = self.consumer.upgrade() {
            // The revocation that follows wakes the thread.
            consumer.unsubscribe();
            // The thread may have ended meanwhile: then this is the consumer's end.
            give_back(consumer);
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Polls until told to stop, or until the consumer is of no more use.
fn read(consumer: &BaseConsumer<Group>, inbox: &Inbox, stop: &AtomicBool) -> KafkaResult<()> {
    let mut paused = BTreeSet::new();
    let mut paused_epoch = 0;
    while !stop.load(Ordering::SeqCst) {
        inbox.wait_for_room(&paused, PATIENCE);
        let (epoch, pause, resume) = inbox.pressure(&paused);
        if epoch == paused_epoch {
            if !pause.is_empty() {
                consumer.pause(&list(&pause))?;
            }
            if !resume.is_empty() {
                consumer.resume(&list(&resume))?;
            }
            paused.retain(|lane| !resume.contains(lane));
            paused.extend(pause);
        } else {
            // A new assignment starts with nothing paused.
            paused.clear();
            paused_epoch = epoch;
        }
        let (mut batch, mut bytes) = (Vec::new(), 0);
        let mut wait = if paused.is_empty() { WAIT } else { SHORT_WAIT };
        let mut failure = None;
        let mut batch_epoch = epoch;
        while batch.len() < BATCH && bytes < BATCH_BYTES {
            let polled = consumer.poll(wait);
            wait = Duration::ZERO;
            // Any poll may serve a rebalance first: what was read before it is of no more use, and
            // what it brings itself is of the new assignment.
            let now = inbox.epoch();
            if now != batch_epoch {
                batch_epoch = now;
                batch.clear();
            }
            match polled {
                None => break,
                Some(Ok(message)) => {
                    let record = record_of(&message);
                    bytes += record.bytes();
                    batch.push(record);
                }
                Some(Err(error)) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        if !batch.is_empty() {
            inbox.push(batch);
        }
        match failure {
            None => {}
            Some(error) if is_the_end(&error) => {
                let is_the_door =
                    matches!(&blame(&error), Trouble::Fatal(f) if f.0.starts_with(NOT_LET_IN));
                if !(is_the_door && consumer.context().door.may_open()) {
                    return Err(error);
                }
                tracing::warn!(%error, "kafka does not let us in for now");
            }
            // The client goes on trying by itself.
            Some(error) => tracing::warn!(%error, "kafka cannot be read for now"),
        }
    }
    Ok(())
}

fn is_the_end(error: &KafkaError) -> bool {
    matches!(
        error,
        KafkaError::MessageConsumptionFatal(_)
            | KafkaError::MessageConsumption(RDKafkaErrorCode::PollExceeded)
    ) || matches!(blame(error), Trouble::Fatal(_))
}

fn list(lanes: &[Lane]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(lanes.len());
    for (topic, partition) in lanes {
        list.add_partition(topic, *partition);
    }
    list
}

/// Tells the inbox of every change of the assignment.
///
/// With the eager protocol the group's generation moves on only after the revocation was served
/// here, by the polling thread: what is read before belongs to the old epoch, and what is read
/// after to the new one.
#[derive(Debug)]
pub(super) struct Group {
    inbox: Arc<Inbox>,
    told: Told,
    door: Door,
}

impl ClientContext for Group {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.door.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.door.error(&error, reason);
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        self.door.refresh()
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.told.tell(statistics);
    }
}

impl ConsumerContext for Group {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if !matches!(rebalance, Rebalance::Assign(_)) {
            self.inbox.reassigned(None);
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(_) = rebalance {
            self.inbox.reassigned(consumer.group_metadata());
        }
    }
}
