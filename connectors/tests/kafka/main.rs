//! Kafka's side of the ports, against the embedded broker. `apache_kafka` runs
//! the same against Apache Kafka.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod hardening;
mod log;
mod numbers;
mod pipeline;
mod proxy;
mod redrive;
mod telling;
mod torn;
mod watching;
mod world;
