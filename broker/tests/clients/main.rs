//! The broker as its clients see it: through librdkafka, and byte by byte where that matters.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers fail their test by panicking, as the tests themselves do"
)]

mod crashes;
mod groups;
mod jvm;
mod kcat;
mod keeping;
mod producing;
mod protocol;
mod restarts;
mod support;
mod topics;
mod transactions;
