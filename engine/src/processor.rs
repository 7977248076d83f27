//! What a processor is: two pure halves around one effect.

use bytes::Bytes;
use ports::{ObjectRef, Record, Refusal, Trouble};
use schemas::{AvroValue, Event, Malformed, Reader, Writer};
use std::{fmt::Debug, future::Future, ops::Deref, time::Duration};

/// A small, stateless step of the mill.
///
/// Neither half can reach the network, a clock or another event, and neither can fail
/// transiently: their only error is [`Refusal`].
pub trait Processor: Send + Sync + 'static {
    /// Consumer group, metric label, CLI name and Deployment, all at once.
    const NAME: &'static str;

    type In: Events;
    type Out: Output;
    type Effect: Effect;

    /// What must be asked of the world before this event can be answered?
    fn plan(&self, input: &Input<Self::In>) -> Result<Self::Effect, Refusal>;

    /// What does the world's answer mean?
    fn conclude(
        &self,
        input: Input<Self::In>,
        answer: <Self::Effect as Effect>::Answer,
    ) -> Result<Outcome<Self::Out>, Refusal>;

    /// For a processor that needs all parts of a run: which. Asked before the effect.
    fn gather(&self, _input: &Input<Self::In>) -> Option<Gather> {
        None
    }

    /// How long the effect may take, waiting for a free core included. What takes longer is stuck:
    /// it is abandoned and tried again, so that no event waits for ever.
    fn time_limit(&self, _input: &Input<Self::In>) -> Duration {
        Duration::from_secs(30 * 60)
    }

    /// The video whose tombstone makes this processor pass an event over.
    fn video_id(&self, _input: &Input<Self::In>) -> Option<String> {
        None
    }
}

/// An event as it arrived.
#[derive(Debug, Clone, PartialEq)]
pub struct Input<E> {
    pub event: E,
    /// The CloudEvents id; derived from the position where the producer gave none.
    pub id: String,
    /// The record's time, ms since 1970.
    pub at_ms: i64,
}

impl<E> Deref for Input<E> {
    type Target = E;
    fn deref(&self) -> &E {
        &self.event
    }
}

/// One event type or several: what a processor reads.
pub trait Events: Clone + Debug + PartialEq + Send + Sync + 'static {
    /// The topics to subscribe to.
    fn topics() -> Vec<String>;

    /// From a record and what the registry made of its value. Only the reader of dead letters
    /// looks at a record whose value could not be decoded.
    fn read(record: &Record, value: Result<AvroValue, Malformed>) -> Result<Self, Malformed>;

    /// The same without a value in between, for speed. `None` sends the event the long way, which
    /// knows what is wrong with it, if anything is.
    fn read_directly(_record: &Record, _reader: &Reader, _datum: &[u8]) -> Option<Self> {
        None
    }
}

impl<E: Event> Events for E {
    fn topics() -> Vec<String> {
        vec![E::TOPIC.to_owned()]
    }

    fn read(_: &Record, value: Result<AvroValue, Malformed>) -> Result<Self, Malformed> {
        E::from_value(value?)
    }

    fn read_directly(_: &Record, reader: &Reader, datum: &[u8]) -> Option<Self> {
        reader.event(datum)
    }
}

/// One event type or none: what a processor writes.
pub trait Output: Debug + Send + Sync + 'static {
    const TOPIC: Option<&'static str>;
    const SCHEMA: &'static str;
    fn key(&self) -> String;
    fn to_value(&self) -> Result<AvroValue, Malformed>;

    /// The bytes without a value in between, for speed. `None` sends the event the long way.
    fn write_directly(&self, _writer: &Writer) -> Option<Vec<u8>> {
        None
    }
}

impl<E: Event> Output for E {
    const TOPIC: Option<&'static str> = Some(E::TOPIC);
    const SCHEMA: &'static str = E::SCHEMA;

    fn key(&self) -> String {
        Event::key(self)
    }

    fn to_value(&self) -> Result<AvroValue, Malformed> {
        Event::to_value(self)
    }

    fn write_directly(&self, writer: &Writer) -> Option<Vec<u8>> {
        writer.event(self)
    }
}

/// The output of a sink: there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Never {}

impl Output for Never {
    const TOPIC: Option<&'static str> = None;
    const SCHEMA: &'static str = "";

    fn key(&self) -> String {
        match *self {}
    }

    fn to_value(&self) -> Result<AvroValue, Malformed> {
        match *self {}
    }
}

/// What an event came to: events to emit, and objects to store before they are emitted.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome<E> {
    pub events: Vec<E>,
    pub objects: Vec<Object>,
}

impl<E> Outcome<E> {
    /// One event and nothing to store.
    pub fn event(event: E) -> Self {
        Self { events: vec![event], objects: Vec::new() }
    }

    /// Nothing at all: a sink's outcome.
    #[must_use]
    pub fn nothing() -> Self {
        Self { events: Vec::new(), objects: Vec::new() }
    }

    /// Adds an object.
    #[must_use]
    pub fn storing(mut self, object: Object) -> Self {
        self.objects.push(object);
        self
    }
}

/// An object whose bytes the pure half decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    pub to: ObjectRef,
    pub content_type: &'static str,
    pub body: Bytes,
}

/// The parts a processor waits for, all in one run's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gather {
    pub bucket: String,
    pub video_id: String,
    pub run_id: String,
    /// Keys that must all be there.
    pub parts: Vec<String>,
}

/// A request to the outside world, as plain data. Carries references, never media.
pub trait Effect: Debug + Send + Sync + 'static {
    type Answer: Send;
}

/// Performs one kind of effect. Must be idempotent: the same effect may be asked twice.
pub trait Connector<E: Effect>: Send + Sync + 'static {
    fn perform(&self, effect: &E) -> impl Future<Output = Result<E::Answer, Trouble>> + Send;
}
