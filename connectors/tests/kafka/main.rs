//! Kafka's side of the ports, against the embedded broker.

mod log;
mod pipeline;
mod world;
