//! Runs processors against a log. The only crate that knows about retries, dead letters,
//! transactions and metrics, and it knows them once, for every processor.
//!
//! [`Pipeline`] lists processors; [`Runner`] drives one of them; a judge (one task an event) lives
//! an event's life up to its [`Verdict`]; lanes keep what is in hand per partition.

mod arrival;
mod clock;
mod context;
mod envelope;
mod fuse;
mod gather;
mod judge;
mod lanes;
mod letters;
pub mod memory;
mod metrics;
mod pipeline;
mod processor;
mod retry;
mod runner;
mod swept;
#[cfg(test)]
mod tests;
mod traceparent;
mod traces;
mod work;

pub use clock::{Clock, SystemClock, TestClock};
pub use context::Context;
pub use judge::Verdict;
pub use letters::{Redrive, dead_topic, header, redrive, redriven, retry_topic};
pub use metrics::{
    Client, ClientFigures, ClientMeter, FrameKind, JobEnd, Look, Metrics, PoolWait, Quota, Reply,
    Service,
};
pub use pipeline::{LogOpener, Pipeline, Running, Spec, UnknownProcessor};
pub use ports::{Fatal, Poison, Record, Refusal, Trouble};
pub use processor::{
    Connector, Effect, Events, Gather, Input, Never, Object, Outcome, Output, Processor,
};
pub use retry::Policy;
pub use runner::Runner;
pub use swept::{WAITING_FOR_STRAGGLERS, WorkingObjects};
pub use tokio_util::sync::CancellationToken;
pub use traceparent::{TRACEPARENT, Traceparent};
pub use traces::{Span, SpanKind, Traces, Value, blamed};
