//! Scaling as KEDA does it, with real processes for pods: work lag from Prometheus decides how many of
//! each processor there are, from none to some and back.

use crate::processes::Processes;
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
};
use serde_json::{Value, json};
use services::{Own, Service};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::{Duration, Instant},
};

/// How often the scaler asks, and how long nothing waits before it goes to zero.
const POLLING: Duration = Duration::from_secs(1);
const COOLDOWN: Duration = Duration::from_secs(6);
/// Events that wait, for each process.
const THRESHOLD: f64 = 4.0;
const MOST: usize = 2;
const PATIENCE: Duration = Duration::from_secs(400);
const WAIT: Duration = Duration::from_secs(30);

/// A Deployment and its ScaledObject.
struct Scaled {
    processor: &'static str,
    /// Numbers of the processes that run.
    running: Vec<usize>,
    started: usize,
    most: usize,
    /// Since when nothing waits.
    idle: Option<Instant>,
}

impl Scaled {
    fn new(processor: &'static str) -> Self {
        Self { processor, running: Vec::new(), started: 0, most: 0, idle: None }
    }

    /// One look of the scaler: more while work waits, none once it has not for a while.
    fn scale(&mut self, lag: f64, mill: &mut Processes) {
        let wanted = if lag > 0.0 {
            self.idle = None;
            ((lag / THRESHOLD).ceil() as usize).clamp(1, MOST).max(self.running.len())
        } else if self.idle.get_or_insert_with(Instant::now).elapsed() >= COOLDOWN {
            0
        } else {
            self.running.len()
        };
        while self.running.len() < wanted {
            let number = (0..).find(|number| !self.running.contains(number)).unwrap();
            let (name, instance) = (self.process(number), number.to_string());
            let only = ["run", "--only", self.processor, "--instance", &instance];
            mill.start(&name, &[&only[..], &["--clip-seconds", "1", "--port", "0"]].concat());
            self.running.push(number);
            self.started += 1;
        }
        for number in self.running.drain(wanted..) {
            mill.end(&format!("{}-{number}", self.processor));
        }
        self.most = self.most.max(self.running.len());
    }

    fn process(&self, number: usize) -> String {
        format!("{}-{number}", self.processor)
    }
}

/// The trigger's query, put to Prometheus; none until `watch` was scraped.
fn lag(prometheus: &str, processor: &str) -> Option<f64> {
    let query = format!("max(reelmill_work_lag{{processor=\"{processor}\"}})");
    let answer = crate::get(&format!("{prometheus}/api/v1/query"), &[("query", &query)]);
    let answer: Value = serde_json::from_str(&answer).unwrap();
    answer["data"]["result"][0]["value"][1].as_str()?.parse().ok()
}

/// What KEDA's scaler for Kafka would look at: from what a group has committed to the topics' ends.
fn committed_lag(bootstrap: &str) -> BTreeMap<&'static str, i64> {
    let mut lags = BTreeMap::new();
    for spec in reelmill::pipeline::shape().specs() {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", bootstrap).set("group.id", spec.name);
        let consumer: BaseConsumer = client.create().unwrap();
        for topic in &spec.reads {
            let metadata = consumer.fetch_metadata(Some(topic), WAIT).unwrap();
            let mut asked = TopicPartitionList::new();
            for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
                asked.add_partition(topic, partition.id());
            }
            let committed = consumer.committed_offsets(asked, WAIT).unwrap();
            for element in committed.elements() {
                let (low, high) =
                    consumer.fetch_watermarks(topic, element.partition(), WAIT).unwrap();
                let at = match element.offset() {
                    Offset::Offset(at) => at,
                    _ => low,
                };
                *lags.entry(spec.name).or_insert(0) += high - at;
            }
        }
    }
    lags
}

/// The events of a topic by their ids: each is there once.
async fn ids(own: &Own, topic: &str) -> BTreeSet<String> {
    let kafka =
        reelmill::connections::kafka(&reelmill::cli::KafkaArgs::plaintext(&own.kafka()), "outside")
            .unwrap();
    let records = kafka.read_all(topic).await.unwrap();
    let ids: BTreeSet<_> =
        records.iter().map(|record| record.headers.text("ce_id").unwrap().to_owned()).collect();
    assert_eq!(ids.len(), records.len(), "an event is on {topic} twice");
    ids
}

#[test]
fn processes_come_with_the_work_and_go_with_it_and_nothing_is_lost_or_done_twice() {
    let wanted = [
        Service::Kafka,
        Service::Registry,
        Service::S3,
        Service::Postgres,
        Service::OpenSearch,
        Service::Prometheus,
    ];
    let Some(own) = Own::start(&wanted) else { return };
    let mut mill = Processes::new(own.variables());
    mill.client(&["topics", "create"]);
    mill.start("vision", &["vision", "--port", "0"]);
    mill.learn("REELMILL_REKOGNITION");
    mill.start("serve", &["serve", "--port", "0"]);
    mill.learn("REELMILL_URL");
    mill.start("watch", &["watch", "--port", "0"]);
    mill.learn("REELMILL_WATCH");
    let watch = mill.variables["REELMILL_WATCH"].trim_start_matches("http://").to_owned();
    let targets = json!([{ "targets": [watch] }]).to_string();
    std::fs::write(own.folder().join("prometheus/targets.json"), targets).unwrap();
    let prometheus = own.variable("REELMILL_PROMETHEUS");

    // Nothing runs, and nothing waits.
    let shape = reelmill::pipeline::shape();
    let mut fleet: Vec<_> = shape.specs().map(|spec| Scaled::new(spec.name)).collect();
    let started = Instant::now();
    while fleet.iter().any(|scaled| lag(&prometheus, scaled.processor) != Some(0.0)) {
        assert!(started.elapsed() < PATIENCE, "no work lag of all processors\n{}", mill.logs());
        std::thread::sleep(POLLING);
    }

    let footage = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/footage");
    let films = ["head-pose-two.mp4", "signing-again.mkv"].map(|film| footage.join(film));
    let films = films.each_ref().map(|film| film.to_str().unwrap());
    for round in ["one", "two", "three"] {
        mill.client(&["upload", "--assessment", round, films[0], films[1]]);
    }
    let started = Instant::now();
    let mut least_committed = i64::MAX;
    let mut line = Vec::new();
    loop {
        let lags: Vec<_> =
            fleet.iter().map(|scaled| lag(&prometheus, scaled.processor).unwrap()).collect();
        for (scaled, lag) in fleet.iter_mut().zip(&lags) {
            scaled.scale(*lag, &mut mill);
        }
        let running: usize = fleet.iter().map(|scaled| scaled.running.len()).sum();
        line.push((started.elapsed().as_secs(), lags.iter().sum::<f64>(), running));
        let has_worked = fleet.iter().all(|scaled| scaled.started > 0);
        if has_worked && running == 0 {
            break;
        }
        assert!(started.elapsed() < PATIENCE, "{line:?}\n{}", mill.logs());
        least_committed = least_committed.min(committed_lag(&own.kafka()).values().sum());
        std::thread::sleep(POLLING);
    }
    println!("seconds, events that wait, processes: {line:?}");
    let committed = committed_lag(&own.kafka());
    println!("committed-offset lag in the end: {committed:?}, at least {least_committed}");
    assert!(fleet.iter().any(|scaled| scaled.most == MOST), "nothing was scaled beyond one");
    // Who scales on this keeps a process of each for ever, but of `cut`, whose topic no transaction
    // writes.
    for (processor, lag) in &committed {
        assert!(*lag > 0 || *processor == "cut", "{processor}: {committed:?}");
    }
    assert!(least_committed > 0, "{least_committed}");

    let videos = mill.json(&["status", "--json"])["videos"].as_array().unwrap().clone();
    assert_eq!(videos.len(), 6, "{videos:#?}");
    assert!(videos.iter().all(|video| video["state"] == "ready"), "{videos:#?}");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let count = |topic: &str| runtime.block_on(ids(&own, topic)).len();
    let clips = count("clips-ready");
    assert!(clips >= 12, "{clips} clips");
    for topic in ["faces-detected", "labels-detected", "clips-blurred"] {
        assert_eq!(count(topic), clips, "{topic}");
    }
    for topic in ["recording-stitched", "recording-ready"] {
        assert_eq!(count(topic), 6, "{topic}");
    }
    for scaled in &fleet {
        assert_eq!(count(&format!("reelmill.dead.{}", scaled.processor)), 0);
    }
    mill.stop();
}
