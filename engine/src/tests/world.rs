//! A small mill: words are asked for, and said.

use crate::{
    Connector, Context, Effect, Events, Fatal, Input, Metrics, Object, Outcome, Output, Pipeline,
    Policy, Processor, Refusal, Spec, TestClock, Trouble,
    memory::{MemoryBroker, MemoryRegistry, MemoryStore},
};
use bytes::Bytes;
use ports::{Headers, ObjectRef, Position, Record, SchemaRegistry};
use schemas::{AvroValue, Malformed};
use std::{fmt::Debug, future::Future, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

pub(super) const NOW: i64 = 1_700_000_000_000;
pub(super) const BUCKET: &str = "mill";
pub(super) const ASKED: &str = "words-asked";
pub(super) const SHOUTED: &str = "words-shouted";
pub(super) const SAID: &str = "words-said";
pub(super) const RETRY: &str = "reelmill.retry.say";
pub(super) const DEAD: &str = "reelmill.dead.say";

/// A word, and the topic it was asked on.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Word {
    pub(super) text: String,
    pub(super) topic: String,
}

impl Events for Word {
    fn topics() -> Vec<String> {
        vec![ASKED.to_owned(), SHOUTED.to_owned()]
    }

    fn read(record: &Record, value: Result<AvroValue, Malformed>) -> Result<Self, Malformed> {
        match value? {
            AvroValue::String(text) => Ok(Self { text, topic: record.topic.clone() }),
            other => Err(Malformed(format!("no word: {other:?}"))),
        }
    }
}

impl Output for Word {
    const TOPIC: Option<&'static str> = Some(SAID);
    const SCHEMA: &'static str = r#""string""#;

    fn key(&self) -> String {
        self.text.clone()
    }

    fn to_value(&self) -> Result<AvroValue, Malformed> {
        if self.text == "unspeakable" {
            return Err(Malformed("does not fit".to_owned()));
        }
        Ok(AvroValue::String(self.text.clone()))
    }
}

/// Says words. Some words make it behave in their own way.
#[derive(Debug)]
pub(super) struct Say;

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Speak(pub(super) String);

impl Effect for Speak {
    type Answer = String;
}

impl Processor for Say {
    const NAME: &'static str = "say";
    type In = Word;
    type Out = Word;
    type Effect = Speak;

    fn plan(&self, word: &Input<Word>) -> Result<Speak, Refusal> {
        match word.text.as_str() {
            "silence" => Err(Refusal::Skip("nothing_to_say")),
            "curse" => Err(ports::Poison::new("foul", "mind your words").into()),
            text => Ok(Speak(text.to_owned())),
        }
    }

    fn conclude(&self, word: Input<Word>, answer: String) -> Result<Outcome<Word>, Refusal> {
        assert!(answer != "gasp", "out of breath");
        match answer.as_str() {
            "gibberish" => Err(ports::Poison::new("unclear", "nobody understands").into()),
            "write" => Ok(Outcome::event(said(&answer, &word)).storing(Object {
                to: ObjectRef::new(BUCKET, format!("written/{}", word.id)),
                content_type: "text/plain",
                body: Bytes::from(answer.clone()),
            })),
            "twice" => {
                let events = vec![said("first", &word), said("second", &word)];
                Ok(Outcome { events, objects: Vec::new() })
            }
            _ => Ok(Outcome::event(said(&answer, &word))),
        }
    }

    fn video_id(&self, word: &Input<Word>) -> Option<String> {
        word.text.strip_prefix("video ").map(str::to_owned)
    }
}

fn said(text: &str, word: &Input<Word>) -> Word {
    Word { text: text.to_owned(), topic: word.topic.clone() }
}

/// Speaks as a function tells it to.
pub(super) struct Mouth<F>(pub(super) F);

impl<F, A> Connector<Speak> for Mouth<F>
where
    F: Fn(String) -> A + Send + Sync + 'static,
    A: Future<Output = Result<String, Trouble>> + Send,
{
    fn perform(&self, effect: &Speak) -> impl Future<Output = Result<String, Trouble>> + Send {
        (self.0)(effect.0.clone())
    }
}

/// Answers at once with the word itself.
pub(super) fn echo() -> impl Connector<Speak> {
    Mouth(|word| async move { Ok(word) })
}

pub(super) struct World {
    pub(super) broker: MemoryBroker,
    pub(super) registry: Arc<MemoryRegistry>,
    pub(super) store: Arc<MemoryStore>,
    pub(super) clock: Arc<TestClock>,
    pub(super) context: Context,
}

impl World {
    pub(super) fn new(partitions: i32) -> Self {
        Self::with_clock(partitions, TestClock::jumping(NOW))
    }

    pub(super) fn with_clock(partitions: i32, clock: TestClock) -> Self {
        let registry = Arc::new(MemoryRegistry::default());
        let store = Arc::new(MemoryStore::default());
        let clock = Arc::new(clock);
        let context = Context {
            registry: registry.clone(),
            store: store.clone(),
            bucket: BUCKET.to_owned(),
            clock: clock.clone(),
            policy: Policy::default(),
            metrics: Metrics::new().unwrap(),
            traces: None,
            shutdown: CancellationToken::new(),
            concurrency: 4,
        };
        Self { broker: MemoryBroker::new(partitions), registry, store, clock, context }
    }

    pub(super) async fn word(&self, topic: &str, partition: i32, text: &str) -> Record {
        let value = AvroValue::String(text.to_owned());
        let value = self.registry.encode(topic, Word::SCHEMA, value).await.unwrap();
        Record {
            topic: topic.to_owned(),
            key: Some(Bytes::from(text.to_owned())),
            value: Some(value.into()),
            headers: Headers::default(),
            timestamp_ms: Some(NOW - 60_000),
            position: Some(Position { topic: topic.to_owned(), partition, offset: 0 }),
        }
    }

    /// Asks for words on partition 0.
    pub(super) async fn ask(&self, words: &[&str]) {
        for word in words {
            self.ask_on(0, word).await;
        }
    }

    pub(super) async fn ask_on(&self, partition: i32, word: &str) {
        self.broker.publish(self.word(ASKED, partition, word).await);
    }

    pub(super) fn start(&self, mouth: impl Connector<Speak>) -> Started {
        let pipeline = Pipeline::new().stage(Say, mouth);
        let spec = pipeline.specs().next().unwrap().clone();
        let broker = self.broker.clone();
        let task = tokio::spawn(pipeline.run(Arc::new(broker), self.context.clone()));
        Started { spec, task }
    }

    /// Says all words asked for, then stops.
    pub(super) async fn run(&self, mouth: impl Connector<Speak>) -> Result<(), Fatal> {
        let started = self.start(mouth);
        eventually(|| started.task.is_finished() || self.broker.lag(&started.spec) == 0).await;
        self.stop(started).await
    }

    pub(super) async fn stop(&self, started: Started) -> Result<(), Fatal> {
        self.context.shutdown.cancel();
        tokio::time::timeout(Duration::from_secs(20), started.task).await.unwrap().unwrap()
    }

    /// The words on a topic, by partition and offset.
    pub(super) fn words(&self, topic: &str) -> Vec<String> {
        let keys = self.broker.on(topic).into_iter().map(|record| record.key.unwrap());
        keys.map(|key| String::from_utf8(key.to_vec()).unwrap()).collect()
    }

    /// How often a verdict was counted, over all reasons or for one.
    pub(super) fn counted(&self, verdict: &str, reason: Option<&str>) -> u64 {
        let verdict = format!("verdict=\"{verdict}\"");
        let reason = reason.map(|reason| format!("reason=\"{reason}\"")).unwrap_or_default();
        let text = self.context.metrics.gather();
        text.lines()
            .filter(|line| line.starts_with("reelmill_events_total{"))
            .filter(|line| line.contains(&verdict) && line.contains(&reason))
            .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
            .sum()
    }

    pub(super) fn committed(&self, partition: i32) -> i64 {
        let committed = self.broker.committed("say");
        committed.get(&(ASKED.to_owned(), partition)).copied().unwrap_or(0)
    }
}

pub(super) struct Started {
    pub(super) spec: Spec,
    pub(super) task: tokio::task::JoinHandle<Result<(), Fatal>>,
}

/// Waits, in real time, for something that should come true soon.
pub(super) async fn eventually(mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(60), waiting).await;
    assert!(in_time.is_ok(), "what was waited for did not come true");
}

/// Long enough for a runner to do what it must not do.
pub(super) async fn a_while() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}
