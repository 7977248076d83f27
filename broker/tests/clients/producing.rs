use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{CommitMode, Consumer},
    message::{Header, Headers, OwnedHeaders},
    producer::FutureRecord,
};

use crate::support::{PATIENCE, World, in_time, receive, send, values};

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_idempotent_records_arrive_once_each_and_in_order() {
    let world = World::start().await;
    let clients = world.clients();
    clients.create_topic("many", 3).await;
    let sent: Vec<String> = (0..1_000).map(|i| format!("{i:04}")).collect();
    send(&clients.producer(), "many", 3, sent.clone()).await.unwrap();
    let consumer = clients.consumer("readers", "read_committed");
    consumer.subscribe(&["many"]).unwrap();
    let read = in_time(receive(&consumer, 1_000)).await;
    assert_eq!(values(&read), sent);
    for partition in 0..3 {
        let of = read.iter().filter(|record| record.partition == partition);
        let of: Vec<_> = of.map(|record| (record.offset, &record.value)).collect();
        assert!(of.is_sorted(), "partition {partition} is out of order");
    }
    consumer.commit_consumer_state(CommitMode::Sync).unwrap();
    let committed = clients.committed("readers", "many").await;
    let expected = [(0, Offset::Offset(334)), (1, Offset::Offset(333)), (2, Offset::Offset(333))];
    assert_eq!(committed, expected.into());
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_headers_times_and_large_values_come_back_as_they_went_in() {
    let world = World::start().await;
    let clients = world.clients();
    clients.create_topic("faithful", 1).await;
    let value: Vec<u8> = (0..900_000u32).map(|i| (i % 251) as u8).collect();
    let record = FutureRecord::to("faithful")
        .key("key")
        .payload(&value)
        .timestamp(1_700_000_000_123)
        .headers(OwnedHeaders::new().insert(Header { key: "ce_id", value: Some("1") }));
    let producer = clients.producer();
    let delivery = producer.send(record, PATIENCE).await.unwrap();
    assert_eq!((delivery.partition, delivery.offset), (0, 0));

    let consumer = clients.consumer("nobody", "read_committed");
    let mut from = TopicPartitionList::new();
    from.add_partition_offset("faithful", 0, Offset::Beginning).unwrap();
    consumer.assign(&from).unwrap();
    let message = in_time(consumer.recv()).await.unwrap();
    assert_eq!(message.payload(), Some(&value[..]));
    assert_eq!(message.key(), Some(&b"key"[..]));
    assert_eq!(message.timestamp().to_millis(), Some(1_700_000_000_123));
    assert_eq!(message.headers().unwrap().get(0).value, Some(&b"1"[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_consumer_gets_a_record_at_once_not_when_its_wait_ends() {
    let world = World::start().await;
    let clients = world.clients();
    clients.create_topic("prompt", 1).await;
    let mut config = clients.config();
    config.set("group.id", "nobody").set("fetch.wait.max.ms", "5000");
    let consumer: rdkafka::consumer::StreamConsumer = config.create().unwrap();
    let mut from = TopicPartitionList::new();
    from.add_partition_offset("prompt", 0, Offset::Beginning).unwrap();
    consumer.assign(&from).unwrap();
    let producer = clients.producer();
    let mut waits = Vec::new();
    for i in 0..5 {
        let sent = Instant::now();
        send(&producer, "prompt", 1, [i.to_string()]).await.unwrap();
        in_time(consumer.recv()).await.unwrap();
        waits.push(sent.elapsed());
    }
    // The first one may include connecting.
    assert!(waits[1..].iter().all(|wait| *wait < Duration::from_secs(3)), "{waits:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn times_lead_to_offsets() {
    let world = World::start().await;
    let clients = world.clients();
    clients.create_topic("timed", 1).await;
    let producer = clients.producer();
    for i in 0..5 {
        let record =
            FutureRecord::<str, _>::to("timed").payload("x").timestamp(1_000_000 + 1_000 * i);
        producer.send(record, PATIENCE).await.unwrap();
    }
    let consumer = clients.consumer("nobody", "read_committed");
    let found: HashMap<i64, Offset> = [0, 1_002_500, 1_004_000, 2_000_000]
        .into_iter()
        .map(|time| {
            let mut wanted = TopicPartitionList::new();
            wanted.add_partition_offset("timed", 0, Offset::Offset(time)).unwrap();
            let found = consumer.offsets_for_times(wanted, PATIENCE).unwrap();
            (time, found.elements()[0].offset())
        })
        .collect();
    let expected = [
        (0, Offset::Offset(0)),
        (1_002_500, Offset::Offset(3)),
        (1_004_000, Offset::Offset(4)),
        (2_000_000, Offset::End),
    ];
    assert_eq!(found, expected.into());
}
