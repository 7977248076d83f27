//! The loop one would write by hand for speed: nothing but rdkafka and the map.

use crate::{Failure, at_the_end, map};
use apache_avro::Schema;
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
    message::{BorrowedMessage, Header, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, Producer},
    util::Timeout,
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

const STEP: Duration = Duration::from_secs(30);

/// Puts so many events on a topic.
pub(crate) fn fill(kafka: &str, topic: &str, records: u32) -> Result<(), Failure> {
    let schema = Schema::parse_str(map::SCHEMA)?;
    let producer = producer(kafka, None, "5")?;
    for number in 0..records {
        let value = map::encode(&schema, number)?;
        let named = map::headers(number);
        let headers = named.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(value) })
        });
        send(&producer, topic, number.to_string().as_bytes(), &value, headers)?;
    }
    Ok(producer.flush(STEP)?)
}

/// Maps until the standard input closes.
pub(crate) fn run(
    kafka: &str,
    input: &str,
    output: &str,
    exactly: bool,
    commit_ms: u64,
) -> Result<(), Failure> {
    let schema = Schema::parse_str(map::SCHEMA)?;
    let map = map::Map::new(&schema)?;
    let group = output;
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", kafka)
        .set("group.id", group)
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("fetch.queue.backoff.ms", "5")
        .create()?;
    consumer.subscribe(&[input])?;
    // What commits each record by itself does not wait for more of them.
    let linger = if commit_ms == 0 { "0" } else { "5" };
    let producer = producer(kafka, exactly.then_some(group), linger)?;
    if exactly {
        producer.init_transactions(STEP)?;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let told = stop.clone();
    at_the_end(move || told.store(true, Ordering::SeqCst));

    let every = Duration::from_millis(commit_ms);
    while !stop.load(Ordering::SeqCst) {
        let Some(first) = consumer.poll(Duration::from_millis(100)) else { continue };
        let member = consumer.group_metadata().ok_or("no member of the group")?;
        if exactly {
            producer.begin_transaction()?;
        }
        let began = Instant::now();
        let mut next = BTreeMap::new();
        let mut message = Some(first);
        while let Some(read) = message.take() {
            let read = read?;
            forward(&producer, &map, output, &read)?;
            next.insert(read.partition(), read.offset() + 1);
            while began.elapsed() < every && message.is_none() {
                message = consumer.poll(Duration::from_millis(1));
            }
        }
        // rdkafka's own flush waits in steps of 100 ms.
        while producer.in_flight_count() > 0 {
            producer.poll(Duration::ZERO);
            thread::sleep(Duration::from_micros(200));
        }
        let mut offsets = TopicPartitionList::new();
        for (partition, offset) in next {
            offsets.add_partition_offset(input, partition, Offset::Offset(offset))?;
        }
        if exactly {
            producer.send_offsets_to_transaction(&offsets, &member, STEP)?;
            producer.commit_transaction(Timeout::Never)?;
        } else {
            consumer.commit(&offsets, CommitMode::Sync)?;
        }
    }
    Ok(())
}

fn forward(
    producer: &BaseProducer,
    map: &map::Map<'_>,
    topic: &str,
    read: &BorrowedMessage<'_>,
) -> Result<(), Failure> {
    let value = map.map(read.payload().ok_or("no value")?)?;
    // As Kafka Streams does by itself.
    let headers = read.headers().map(|headers| headers.detach()).unwrap_or_default();
    send(producer, topic, read.key().unwrap_or_default(), &value, headers)
}

fn send(
    producer: &BaseProducer,
    topic: &str,
    key: &[u8],
    value: &[u8],
    headers: OwnedHeaders,
) -> Result<(), Failure> {
    let mut record = BaseRecord::to(topic).key(key).payload(value).headers(headers);
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), unsent)) => {
                record = unsent;
                producer.poll(Duration::ZERO);
                thread::sleep(Duration::from_micros(200));
            }
            Err((error, _)) => return Err(error.into()),
        }
    }
}

fn producer(
    kafka: &str,
    transactional: Option<&str>,
    linger: &str,
) -> Result<BaseProducer, Failure> {
    let mut client = ClientConfig::new();
    client
        .set("bootstrap.servers", kafka)
        .set("enable.idempotence", "true")
        .set("linger.ms", linger)
        .set("partitioner", "murmur2_random");
    if let Some(id) = transactional {
        // A transaction that begins while the broker is still at the end of the last one is sent
        // away, by default for 100 ms.
        client.set("transactional.id", id).set("retry.backoff.ms", "5");
    }
    Ok(client.create()?)
}
