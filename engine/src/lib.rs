//! Runs processors against a log. The only crate that knows about retries, dead letters,
//! transactions and metrics, and it knows them once, for every processor.

mod processor;

pub use ports::{Fatal, Poison, Record, Refusal, Trouble};
pub use processor::{
    Connector, Effect, Events, Gather, Input, Never, Object, Outcome, Output, Processor,
};
