//! The mill in several processes on Apache Kafka, Apicurio, VersityGW, OpenSearch and PostgreSQL,
//! while all of them are killed, frozen, cut off and started again. In the end nothing is lost,
//! doubled, torn or left behind. `docs/chaos.md` says more.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod checker;
mod checks;
mod fleet;
mod mill;
mod model;
mod observed;
mod planted;
mod run;
mod schedule;
