//! The rules, one sentence each, against the log in memory.

mod failures;
mod gathering;
mod pipeline;
mod running;
mod stopping;
mod strides;
mod traces;
mod world;
