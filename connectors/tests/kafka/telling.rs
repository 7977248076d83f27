//! What the clients of a processor tell of themselves while it works and after.

use crate::{
    numbers::{copies, copy_all, records, spec},
    world::World,
};
use connectors::kafka::{Kafka, KafkaConfig, KafkaLog, Watch};
use engine::{LogOpener, Metrics};
use ports::{Committed, Log};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

const RECORDS: u32 = 20;

fn figure(metrics: &Metrics, line: &str) -> f64 {
    let page = metrics.gather();
    let found = page.lines().find_map(|found| found.strip_prefix(line)?.trim().parse().ok());
    found.unwrap_or_default()
}

/// What the producer has told once nobody writes any more: it is given back then.
async fn told_at_rest(
    log: &mut KafkaLog,
    of: &impl Fn(&str, &str) -> f64,
    [sent, taken]: [f64; 2],
) -> f64 {
    let started = Instant::now();
    loop {
        let (producer, consumer) =
            (of("messages_total", "producer"), of("messages_total", "consumer"));
        let rests = of("brokers_up", "producer") == 0.0 && consumer >= taken;
        if rests && producer >= sent || started.elapsed() > Duration::from_secs(60) {
            return producer;
        }
        log.poll(1).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_processor_tells_what_its_clients_took_in_and_sent_before_they_rest() {
    let Some(world) = World::new().await else { return };
    let metrics = Metrics::new().unwrap();
    let config = KafkaConfig {
        bootstrap: world.bootstrap(),
        extra: BTreeMap::from([("statistics.interval.ms".to_owned(), "3000".to_owned())]),
        instance: "a".to_owned(),
        ..KafkaConfig::default()
    };
    let kafka = Kafka::counting(config, &metrics);
    let mut watch = Watch::new(&kafka, [spec()]).unwrap();
    let mut log = kafka.open(&spec()).await.unwrap();
    world.ask(0..RECORDS).await;
    copy_all(&mut log, RECORDS as usize).await;

    // The member that is at work here is asked what it has committed.
    let seen = tokio::task::spawn_blocking(move || {
        let started = Instant::now();
        loop {
            let seen = watch.look().unwrap();
            if seen.get("copy").is_some_and(|waiting| waiting.events == 0) {
                return watch;
            }
            assert!(started.elapsed() < Duration::from_secs(30), "{seen:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    let watch = seen.await.unwrap();

    let of = |metric: &str, client: &str| {
        let line = format!("reelmill_kafka_{metric}{{client=\"{client}\",processor=\"copy\"}} ");
        figure(&metrics, &line)
    };
    // A producer whose transaction was in doubt, on a busy machine, is replaced before it has told all.
    let (mut asked, mut before) = (RECORDS, 0.0);
    loop {
        let expected = [before + f64::from(RECORDS), f64::from(asked)];
        let told = told_at_rest(&mut log, &of, expected).await - before;
        assert!(told <= f64::from(RECORDS), "some are counted twice: {}", metrics.gather());
        if told == f64::from(RECORDS) {
            break;
        }
        assert!(asked < 4 * RECORDS, "{}", metrics.gather());
        before += told;
        world.ask(asked..asked + RECORDS).await;
        copy_all(&mut log, RECORDS as usize).await;
        asked += RECORDS;
    }
    assert!(of("brokers_up", "consumer") >= 1.0, "{}", metrics.gather());
    assert!(of("requests_total", "producer") >= 3.0, "{}", metrics.gather());
    let line =
        r#"reelmill_kafka_bytes_total{client="consumer",direction="received",processor="copy"} "#;
    assert!(figure(&metrics, line) > 1000.0, "{}", metrics.gather());
    drop(watch);
    log.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_is_there_again_while_its_record_is_worked_on_and_rests_no_sooner() {
    let Some(world) = World::new().await else { return };
    let metrics = Metrics::new().unwrap();
    let config = KafkaConfig {
        bootstrap: world.bootstrap(),
        extra: BTreeMap::from([("statistics.interval.ms".to_owned(), "1000".to_owned())]),
        instance: "a".to_owned(),
        ..KafkaConfig::default()
    };
    let mut log = Kafka::counting(config.clone(), &metrics).open(&spec()).await.unwrap();
    let is_up = || {
        let line = r#"reelmill_kafka_brokers_up{client="producer",processor="copy"} "#;
        figure(&metrics, line) > 0.0
    };
    world.ask(0..1).await;
    copy_all(&mut log, 1).await;
    let started = Instant::now();
    while is_up() || started.elapsed() < Duration::from_secs(2) {
        assert!(started.elapsed() < Duration::from_secs(60), "it does not rest");
        log.poll(0).await.unwrap();
    }
    world.ask(1..2).await;
    let (epoch, taken) = records(&mut log, 1).await;
    // Longer than a producer with nothing to do stays.
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(16) {
        log.poll(0).await.unwrap();
    }
    assert!(is_up(), "not opened, or given back while a record is worked on");
    assert_eq!(log.commit(epoch, copies(&taken)).await.unwrap(), Committed::Yes);

    // One that is opened for a log that ends at once does not shut out the next log's.
    let started = Instant::now();
    while is_up() {
        assert!(started.elapsed() < Duration::from_secs(60), "it does not rest");
        log.poll(0).await.unwrap();
    }
    world.ask(2..4).await;
    let _in_hand = records(&mut log, 2).await;
    log.close().await;
    let mut next = Kafka::counting(config, &metrics).open(&spec()).await.unwrap();
    assert_eq!(copy_all(&mut next, 2).await, 0, "it was shut out");
    next.close().await;
    assert_eq!(world.answered().await, (0..4).collect::<Vec<_>>());
}
