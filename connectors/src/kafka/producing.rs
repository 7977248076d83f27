//! Single records from outside the mill.

use super::{
    Kafka,
    admin::on_thread,
    blame,
    door::{self, Door},
    records::headers_for,
};
use ports::{Position, Record, Trouble};
use rdkafka::{
    ClientContext, Message,
    client::OAuthToken,
    config::RDKafkaLogLevel,
    error::KafkaError,
    producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext},
};
use std::{error::Error, time::Duration};
use tokio::{sync::oneshot, time::sleep};

/// How often a delivery that is waited for is looked for.
const LOOK: Duration = Duration::from_millis(2);

/// Partition and offset.
type Delivery = Result<(i32, i64), KafkaError>;

/// Polled only while somebody waits for a delivery: rdkafka's own polling threads spin for a
/// millisecond each time, also where nothing is ever sent again.
pub(super) type Producer = BaseProducer<Deliveries>;

/// Hands each delivery to who waits for it.
#[derive(Debug)]
pub(super) struct Deliveries {
    door: Door,
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
        if let Some(tokens) = self.0.tokens.clone() {
            // So that a token that is due while it is polled here needs no more than a signature. A
            // connection that is open goes on without.
            on_thread(move || tokens.token().map(drop)).await.ok();
        }
        let kafka = self.clone();
        let begun = || on_thread(move || kafka.producer());
        let producer = self.0.producer.get_or_try_init(begun).await?;
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
        let (partition, offset) = delivery
            .unwrap_or(Err(KafkaError::Canceled))
            .map_err(|error| producer.context().door.explained(blame(&error)))?;
        Ok(Position { topic: record.topic, partition, offset })
    }

    fn producer(&self) -> Result<Producer, Trouble> {
        let mut client = self.client("reelmill");
        client
            .set("enable.idempotence", "true")
            .set("partitioner", "murmur2_random")
            .set("message.timeout.ms", "10000")
            .set("linger.ms", "0");
        let door = self.door("producer");
        door::producer(&self.with_extra(client), &door, Deliveries { door: door.clone() })
    }
}
