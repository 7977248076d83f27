//! The life of an event, from its bytes to its verdict.

use crate::{
    Connector, Context, Effect, Events, Fatal, Input, Object, Outcome, Output, Poison, Processor,
    Record, Refusal, Trouble,
    arrival::Arrival,
    envelope::{Envelope, Letterhead},
    fuse::Sign,
    gather, letters,
    metrics::{ANSWERED, Meter},
    retry::{Next, Why, insist},
    traceparent::Traceparent,
    traces::Trace,
};
use futures::FutureExt;
use ports::{ObjectRef, Put};
use schemas::{AvroValue, Malformed, ids, keys};
use std::{
    any::Any,
    panic::AssertUnwindSafe,
    time::{Duration, Instant, SystemTime},
};
use tokio::select;

/// How an event ended. Every event ends in one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Emitted,
    Skipped(&'static str),
    Retried(&'static str),
    DeadLettered(&'static str),
}

impl Verdict {
    /// The verdict's and the reason's metric labels.
    pub(crate) fn labels(self) -> (&'static str, &'static str) {
        match self {
            Self::Emitted => ("emitted", ""),
            Self::Skipped(reason) => ("skipped", reason),
            Self::Retried(reason) => ("retried", reason),
            Self::DeadLettered(reason) => ("dead_lettered", reason),
        }
    }
}

/// A verdict and all the log must write with it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Judged {
    /// None where a record only waits on: it was not judged yet.
    pub(crate) verdict: Option<Verdict>,
    pub(crate) outputs: Vec<Record>,
    pub(crate) sign: Sign,
    /// Where spans are told of. Boxed, so that where they are not this is one word.
    pub(crate) trace: Option<Box<Trace>>,
}

impl Judged {
    fn new(verdict: Verdict, outputs: Vec<Record>, sign: Sign) -> Self {
        Self { verdict: Some(verdict), outputs, sign, trace: None }
    }

    /// Puts an event whose time has not come back to the end of the retry topic.
    pub(crate) fn postponed(arrival: Arrival, processor: &str) -> Self {
        let outputs = vec![letters::postponed(arrival, processor)];
        Self { verdict: None, outputs, sign: Sign::None, trace: None }
    }
}

/// Where in an event's life something went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Read,
    Plan,
    Gather,
    Perform,
    Conclude,
    Store,
    Emit,
}

impl Step {
    fn label(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Plan => "plan",
            Self::Gather => "gather",
            Self::Perform => "perform",
            Self::Conclude => "conclude",
            Self::Store => "store",
            Self::Emit => "emit",
        }
    }
}

/// What ended an event's life early.
#[derive(Debug)]
enum End {
    Trouble(Step, Trouble),
    /// A panic, or an event of ours that does not fit its own schema.
    Bug(Step, Poison),
}

/// Names the step a failure happened in.
trait During<T> {
    fn during(self, step: Step) -> Result<T, End>;
}

impl<T, E: Into<Trouble>> During<T> for Result<T, E> {
    fn during(self, step: Step) -> Result<T, End> {
        self.map_err(|trouble| End::Trouble(step, trouble.into()))
    }
}

/// Judges events one by one; shared by all tasks of a processor.
#[derive(Debug)]
pub(crate) struct Judge<P, C> {
    pub(crate) processor: P,
    pub(crate) connector: C,
    pub(crate) context: Context,
    pub(crate) meter: Meter,
    letterhead: Letterhead,
}

impl<P: Processor, C: Connector<P::Effect>> Judge<P, C> {
    pub(crate) fn new(processor: P, connector: C, context: Context) -> Self {
        let meter = context.metrics.of(P::NAME);
        let letterhead = Letterhead::new(P::NAME, P::Out::TOPIC.unwrap_or_default());
        Self { processor, connector, context, meter, letterhead }
    }

    /// Lives the event's life to its verdict. Only what is our fault has none.
    pub(crate) async fn judge(&self, arrival: &Arrival) -> Result<Judged, Fatal> {
        let traces = self.context.traces.as_ref();
        let mut trace = traces.and_then(|_| Trace::begin(arrival, P::NAME));
        let life = AssertUnwindSafe(self.live(arrival, &mut trace)).catch_unwind().await;
        let life = life.unwrap_or_else(|panic| Err(bug(panic.as_ref())));
        let mut judged = self.verdict(arrival, life, place(&trace))?;
        if let (Some(trace), Some(verdict)) = (&mut trace, judged.verdict) {
            trace.judged(verdict);
        }
        judged.trace = trace;
        Ok(judged)
    }

    fn verdict(
        &self,
        arrival: &Arrival,
        life: Result<Vec<Record>, End>,
        span: Option<Traceparent>,
    ) -> Result<Judged, Fatal> {
        let (step, trouble) = match life {
            Ok(outputs) => {
                return Ok(Judged::new(Verdict::Emitted, outputs, Sign::Good));
            }
            Err(End::Bug(step, poison)) => {
                tracing::error!(processor = P::NAME, %poison, "a bug of ours: please report it");
                return Ok(self.dead(arrival, span, step, &poison, Sign::Bad));
            }
            Err(End::Trouble(step, trouble)) => (step, trouble),
        };
        match trouble {
            Trouble::Refused(Refusal::Skip(reason)) => {
                Ok(Judged::new(Verdict::Skipped(reason), Vec::new(), Sign::Good))
            }
            Trouble::Refused(Refusal::Poison(poison)) => {
                Ok(self.dead(arrival, span, step, &poison, Sign::None))
            }
            Trouble::Fatal(fatal) => Err(fatal),
            Trouble::Transient { reason, detail, after, counted } => {
                let now = self.context.clock.now_ms();
                let (attempt, since) = (arrival.attempt, arrival.since_ms);
                let policy = &self.context.policy;
                let next = match counted {
                    true => policy.next(attempt, since, now, after),
                    false => policy.wait_on(attempt, since, now, after),
                };
                match next {
                    Next::Again { attempt: again, not_before_ms } => {
                        tracing::warn!(
                            processor = P::NAME,
                            event = arrival.id,
                            trace_id = span.map(Traceparent::trace_id),
                            attempt,
                            reason,
                            detail,
                            "failed for now, will be tried again from the retry topic"
                        );
                        let retry = letters::retry(arrival, P::NAME, again, reason, not_before_ms);
                        Ok(Judged::new(Verdict::Retried(reason), vec![retry], Sign::None))
                    }
                    Next::GiveUp(why) => {
                        let why = match why {
                            Why::Attempts => "",
                            Why::Deadline => ", the next one would be past the deadline",
                        };
                        let detail = format!("gave up after {attempt} attempts{why}: {detail}");
                        Ok(self.dead(arrival, span, step, &Poison { reason, detail }, Sign::Bad))
                    }
                }
            }
        }
    }

    fn dead(
        &self,
        arrival: &Arrival,
        span: Option<Traceparent>,
        step: Step,
        poison: &Poison,
        sign: Sign,
    ) -> Judged {
        let trace_id = span.map(Traceparent::trace_id);
        tracing::warn!(
            processor = P::NAME, event = arrival.id, trace_id, stage = step.label(), %poison,
            "dead-lettered: correct the cause, then redrive it"
        );
        let letter = letters::dead(arrival, P::NAME, step.label(), poison);
        Judged::new(Verdict::DeadLettered(poison.reason), vec![letter], sign)
    }

    /// The whole life of an event: what it gives rise to, ready to be sent.
    async fn live(
        &self,
        arrival: &Arrival,
        trace: &mut Option<Box<Trace>>,
    ) -> Result<Vec<Record>, End> {
        let input = self.read(arrival).await?;
        if let Some(video) = self.processor.video_id(&input) {
            if let Some(trace) = trace {
                trace.about(&video);
            }
            self.pass_over_if_deleted(&video).await?;
        }
        let effect = self.processor.plan(&input).during(Step::Plan)?;
        let gather = self.processor.gather(&input);
        if let Some(gather) = &gather {
            let store = &*self.context.store;
            let claim = || gather::claim(store, gather, P::NAME, &input.id);
            self.insist(claim).await.during(Step::Gather)?;
        }
        let limit = self.processor.time_limit(&input);
        let began = trace.as_ref().map(|_| SystemTime::now());
        let answer = self.insist(|| self.perform(&effect, limit)).await;
        if let (Some(trace), Some(began)) = (trace.as_mut(), began) {
            trace.performed::<P::Effect>(began, answer.as_ref().err());
        }
        let answer = answer.during(Step::Perform)?;
        let outcome = self.processor.conclude(input, answer).during(Step::Conclude)?;
        let Outcome { events, objects } = outcome;
        for object in &objects {
            self.insist(|| self.store(object)).await.during(Step::Store)?;
        }
        let id = gather.map(|g| ids::gathered(&g.video_id, &g.run_id, P::NAME));
        let mut outputs = Vec::with_capacity(events.len());
        for (index, event) in events.iter().enumerate() {
            let id = match &id {
                Some(id) if index == 0 => id.clone(),
                Some(id) => ids::output(id, P::NAME, index),
                None => ids::output(&arrival.id, P::NAME, index),
            };
            outputs.push(self.envelop(arrival, place(trace), id, event).await?);
        }
        Ok(outputs)
    }

    async fn read(&self, arrival: &Arrival) -> Result<Input<P::In>, End> {
        let record = &arrival.record;
        if let Some(event) = self.read_directly(record) {
            return Ok(Input { event, id: arrival.id.clone(), at_ms: arrival.at_ms });
        }
        let (value, refusal) = match &record.value {
            None => (Err(Malformed("the record has no value".to_owned())), None),
            Some(bytes) => match self.insist(|| self.context.registry.decode(bytes)).await {
                Ok(value) => (Ok(value), None),
                Err(Trouble::Refused(refusal)) => {
                    (Err(Malformed(refusal.to_string())), Some(refusal))
                }
                Err(trouble) => return Err(End::Trouble(Step::Read, trouble)),
            },
        };
        match P::In::read(record, value) {
            Ok(event) => Ok(Input { event, id: arrival.id.clone(), at_ms: arrival.at_ms }),
            // The registry knows better than the reader what is wrong with the bytes.
            Err(malformed) => Err(refusal.unwrap_or_else(|| malformed.into())).during(Step::Read),
        }
    }

    /// Where the schema is at hand, and the event is one of it.
    fn read_directly(&self, record: &Record) -> Option<P::In> {
        let (reader, datum) = self.context.registry.reader(record.value.as_ref()?)?;
        P::In::read_directly(record, &reader, datum)
    }

    async fn pass_over_if_deleted(&self, video: &str) -> Result<(), End> {
        let tombstone = ObjectRef::new(&self.context.bucket, keys::tombstone(video));
        let head = self.insist(|| self.context.store.head(&tombstone)).await;
        match head.during(Step::Read)? {
            Some(_) => Err(Refusal::Skip("deleted")).during(Step::Read),
            None => Ok(()),
        }
    }

    async fn perform(
        &self,
        effect: &P::Effect,
        limit: Duration,
    ) -> Result<<P::Effect as Effect>::Answer, Trouble> {
        let started = Instant::now();
        let under_way = self.meter.begun();
        let answer = select! {
            biased;
            answer = self.connector.perform(effect) => answer,
            () = self.context.clock.limit(limit) => {
                let detail = format!("no answer within {} s, so it was abandoned", limit.as_secs());
                Err(Trouble::transient("timed_out", detail))
            }
        };
        drop(under_way);
        let outcome = match &answer {
            Ok(_) => ANSWERED,
            Err(Trouble::Refused(_)) => "refused",
            Err(Trouble::Transient { .. }) => "transient",
            Err(Trouble::Fatal(_)) => "fatal",
        };
        self.meter.performed(outcome, started.elapsed());
        answer
    }

    async fn store(&self, object: &Object) -> Result<(), Trouble> {
        let put = Put { content_type: Some(object.content_type.to_owned()), ..Put::default() };
        self.context.store.write(&object.to, object.body.clone(), put).await.map(|_| ())
    }

    async fn envelop(
        &self,
        arrival: &Arrival,
        span: Option<Traceparent>,
        id: String,
        event: &P::Out,
    ) -> Result<Record, End> {
        let Some(topic) = P::Out::TOPIC else {
            let detail = format!("{} emits events but has no topic to send them to", P::NAME);
            return Err(Trouble::fatal(detail)).during(Step::Emit);
        };
        let writer = self.context.registry.writer(topic);
        let value = match writer.and_then(|writer| event.write_directly(&writer)) {
            Some(value) => value,
            None => {
                let value = event.to_value().map_err(|malformed| {
                    End::Bug(Step::Emit, Poison::new("malformed_output", malformed.to_string()))
                })?;
                self.encode(topic, value).await.during(Step::Emit)?
            }
        };
        let envelope = Envelope {
            id,
            letterhead: &self.letterhead,
            topic,
            cause: &arrival.record.headers,
            cause_id: &arrival.id,
            span,
            now_ms: self.context.clock.now_ms(),
        };
        Ok(envelope.seal(event.key(), value))
    }

    async fn encode(&self, topic: &str, value: AvroValue) -> Result<Vec<u8>, Trouble> {
        let registry = &self.context.registry;
        self.insist(|| registry.encode(topic, P::Out::SCHEMA, value.clone())).await
    }

    async fn insist<T, F>(&self, step: impl Fn() -> F + Send + Sync) -> Result<T, Trouble>
    where
        F: Future<Output = Result<T, Trouble>> + Send,
    {
        insist(&*self.context.clock, &self.context.policy, step).await
    }
}

fn place(trace: &Option<Box<Trace>>) -> Option<Traceparent> {
    trace.as_ref().map(|trace| trace.place())
}

/// A panic is a bug, of the pure halves or of a connector. One event must not stop the others;
/// many in a row blow the fuse.
fn bug(panic: &(dyn Any + Send)) -> End {
    let said = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    let said = said.or_else(|| panic.downcast_ref::<String>().cloned());
    let detail = said.unwrap_or_else(|| "panicked without a message".to_owned());
    End::Bug(Step::Perform, Poison { reason: "panicked", detail })
}
