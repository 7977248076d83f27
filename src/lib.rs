//! reelmill: footage in; a verified blurred recording and answers out.

pub mod cli;
pub mod client;
pub mod event;
pub mod mill;
pub mod pipeline;
