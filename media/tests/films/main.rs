//! Films made by the ffmpeg command line (and footage of this repository) go through the crate.

mod hostile;
mod masks;
mod smart;
mod support;
mod whole_way;
