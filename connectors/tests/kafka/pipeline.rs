//! A processor on Kafka: answers, retries and dead letters.

use crate::{numbers::record, world::World};
use connectors::kafka::Kafka;
use engine::{
    Connector, Context, Effect, Events, Input, Metrics, Outcome, Output, Pipeline, Policy,
    Processor, Refusal, SystemClock, Trouble, header,
    memory::{MemoryRegistry, MemoryStore},
};
use ports::{Poison, Record, SchemaRegistry};
use schemas::{AvroValue, Malformed};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

const SCHEMA: &str = r#""long""#;

#[derive(Debug, Clone, PartialEq)]
struct Asked(i64);

impl Events for Asked {
    fn topics() -> Vec<String> {
        vec!["in".to_owned()]
    }

    fn read(_: &Record, value: Result<AvroValue, Malformed>) -> Result<Self, Malformed> {
        let AvroValue::Long(number) = value? else { return Err(Malformed("no number".into())) };
        Ok(Self(number))
    }
}

#[derive(Debug)]
struct Answered(i64);

impl Output for Answered {
    const TOPIC: Option<&'static str> = Some("out");
    const SCHEMA: &'static str = SCHEMA;

    fn key(&self) -> String {
        self.0.to_string()
    }

    fn to_value(&self) -> Result<AvroValue, Malformed> {
        Ok(AvroValue::Long(self.0))
    }
}

#[derive(Debug)]
pub(crate) struct Double(pub(crate) i64);

impl Effect for Double {
    type Answer = i64;
}

/// Doubles numbers; negative ones are poison, and 13 is not there at first.
struct Copy;

impl Processor for Copy {
    const NAME: &'static str = "copy";
    type In = Asked;
    type Out = Answered;
    type Effect = Double;

    fn plan(&self, asked: &Input<Asked>) -> Result<Double, Refusal> {
        match asked.event.0 {
            n if n < 0 => Err(Poison::new("negative", "count from zero").into()),
            n => Ok(Double(n)),
        }
    }

    fn conclude(&self, _: Input<Asked>, answer: i64) -> Result<Outcome<Answered>, Refusal> {
        Ok(Outcome::event(Answered(answer)))
    }
}

#[derive(Clone, Default)]
struct Doubler(Arc<AtomicU32>);

impl Connector<Double> for Doubler {
    async fn perform(&self, double: &Double) -> Result<i64, Trouble> {
        if double.0 == 13 && self.0.fetch_add(1, Ordering::SeqCst) == 0 {
            return Err(Trouble::transient("unlucky", "try again"));
        }
        Ok(2 * double.0)
    }
}

pub(crate) struct Running {
    pub(crate) context: Context,
    pub(crate) task: tokio::task::JoinHandle<Result<(), engine::Fatal>>,
}

fn run(kafka: Kafka, registry: Arc<MemoryRegistry>) -> Running {
    run_with(kafka, registry, Doubler::default())
}

pub(crate) fn run_with(
    kafka: Kafka,
    registry: Arc<MemoryRegistry>,
    connector: impl Connector<Double>,
) -> Running {
    let policy = Policy { tries: 1, first_delay: Duration::from_millis(300), ..Policy::default() };
    let context = Context {
        registry,
        store: Arc::new(MemoryStore::default()),
        bucket: "mill".to_owned(),
        clock: Arc::new(SystemClock),
        policy,
        metrics: Metrics::new().unwrap(),
        traces: None,
        shutdown: engine::CancellationToken::new(),
        concurrency: 4,
    };
    let pipeline = Pipeline::new().stage(Copy, connector);
    Running { task: tokio::spawn(pipeline.run(Arc::new(kafka), context.clone())), context }
}

pub(crate) async fn asked(registry: &MemoryRegistry, number: i64) -> Record {
    let value = registry.encode("in", SCHEMA, AvroValue::Long(number)).await.unwrap();
    Record { value: Some(value.into()), ..record("in", 0) }
}

/// Reads a topic until it has so many records.
pub(crate) async fn wait_for(kafka: &Kafka, topic: &str, records: usize) -> Vec<Record> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let read = kafka.read_all(topic).await.unwrap();
        if read.len() >= records {
            return read;
        }
        assert!(Instant::now() < deadline, "{} of {records} records on {topic}", read.len());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub(crate) async fn answers(registry: &MemoryRegistry, records: &[Record]) -> Vec<i64> {
    let mut answers = Vec::new();
    for record in records {
        let value = registry.decode(record.value.as_ref().unwrap()).await.unwrap();
        if let AvroValue::Long(answer) = value {
            answers.push(answer);
        }
    }
    answers.sort_unstable();
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_retries_and_dead_letters_travel_through_kafka() {
    let Some(world) = World::new().await else { return };
    let kafka = world.kafka("a");
    let registry = Arc::new(MemoryRegistry::default());
    for number in [1, 13, -1, 2] {
        kafka.produce(asked(&registry, number).await).await.unwrap();
    }
    let running = run(kafka.clone(), registry.clone());
    let out = wait_for(&kafka, "out", 3).await;
    assert_eq!(answers(&registry, &out).await, [2, 4, 26]);
    let retries = wait_for(&kafka, "reelmill.retry.copy", 1).await;
    let text = |name| retries[0].headers.text(name);
    assert_eq!((text(header::REASON), text(header::ORIGIN_TOPIC)), (Some("unlucky"), Some("in")));
    let dead = wait_for(&kafka, "reelmill.dead.copy", 1).await;
    assert_eq!(dead[0].headers.text(header::DEAD_REASON), Some("negative"));
    assert_eq!(dead[0].headers.text("ce_id"), Some("id 0"));

    running.context.shutdown.cancel();
    let stopping = Instant::now();
    running.task.await.unwrap().unwrap();
    assert!(stopping.elapsed() < Duration::from_secs(10), "{:?}", stopping.elapsed());
    let text = running.context.metrics.gather();
    for (verdict, times) in [("emitted", 3), ("retried", 1), ("dead_lettered", 1)] {
        let counted = text.lines().find(|line| line.contains(&format!("verdict=\"{verdict}\"")));
        assert!(counted.is_some_and(|line| line.ends_with(&format!(" {times}"))), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_event_at_a_time_is_answered_within_a_moment() {
    let Some(world) = World::new().await else { return };
    let kafka = world.kafka("a");
    let registry = Arc::new(MemoryRegistry::default());
    let running = run(kafka.clone(), registry.clone());
    kafka.produce(asked(&registry, 0).await).await.unwrap();
    wait_for(&kafka, "out", 1).await;
    // Seen from the metrics: from an event's arrival to its commit. A loop that waited for more
    // events before it commits would never come to the last; how quick it is beyond that, benches tell.
    for number in 1..=30 {
        kafka.produce(asked(&registry, number).await).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    wait_for(&kafka, "out", 31).await;
    running.context.shutdown.cancel();
    running.task.await.unwrap().unwrap();
    let text = running.context.metrics.gather();
    let quick = text
        .lines()
        .find_map(|line| {
            line.strip_prefix(r#"reelmill_event_seconds_bucket{processor="copy",le="2"} "#)
        })
        .map(|count| count.parse::<u32>().unwrap());
    assert!(quick.is_some_and(|quick| quick >= 25), "{text}");
}
