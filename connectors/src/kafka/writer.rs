//! The transactional producer. Everything here blocks: call it on blocking threads only.

use super::{Kafka, blame, log_line, records::headers_for};
use ports::{Record, Trouble};
use rdkafka::{
    ClientConfig, ClientContext, Message, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::ConsumerGroupMetadata,
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
    producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext},
    util::Timeout,
};
use std::{
    fmt,
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// Bounds every step of a transaction but its end.
const STEP: Duration = Duration::from_secs(10);
/// Between two looks whether the broker has acknowledged. rdkafka's own flush waits in steps of
/// 100 ms.
const LOOK: Duration = Duration::from_micros(300);

/// The offsets a transaction commits, and the member who read up to them.
type Inputs<'a> = (&'a TopicPartitionList, &'a ConsumerGroupMetadata);

pub(super) struct Writer {
    producer: BaseProducer<Deliveries>,
}

impl Writer {
    /// Registers the transactional id: from now on its older producers are fenced, and what they
    /// left open is aborted.
    pub(super) fn open(kafka: &Kafka, processor: &str) -> Result<Self, Trouble> {
        Self::with(&kafka.transactional(processor))
    }

    /// The same, with settings of its own.
    pub(super) fn with(client: &ClientConfig) -> Result<Self, Trouble> {
        let producer: BaseProducer<Deliveries> =
            client.create_with_context(Deliveries::default()).map_err(|error| blame(&error))?;
        producer.init_transactions(STEP).map_err(|error| blame(&error))?;
        Ok(Self { producer })
    }

    /// Whether a broker is there. Blocks.
    pub(super) fn answers(&self, within: Duration) -> bool {
        self.producer.client().fetch_metadata(None, within).is_ok()
    }

    /// One transaction. After an error the writer is of no more use.
    pub(super) fn transact(
        &self,
        outputs: &[Record],
        offsets: &TopicPartitionList,
        member: &ConsumerGroupMetadata,
    ) -> KafkaResult<()> {
        self.transaction(outputs, Some((offsets, member)))
    }

    /// One transaction that answers no input.
    pub(super) fn write_together(&self, outputs: &[Record]) -> KafkaResult<()> {
        self.transaction(outputs, None)
    }

    fn transaction(&self, outputs: &[Record], inputs: Option<Inputs<'_>>) -> KafkaResult<()> {
        self.producer.begin_transaction()?;
        let committed = self.write(outputs, inputs);
        if committed.is_err() {
            // Frees what readers wait for; the next producer would do it too, but later.
            if let Err(error) = self.producer.abort_transaction(STEP) {
                tracing::debug!(%error, "kafka transaction cannot be aborted");
            }
        }
        committed
    }

    fn write(&self, outputs: &[Record], inputs: Option<Inputs<'_>>) -> KafkaResult<()> {
        outputs.iter().try_for_each(|record| self.send(record))?;
        if let Some((offsets, member)) = inputs {
            self.producer.send_offsets_to_transaction(offsets, member, STEP)?;
        }
        self.drain()?;
        // librdkafka bounds this by the transaction's own time-out; a shorter one would leave us
        // not knowing.
        self.producer.commit_transaction(Timeout::Never)
    }

    fn send(&self, record: &Record) -> KafkaResult<()> {
        let deadline = Instant::now() + STEP;
        let mut outgoing = BaseRecord::<[u8], [u8]>::to(&record.topic).headers(headers_for(record));
        outgoing.key = record.key.as_deref();
        outgoing.payload = record.value.as_deref();
        outgoing.timestamp = record.timestamp_ms;
        loop {
            match self.producer.send(outgoing) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), unsent))
                    if Instant::now() < deadline =>
                {
                    outgoing = unsent;
                    self.producer.poll(Duration::ZERO);
                    thread::sleep(LOOK);
                }
                Err((error, _)) => return Err(error),
            }
        }
    }

    /// Waits until every record is acknowledged.
    fn drain(&self) -> KafkaResult<()> {
        let deadline = Instant::now() + STEP;
        loop {
            self.producer.poll(Duration::ZERO);
            if let Some(error) = self.producer.context().take_failure() {
                return Err(error);
            }
            if self.producer.in_flight_count() == 0 {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut));
            }
            thread::sleep(LOOK);
        }
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

/// Keeps the first record that could not be delivered.
#[derive(Debug, Default)]
struct Deliveries {
    failure: Mutex<Option<KafkaError>>,
}

impl Deliveries {
    fn take_failure(&self) -> Option<KafkaError> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka producer");
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
