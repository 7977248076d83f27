//! The log on Kafka, against the embedded broker.

use broker::{Broker, Options};
use bytes::Bytes;
use connectors::kafka::{Kafka, KafkaConfig, KafkaLog, TopicInfo, TopicSpec};
use engine::{LogOpener, Spec, Trouble};
use ports::{Committed, Headers, Log, Polled, Position, Record, Settled};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::{Duration, Instant},
};
use tempfile::TempDir;

struct World {
    data: TempDir,
    broker: Option<Broker>,
    address: SocketAddr,
}

impl World {
    async fn new() -> Self {
        let data = TempDir::new().unwrap();
        let broker = start(&data, 0).await;
        let address = broker.address();
        let world = Self { data, broker: Some(broker), address };
        let topics = [topic("in", 4), topic("out", 4), topic("reelmill.retry.copy", 1)];
        world.kafka("admin").create_topics(&topics).await.unwrap();
        world
    }

    fn kafka(&self, instance: &str) -> Kafka {
        Kafka::new(KafkaConfig {
            bootstrap: self.address.to_string(),
            extra: BTreeMap::new(),
            instance: instance.to_owned(),
        })
    }

    async fn log(&self, instance: &str) -> KafkaLog {
        self.kafka(instance).open(&spec()).await.unwrap()
    }

    /// Stops the broker, as a restart of the process would.
    async fn restart(&mut self) {
        self.broker.take().unwrap().stop().await;
        self.broker = Some(start(&self.data, self.address.port()).await);
    }

    /// Asks for numbers, over all partitions.
    async fn ask(&self, numbers: std::ops::Range<u32>) {
        let kafka = self.kafka("admin");
        for number in numbers {
            kafka.produce(record("in", number)).await.unwrap();
        }
    }

    /// The numbers on `out`, sorted.
    async fn answered(&self) -> Vec<u32> {
        let records = self.kafka("admin").read_all("out").await.unwrap();
        let mut numbers: Vec<u32> = records.iter().map(number).collect();
        numbers.sort_unstable();
        numbers
    }
}

async fn start(data: &TempDir, port: u16) -> Broker {
    let options = Options {
        data: data.path().to_owned(),
        port,
        default_partitions: 4,
        sync: broker::Sync::Never,
        auto_create_topics: false,
    };
    Broker::start(options).await.unwrap()
}

fn topic(name: &str, partitions: i32) -> TopicSpec {
    let config = BTreeMap::from([("retention.ms".to_owned(), "604800000".to_owned())]);
    TopicSpec { name: name.to_owned(), partitions, config, replication: None }
}

fn spec() -> Spec {
    let reads = vec!["in".to_owned(), "reelmill.retry.copy".to_owned()];
    Spec { name: "copy", reads, writes: Some("out") }
}

fn record(topic: &str, number: u32) -> Record {
    Record {
        topic: topic.to_owned(),
        key: Some(Bytes::from(number.to_string())),
        value: Some(Bytes::from(number.to_string())),
        headers: Headers::default().with("ce_id", format!("id {number}")),
        timestamp_ms: None,
        position: None,
    }
}

fn number(record: &Record) -> u32 {
    std::str::from_utf8(record.value.as_ref().unwrap()).unwrap().parse().unwrap()
}

/// Each record copied to `out`.
fn copies(records: &[Record]) -> Vec<Settled> {
    let copy = |r: &Record| Settled {
        done: r.position.clone().unwrap(),
        outputs: vec![record("out", number(r))],
    };
    records.iter().map(copy).collect()
}

/// Polls until there are records, and hands out their epoch with them.
async fn records(log: &mut KafkaLog, want: usize) -> (u64, Vec<Record>) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while Instant::now() < deadline {
        if let Ok(Polled::Records { epoch, records }) = log.poll(want).await {
            return (epoch, records);
        }
    }
    unreachable!("no records came")
}

/// Copies whatever comes until nothing came for a while; returns how often it had to start over.
async fn copy_all(log: &mut KafkaLog, quiet: Duration) -> u32 {
    let (mut rewound, mut heard) = (0, Instant::now());
    while heard.elapsed() < quiet {
        let (epoch, records) = match log.poll(16).await {
            Ok(Polled::Records { epoch, records }) => (epoch, records),
            Ok(_) => continue,
            Err(Trouble::Transient { .. }) => {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
            Err(trouble) => unreachable!("{trouble}"),
        };
        heard = Instant::now();
        if log.commit(epoch, copies(&records)).await.unwrap() == Committed::Rewound {
            rewound += 1;
        }
    }
    rewound
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_are_created_once_and_listed() {
    let world = World::new().await;
    let kafka = world.kafka("admin");
    kafka.create_topics(&[topic("in", 9), topic("more", 2)]).await.unwrap();
    let listed = kafka.list_topics().await.unwrap();
    let names: Vec<_> = listed.iter().map(|t| t.name.as_str()).collect();
    assert_eq!(names, ["in", "more", "out", "reelmill.retry.copy"]);
    assert_eq!(listed[0], TopicInfo { name: "in".to_owned(), partitions: 4 });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_arrives_as_it_was_sent() {
    let world = World::new().await;
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
    let world = World::new().await;
    world.ask(0..20).await;
    let mut log = world.log("a").await;
    let (epoch, first) = records(&mut log, 5).await;
    assert_eq!(log.commit(epoch, copies(&first)).await.unwrap(), Committed::Yes);
    let (_, left) = records(&mut log, 5).await;
    assert!(!left.is_empty());
    log.close().await;

    let mut log = world.log("a").await;
    assert_eq!(copy_all(&mut log, Duration::from_secs(2)).await, 0);
    log.close().await;
    assert_eq!(world.answered().await, (0..20).collect::<Vec<_>>());

    let mut log = world.log("a").await;
    copy_all(&mut log, Duration::from_secs(2)).await;
    log.close().await;
    assert_eq!(world.answered().await.len(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_poll_returns_within_a_moment_and_may_be_dropped() {
    let world = World::new().await;
    let mut log = world.log("a").await;
    for _ in 0..20 {
        let started = Instant::now();
        log.poll(8).await.unwrap();
        assert!(started.elapsed() < Duration::from_millis(1_500), "{:?}", started.elapsed());
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
    let world = World::new().await;
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
    let (_, next) = records(&mut log, 7).await;
    let position = next[0].position.clone().unwrap();
    assert_eq!((position.partition, position.offset), (held.partition, held.offset + 1));
    log.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_records_pass_through_small_polls() {
    let world = World::new().await;
    let kafka = world.kafka("admin");
    let sends = (0..3_000).map(|number| kafka.produce(record("in", number)));
    for sent in futures::future::join_all(sends).await {
        sent.unwrap();
    }
    let mut log = world.log("a").await;
    assert_eq!(copy_all(&mut log, Duration::from_secs(3)).await, 0);
    log.close().await;
    assert_eq!(world.answered().await, (0..3_000).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn work_of_an_older_assignment_is_not_committed() {
    let world = World::new().await;
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
    assert_eq!(first.commit(old, copies(&taken)).await.unwrap(), Committed::Rewound);
    let quiet = Duration::from_secs(4);
    tokio::join!(copy_all(&mut first, quiet), copy_all(&mut second, quiet));
    first.close().await;
    second.close().await;
    assert_eq!(world.answered().await, (0..40).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fenced_log_starts_over_and_leaves_no_trace() {
    let world = World::new().await;
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
    copy_all(&mut old, Duration::from_secs(5)).await;
    old.close().await;
    assert_eq!(world.answered().await, (0..40).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_was_away_is_waited_for_and_nothing_is_done_twice() {
    let mut world = World::new().await;
    world.ask(0..30).await;
    let mut log = world.log("a").await;
    let (epoch, first) = records(&mut log, 10).await;
    assert_eq!(log.commit(epoch, copies(&first)).await.unwrap(), Committed::Yes);
    let (epoch, second) = records(&mut log, 10).await;
    world.restart().await;
    // Whether this one makes it or not, each record is answered once in the end.
    log.commit(epoch, copies(&second)).await.unwrap();
    copy_all(&mut log, Duration::from_secs(8)).await;
    world.ask(30..40).await;
    copy_all(&mut log, Duration::from_secs(4)).await;
    log.close().await;
    assert_eq!(world.answered().await, (0..40).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn members_that_come_and_go_do_everything_exactly_once() {
    let world = World::new().await;
    let mut steady = world.log("steady").await;
    let asking = async {
        for start in (0..400).step_by(10) {
            world.ask(start..start + 10).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let coming_and_going = async {
        for visit in 0..4 {
            let mut guest = world.log(&format!("guest {visit}")).await;
            let stay = copy_all(&mut guest, Duration::from_millis(1_500));
            drop(tokio::time::timeout(Duration::from_secs(2), stay).await);
            if visit % 2 == 0 { guest.close().await } else { drop(guest) }
        }
    };
    tokio::join!(asking, coming_and_going, copy_all(&mut steady, Duration::from_secs(15)));
    steady.close().await;
    assert_eq!(world.answered().await, (0..400).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_not_there_is_the_worlds_fault() {
    let mut world = World::new().await;
    world.broker.take().unwrap().stop().await;
    let opened = world.kafka("a").open(&spec()).await;
    assert!(matches!(opened, Err(Trouble::Transient { .. })), "{opened:?}");
    let sent = world.kafka("a").produce(record("in", 1)).await;
    assert!(matches!(sent, Err(Trouble::Transient { .. })), "{sent:?}");
}

#[tokio::test]
async fn a_setting_that_kafka_does_not_know_is_our_fault() {
    let kafka = Kafka::new(KafkaConfig {
        bootstrap: "127.0.0.1:1".to_owned(),
        extra: BTreeMap::from([("securty.protocol".to_owned(), "ssl".to_owned())]),
        instance: "a".to_owned(),
    });
    let Err(Trouble::Fatal(fatal)) = kafka.open(&spec()).await else { unreachable!() };
    assert!(fatal.to_string().contains("securty.protocol"), "{fatal}");
}
