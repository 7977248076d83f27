//! Numbers that are asked for on `in` and answered on `out`, by whichever broker.

use bytes::Bytes;
use connectors::kafka::{Kafka, KafkaConfig, KafkaLog, TopicSpec};
use engine::{Spec, Trouble};
use ports::{Committed, Headers, Log, Polled, Record, Settled};
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

pub(crate) fn kafka(bootstrap: &str, instance: &str) -> Kafka {
    Kafka::new(KafkaConfig {
        bootstrap: bootstrap.to_owned(),
        instance: instance.to_owned(),
        ..KafkaConfig::default()
    })
}

/// A member that is given up as soon as Apache Kafka allows: after 6 s of silence.
pub(crate) fn impatient(bootstrap: &str, instance: &str) -> Kafka {
    Kafka::new(KafkaConfig {
        bootstrap: bootstrap.to_owned(),
        extra: BTreeMap::from([("session.timeout.ms".to_owned(), "6000".to_owned())]),
        instance: instance.to_owned(),
        ..KafkaConfig::default()
    })
}

/// What every test begins with.
pub(crate) fn topics() -> [TopicSpec; 4] {
    [
        topic("in", 4),
        topic("out", 4),
        topic("reelmill.retry.copy", 1),
        topic("reelmill.dead.copy", 1),
    ]
}

/// Asks for numbers, over all partitions.
pub(crate) async fn ask(kafka: &Kafka, numbers: std::ops::Range<u32>) {
    for number in numbers {
        kafka.produce(record("in", number)).await.unwrap();
    }
}

/// The numbers on `out`, sorted.
pub(crate) async fn answered(kafka: &Kafka) -> Vec<u32> {
    let records = kafka.read_all("out").await.unwrap();
    let mut numbers: Vec<u32> = records.iter().map(number).collect();
    numbers.sort_unstable();
    numbers
}

pub(crate) fn topic(name: &str, partitions: i32) -> TopicSpec {
    let config = BTreeMap::from([("retention.ms".to_owned(), "604800000".to_owned())]);
    TopicSpec { name: name.to_owned(), partitions, config, replication: None }
}

pub(crate) fn spec() -> Spec {
    let reads = vec!["in".to_owned(), "reelmill.retry.copy".to_owned()];
    Spec { name: "copy", reads, writes: Some("out") }
}

pub(crate) fn record(topic: &str, number: u32) -> Record {
    Record {
        topic: topic.to_owned(),
        key: Some(Bytes::from(number.to_string())),
        value: Some(Bytes::from(number.to_string())),
        headers: Headers::default().with("ce_id", format!("id {number}")),
        timestamp_ms: None,
        position: None,
    }
}

pub(crate) fn number(record: &Record) -> u32 {
    std::str::from_utf8(record.value.as_ref().unwrap()).unwrap().parse().unwrap()
}

/// Each record copied to `out`.
pub(crate) fn copies(records: &[Record]) -> Vec<Settled> {
    let copy = |r: &Record| Settled {
        done: r.position.clone().unwrap(),
        outputs: vec![record("out", number(r))],
    };
    records.iter().map(copy).collect()
}

/// Polls until there are records, and hands out their epoch with them.
pub(crate) async fn records(log: &mut KafkaLog, want: usize) -> (u64, Vec<Record>) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while Instant::now() < deadline {
        if let Ok(Polled::Records { epoch, records }) = log.poll(want).await {
            return (epoch, records);
        }
    }
    unreachable!("no records came")
}

/// Copies whatever comes until `done`, shared by all members, is `target`, or time is up;
/// returns how often it had to start over.
pub(crate) async fn copy(
    log: &mut KafkaLog,
    done: &AtomicUsize,
    target: usize,
    at_most: Duration,
) -> u32 {
    let mut rewound = 0;
    let deadline = Instant::now() + at_most;
    while done.load(Ordering::SeqCst) < target && Instant::now() < deadline {
        let (epoch, records) = match log.poll(16).await {
            Ok(Polled::Records { epoch, records }) => (epoch, records),
            Ok(_) => continue,
            Err(Trouble::Transient { .. }) => {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
            Err(trouble) => unreachable!("{trouble}"),
        };
        match log.commit(epoch, copies(&records)).await.unwrap() {
            Committed::Yes => {
                done.fetch_add(records.len(), Ordering::SeqCst);
            }
            Committed::Rewound => rewound += 1,
        }
    }
    rewound
}

/// The same for one member: copies `target` records.
pub(crate) async fn copy_all(log: &mut KafkaLog, target: usize) -> u32 {
    copy(log, &AtomicUsize::new(0), target, Duration::from_secs(60)).await
}
