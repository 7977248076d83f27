//! How a command fails.

use crate::{
    client::{ClientError, plain},
    output,
};
use engine::Trouble;
use std::fmt;

/// Why a command failed, in words; and whose mistake it was, as an exit code.
#[derive(Debug)]
pub struct Failure {
    kind: Kind,
    message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Usage,
    Trouble,
    /// A service is not there now.
    Away,
    /// Nobody reads the output any more.
    Closed,
    /// The output says it.
    Told,
}

impl Failure {
    /// The command line or the configuration is wrong.
    pub fn usage(message: impl fmt::Display) -> Self {
        Self { kind: Kind::Usage, message: message.to_string() }
    }

    /// A part did not start.
    pub fn start(part: &str, cause: &dyn fmt::Display) -> Self {
        Self { kind: Kind::Trouble, message: format!("{part} did not start: {cause}") }
    }

    /// The same, and the cause may pass.
    pub fn away(part: &str, cause: &dyn fmt::Display) -> Self {
        Self { kind: Kind::Away, ..Self::start(part, cause) }
    }

    /// Something outside does not do what it should; `option` says where it is.
    pub fn outside(what: &str, at: &str, option: &str, cause: &Trouble) -> Self {
        let at = connectors::registry::without_secrets(at);
        let message = format!(
            "{what} at {at} cannot be used: {cause}; is it running, and is {option} right?"
        );
        let passing = matches!(cause, Trouble::Transient { .. });
        Self { kind: if passing { Kind::Away } else { Kind::Trouble }, message }
    }

    /// What was found wrong is told already.
    #[must_use]
    pub fn told() -> Self {
        Self { kind: Kind::Told, message: String::new() }
    }

    /// Whether waiting may help.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        self.kind == Kind::Away
    }

    /// Whether there is nothing to tell any more, or nobody: the reader of the output has gone away.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        matches!(self.kind, Kind::Closed | Kind::Told)
    }

    /// 64 for wrong usage; where the reader has gone away, 141, as a shell gives it to a program that
    /// SIGPIPE ends; else 1.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self.kind {
            Kind::Usage => 64,
            Kind::Trouble | Kind::Away | Kind::Told => 1,
            Kind::Closed => 141,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        Self { kind: Kind::Trouble, message: trouble.to_string() }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let kind = match &error {
            ClientError::Output(cause) if output::is_closed(cause) => Kind::Closed,
            _ => Kind::Trouble,
        };
        // It may quote a file's name, or a mill that is none.
        Self { kind, message: plain(&error.to_string()) }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        let kind = if output::is_closed(&error) { Kind::Closed } else { Kind::Trouble };
        Self { kind, message: error.to_string() }
    }
}
