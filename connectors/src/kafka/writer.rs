//! The transactional producer. Everything here blocks: call it on blocking threads only.

use super::{
    Kafka, blame,
    door::{self, Door},
    records::headers_for,
    statistics::{Teller, Told},
};
use engine::Client;
use ports::{Record, Trouble};
use rdkafka::{
    ClientConfig, ClientContext, Message, TopicPartitionList,
    client::OAuthToken,
    config::RDKafkaLogLevel,
    consumer::ConsumerGroupMetadata,
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
    producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext},
    util::Timeout,
};
use std::{
    error::Error,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// Bounds every step of a transaction but its end.
const STEP: Duration = Duration::from_secs(10);
/// By then a producer knows that it is not let in.
const SOON: Duration = Duration::from_secs(2);
/// A broker that is there has answered by then.
const KNOCK: Duration = Duration::from_millis(500);
/// Between two looks whether the broker has acknowledged. rdkafka's own flush waits in steps of
/// 100 ms.
const LOOK: Duration = Duration::from_micros(100);

/// After its answer to a commit a broker is at it for some milliseconds: a transaction that begins
/// meanwhile is sent away for 20 ms, and its offsets for a whole back-off.
const SETTLING: Duration = Duration::from_millis(5);
/// By then it has ended, but for one in hundreds on a busy machine: records and offsets of the next
/// may go side by side, which is a quarter of the way.
const SETTLED: Duration = Duration::from_millis(10);
/// librdkafka varies a back-off by a fifth in either direction.
const SHORTEST_BACKOFF: f64 = 0.8;
/// librdkafka's defaults, in ms.
const RETRY_BACKOFF: u64 = 100;
const RETRY_BACKOFF_MAX: u64 = 1000;

/// The offsets a transaction commits, and the member who read up to them.
type Inputs<'a> = (&'a TopicPartitionList, &'a ConsumerGroupMetadata);

/// Events of a producer that nobody has looked at for as long as it rested, and some more.
const UNHEARD: usize = 32;

pub(super) struct Writer {
    client: ClientConfig,
    teller: Teller,
    door: Door,
    /// A request that was answered sooner was sent once: librdkafka waits at least so long before
    /// it sends one again.
    sent_once_within: Duration,
    current: Mutex<Current>,
}

struct Current {
    producer: BaseProducer<Deliveries>,
    /// A second copy of one of its requests may be under way.
    in_doubt: bool,
    /// When its last transaction ended.
    ended: Option<Instant>,
}

impl Writer {
    /// Registers the transactional id: from now on its older producers are fenced, and what they
    /// left open is aborted.
    pub(super) fn open(kafka: &Kafka, processor: &str) -> Result<Self, Trouble> {
        let mut client = kafka.transactional(processor);
        let teller = kafka.told(&mut client, processor, Client::Producer);
        Self::telling(client, teller, kafka.door("writer"))
    }

    /// The same, with settings of its own.
    pub(super) fn with(client: ClientConfig, door: Door) -> Result<Self, Trouble> {
        Self::telling(client, Teller::default(), door)
    }

    fn telling(client: ClientConfig, teller: Teller, door: Door) -> Result<Self, Trouble> {
        let producer = producer(&client, &teller, &door)?;
        let sent_once_within = sent_once_within(&client);
        let current = Mutex::new(Current::new(producer));
        Ok(Self { client, teller, door, sent_once_within, current })
    }

    /// Takes in what the producer has told of itself since it was last written with.
    pub(super) fn hear(&self) {
        if let Ok(current) = self.current.try_lock() {
            // Each takes one.
            (0..UNHEARD).for_each(|_| current.producer.poll(Duration::ZERO));
        }
    }

    /// Whether a broker is there, and no transaction is waited for. Blocks.
    pub(super) fn answers(&self, within: Duration) -> bool {
        let current = self.current.try_lock();
        current.is_ok_and(|it| it.producer.client().fetch_metadata(None, within).is_ok())
    }

    /// One transaction; under a new producer epoch if the last one is in doubt. After an error the
    /// writer is of no more use.
    pub(super) fn transact(
        &self,
        outputs: &[Record],
        offsets: &TopicPartitionList,
        member: &ConsumerGroupMetadata,
    ) -> Result<(), Trouble> {
        let mut current = self.current();
        if current.in_doubt {
            tracing::debug!("kafka was slow to end a transaction: taking a new producer epoch");
            let fresh = Current::new(producer(&self.client, &self.teller, &self.door)?);
            farewell(std::mem::replace(&mut *current, fresh));
        }
        let done = self.transaction(&mut current, outputs, Some((offsets, member)));
        done.map_err(|error| {
            door::hear_producer(&current.producer);
            self.door.explained(blame(&error))
        })
    }

    /// One transaction that answers no input.
    pub(super) fn write_together(&self, outputs: &[Record]) -> KafkaResult<()> {
        self.transaction(&mut self.current(), outputs, None)
    }

    /// Whether something of the last transaction could still reach the broker and be taken for a
    /// part of the next one.
    pub(super) fn in_doubt(&self) -> bool {
        self.current().in_doubt
    }

    fn transaction(
        &self,
        current: &mut Current,
        outputs: &[Record],
        inputs: Option<Inputs<'_>>,
    ) -> KafkaResult<()> {
        let since = current.ended.map(|ended| ended.elapsed());
        if let Some(early) = since.and_then(|since| SETTLING.checked_sub(since)) {
            thread::sleep(early);
        }
        current.producer.begin_transaction()?;
        let committed = self.write(current, outputs, inputs);
        if committed.is_err() {
            // Frees what readers wait for; the next producer would do it too, but later.
            if let Err(error) = current.producer.abort_transaction(STEP) {
                tracing::debug!(%error, "kafka transaction cannot be aborted");
            }
        }
        committed
    }

    fn write(
        &self,
        current: &mut Current,
        outputs: &[Record],
        inputs: Option<Inputs<'_>>,
    ) -> KafkaResult<()> {
        let Current { producer, in_doubt, ended } = current;
        outputs.iter().try_for_each(|record| send(producer, record))?;
        if ended.is_some_and(|ended| ended.elapsed() < SETTLED) {
            drain(producer)?;
        }
        if let Some((offsets, member)) = inputs {
            self.doubt(in_doubt, || producer.send_offsets_to_transaction(offsets, member, STEP))?;
        }
        drain(producer)?;
        // librdkafka bounds this by the transaction's own time-out; a shorter one would leave us
        // not knowing.
        self.doubt(in_doubt, || producer.commit_transaction(Timeout::Never))?;
        *ended = Some(Instant::now());
        Ok(())
    }

    /// Takes a step, and notes whether one of its requests may have been sent twice.
    fn doubt(
        &self,
        in_doubt: &mut bool,
        step: impl FnOnce() -> KafkaResult<()>,
    ) -> KafkaResult<()> {
        let started = Instant::now();
        let taken = step();
        *in_doubt |= started.elapsed() >= self.sent_once_within;
        taken
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Current {
    fn new(producer: BaseProducer<Deliveries>) -> Self {
        Self { producer, in_doubt: false, ended: None }
    }
}

fn producer(
    client: &ClientConfig,
    teller: &Teller,
    door: &Door,
) -> Result<BaseProducer<Deliveries>, Trouble> {
    let context =
        Deliveries { failure: Mutex::default(), told: teller.begin(), door: door.clone() };
    let producer = door::producer(client, door, context)?;
    // librdkafka gives its first connection up once it knows the brokers by their names, and asks for the transaction's
    // coordinator half a second later where it has no other by then.
    let knock = || producer.client().fetch_metadata(None, KNOCK);
    drop(knock().and_then(|_| knock()));
    let mut begun = producer.init_transactions(SOON);
    if begun.as_ref().is_err_and(is_retriable) {
        door::hear_producer(&producer);
        if !door.is_barred_for_certain() {
            begun = producer.init_transactions(STEP - SOON);
        }
    }
    match begun {
        Ok(()) => Ok(producer),
        Err(error) => {
            door::hear_producer(&producer);
            farewell(producer);
            Err(door.explained(blame(&error)))
        }
    }
}

/// Whether the same step may be taken again.
fn is_retriable(error: &KafkaError) -> bool {
    matches!(error, KafkaError::Transaction(error) if error.is_retriable())
}

/// A producer's end may hang with a dead broker; nobody waits for it.
pub(super) fn farewell<T: Send + 'static>(leaving: T) {
    drop(thread::Builder::new().name("kafka farewell".to_owned()).spawn(move || drop(leaving)));
}

fn sent_once_within(client: &ClientConfig) -> Duration {
    let ms = |name, default| client.get(name).and_then(|v| v.parse().ok()).unwrap_or(default);
    let backoff =
        ms("retry.backoff.ms", RETRY_BACKOFF).min(ms("retry.backoff.max.ms", RETRY_BACKOFF_MAX));
    Duration::from_millis(backoff).mul_f64(SHORTEST_BACKOFF)
}

fn send(producer: &BaseProducer<Deliveries>, record: &Record) -> KafkaResult<()> {
    let deadline = Instant::now() + STEP;
    let mut outgoing = BaseRecord::<[u8], [u8]>::to(&record.topic).headers(headers_for(record));
    outgoing.key = record.key.as_deref();
    outgoing.payload = record.value.as_deref();
    outgoing.timestamp = record.timestamp_ms;
    loop {
        match producer.send(outgoing) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), unsent))
                if Instant::now() < deadline =>
            {
                outgoing = unsent;
                producer.poll(Duration::ZERO);
                thread::sleep(LOOK);
            }
            Err((error, _)) => return Err(error),
        }
    }
}

/// Waits until every record is acknowledged.
fn drain(producer: &BaseProducer<Deliveries>) -> KafkaResult<()> {
    let deadline = Instant::now() + STEP;
    loop {
        producer.poll(Duration::ZERO);
        if let Some(error) = producer.context().take_failure() {
            return Err(error);
        }
        if producer.in_flight_count() == 0 {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut));
        }
        thread::sleep(LOOK);
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

/// Keeps the first record that could not be delivered.
#[derive(Debug)]
struct Deliveries {
    failure: Mutex<Option<KafkaError>>,
    told: Told,
    door: Door,
}

impl Deliveries {
    fn take_failure(&self) -> Option<KafkaError> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl ClientContext for Deliveries {
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

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, delivery: &DeliveryResult<'_>, (): ()) {
        if let Err((error, record)) = delivery {
            tracing::warn!(%error, topic = record.topic(), "kafka did not take a record");
            let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
            failure.get_or_insert_with(|| error.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_sent_once_within_the_shortest_back_off() {
        let mut client = ClientConfig::new();
        assert_eq!(sent_once_within(&client), Duration::from_millis(80));
        client.set("retry.backoff.ms", "250");
        assert_eq!(sent_once_within(&client), Duration::from_millis(200));
        client.set("retry.backoff.max.ms", "10");
        assert_eq!(sent_once_within(&client), Duration::from_millis(8));
    }
}
