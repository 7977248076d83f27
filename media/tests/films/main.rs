//! Films made by the ffmpeg command line (and footage of this repository) go through the crate.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at its first surprise"
)]

mod hostile;
mod inputs;
mod masks;
mod partly;
mod smart;
mod still;
mod support;
mod whole_way;
