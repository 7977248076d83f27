//! Single records from outside the mill.

use super::{Kafka, blame, log_line, records::headers_for};
use ports::{Position, Record, Trouble};
use rdkafka::{
    ClientContext, Message,
    config::RDKafkaLogLevel,
    error::KafkaError,
    producer::{BaseProducer, BaseRecord, DeliveryResult, ProducerContext},
};
use std::time::Duration;
use tokio::{sync::oneshot, time::sleep};

/// How often a delivery that is waited for is looked for.
const LOOK: Duration = Duration::from_millis(2);

/// Partition and offset.
type Delivery = Result<(i32, i64), KafkaError>;

/// Polled only while somebody waits for a delivery: rdkafka's own polling threads spin for a
/// millisecond each time, also where nothing is ever sent again.
pub(super) type Producer = BaseProducer<Deliveries>;

/// Hands each delivery to who waits for it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deliveries;

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka client");
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<oneshot::Sender<Delivery>>;

    fn delivery(&self, delivery: &DeliveryResult<'_>, waiting: Self::DeliveryOpaque) {
        let delivery = match delivery {
            Ok(message) => Ok((message.partition(), message.offset())),
            Err((error, _)) => Err(error.clone()),
        };
        // Whoever waited may have gone.
        drop(waiting.send(delivery));
    }
}

impl Kafka {
    /// Sends one record and waits until the broker has it, at most 10 s.
    pub async fn produce(&self, record: Record) -> Result<Position, Trouble> {
        let producer = self.0.producer.get_or_try_init(|| async { self.producer() }).await?;
        let (tell, mut told) = oneshot::channel();
        let mut outgoing =
            BaseRecord::<[u8], [u8], _>::with_opaque_to(&record.topic, Box::new(tell))
                .headers(headers_for(&record));
        outgoing.key = record.key.as_deref();
        outgoing.payload = record.value.as_deref();
        outgoing.timestamp = record.timestamp_ms;
        producer.send(outgoing).map_err(|(error, _)| blame(&error))?;
        let delivery = loop {
            producer.poll(Duration::ZERO);
            tokio::select! {
                delivery = &mut told => break delivery,
                () = sleep(LOOK) => {}
            }
        };
        let (partition, offset) =
            delivery.unwrap_or(Err(KafkaError::Canceled)).map_err(|error| blame(&error))?;
        Ok(Position { topic: record.topic, partition, offset })
    }

    fn producer(&self) -> Result<Producer, Trouble> {
        let mut client = self.client("reelmill");
        client
            .set("enable.idempotence", "true")
            .set("partitioner", "murmur2_random")
            .set("message.timeout.ms", "10000")
            .set("linger.ms", "0");
        self.with_extra(client).create_with_context(Deliveries).map_err(|error| blame(&error))
    }
}
