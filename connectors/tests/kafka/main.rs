//! Kafka's side of the ports, against the embedded broker.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod log;
mod pipeline;
mod redrive;
mod world;
