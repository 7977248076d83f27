//! The same map as a processor, in reelmill's own runner.

use crate::{Failure, at_the_end, map};
use apache_avro::Schema;
use connectors::{
    kafka::{Kafka, KafkaConfig},
    registry::{ConfluentRegistry, embedded::EmbeddedRegistry},
};
use engine::{
    CancellationToken, Connector, Context, Effect, Events, Input, Metrics, Outcome, Output,
    Pipeline, Policy, Processor, Refusal, Runner, SystemClock, Trouble, memory::MemoryStore,
};
use ports::{Committed, Headers, Log, Polled, Position, Record, Settled};
use schemas::{AvroValue, Event, LabelsDetected, Malformed, Reader, Writer};
use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

/// The topics, which only the command line knows.
static TOPICS: OnceLock<(String, &'static str)> = OnceLock::new();

#[derive(Debug, Clone, PartialEq)]
struct Seen(LabelsDetected);

impl Events for Seen {
    fn topics() -> Vec<String> {
        vec![TOPICS.get().map(|(input, _)| input.clone()).unwrap_or_default()]
    }

    fn read(_: &Record, value: Result<AvroValue, Malformed>) -> Result<Self, Malformed> {
        LabelsDetected::from_value(value?).map(Self)
    }

    fn read_directly(_: &Record, reader: &Reader, datum: &[u8]) -> Option<Self> {
        reader.event(datum).map(Self)
    }
}

#[derive(Debug)]
struct Counted(LabelsDetected);

impl Output for Counted {
    const TOPIC: Option<&'static str> = Some("events-out-runner");
    const SCHEMA: &'static str = map::SCHEMA;

    /// As the input's: the number of the event.
    fn key(&self) -> String {
        (self.0.labels - 1).to_string()
    }

    fn to_value(&self) -> Result<AvroValue, Malformed> {
        Event::to_value(&self.0)
    }

    fn write_directly(&self, writer: &Writer) -> Option<Vec<u8>> {
        writer.event(&self.0)
    }
}

/// Asks the world for next to nothing.
#[derive(Debug)]
struct Count(i32);

impl Effect for Count {
    type Answer = i32;
}

struct World;

impl Connector<Count> for World {
    async fn perform(&self, count: &Count) -> Result<i32, Trouble> {
        Ok(count.0.wrapping_add(1))
    }
}

struct CountUp;

impl Processor for CountUp {
    const NAME: &'static str = "events-out-runner";
    type In = Seen;
    type Out = Counted;
    type Effect = Count;

    fn plan(&self, seen: &Input<Seen>) -> Result<Count, Refusal> {
        Ok(Count(seen.0.labels))
    }

    fn conclude(&self, seen: Input<Seen>, labels: i32) -> Result<Outcome<Counted>, Refusal> {
        Ok(Outcome::event(Counted(LabelsDetected { labels, ..seen.event.0 })))
    }
}

/// The context, and the registry that must outlive it.
async fn context() -> Result<(Context, EmbeddedRegistry, tempfile::TempDir), Failure> {
    let folder = tempfile::tempdir()?;
    let served = EmbeddedRegistry::start(folder.path(), 0).await?;
    let registry = ConfluentRegistry::new(&served.url())?;
    registry.register_all(&[("events-out-runner-value", map::SCHEMA)]).await?;
    let context = Context {
        registry: Arc::new(registry),
        store: Arc::new(MemoryStore::default()),
        bucket: "reelmill".to_owned(),
        clock: Arc::new(SystemClock),
        policy: Policy::default(),
        metrics: Metrics::new()?,
        traces: None,
        shutdown: CancellationToken::new(),
        concurrency: 2,
    };
    Ok((context, served, folder))
}

/// On Kafka, until the standard input closes.
#[tokio::main]
pub(crate) async fn run(kafka: &str, input: &str, output: &str) -> Result<(), Failure> {
    if output != CountUp::NAME {
        return Err(format!("the runner writes to {}", CountUp::NAME).into());
    }
    TOPICS.get_or_init(|| (input.to_owned(), CountUp::NAME));
    let (context, _served, _folder) = context().await?;
    let shutdown = context.shutdown.clone();
    at_the_end(move || shutdown.cancel());
    let kafka = Kafka::new(KafkaConfig {
        bootstrap: kafka.to_owned(),
        instance: "bench".to_owned(),
        ..KafkaConfig::default()
    });
    let pipeline = Pipeline::new().stage(CountUp, World);
    Ok(pipeline.run(Arc::new(kafka), context).await?)
}

/// In process: decode, plan, answer, conclude, encode, and a log that takes everything.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn codec(records: u32) -> Result<(), Failure> {
    let (context, _served, _folder) = context().await?;
    let schema = Schema::parse_str(map::SCHEMA)?;
    let mut waiting = Vec::new();
    for number in 0..records {
        let partition = i32::try_from(number % 4)?;
        let position = Position { topic: "in".into(), partition, offset: (number / 4).into() };
        waiting.push(Record {
            topic: "in".into(),
            key: Some(number.to_string().into()),
            value: Some(map::encode(&schema, number)?.into()),
            headers: Headers(
                map::headers(number).map(|(name, value)| (name.into(), value.into())).into(),
            ),
            timestamp_ms: Some(1_700_000_000_000),
            position: Some(position),
        });
    }
    waiting.reverse();
    let shutdown = context.shutdown.clone();
    let log = Bench { waiting, left: records as usize, shutdown };
    let began = Instant::now();
    Runner::new(CountUp, World, log, context).run().await?;
    let took = began.elapsed();
    println!("{:.0}", f64::from(records) / took.as_secs_f64());
    Ok(())
}

/// A log that gives all it has and takes all it is given.
struct Bench {
    /// The last is the next.
    waiting: Vec<Record>,
    left: usize,
    shutdown: CancellationToken,
}

impl Log for Bench {
    async fn poll(&mut self, want: usize) -> Result<Polled, Trouble> {
        if self.waiting.is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
            return Ok(Polled::Idle);
        }
        let records = self.waiting.split_off(self.waiting.len().saturating_sub(want));
        Ok(Polled::Records { epoch: 1, records: records.into_iter().rev().collect() })
    }

    fn hold(&mut self, held: Vec<(String, i32)>) {
        // All lanes are given alike; it is enough to give less.
        drop(held);
    }

    async fn commit(&mut self, _: u64, settled: Vec<Settled>) -> Result<Committed, Trouble> {
        self.left -= settled.len();
        if self.left == 0 {
            self.shutdown.cancel();
        }
        Ok(Committed::Yes)
    }

    async fn close(self) {}
}
