//! The commands that talk to a mill over HTTP.

mod error;
mod get;
mod health;
mod http;
mod progress;
mod replay;
mod retry;
mod search;
mod status;
mod text;
mod upload;
mod wait;

pub use error::ClientError;
pub use get::get;
pub use health::health;
pub use http::{Client, Links, Stage, State, Video};
pub use replay::{Chosen, replay};
pub use retry::retry;
pub use search::search;
pub use status::status;
pub(crate) use text::plain;
pub use upload::{UploadOptions, Uploaded, upload};

use std::io::Write;

/// Where a command writes what it has to say.
pub type Out<'a> = &'a mut (dyn Write + Send);
