//! Kafka's side of the ports, against Apache Kafka: the tests of `kafka`, word for word.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "../kafka/hardening.rs"]
mod hardening;
#[path = "../kafka/log.rs"]
mod log;
#[path = "../kafka/numbers.rs"]
mod numbers;
#[path = "../kafka/pipeline.rs"]
mod pipeline;
#[path = "../kafka/proxy.rs"]
mod proxy;
#[path = "../kafka/redrive.rs"]
mod redrive;
#[path = "../kafka/telling.rs"]
mod telling;
#[path = "../kafka/torn.rs"]
mod torn;
#[path = "../kafka/watching.rs"]
mod watching;
mod world;
