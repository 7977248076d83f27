//! Planted works try to leave the fence, to harm themselves and to outlive their parent.
#![expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use confine::{Allowance, Check, Failure, Helper, Work};
use media::{Limits, MediaError};
use serde::{Deserialize, Serialize};
use std::{
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::mpsc,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// The works of `examples/planted.rs`, as this side knows them.
#[derive(Serialize, Deserialize)]
struct Leave {
    neighbour: PathBuf,
    address: SocketAddr,
}

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

fn only_planted<T>() -> Result<T, MediaError> {
    Err(MediaError::Internal("only the planted helper does this".to_owned()))
}

impl Work for Leave {
    const NAME: &'static str = "leave";
    type Output = Vec<String>;
    fn run(self, _: &Limits) -> Result<Vec<String>, MediaError> {
        only_planted()
    }
}

impl Work for Misbehave {
    const NAME: &'static str = "misbehave";
    type Output = u64;
    fn run(self, _: &Limits) -> Result<u64, MediaError> {
        only_planted()
    }
}

/// A folder for a work, with a neighbour.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        std::fs::create_dir(dir.path().join("work")).unwrap();
        std::fs::write(dir.path().join("canary"), b"secret").unwrap();
        Self(dir)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Enough for a machine on which fresh memory is slow.
    fn allowance(&self) -> Allowance {
        let time = Duration::from_secs(60);
        Allowance { folder: self.path("work"), file_bytes: 1 << 20, time, threads: 1 }
    }

    fn a_second(&self) -> Allowance {
        Allowance { time: Duration::from_secs(1), ..self.allowance() }
    }
}

fn planted() -> Helper {
    let tests = std::env::current_exe().unwrap();
    let program = tests.parent().and_then(Path::parent).unwrap().join("examples/planted");
    assert!(program.exists(), "{} is missing: cargo build --examples", program.display());
    Helper::program(program, [""; 0])
}

fn run<W: Work>(work: W, allowance: Allowance) -> Result<W::Output, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(planted().run(work, allowance, ()))
}

fn reason(work: Misbehave) -> &'static str {
    run(work, Place::new().allowance()).unwrap_err().reason()
}

#[test]
fn every_way_out_is_shut_and_the_work_can_still_be_done() {
    let place = Place::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let leave = Leave { neighbour: place.path("canary"), address };
    assert_eq!(run(leave, place.allowance()).unwrap(), Vec::<String>::new());
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "a connection came");
    assert!(!place.path("canary.new").exists() && !place.path("work/link").exists());
}

#[test]
fn a_helper_says_what_holds_it() {
    let place = Place::new();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let check = Check { file: "/etc/passwd".into(), address: ([127, 0, 0, 1], 1).into() };
    let (fence, checked) = runtime.block_on(planted().check(check, place.path("work"))).unwrap();
    assert!(fence.is_some_and(|fence| fence.is_whole()), "{fence:?}");
    assert!(checked.is_tight(), "{checked:?}");
}

#[test]
fn two_gibibytes_are_too_much_memory() {
    let started = Instant::now();
    assert_eq!(reason(Misbehave::Allocate { bytes: 2 << 30 }), "media_memory");
    assert!(started.elapsed() < Duration::from_secs(20));
    let half = Misbehave::Allocate { bytes: 500 << 20 };
    assert_eq!(run(half, Place::new().allowance()), Ok(500 << 20));
}

#[test]
fn a_helper_tells_its_own_memory_and_not_that_of_its_parent() {
    let ballast = std::hint::black_box(vec![1_u8; 512 << 20]);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for (bytes, expected) in [(1 << 20, 1..128), (200 << 20, 200..328)] {
        let place = Place::new();
        let (helper, work) = (planted(), Misbehave::Allocate { bytes });
        let (done, usage) = runtime.block_on(helper.measured(work, place.allowance(), ()));
        assert_eq!(done, Ok(bytes as u64));
        assert!(expected.contains(&(usage.memory.unwrap() >> 20)), "{usage:?}");
    }
    drop(ballast);
}

#[test]
fn work_that_never_ends_is_ended_by_its_computing_time() {
    let failure = run(Misbehave::Compute, Place::new().a_second()).unwrap_err();
    assert_eq!((failure.reason(), failure.blames_input()), ("media_timeout", true), "{failure}");
}

#[test]
fn work_that_only_waits_is_ended_by_the_clock_and_not_blamed_on_the_video() {
    let failure = run(Misbehave::Sleep, Place::new().a_second()).unwrap_err();
    assert_eq!((failure.reason(), failure.blames_input()), ("media_stalled", false), "{failure}");
}

#[test]
fn a_crash_is_the_videos_fault() {
    for crash in [Misbehave::Abort, Misbehave::Panic, Misbehave::Babble] {
        let failure = run(crash, Place::new().allowance()).unwrap_err();
        assert_eq!((failure.reason(), failure.blames_input()), ("media_crashed", true));
    }
}

#[test]
fn a_file_without_end_is_stopped_at_its_limit() {
    assert_eq!(reason(Misbehave::Write { bytes: 4 << 20 }), "media_space");
}

#[test]
fn threads_end_with_the_memory_for_them() {
    assert!(run(Misbehave::Threads, Place::new().allowance()).unwrap() < 10_000);
}

#[test]
fn an_error_keeps_its_word_and_its_sentence() {
    let say = Misbehave::Say { reason: "a film of nothing".to_owned() };
    let failure = run(say, Place::new().allowance()).unwrap_err();
    assert_eq!((failure.reason(), failure.blames_input()), ("unsupported", true));
    assert!(failure.to_string().contains("a film of nothing"), "{failure}");
}

#[test]
fn a_program_that_is_not_there_is_nobodys_video() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let helper = Helper::program("/nowhere/reelmill", [""; 0]);
    let place = Place::new();
    let failure = runtime.block_on(helper.run(Misbehave::Abort, place.allowance(), ()));
    assert!(matches!(failure, Err(Failure::Unavailable { lasting: true, .. })), "{failure:?}");
}

/// Tells when it is dropped.
struct Held(mpsc::Sender<()>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.send(()).ok();
    }
}

#[test]
fn nobody_waiting_kills_the_helper_and_gives_back_what_was_held() {
    let place = Place::new();
    let (sender, given_back) = mpsc::channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let allowance = Allowance { time: Duration::from_secs(600), ..place.allowance() };
        let helper = planted();
        let work = helper.run(Misbehave::Sleep, allowance, Held(sender));
        let waited = tokio::time::timeout(Duration::from_millis(500), work).await;
        assert!(waited.is_err(), "it was to sleep");
    });
    given_back.recv_timeout(Duration::from_secs(10)).unwrap();
}
