//! The thread that polls a consumer, and does nothing else.

use super::{Kafka, blame, inbox::Inbox, inbox::Lane, log_line, records::record_of};
use ports::Trouble;
use rdkafka::{
    ClientContext, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance},
    error::{KafkaError, KafkaResult},
    types::RDKafkaErrorCode,
};
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

/// The longest wait for a record.
const WAIT: Duration = Duration::from_millis(500);
/// The same while a partition is paused: it should be read on soon after there is room.
const SHORT_WAIT: Duration = Duration::from_millis(5);

/// A consumer on a thread of its own; the thread ends when this is dropped.
#[derive(Debug)]
pub(super) struct Reader {
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
        let group_context = Group { inbox: inbox.clone() };
        let consumer: BaseConsumer<Group> = kafka
            .consumer(group)
            .create_with_context(group_context)
            .map_err(|error| blame(&error))?;
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        consumer.subscribe(&topics).map_err(|error| blame(&error))?;
        let stop = Arc::new(AtomicBool::new(false));
        let (ending, ended) = mpsc::channel();
        let stopped = stop.clone();
        thread::Builder::new()
            .name(format!("kafka {group}"))
            .spawn(move || {
                if let Err(error) = read(&consumer, &inbox, &stopped) {
                    inbox.fail(blame(&error));
                }
                // Leaves the group; may hang with a dead broker, so nobody waits long for it.
                drop(consumer);
                drop(ending);
            })
            .map_err(|error| Trouble::fatal(format!("cannot start a thread: {error}")))?;
        Ok(Self { stop, ended })
    }

    /// Ends the thread and waits until it has left the group, at most `at_most`. Blocks.
    pub(super) fn close(self, at_most: Duration) {
        self.stop.store(true, Ordering::SeqCst);
        // Nothing is ever sent: the end of the channel is the end of the thread.
        if self.ended.recv_timeout(at_most) == Err(mpsc::RecvTimeoutError::Timeout) {
            tracing::warn!("a consumer takes long to leave its group, going on without it");
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

/// Polls until told to stop, or until the consumer is of no more use.
fn read(consumer: &BaseConsumer<Group>, inbox: &Inbox, stop: &AtomicBool) -> KafkaResult<()> {
    let mut paused = BTreeSet::new();
    let mut paused_epoch = 0;
    while !stop.load(Ordering::SeqCst) {
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
        match consumer.poll(if paused.is_empty() { WAIT } else { SHORT_WAIT }) {
            None => {}
            Some(Ok(message)) => inbox.push(record_of(&message)),
            Some(Err(error)) if is_the_end(&error) => return Err(error),
            // The client goes on trying by itself.
            Some(Err(error)) => tracing::warn!(%error, "kafka cannot be read for now"),
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
struct Group {
    inbox: Arc<Inbox>,
}

impl ClientContext for Group {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka consumer");
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
