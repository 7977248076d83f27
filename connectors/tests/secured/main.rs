//! Apache Kafka with TLS and logins: all clients get in, and say why where they do not.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod doors;
mod iam;
#[path = "../kafka/numbers.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod numbers;
mod world;
