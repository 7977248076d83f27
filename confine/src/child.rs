//! The helper's side: one work, behind the fence.

use crate::{
    Allowance, Work,
    check::Check,
    fence,
    wire::{Line, Request, Told},
};
use media::{Limits, MediaError};
use procfs::{FromRead, ProcResult, process::Status};
use rustix::{
    event::{PollFd, PollFlags, poll},
    process::{Signal, set_parent_process_death_signal, setsid},
};
use serde::Serialize;
use std::{
    fs::File,
    io::{self, BufRead, Write},
    process::ExitCode,
};

/// A work that a helper knows, with its types forgotten.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    name: &'static str,
    run: fn(&str, &Allowance) -> io::Result<()>,
}

impl Entry {
    /// The entry of one kind of work.
    #[must_use]
    pub const fn of<W: Work>() -> Self {
        Self { name: W::NAME, run: run::<W> }
    }
}

/// The whole life of a helper: reads one work of `works` from standard input, does it behind the
/// fence, and writes how it ended to standard output.
///
/// Must be called while the process has a single thread.
#[must_use]
pub fn child(works: &[Entry]) -> ExitCode {
    match serve(works) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The parent takes what stands here for the cause.
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(works: &[Entry]) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::Kill))?;
    // Ctrl-C at a terminal is for the parent, which then decides.
    setsid()?;
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .without_time()
        .with_level(false)
        .with_target(false)
        .with_ansi(false)
        .with_max_level(tracing::Level::WARN)
        .init();
    let (mut request, mut input) = (String::new(), String::new());
    let mut stdin = io::stdin().lock();
    stdin.read_line(&mut request)?;
    stdin.read_line(&mut input)?;
    drop(stdin);
    // The parent holds this pipe open while it lives; it may have died before the first line here.
    let stdin = io::stdin();
    let mut pipe = [PollFd::new(&stdin, PollFlags::empty())];
    poll(&mut pipe, 0)?;
    if pipe[0].revents().contains(PollFlags::HUP) {
        return Err(io::Error::other("nobody waits for this work"));
    }
    let Request { work, allowance } = serde_json::from_str(&request)?;
    let entry = works
        .iter()
        .chain([&Entry::of::<Check>()])
        .find(|entry| entry.name == work)
        .copied()
        .ok_or_else(|| io::Error::other(format!("this program knows no work {work}")))?;
    (entry.run)(&input, &allowance)
}

fn run<W: Work>(input: &str, allowance: &Allowance) -> io::Result<()> {
    let work: W = serde_json::from_str(input)?;
    if let Err(error) = work.prepare() {
        return say::<W::Output>(&Line::Failed(error.into()));
    }
    // Opened before the fence closes.
    let status = File::open("/proc/self/status");
    say::<()>(&Line::Fenced(fence::close(allowance)?))?;
    let limits = Limits { threads: allowance.threads, ..Limits::default() };
    let ended = match work.run(&limits) {
        Ok(output) => Line::Done(output),
        Err(error) => Line::Failed(Told::from(error)),
    };
    if let Some(memory) = status.ok().and_then(|status| peak(Status::from_read(status))) {
        say::<()>(&Line::Used(memory))?;
    }
    say(&ended)
}

fn say<T: Serialize>(line: &Line<T>) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    serde_json::to_writer(&mut out, line)?;
    out.write_all(b"\n")?;
    out.flush()
}

/// The highest resident memory of a process, bytes; `None` where the kernel does not tell.
pub(crate) fn peak(status: ProcResult<Status>) -> Option<u64> {
    Some(status.ok()?.vmhwm? << 10)
}

/// What the standard library says when there is no memory left, before it aborts; and C++.
pub(crate) fn speaks_of_memory(said: &str) -> bool {
    ["memory allocation of", "bad_alloc", "Cannot allocate memory"]
        .iter()
        .any(|words| said.contains(words))
}

/// Work in this process, for programs that have no helper.
pub(crate) fn in_place<W: Work>(work: W, limits: &Limits) -> Result<W::Output, MediaError> {
    work.prepare()?;
    work.run(limits)
}
