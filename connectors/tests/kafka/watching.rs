//! What waits for a processor, as somebody else sees it.

use crate::{
    numbers::{copy_all, record, spec, topic},
    world::World,
};
use connectors::kafka::{Waiting, Watch};
use engine::Spec;
use ports::Log;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

fn specs() -> [Spec; 3] {
    let reader = |name, topic: &str| Spec { name, reads: vec![topic.to_owned()], writes: None };
    [spec(), reader("count", "out"), reader("late", "later")]
}

/// Looks until so many events wait for `copy`, `count` and `late`; answers with all there is to see.
async fn see(watch: Watch, expected: [usize; 3]) -> (Watch, BTreeMap<&'static str, Waiting>) {
    tokio::task::spawn_blocking(move || {
        let mut watch = watch;
        let started = Instant::now();
        loop {
            let seen = watch.look().unwrap();
            let events = ["copy", "count", "late"].map(|name| seen.get(name).map(|w| w.events));
            if events == expected.map(Some) {
                return (watch, seen);
            }
            assert!(started.elapsed() < Duration::from_secs(30), "{seen:?}, not {expected:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    })
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_counted_also_for_those_that_do_not_run_and_is_nothing_in_the_end() {
    let Some(world) = World::new().await else { return };
    let kafka = world.kafka("watch");
    let watch = Watch::new(&kafka, specs()).unwrap();
    let (watch, _) = see(watch, [0, 0, 0]).await;
    world.ask(0..20).await;
    let (watch, seen) = see(watch, [20, 0, 0]).await;
    let newest = kafka.read_all("in").await.unwrap();
    let oldest = newest.iter().filter_map(|record| record.timestamp_ms).min();
    assert_eq!(seen["copy"].oldest_ms, oldest);

    let mut log = world.log("a").await;
    copy_all(&mut log, 20).await;
    // The markers of transactions are no events.
    let (watch, seen) = see(watch, [0, 20, 0]).await;
    assert_eq!(seen["copy"].oldest_ms, None);
    log.close().await;
    world.ask(20..25).await;
    let (watch, _) = see(watch, [5, 20, 0]).await;

    let mut log = world.log("a").await;
    copy_all(&mut log, 5).await;
    log.close().await;
    kafka.create_topics(&[topic("later", 2)]).await.unwrap();
    kafka.produce(record("later", 1)).await.unwrap();
    let (watch, _) = see(watch, [0, 25, 1]).await;
    // Whoever begins to watch later sees the same.
    drop(watch);
    see(Watch::new(&kafka, specs()).unwrap(), [0, 25, 1]).await;
}
