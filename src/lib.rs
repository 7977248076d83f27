//! reelmill: footage in; a verified blurred recording and answers out.

// They panic where the reader has gone away.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod access;
pub mod announce;
pub mod cli;
pub mod client;
pub mod commands;
pub mod config;
pub mod confinement;
pub mod connections;
pub mod detector;
pub mod doctor;
pub mod embedded;
pub mod event;
pub mod failure;
pub mod health;
pub mod index;
pub mod letters;
pub mod mill;
pub mod output;
pub mod patience;
pub mod pipeline;
pub mod privacy;
pub mod rules;
pub mod serve;
pub mod signals;
pub mod traces;
pub mod version;
pub mod watch;
