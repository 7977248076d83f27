//! The mill, through the doors a user has: the program, HTTP, Kafka.

mod crash;
mod end_to_end;
mod faults;
mod foreign_clients;
mod pipeline;
mod support;
