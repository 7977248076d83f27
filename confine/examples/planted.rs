//! A helper whose works misbehave, for the tests of the fence.

use confine::{Entry, Work, child};
use media::{Limits, MediaError};
use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    io::Write,
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::unix::{fs::symlink, net::UnixStream},
    path::PathBuf,
    process::{Command, ExitCode},
    thread,
    time::Duration,
};

fn main() -> ExitCode {
    child(&[Entry::of::<Leave>(), Entry::of::<Misbehave>()])
}

/// Tries every way out; answers with those that were open.
#[derive(Serialize, Deserialize)]
struct Leave {
    neighbour: PathBuf,
    address: SocketAddr,
}

impl Work for Leave {
    const NAME: &'static str = "leave";
    type Output = Vec<String>;

    fn run(self, _: &Limits) -> Result<Vec<String>, MediaError> {
        let own = PathBuf::from("own");
        let mut open = Vec::new();
        let mut tried = |way: &str, is_open: bool| {
            if is_open {
                open.push(way.to_owned());
            }
        };
        tried("read a neighbour", File::open(&self.neighbour).is_ok());
        tried("read /etc/passwd", File::open("/etc/passwd").is_ok());
        tried("read /proc/self/environ", File::open("/proc/self/environ").is_ok());
        tried("list /", std::fs::read_dir("/").is_ok());
        tried("write beside", File::create(self.neighbour.with_extension("new")).is_ok());
        tried("connect", TcpStream::connect(self.address).is_ok());
        tried("listen", TcpListener::bind("127.0.0.1:0").is_ok());
        tried("send", UdpSocket::bind("127.0.0.1:0").is_ok());
        tried("talk to a socket", UnixStream::pair().is_ok());
        tried("start a program", Command::new("/bin/true").spawn().is_ok());
        tried("link to a neighbour", symlink(&self.neighbour, "link").is_ok());
        tried("see keys", std::env::vars().any(|(name, _)| name.contains("SECRET")));
        tried("be unable to write its own files", File::create(own).is_err());
        tried("be unable to start a thread", thread::Builder::new().spawn(|| {}).is_err());
        Ok(open)
    }
}

/// Harms itself.
#[derive(Serialize, Deserialize)]
enum Misbehave {
    Allocate { bytes: usize },
    Compute,
    Sleep,
    Abort,
    Panic,
    Write { bytes: usize },
    Babble,
    Threads,
    Say { reason: String },
}

impl Work for Misbehave {
    const NAME: &'static str = "misbehave";
    type Output = u64;

    fn run(self, _: &Limits) -> Result<u64, MediaError> {
        match self {
            Self::Allocate { bytes } => Ok(vec![1_u8; bytes].iter().map(|b| u64::from(*b)).sum()),
            Self::Compute => loop {
                std::hint::spin_loop();
            },
            Self::Sleep => {
                thread::sleep(Duration::from_secs(3600));
                Ok(0)
            }
            Self::Abort => std::process::abort(),
            #[expect(clippy::panic, reason = "that is what is planted")]
            Self::Panic => panic!("planted"),
            Self::Write { bytes } => {
                let mut file = File::create("large")?;
                for _ in 0..bytes >> 16 {
                    file.write_all(&[1; 1 << 16])?;
                }
                Ok(0)
            }
            Self::Babble => {
                println!("{{\"nonsense\":1}}");
                Ok(0)
            }
            Self::Threads => {
                let sleep = || thread::sleep(Duration::from_secs(3600));
                let mut started = 0;
                while thread::Builder::new().spawn(sleep).is_ok() {
                    started += 1;
                }
                Ok(started)
            }
            Self::Say { reason } => Err(MediaError::Unsupported { what: reason }),
        }
    }
}
