//! The log by itself.

use crate::{
    numbers::{copies, copy, copy_all, number, record, records, spec, topic},
    world::World,
};
use bytes::Bytes;
use connectors::kafka::{Kafka, KafkaConfig, TopicInfo};
use engine::{LogOpener, Spec, Trouble};
use ports::{Committed, Headers, Log, Polled, Position, Record};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

#[tokio::test(flavor = "multi_thread")]
async fn topics_are_created_once_and_listed() {
    let Some(world) = World::new().await else { return };
    let kafka = world.kafka("admin");
    kafka.create_topics(&[topic("in", 9), topic("more", 2)]).await.unwrap();
    let listed = kafka.list_topics().await.unwrap();
    let names: Vec<_> = listed.iter().map(|t| t.name.as_str()).collect();
    assert_eq!(names, ["in", "more", "out", "reelmill.dead.copy", "reelmill.retry.copy"]);
    assert_eq!(listed[0], TopicInfo { name: "in".to_owned(), partitions: 4 });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_arrives_as_it_was_sent() {
    let Some(world) = World::new().await else { return };
    let kafka = world.kafka("admin");
    let sent = Record {
        value: Some(Bytes::from_static(b"\0\xff")),
        headers: Headers::default().with("a", "1").with("empty", ""),
        timestamp_ms: Some(1_700_000_000_123),
        ..record("in", 7)
    };
    let position = kafka.produce(sent.clone()).await.unwrap();
    let tombstone = Record { value: None, ..record("in", 7) };
    let next = kafka.produce(tombstone).await.unwrap();
    // The same key is the same partition.
    let expected = Position { offset: position.offset + 1, ..position.clone() };
    assert_eq!(next, expected);
    let read = kafka.read_all("in").await.unwrap();
    assert_eq!(read[0], Record { position: Some(position), ..sent });
    assert_eq!(read[1].value, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_committed_is_done_and_what_is_not_comes_again() {
    let Some(world) = World::new().await else { return };
    world.ask(0..20).await;
    let mut log = world.log("a").await;
    let (epoch, first) = records(&mut log, 5).await;
    assert_eq!(log.commit(epoch, copies(&first)).await.unwrap(), Committed::Yes);
    let (_, left) = records(&mut log, 5).await;
    assert!(!left.is_empty());
    log.close().await;

    let mut log = world.log("a").await;
    assert_eq!(copy_all(&mut log, 20 - first.len()).await, 0);
    log.close().await;
    assert_eq!(world.answered().await, (0..20).collect::<Vec<_>>());

    // Nothing is left: the next record is a new one.
    world.ask(20..21).await;
    let mut log = world.log("a").await;
    let (_, new) = records(&mut log, 5).await;
    assert_eq!(new.iter().map(number).collect::<Vec<_>>(), [20]);
    log.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_poll_returns_within_seconds_and_may_be_dropped() {
    let Some(world) = World::new().await else { return };
    let mut log = world.log("a").await;
    for _ in 0..3 {
        let started = Instant::now();
        log.poll(8).await.unwrap();
        assert!(started.elapsed() < Duration::from_secs(7), "{:?}", started.elapsed());
    }
    world.ask(0..50).await;
    let mut seen = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(30);
    while seen.len() < 50 && Instant::now() < deadline {
        let polled = tokio::time::timeout(Duration::from_micros(500), log.poll(3)).await;
        if let Ok(Ok(Polled::Records { records, .. })) = polled {
            seen.extend(records.iter().map(number));
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..50).collect::<Vec<_>>());
    log.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_partition_hands_out_nothing_until_it_is_let_go() {
    let Some(world) = World::new().await else { return };
    world.ask(0..40).await;
    let mut log = world.log("a").await;
    let (_, first) = records(&mut log, 1).await;
    let held = first[0].position.clone().unwrap();
    log.hold(vec![("in".to_owned(), held.partition)]);
    let mut others = BTreeSet::new();
    let until = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until {
        if let Polled::Records { records, .. } = log.poll(7).await.unwrap() {
            assert!(records.len() <= 7);
            others.extend(records.into_iter().map(|r| r.position.unwrap().partition));
        }
    }
    assert!(!others.is_empty() && !others.contains(&held.partition), "{others:?}");
    log.hold(Vec::new());
    // Of the others there may still be some on a busy machine.
    let position = loop {
        let (_, next) = records(&mut log, 1).await;
        let position = next[0].position.clone().unwrap();
        if position.partition == held.partition {
            break position;
        }
    };
    assert_eq!(position.offset, held.offset + 1);
    log.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_records_pass_through_small_polls() {
    let Some(world) = World::new().await else { return };
    let kafka = world.kafka("admin");
    let sends = (0..3_000).map(|number| kafka.produce(record("in", number)));
    for sent in futures::future::join_all(sends).await {
        sent.unwrap();
    }
    let mut log = world.log("a").await;
    assert_eq!(copy_all(&mut log, 3_000).await, 0);
    log.close().await;
    assert_eq!(world.answered().await, (0..3_000).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn work_of_an_older_assignment_is_not_committed() {
    let Some(world) = World::new().await else { return };
    world.ask(0..40).await;
    let mut first = world.log("a").await;
    let (old, taken) = records(&mut first, 40).await;
    let mut second = world.log("b").await;
    // The first learns of the second only by polling: both poll until the partitions are shared.
    let mut polled = Polled::Idle;
    let deadline = Instant::now() + Duration::from_secs(30);
    while !matches!(polled, Polled::Rebalanced { .. }) && Instant::now() < deadline {
        polled = first.poll(40).await.unwrap();
    }
    assert!(matches!(polled, Polled::Rebalanced { epoch } if epoch > old), "{polled:?}");
    // Until the first is a member again, with partitions that may be the same ones.
    let joined = Instant::now() + Duration::from_secs(3);
    while Instant::now() < joined {
        first.poll(0).await.unwrap();
    }
    assert_eq!(first.commit(old, copies(&taken)).await.unwrap(), Committed::Rewound);
    let done = AtomicUsize::new(0);
    let minute = Duration::from_secs(60);
    tokio::join!(copy(&mut first, &done, 40, minute), copy(&mut second, &done, 40, minute));
    first.close().await;
    second.close().await;
    assert_eq!(world.answered().await, (0..40).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fenced_log_starts_over_and_leaves_no_trace() {
    let Some(world) = World::new().await else { return };
    world.ask(0..40).await;
    let mut old = world.log("same").await;
    let (epoch, taken) = records(&mut old, 40).await;
    // A new process of the same name fences the old one's producer, before it joins the group.
    let fencing = world.kafka("same");
    let other = Spec { name: "copy", reads: vec!["out".to_owned()], writes: None };
    let newer = fencing.open(&other).await.unwrap();
    let committed = old.commit(epoch, copies(&taken)).await.unwrap();
    assert_eq!(committed, Committed::Rewound);
    newer.close().await;
    copy_all(&mut old, 40).await;
    old.close().await;
    assert_eq!(world.answered().await, (0..40).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_was_away_is_waited_for_and_nothing_is_done_twice() {
    let Some(mut world) = World::new().await else { return };
    world.ask(0..30).await;
    let mut log = world.log("a").await;
    let (epoch, first) = records(&mut log, 10).await;
    assert_eq!(log.commit(epoch, copies(&first)).await.unwrap(), Committed::Yes);
    let (epoch, second) = records(&mut log, 10).await;
    world.restart().await;
    // Whether this one makes it or not, each record is answered once in the end.
    let made_it = log.commit(epoch, copies(&second)).await.unwrap() == Committed::Yes;
    let left = 30 - first.len() - if made_it { second.len() } else { 0 };
    copy_all(&mut log, left).await;
    world.ask(30..40).await;
    copy_all(&mut log, 10).await;
    log.close().await;
    assert_eq!(world.answered().await, (0..40).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn members_that_come_and_go_do_everything_exactly_once() {
    let Some(world) = World::new().await else { return };
    let mut steady = world.log("steady").await;
    let (done, asked) = (AtomicUsize::new(0), AtomicBool::new(false));
    let asking = async {
        for start in (0..400).step_by(10) {
            world.ask(start..start + 10).await;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        asked.store(true, Ordering::SeqCst);
    };
    let coming_and_going = async {
        for visit in 0.. {
            if asked.load(Ordering::SeqCst) {
                break;
            }
            let mut guest = world.log(&format!("guest {visit}")).await;
            copy(&mut guest, &done, 400, Duration::from_millis(1_500)).await;
            // Every other guest leaves without a word.
            if visit % 2 == 0 { guest.close().await } else { drop(guest) }
        }
    };
    let steadily = copy(&mut steady, &done, 400, Duration::from_secs(60));
    tokio::join!(asking, coming_and_going, steadily);
    steady.close().await;
    assert_eq!(world.answered().await, (0..400).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_not_there_is_the_worlds_fault() {
    let Some(mut world) = World::new().await else { return };
    world.stop().await;
    let (kafka, spec) = (world.kafka("a"), spec());
    let (opened, sent) = tokio::join!(kafka.open(&spec), kafka.produce(record("in", 1)));
    assert!(matches!(opened, Err(Trouble::Transient { .. })), "{opened:?}");
    assert!(matches!(sent, Err(Trouble::Transient { .. })), "{sent:?}");
}

#[tokio::test]
async fn a_setting_that_kafka_does_not_know_is_our_fault() {
    let kafka = Kafka::new(KafkaConfig {
        bootstrap: "127.0.0.1:1".to_owned(),
        extra: BTreeMap::from([("securty.protocol".to_owned(), "ssl".to_owned())]),
        instance: "a".to_owned(),
        ..KafkaConfig::default()
    });
    let Err(Trouble::Fatal(fatal)) = kafka.open(&spec()).await else { unreachable!() };
    assert!(fatal.to_string().contains("securty.protocol"), "{fatal}");
}
