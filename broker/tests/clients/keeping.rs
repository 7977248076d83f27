//! What is kept, for how long, and what a start costs.

use std::{
    fs,
    time::{Duration, Instant},
};

use broker::{Broker, Options, Sync};
use rdkafka::{
    Message, Offset, TopicPartitionList,
    admin::{AdminOptions, NewTopic, TopicReplication},
    consumer::{Consumer, StreamConsumer},
    error::{KafkaError, RDKafkaErrorCode},
    producer::FutureRecord,
};

use crate::{
    crashes::serve,
    support::{Clients, PATIENCE, World, in_time, options, send, values},
};

fn numbered(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|i| format!("{i:05}"))
}

fn at_the_beginning(clients: &Clients, reset: &str) -> StreamConsumer {
    let mut config = clients.config();
    // Without the last it would want to commit when it ends, also to a broker that is gone.
    config
        .set("group.id", "nobody")
        .set("auto.offset.reset", reset)
        .set("enable.auto.commit", "false");
    let consumer: StreamConsumer = config.create().unwrap();
    let mut from = TopicPartitionList::new();
    from.add_partition_offset("short", 0, Offset::Offset(0)).unwrap();
    consumer.assign(&from).unwrap();
    consumer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_comes_too_late_is_told_so_and_goes_on_where_the_log_begins() {
    let world = World::start().await;
    let clients = world.clients();
    let topic = NewTopic::new("short", 1, TopicReplication::Fixed(1))
        .set("segment.bytes", "4096")
        .set("retention.bytes", "20000");
    clients.admin().create_topics(&[topic], &AdminOptions::new()).await.unwrap();
    let producer = clients.producer();
    for values in numbered(2_000).collect::<Vec<_>>().chunks(50) {
        send(&producer, "short", 1, values.to_vec()).await.unwrap();
    }
    let reader = clients.consumer("nobody", "read_committed");
    let began = Instant::now();
    let start = loop {
        let (start, end) = reader.fetch_watermarks("short", 0, PATIENCE).unwrap();
        assert_eq!(end, 2_000);
        if start > 0 {
            break start;
        }
        assert!(began.elapsed() < PATIENCE, "nothing was deleted");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let first = at_the_beginning(&clients, "earliest");
    assert_eq!(in_time(first.recv()).await.unwrap().offset(), start);
    let strict = at_the_beginning(&clients, "error");
    let refused = in_time(strict.recv()).await.unwrap_err();
    assert!(
        matches!(
            refused,
            KafkaError::MessageConsumption(
                RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange
            )
        ),
        "{refused}"
    );
    // The beginning is remembered.
    let world = world.restart().await;
    let reader = world.clients().consumer("nobody", "read_committed");
    let (again, end) = reader.fetch_watermarks("short", 0, PATIENCE).unwrap();
    assert!(again >= start && end == 2_000, "{again} {end}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_of_the_time_of_one_file_a_partition_opens_with_everything() {
    let world = World::start().await;
    let clients = world.clients();
    clients.create_topic("old", 2).await;
    send(&clients.producer(), "old", 2, numbered(100)).await.unwrap();
    let World { broker, folder } = world;
    broker.stop().await;
    let topic = folder.path().join("data/topics/old");
    for partition in ["0", "1"] {
        let now = topic.join(partition);
        let then = topic.join(format!("{partition}.log"));
        fs::rename(now.join("00000000000000000000.log"), then).unwrap();
        fs::remove_dir_all(now).unwrap();
    }
    let broker = Broker::start(options(&folder)).await.unwrap();
    let world = World { broker, folder };
    let read = in_time(world.clients().read("old", "read_committed", 100)).await;
    assert_eq!(values(&read), numbered(100).collect::<Vec<_>>());
}

/// 48 MB, or 1 GB with `REELMILL_LONG` set; prints what the starts took.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_start_reads_what_came_after_the_last_checkpoint_and_nothing_after_a_clean_stop() {
    const RECORD_BYTES: usize = 100_000;
    let megabytes = if std::env::var_os("REELMILL_LONG").is_some() { 1_024 } else { 48 };
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (mut child, address) = serve(&data, 0).await;
    let clients = Clients { bootstrap: address.to_string() };
    clients.create_topic("large", 1).await;
    let producer: rdkafka::producer::FutureProducer =
        clients.config().set("linger.ms", "2").create().unwrap();
    let (payload, records) = (vec![7; RECORD_BYTES], megabytes * (1 << 20) / RECORD_BYTES);
    let mut sent = Vec::new();
    for i in 0..records {
        let record = FutureRecord::<str, _>::to("large").payload(&payload).partition(0);
        sent.push(producer.send_result(record).map_err(|(error, _)| error).unwrap());
        if i % 200 == 199 {
            for delivery in sent.drain(..) {
                in_time(delivery).await.unwrap().unwrap();
            }
        }
    }
    for delivery in sent {
        in_time(delivery).await.unwrap().unwrap();
    }
    // Checkpoints are written in the background, about once a second.
    tokio::time::sleep(Duration::from_secs(3)).await;
    child.kill().await.unwrap();

    let options = || Options { data: data.clone(), sync: Sync::Never, ..options(&folder) };
    let mut figures = Vec::new();
    for after in ["kill -9", "a clean stop"] {
        let began = Instant::now();
        let broker = Broker::start(options()).await.unwrap();
        let took = began.elapsed();
        let clients = Clients { bootstrap: broker.bootstrap() };
        let reader = clients.consumer("nobody", "read_committed");
        let (_, end) = reader.fetch_watermarks("large", 0, PATIENCE).unwrap();
        assert_eq!(end, records as i64);
        drop(reader);
        let scanned = broker.scanned_bytes();
        println!("{megabytes} MB, start after {after}: {took:.1?}, {scanned} bytes read");
        figures.push(scanned);
        broker.stop().await;
    }
    assert!(figures[0] <= 8 << 20, "{} bytes read after kill -9", figures[0]);
    assert_eq!(figures[1], 0, "bytes read after a clean stop");
}
