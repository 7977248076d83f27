//! What became of each event, as spans of its trace. Off unless somebody wants to be told.

use crate::{
    Trouble,
    arrival::Arrival,
    judge::Verdict,
    traceparent::{TRACEPARENT, Traceparent},
};
use ports::Refusal;
use std::{any::type_name, borrow::Cow, fmt::Debug, time::SystemTime};

/// Where spans go. Told on the path of events: it must neither wait nor fail.
pub trait Traces: Debug + Send + Sync {
    fn tell(&self, span: Span);
}

/// A span, as OpenTelemetry means it.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    pub place: Traceparent,
    /// The span that led to it; none at the root of a trace.
    pub parent: Option<u64>,
    pub name: Cow<'static, str>,
    pub kind: SpanKind,
    pub began: SystemTime,
    pub ended: SystemTime,
    /// By OpenTelemetry's conventions for messaging where there is one. No keys, no values: they may
    /// say something about people.
    pub attributes: Vec<(&'static str, Value)>,
    /// Why it failed: a word.
    pub error: Option<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanKind {
    /// Begins what others go on with, elsewhere.
    Producer,
    /// Goes on with what was begun elsewhere.
    Consumer,
    /// A step of another.
    Internal,
}

/// What an attribute says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Text(Cow<'static, str>),
    Number(i64),
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

/// The span of an event under way, and those of its steps. Told of once the event's transaction is
/// committed: work that is done again is told of once.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Trace {
    span: Span,
    steps: Vec<Span>,
}

impl Trace {
    /// `None` where whoever began the trace does not want it recorded.
    pub(crate) fn begin(arrival: &Arrival, processor: &'static str) -> Option<Box<Self>> {
        let Arrival { record, origin, id, attempt, retried_at, .. } = arrival;
        let header = record.headers.0.iter().find(|(name, _)| name == TRACEPARENT);
        let cause = header.and_then(|(_, text)| Traceparent::read(text));
        if cause.is_some_and(|cause| !cause.is_sampled()) {
            return None;
        }
        // The same however often this very record is delivered, so that what is sent is the same; and
        // another for each attempt, and for another copy of the event.
        let (partition, offset) = (origin.partition, origin.offset);
        let (again_in, again_at) = retried_at.unwrap_or((-1, -1));
        let words = format!("{id}/{processor}/{partition}/{offset}/{again_in}/{again_at}");
        let place = cause.unwrap_or_else(|| Traceparent::of(id)).another(&words);
        let now = SystemTime::now();
        let attributes = vec![
            ("messaging.system", "kafka".into()),
            ("messaging.operation.type", "process".into()),
            ("messaging.operation.name", "process".into()),
            ("messaging.consumer.group.name", processor.into()),
            ("messaging.destination.name", origin.topic.clone().into()),
            ("messaging.destination.partition.id", partition.to_string().into()),
            ("messaging.kafka.offset", offset.into()),
            ("messaging.message.id", id.clone().into()),
            ("reelmill.attempt", i64::from(*attempt).into()),
        ];
        let span = Span {
            place,
            parent: cause.map(|cause| cause.span),
            name: format!("{processor} process").into(),
            kind: SpanKind::Consumer,
            began: now,
            ended: now,
            attributes,
            error: None,
        };
        Some(Box::new(Self { span, steps: Vec::new() }))
    }

    pub(crate) fn place(&self) -> Traceparent {
        self.span.place
    }

    /// The video it is about.
    pub(crate) fn about(&mut self, video: &str) {
        self.span.attributes.push(("reelmill.video_id", video.to_owned().into()));
    }

    /// The effect, with all its tries in place, has ended now.
    pub(crate) fn performed<Effect>(&mut self, began: SystemTime, trouble: Option<&Trouble>) {
        let effect = type_name::<Effect>();
        let effect = effect.rsplit("::").next().unwrap_or(effect);
        self.step(effect, began, trouble.and_then(blamed));
    }

    /// A verdict was reached now.
    pub(crate) fn judged(&mut self, verdict: Verdict) {
        let (label, reason) = verdict.labels();
        self.span.attributes.push(("reelmill.verdict", label.into()));
        if !reason.is_empty() {
            self.span.attributes.push(("reelmill.reason", reason.into()));
        }
        self.span.error = match verdict {
            Verdict::Emitted | Verdict::Skipped(_) => None,
            Verdict::Retried(reason) | Verdict::DeadLettered(reason) => Some(reason),
        };
    }

    /// The transaction, which began at `began`, is committed now.
    pub(crate) fn committed(mut self, began: SystemTime, traces: &dyn Traces) {
        self.step("commit", began, None);
        self.span.ended = SystemTime::now();
        traces.tell(self.span);
        self.steps.into_iter().for_each(|step| traces.tell(step));
    }

    fn step(&mut self, name: &'static str, began: SystemTime, error: Option<&'static str>) {
        let Traceparent { trace, span, .. } = self.span.place;
        self.steps.push(Span {
            place: self.span.place.another(&format!("{trace:x}/{span:x}/{name}")),
            parent: Some(span),
            name: name.into(),
            kind: SpanKind::Internal,
            began,
            ended: SystemTime::now(),
            attributes: Vec::new(),
            error,
        });
    }
}

/// The word for what went wrong; a skip is nobody's fault.
#[must_use]
pub fn blamed(trouble: &Trouble) -> Option<&'static str> {
    match trouble {
        Trouble::Refused(Refusal::Skip(_)) => None,
        Trouble::Refused(Refusal::Poison(poison)) => Some(poison.reason),
        Trouble::Transient { reason, .. } => Some(*reason),
        Trouble::Fatal(_) => Some("fatal"),
    }
}
