//! How a command fails.

use crate::client::{ClientError, plain};
use engine::Trouble;
use std::fmt;

/// Why a command failed, in words; and whose mistake it was, as an exit code.
#[derive(Debug)]
pub struct Failure {
    usage: bool,
    message: String,
}

impl Failure {
    /// The command line or the configuration is wrong.
    pub fn usage(message: impl fmt::Display) -> Self {
        Self { usage: true, message: message.to_string() }
    }

    /// A part did not start.
    pub fn start(part: &str, cause: &dyn fmt::Display) -> Self {
        Self { usage: false, message: format!("{part} did not start: {cause}") }
    }

    /// 64 for wrong usage, else 1.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        if self.usage { 64 } else { 1 }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        Self { usage: false, message: trouble.to_string() }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        // It may quote a file's name, or a mill that is none.
        Self { usage: false, message: plain(&error.to_string()) }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self { usage: false, message: error.to_string() }
    }
}
