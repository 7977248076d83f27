use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use kafka_protocol::{
    ResponseError,
    messages::{
        GroupId, JoinGroupRequest, RequestKind, ResponseKind, SyncGroupRequest,
        join_group_request::JoinGroupRequestProtocol,
    },
};
use rdkafka::{
    ClientContext,
    consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance, StreamConsumer},
    error::{KafkaError, RDKafkaErrorCode},
};

use crate::{
    protocol::Wire,
    support::{PATIENCE, World, in_time, receive, send},
};

/// Polls `consumer` until the group gave it that many partitions.
pub(crate) async fn wait_for_partitions(consumer: &StreamConsumer, count: usize) -> Duration {
    let began = Instant::now();
    while consumer.assignment().unwrap().count() != count {
        assert!(began.elapsed() < PATIENCE, "never got {count} partitions");
        // There are no records yet; this only lets the client do its work.
        let polled = tokio::time::timeout(Duration::from_millis(100), consumer.recv()).await;
        assert!(polled.is_err(), "{polled:?}");
    }
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn members_share_partitions_and_take_over_from_one_that_leaves() {
    let world = World::start().await;
    let clients = world.clients();
    clients.create_topic("work", 4).await;
    let first = clients.consumer("crew", "read_committed");
    first.subscribe(&["work"]).unwrap();
    wait_for_partitions(&first, 4).await;
    let second = clients.consumer("crew", "read_committed");
    second.subscribe(&["work"]).unwrap();
    tokio::join!(wait_for_partitions(&first, 2), wait_for_partitions(&second, 2));
    let listed = first.fetch_group_list(Some("crew"), PATIENCE).unwrap();
    assert_eq!(listed.groups()[0].state(), "Stable");
    assert_eq!(listed.groups()[0].members().len(), 2);

    tokio::task::spawn_blocking(move || drop(second)).await.unwrap();
    let takeover = wait_for_partitions(&first, 4).await;
    assert!(takeover < Duration::from_secs(6), "a session time-out was not needed: {takeover:?}");
    send(&clients.producer(), "work", 4, (0..40).map(|i| i.to_string())).await.unwrap();
    assert_eq!(in_time(receive(&first, 40)).await.len(), 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_partitions_of_a_member_that_falls_silent_go_to_the_others() {
    let world = World::start().await;
    let clients = world.clients();
    clients.create_topic("work", 4).await;
    let living = clients.consumer("crew", "read_committed");
    living.subscribe(&["work"]).unwrap();
    wait_for_partitions(&living, 4).await;

    // A member that joins like any other, and is never heard of again.
    let mut wire = Wire::connect(world.broker.address()).await;
    let silent = tokio::spawn(async move {
        let protocol = |name: &'static str| {
            JoinGroupRequestProtocol::default().with_name(name.into()).with_metadata(
                // Consumer protocol version 0, one topic, no user data.
                bytes::Bytes::from_static(&[
                    0, 0, 0, 0, 0, 1, 0, 4, b'w', b'o', b'r', b'k', 0, 0, 0, 0,
                ]),
            )
        };
        let join = JoinGroupRequest::default()
            .with_group_id(GroupId("crew".into()))
            .with_session_timeout_ms(2_000)
            .with_rebalance_timeout_ms(20_000)
            .with_protocol_type("consumer".into())
            .with_protocols(vec![protocol("range"), protocol("roundrobin")]);
        let ResponseKind::JoinGroup(named) =
            wire.call(5, RequestKind::JoinGroup(join.clone())).await
        else {
            panic!("not an answer to a join")
        };
        assert_eq!(named.error_code, ResponseError::MemberIdRequired.code());
        let join = join.with_member_id(named.member_id);
        let ResponseKind::JoinGroup(joined) = wire.call(5, RequestKind::JoinGroup(join)).await
        else {
            panic!("not an answer to a join")
        };
        assert_eq!(joined.error_code, 0);
        let sync = SyncGroupRequest::default()
            .with_group_id(GroupId("crew".into()))
            .with_generation_id(joined.generation_id)
            .with_member_id(joined.member_id);
        let ResponseKind::SyncGroup(synced) = wire.call(3, RequestKind::SyncGroup(sync)).await
        else {
            panic!("not an answer to a sync")
        };
        assert_eq!(synced.error_code, 0);
        (wire, synced.assignment)
    });
    wait_for_partitions(&living, 2).await;
    let (_still_connected, assignment) = silent.await.unwrap();
    assert!(!assignment.is_empty(), "the silent member had work");
    wait_for_partitions(&living, 4).await;
}

/// Counts how often its consumer is given other partitions.
#[derive(Default)]
struct Counting(AtomicUsize);

impl ClientContext for Counting {}

impl ConsumerContext for Counting {
    fn post_rebalance(&self, _: &BaseConsumer<Self>, _: &Rebalance<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn static_member(world: &World, instance: &str) -> StreamConsumer<Counting> {
    let mut config = world.clients().config();
    config
        .set("group.id", "crew")
        .set("group.instance.id", instance)
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("session.timeout.ms", "20000")
        .set("heartbeat.interval.ms", "200");
    let consumer: StreamConsumer<Counting> =
        config.create_with_context(Counting::default()).unwrap();
    consumer.subscribe(&["work"]).unwrap();
    consumer
}

async fn wait_for(consumer: &StreamConsumer<Counting>, partitions: usize) {
    let began = Instant::now();
    while consumer.assignment().unwrap().count() != partitions {
        assert!(began.elapsed() < PATIENCE, "never got {partitions} partitions");
        drop(tokio::time::timeout(Duration::from_millis(100), consumer.recv()).await);
    }
}

/// librdkafka's own list would keep its consumer from ending.
fn numbers(consumer: &StreamConsumer<Counting>) -> Vec<i32> {
    let assignment = consumer.assignment().unwrap();
    assignment.elements().iter().map(|it| it.partition()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_static_member_restarts_without_a_rebalance_and_its_double_is_fenced() {
    let world = World::start().await;
    world.clients().create_topic("work", 4).await;
    let (first, second) = (static_member(&world, "a"), static_member(&world, "b"));
    tokio::join!(wait_for(&first, 2), wait_for(&second, 2));
    let before = first.context().0.load(Ordering::Relaxed);
    let owned = numbers(&second);
    tokio::task::spawn_blocking(move || drop(second)).await.unwrap();
    let second = static_member(&world, "b");
    let began = Instant::now();
    wait_for(&second, 2).await;
    assert!(began.elapsed() < Duration::from_secs(10), "no session had to end");
    assert_eq!(numbers(&second), owned);
    // Several heartbeats later the other one has still noticed nothing.
    drop(tokio::time::timeout(Duration::from_secs(1), first.recv()).await);
    assert_eq!(first.context().0.load(Ordering::Relaxed), before);

    let double = static_member(&world, "a");
    let fenced = async {
        loop {
            match tokio::time::timeout(Duration::from_millis(100), first.recv()).await {
                Ok(Err(KafkaError::MessageConsumptionFatal(code))) => return code,
                Ok(Err(KafkaError::MessageConsumption(code))) => return code,
                _ => {}
            }
        }
    };
    let (code, ()) = tokio::join!(in_time(fenced), wait_for(&double, 2));
    assert!(
        matches!(code, RDKafkaErrorCode::FencedInstanceId | RDKafkaErrorCode::Fatal),
        "{code:?}"
    );
}
