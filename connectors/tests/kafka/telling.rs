//! What the clients of a processor tell of themselves while it works and after.

use crate::{
    numbers::{copy_all, spec},
    world::World,
};
use connectors::kafka::{Kafka, KafkaConfig, Watch};
use engine::{LogOpener, Metrics};
use ports::Log;
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
    let started = Instant::now();
    // Nobody writes any more: the producer is given back, and has told all by then.
    while of("messages_total", "producer") < f64::from(RECORDS)
        || of("messages_total", "consumer") < f64::from(RECORDS)
        || of("brokers_up", "producer") > 0.0
    {
        assert!(started.elapsed() < Duration::from_secs(60), "{}", metrics.gather());
        log.poll(1).await.unwrap();
    }
    assert_eq!(of("messages_total", "producer"), f64::from(RECORDS), "none is counted twice");
    assert!(of("brokers_up", "consumer") >= 1.0, "{}", metrics.gather());
    assert!(of("requests_total", "producer") >= 3.0, "{}", metrics.gather());
    let line =
        r#"reelmill_kafka_bytes_total{client="consumer",direction="received",processor="copy"} "#;
    assert!(figure(&metrics, line) > 1000.0, "{}", metrics.gather());
    drop(watch);
    log.close().await;
}
