use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{CommitMode, Consumer},
    producer::Producer,
};

use crate::support::{World, commit, in_time, receive, send, values};

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
