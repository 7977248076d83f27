//! The API as its clients see it: through HTTP, over ports kept in memory.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first surprise")]

mod errors;
mod guard;
mod openapi;
mod ports_in_memory;
mod recording;
mod replay;
mod retry;
mod search;
mod support;
mod uploads;
mod videos;
