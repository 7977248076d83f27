//! A work that tries what the fence forbids, so that a program can say at its start what holds.

use crate::Work;
use media::{Limits, MediaError};
use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::Command,
    time::Duration,
};

/// Tries to leave the fence in three ways.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Check {
    /// A file outside of the work's directory that anybody may read.
    pub file: PathBuf,
    /// An address on loopback.
    pub address: SocketAddr,
}

/// What the fence has let through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// The foreign file was opened.
    pub opened: bool,
    /// A socket was made; whether anybody listened makes no difference.
    pub connected: bool,
    /// A program was started.
    pub started: bool,
}

impl Checked {
    /// Whether nothing came through.
    #[must_use]
    pub fn is_tight(&self) -> bool {
        *self == Self::default()
    }
}

impl Work for Check {
    const NAME: &'static str = "check";
    type Output = Checked;

    fn run(self, _: &Limits) -> Result<Checked, MediaError> {
        use std::io::ErrorKind::{ConnectionRefused, TimedOut};
        let connected = match TcpStream::connect_timeout(&self.address, Duration::from_secs(1)) {
            Ok(_) => true,
            Err(error) => matches!(error.kind(), ConnectionRefused | TimedOut),
        };
        Ok(Checked {
            opened: File::open(self.file).is_ok(),
            connected,
            started: Command::new("/proc/self/exe").arg("--version").spawn().is_ok(),
        })
    }
}
