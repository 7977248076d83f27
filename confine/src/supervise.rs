//! One helper process, from its start to its end.

use crate::{
    Allowance, Failure, MEMORY,
    child::{peak, speaks_of_memory},
};
use procfs::process::Process;
use rustix::{
    event::{PollFd, PollFlags, poll},
    process::{Pid, PidfdFlags, pidfd_open},
};
use std::{
    collections::VecDeque,
    ffi::OsString,
    io::{self, BufRead, BufReader, PipeReader, Read, Write},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::PathBuf,
    process::{Child, ChildStderr, ChildStdin, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};
use wait4::Wait4;

/// More than the faces of a crowded day.
const MOST_OUTPUT: u64 = 512 << 20;
/// Lines of a helper that go into the log, and the length of each.
const MOST_LINES: usize = 200;
const LONGEST_LINE: u64 = 1000;
/// Lines that tell how a process died: a panic takes three.
const LAST_LINES: usize = 4;
/// A process that dies with this share of its memory in use dies for want of memory.
const NEARLY_ALL: u64 = MEMORY / 100 * 85;

/// What the kernel's counts of memory may be off by, bytes.
const INEXACT: u64 = 4 << 20;

/// The program that is started, and how.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    pub(crate) arguments: Vec<OsString>,
}

/// What a helper has used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Highest resident memory, bytes. Not known of a helper that died with less than this program
    /// has had itself.
    pub memory: Option<u64>,
    /// Computing time.
    pub time: Duration,
}

/// How the wait for a helper ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Itself,
    Stopped,
    Stalled,
}

/// Runs a helper until it ends, its time is over, or the other end of `stop` is closed; answers
/// with what it wrote to standard output.
///
/// Blocks; the calling thread must not end before, because the kernel ties the helper's life to it.
pub(crate) fn supervise(
    program: &Program,
    name: &str,
    request: &[u8],
    allowance: &Allowance,
    stop: &PipeReader,
) -> (Result<Vec<u8>, Failure>, Usage) {
    let mut usage = Usage::default();
    let result = run(program, name, request, allowance, stop, &mut usage);
    (result, usage)
}

fn run(
    program: &Program,
    name: &str,
    request: &[u8],
    allowance: &Allowance,
    stop: &PipeReader,
    usage: &mut Usage,
) -> Result<Vec<u8>, Failure> {
    let start = Instant::now();
    let mut child = start_helper(program, allowance)
        .map_err(|e| Failure::unavailable(&program.path.display().to_string(), &e))?;
    let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
        return Err(Failure::Unavailable { detail: "no pipes".to_owned(), lasting: false });
    };
    let (ended, exit, output, said) = thread::scope(|scope| {
        let told = scope.spawn(move || tell(stdin, request));
        let output = scope.spawn(move || {
            let mut output = Vec::new();
            let read = stdout.take(MOST_OUTPUT).read_to_end(&mut output);
            read.map(|_| output)
        });
        let said = scope.spawn(move || log(stderr, name));
        let ended = wait(&child, stop, start + allowance.clock().min(FOREVER));
        if !matches!(ended, Ok(End::Itself)) {
            kill(&mut child);
        }
        let exit = child.wait4();
        // Given back only now: an end of this pipe is the sign that nobody waits any more.
        drop(told.join());
        (ended, exit, output.join(), said.join().unwrap_or_default())
    });
    let unreaped = |e: io::Error| Failure::unavailable("the helper's end", &e);
    let (ended, exit) = (ended.map_err(unreaped)?, exit.map_err(unreaped)?);
    let output = output.unwrap_or_else(|_| Ok(Vec::new())).map_err(unreaped)?;
    let time = exit.rusage.utime + exit.rusage.stime;
    *usage = Usage { memory: of_helper(exit.rusage.maxrss), time };
    match ended {
        End::Stopped => Err(Failure::Cancelled),
        End::Stalled => Err(Failure::Stalled { waited: start.elapsed() }),
        End::Itself => judge(exit.status, &said, usage, allowance).map_or(Ok(output), Err),
    }
}

/// The highest memory of a helper that has ended, where it shows: the kernel counts what this program itself had
/// when it started the helper, to within some pages.
fn of_helper(highest: u64) -> Option<u64> {
    let own = peak(Process::myself().and_then(|own| own.status()))?;
    (highest > own + INEXACT).then_some(highest)
}

/// Longer than a clock can be waited for.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Variables a helper has from its parent: where libraries are, and that none may send usage data.
const PASSED_ON: [&str; 2] = ["LD_LIBRARY_PATH", "ORT_DISABLE_TELEMETRY"];

fn start_helper(program: &Program, allowance: &Allowance) -> io::Result<Child> {
    // C libraries open sockets and pipes that programs they know nothing of would inherit.
    close_fds::set_fds_cloexec_threadsafe(3, &[]);
    Command::new(&program.path)
        .arg0("reelmill")
        .args(&program.arguments)
        .current_dir(&allowance.folder)
        // Keys and addresses of the mill are in its environment.
        .env_clear()
        .envs(PASSED_ON.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
}

/// Writes the request. A helper that does not read it tells why by its end.
fn tell(mut stdin: ChildStdin, request: &[u8]) -> io::Result<ChildStdin> {
    stdin.write_all(request)?;
    Ok(stdin)
}

/// Puts what a helper says into the log; returns its last words.
fn log(stderr: ChildStderr, work: &str) -> String {
    let mut reader = BufReader::new(stderr);
    let (mut last, mut lines) = (VecDeque::new(), 0);
    loop {
        let mut line = Vec::new();
        match reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return Vec::from(last).join("; "),
            Ok(_) => {}
        }
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        lines += 1;
        if lines <= MOST_LINES {
            tracing::warn!(work, "{line}");
        }
        if !line.is_empty() {
            last.push_back(line);
            last.drain(..last.len().saturating_sub(LAST_LINES));
        }
    }
}

/// Waits for the helper's end (without reaping it), a closed pipe or the clock.
fn wait(child: &Child, stop: &PipeReader, until: Instant) -> io::Result<End> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::Other)?;
    let process = pidfd_open(pid, PidfdFlags::empty())?;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(End::Stalled);
        }
        let mut both =
            [PollFd::new(&process, PollFlags::IN), PollFd::new(stop, PollFlags::empty())];
        let patience = i32::try_from(left.as_millis()).unwrap_or(i32::MAX).max(1);
        match poll(&mut both, patience) {
            Err(rustix::io::Errno::INTR) => continue,
            result => result?,
        };
        if !both[0].revents().is_empty() {
            return Ok(End::Itself);
        }
        if !both[1].revents().is_empty() {
            return Ok(End::Stopped);
        }
    }
}

fn kill(child: &mut Child) {
    if let Err(error) = child.kill() {
        tracing::warn!(%error, "a helper could not be killed");
    }
}

/// Why a process died; `None` where it ended well.
fn judge(status: ExitStatus, said: &str, usage: &Usage, allowance: &Allowance) -> Option<Failure> {
    let memory = || Failure::Memory { mebibytes: MEMORY >> 20 };
    let nearly_all = usage.memory.is_some_and(|memory| memory >= NEARLY_ALL);
    let short_of_memory = nearly_all || speaks_of_memory(said);
    match (status.code(), status.signal()) {
        (Some(0), _) => None,
        (Some(101), _) => Some(Failure::Crashed { how: format!("panic: {said}") }),
        (Some(_), _) => Some(Failure::Unavailable { detail: said.to_owned(), lasting: false }),
        (None, Some(libc::SIGXCPU)) => Some(Failure::Time { allowed: allowance.time }),
        (None, Some(libc::SIGKILL)) if usage.time >= allowance.time => {
            Some(Failure::Time { allowed: allowance.time })
        }
        (None, Some(libc::SIGKILL)) => Some(Failure::Killed),
        (None, Some(libc::SIGXFSZ)) => Some(Failure::Space { allowed: allowance.file_bytes }),
        (None, _) if short_of_memory => Some(memory()),
        (None, signal) => {
            Some(Failure::Crashed { how: format!("signal {}", signal.unwrap_or_default()) })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_want_of_memory_only_where_the_helper_had_much_or_said_so() {
        let aborted = ExitStatus::from_raw(libc::SIGABRT);
        let allowance = Allowance::new(PathBuf::new(), 0, None, 1);
        let reason = |memory, said: &str| {
            let usage = Usage { memory, time: Duration::ZERO };
            judge(aborted, said, &usage, &allowance).unwrap().reason()
        };
        assert_eq!(reason(Some(MEMORY), ""), "media_memory");
        assert_eq!(reason(Some(NEARLY_ALL - 1), ""), "media_crashed");
        assert_eq!(reason(None, ""), "media_crashed");
        assert_eq!(reason(None, "memory allocation of 7 bytes failed"), "media_memory");
    }
}
