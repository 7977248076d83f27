//! From an input's acknowledgement to its output being visible under read_committed.

use crate::{Failure, map};
use apache_avro::Schema;
use rdkafka::{
    ClientConfig, ClientContext, Message,
    consumer::{BaseConsumer, Consumer},
    producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer},
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// What comes first, while everything warms up, does not count.
const WARM_UP: u32 = 250;
const PATIENCE: Duration = Duration::from_secs(30);

/// When each event was acknowledged, by its number.
#[derive(Clone, Default)]
struct Acknowledged(Arc<Mutex<HashMap<usize, Instant>>>);

impl Acknowledged {
    fn all(&self) -> MutexGuard<'_, HashMap<usize, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Acknowledged {}

impl ProducerContext for Acknowledged {
    type DeliveryOpaque = usize;

    fn delivery(&self, _: &DeliveryResult<'_>, number: usize) {
        self.all().insert(number, Instant::now());
    }
}

/// One event at a time, `rate` a second; prints p50 and p99 in ms.
pub(crate) fn run(
    kafka: &str,
    input: &str,
    output: &str,
    rate: u32,
    seconds: u32,
) -> Result<(), Failure> {
    let schema = Schema::parse_str(map::SCHEMA)?;
    let acknowledged = Acknowledged::default();
    let producer: ThreadedProducer<Acknowledged> = ClientConfig::new()
        .set("bootstrap.servers", kafka)
        .set("linger.ms", "0")
        .create_with_context(acknowledged.clone())?;
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", kafka)
        .set("group.id", format!("latency-{output}"))
        .set("isolation.level", "read_committed")
        .set("auto.offset.reset", "earliest")
        .create()?;
    consumer.subscribe(&[output])?;
    let topic = input.to_owned();
    let events = WARM_UP + rate * seconds;
    let sending = thread::spawn(move || send(&producer, &topic, &schema, events, rate));
    let mut seen = HashMap::new();
    let mut heard = Instant::now();
    while seen.len() < usize::try_from(events)? {
        // Comes back with nothing also after a rebalance.
        if let Some(read) = consumer.poll(Duration::from_secs(1)) {
            let read = read?;
            heard = Instant::now();
            let number: usize = std::str::from_utf8(read.key().unwrap_or_default())?.parse()?;
            seen.entry(number).or_insert(heard);
        } else if heard.elapsed() > PATIENCE {
            return Err(format!("{} of {events} events came", seen.len()).into());
        }
    }
    sending.join().map_err(|_| "sending ended by itself")??;
    let acknowledged = acknowledged.all();
    let mut took = Vec::new();
    for number in usize::try_from(WARM_UP)?..usize::try_from(events)? {
        if let (Some(acknowledged), Some(seen)) = (acknowledged.get(&number), seen.get(&number)) {
            took.push(seen.saturating_duration_since(*acknowledged));
        }
    }
    took.sort_unstable();
    let at = |percent: usize| took.get(took.len() * percent / 100).copied().unwrap_or_default();
    println!("{:.2} {:.2}", at(50).as_secs_f64() * 1000.0, at(99).as_secs_f64() * 1000.0);
    Ok(())
}

fn send(
    producer: &ThreadedProducer<Acknowledged>,
    topic: &str,
    schema: &Schema,
    events: u32,
    rate: u32,
) -> Result<(), Failure> {
    let began = Instant::now();
    for number in 0..events {
        let (value, key) = (map::encode(schema, number)?, number.to_string());
        let opaque = usize::try_from(number)?;
        let record = BaseRecord::with_opaque_to(topic, opaque).key(&key).payload(&value);
        producer.send(record).map_err(|(error, _)| error)?;
        let next = began + Duration::from_secs(1) * (number + 1) / rate;
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    Ok(producer.flush(PATIENCE)?)
}
