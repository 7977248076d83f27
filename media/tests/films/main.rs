//! Films made by the ffmpeg command line (and footage of this repository) go through the crate.
#![expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]

mod hostile;
mod masks;
mod smart;
mod support;
mod whole_way;
