use std::time::{Duration, Instant};

use broker::{Broker, Options, Sync};
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{CommitMode, Consumer},
    producer::Producer,
};

use crate::support::{Clients, World, commit, in_time, options, receive, send, values};

#[tokio::test(flavor = "multi_thread")]
async fn a_group_goes_on_where_it_had_committed_before_a_restart() {
    let world = World::start().await;
    let clients = world.clients();
    clients.create_topic("kept", 2).await;
    send(&clients.producer(), "kept", 2, (0..100).map(|i| format!("{i:03}"))).await.unwrap();
    let consumer = clients.consumer("readers", "read_committed");
    let mut committed = TopicPartitionList::new();
    committed.add_partition_offset("kept", 0, Offset::Offset(30)).unwrap();
    committed.add_partition_offset("kept", 1, Offset::Offset(10)).unwrap();
    consumer.commit(&committed, CommitMode::Sync).unwrap();
    // Left open on purpose: the restart must neither lose nor end it.
    clients.create_topic("open", 1).await;
    let open = clients.transactional("open", 60_000).await.unwrap();
    open.begin_transaction().unwrap();
    send(&open, "open", 1, ["open".to_owned()]).await.unwrap();

    let world = world.restart().await;
    let clients = world.clients();
    let consumer = clients.consumer("readers", "read_committed");
    consumer.subscribe(&["kept"]).unwrap();
    let read = in_time(receive(&consumer, 60)).await;
    assert_eq!(read.len(), 60);
    assert_eq!(read.iter().filter(|record| record.partition == 0).count(), 20);
    assert_eq!(clients.read("open", "read_committed", 0).await, []);

    let successor = clients.transactional("open", 60_000).await.unwrap();
    successor.begin_transaction().unwrap();
    send(&successor, "open", 1, ["after".to_owned()]).await.unwrap();
    commit(&successor).await.unwrap();
    let read = in_time(clients.read("open", "read_committed", 1)).await;
    assert_eq!(values(&read), ["after"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn under_every_sync_policy_what_was_committed_is_there_after_a_restart() {
    for sync in [Sync::Never, Sync::Every(Duration::from_millis(20)), Sync::Always] {
        let folder = tempfile::tempdir().unwrap();
        let options = || Options { sync, ..options(&folder) };
        let broker = Broker::start(options()).await.unwrap();
        let clients = Clients { bootstrap: broker.bootstrap() };
        clients.create_topic("safe", 2).await;
        let producer = clients.transactional("writer", 30_000).await.unwrap();
        let began = Instant::now();
        for number in 0..20 {
            producer.begin_transaction().unwrap();
            let values = (0..5).map(|i| format!("{number:02}-{i}"));
            send(&producer, "safe", 2, values).await.unwrap();
            commit(&producer).await.unwrap();
        }
        println!("{sync:?}: 20 transactions in {:.1?}", began.elapsed());
        broker.stop().await;
        let broker = Broker::start(options()).await.unwrap();
        assert_eq!(broker.scanned_bytes(), 0);
        let clients = Clients { bootstrap: broker.bootstrap() };
        assert_eq!(in_time(clients.read("safe", "read_committed", 100)).await.len(), 100);
        broker.stop().await;
    }
}
