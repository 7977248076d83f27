//! The mill, through the doors a user has: the program, HTTP, Kafka.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod blind;
mod catalogue;
mod crash;
mod end_to_end;
mod faults;
mod foreign_clients;
mod long_films;
mod names;
mod pipeline;
mod places;
mod players;
mod replay;
mod search_index;
mod second_chances;
mod second_looks;
mod starts;
mod support;
mod syncing;
mod tracing;
