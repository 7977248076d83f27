use std::time::Duration;

use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::Consumer,
    producer::{FutureRecord, Producer},
};

use crate::support::{PATIENCE, World, abort, blocking, commit, in_time, send, values};

fn named(name: &'static str, count: usize) -> impl Iterator<Item = String> {
    (0..count).map(move |i| format!("{name}-{i}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_of_committed_records_see_nothing_open_and_nothing_aborted() {
    let world = World::start().await;
    let clients = world.clients();
    clients.create_topic("ledger", 2).await;
    let producer = clients.transactional("writer", 30_000).await.unwrap();
    producer.begin_transaction().unwrap();
    send(&producer, "ledger", 2, named("first", 10)).await.unwrap();
    assert_eq!(clients.read("ledger", "read_committed", 0).await, []);
    commit(&producer).await.unwrap();
    producer.begin_transaction().unwrap();
    send(&producer, "ledger", 2, named("aborted", 10)).await.unwrap();
    abort(&producer).await.unwrap();
    producer.begin_transaction().unwrap();
    send(&producer, "ledger", 2, named("second", 10)).await.unwrap();
    commit(&producer).await.unwrap();

    let committed = in_time(clients.read("ledger", "read_committed", 20)).await;
    let expected: Vec<String> = named("first", 10).chain(named("second", 10)).collect();
    assert_eq!(values(&committed), expected);
    assert_eq!(in_time(clients.read("ledger", "read_uncommitted", 30)).await.len(), 30);

    // The same after reading everything back from disk.
    let world = world.restart().await;
    let committed = in_time(world.clients().read("ledger", "read_committed", 20)).await;
    assert_eq!(values(&committed), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_that_was_replaced_can_neither_write_nor_commit() {
    let world = World::start().await;
    let clients = world.clients();
    clients.create_topic("fence", 1).await;
    let zombie = clients.transactional("writer", 30_000).await.unwrap();
    zombie.begin_transaction().unwrap();
    send(&zombie, "fence", 1, ["zombie".to_owned()]).await.unwrap();
    let successor = clients.transactional("writer", 30_000).await.unwrap();
    successor.begin_transaction().unwrap();
    send(&successor, "fence", 1, ["successor".to_owned()]).await.unwrap();
    commit(&successor).await.unwrap();

    send(&zombie, "fence", 1, ["late".to_owned()]).await.unwrap_err();
    commit(&zombie).await.unwrap_err();
    let read = in_time(clients.read("fence", "read_committed", 1)).await;
    assert_eq!(values(&read), ["successor"]);
    let all = in_time(clients.read("fence", "read_uncommitted", 2)).await;
    assert_eq!(values(&all), ["successor", "zombie"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_nobody_ends_is_aborted_after_its_time() {
    let world = World::start().await;
    let clients = world.clients();
    clients.create_topic("forgotten", 1).await;
    let forgetful = clients.transactional("forgetful", 1_000).await.unwrap();
    forgetful.begin_transaction().unwrap();
    send(&forgetful, "forgotten", 1, ["open".to_owned()]).await.unwrap();
    send(&clients.producer(), "forgotten", 1, ["plain".to_owned()]).await.unwrap();
    let read = in_time(clients.read("forgotten", "read_committed", 1)).await;
    assert_eq!(values(&read), ["plain"], "readers get past the open record");
    commit(&forgetful).await.unwrap_err();
}

/// Every third transaction is aborted and its batch done again.
#[tokio::test(flavor = "multi_thread")]
async fn consume_process_produce_moves_records_and_offsets_together() {
    let world = World::start().await;
    let clients = world.clients();
    clients.create_topic("in", 2).await;
    clients.create_topic("out", 2).await;
    send(&clients.producer(), "in", 2, named("record", 60)).await.unwrap();
    let consumer = clients.consumer("mill", "read_committed");
    consumer.subscribe(&["in"]).unwrap();
    let producer = clients.transactional("mill.0", 30_000).await.unwrap();
    let (mut done, mut transactions) = (0, 0);
    while done < 60 {
        let mut batch = Vec::new();
        while batch.len() < 10 {
            batch.push(in_time(consumer.recv()).await.unwrap().detach());
        }
        let membership = consumer.group_metadata().unwrap();
        producer.begin_transaction().unwrap();
        let (mut next, mut first) = ([None; 2], [None; 2]);
        for message in &batch {
            let record = FutureRecord::<str, _>::to("out")
                .payload(message.payload().unwrap())
                .partition(message.partition());
            producer.send(record, PATIENCE).await.unwrap();
            let partition = message.partition() as usize;
            first[partition].get_or_insert(message.offset());
            next[partition] = Some(message.offset() + 1);
        }
        let mut offsets = TopicPartitionList::new();
        for (partition, next) in next.into_iter().enumerate() {
            if let Some(next) = next {
                let next = Offset::Offset(next);
                offsets.add_partition_offset("in", partition as i32, next).unwrap();
            }
        }
        blocking(&producer, move |producer| {
            producer.send_offsets_to_transaction(&offsets, &membership, PATIENCE).unwrap();
        })
        .await;
        transactions += 1;
        if transactions % 3 == 0 {
            abort(&producer).await.unwrap();
            for (partition, first) in first.into_iter().enumerate() {
                if let Some(first) = first {
                    let first = Offset::Offset(first);
                    consumer.seek("in", partition as i32, first, PATIENCE).unwrap();
                }
            }
        } else {
            commit(&producer).await.unwrap();
            done += batch.len();
        }
    }
    let mut expected: Vec<String> = named("record", 60).collect();
    expected.sort();
    let read = in_time(clients.read("out", "read_committed", 60)).await;
    assert_eq!(values(&read), expected);
    let committed = clients.committed("mill", "in").await;
    assert_eq!(committed, [(0, Offset::Offset(30)), (1, Offset::Offset(30))].into());
    assert!(transactions > 6, "some were aborted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_lost_its_place_cannot_commit_offsets_in_a_transaction() {
    let world = World::start().await;
    let clients = world.clients();
    clients.create_topic("contested", 2).await;
    let first = clients.consumer("team", "read_committed");
    first.subscribe(&["contested"]).unwrap();
    crate::groups::wait_for_partitions(&first, 2).await;
    let outdated = first.group_metadata().unwrap();
    let second = clients.consumer("team", "read_committed");
    second.subscribe(&["contested"]).unwrap();
    tokio::join!(
        crate::groups::wait_for_partitions(&first, 1),
        crate::groups::wait_for_partitions(&second, 1)
    );

    let producer = clients.transactional("team.0", 30_000).await.unwrap();
    producer.begin_transaction().unwrap();
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset("contested", 0, Offset::Offset(5)).unwrap();
    let refused = blocking(&producer, move |producer| {
        producer.send_offsets_to_transaction(&offsets, &outdated, Duration::from_secs(20))
    });
    refused.await.unwrap_err();
    abort(&producer).await.unwrap();
    assert_eq!(clients.committed("team", "contested").await[&0], Offset::Invalid);
}
