//! The asking side: a work goes out, its result or a failure comes back.

use crate::{
    Allowance, Check, Checked, Failure, Fence, Work, child,
    supervise::{Program, Usage, supervise},
    wire::{Line, Request},
};
use media::{Cancel, Limits};
use std::{
    ffi::OsString,
    io::{self, PipeReader, PipeWriter},
    path::PathBuf,
    sync::Arc,
    thread,
    time::Duration,
};
use tokio::sync::oneshot;

/// What does the work. Clones share it.
#[derive(Debug, Clone)]
pub struct Helper {
    /// None: this process.
    program: Option<Arc<Program>>,
}

/// Stops the work when nobody waits for it any more.
struct Stop {
    cancel: Cancel,
    /// Its closing wakes the thread that watches over the helper.
    _pipe: PipeWriter,
}

impl Drop for Stop {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

impl Helper {
    /// Starts `program` with `arguments` for every work; it must call [`child`](crate::child()).
    #[must_use]
    pub fn program(
        program: impl Into<PathBuf>,
        arguments: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Self {
        let arguments = arguments.into_iter().map(Into::into).collect();
        Self { program: Some(Arc::new(Program { path: program.into(), arguments })) }
    }

    /// Works in this process, on a thread, without a fence: for tests of what the works do.
    #[must_use]
    pub fn in_place() -> Self {
        Self { program: None }
    }

    /// Does a work. Dropping the future kills the helper; `held` is dropped when nothing works any
    /// more, so permits and directories belong there.
    ///
    /// # Errors
    /// Whatever keeps the work from its result.
    pub async fn run<W: Work>(
        &self,
        work: W,
        allowance: Allowance,
        held: impl Send + 'static,
    ) -> Result<W::Output, Failure> {
        self.measured(work, allowance, held).await.0
    }

    /// The same, and what it took. Work in this process is not measured.
    pub async fn measured<W: Work>(
        &self,
        work: W,
        allowance: Allowance,
        held: impl Send + 'static,
    ) -> (Result<W::Output, Failure>, Usage) {
        let (result, usage) = self.fenced(work, allowance, held).await;
        (result.map(|(output, _)| output), usage)
    }

    /// Lets a helper try to leave its fence; says what holds it and what it could do. A helper
    /// that is this process has no fence.
    ///
    /// # Errors
    /// Where no helper can be started.
    pub async fn check(
        &self,
        check: Check,
        folder: PathBuf,
    ) -> Result<(Option<Fence>, Checked), Failure> {
        let allowance = Allowance::new(folder, 0, Some(Duration::ZERO), 1);
        self.fenced(check, allowance, ()).await.0.map(|(checked, fence)| (fence, checked))
    }

    async fn fenced<W: Work>(
        &self,
        work: W,
        allowance: Allowance,
        held: impl Send + 'static,
    ) -> (Ended<W::Output>, Usage) {
        let (stop, pipe) = match io::pipe() {
            Ok(pipe) => pipe,
            Err(error) => return (Err(Failure::unavailable("a pipe", &error)), Usage::default()),
        };
        let cancel = Cancel::new();
        let _stop = Stop { cancel: cancel.clone(), _pipe: pipe };
        let (answer, result) = oneshot::channel();
        let program = self.program.clone();
        // A thread of its own: a helper dies with the thread that started it.
        let started = thread::Builder::new().name(W::NAME.to_owned()).spawn(move || {
            let result = match program {
                Some(program) => elsewhere(&program, work, &allowance, &stop),
                None => {
                    let limits = Limits { threads: allowance.threads, cancel, ..Limits::default() };
                    let result = child::in_place(work, &limits).map_err(Failure::from);
                    (result.map(|output| (output, None)), Usage::default())
                }
            };
            drop(held);
            // Nobody may wait any more.
            drop(answer.send(result));
        });
        if let Err(error) = started {
            return (Err(Failure::unavailable("a thread", &error)), Usage::default());
        }
        result.await.unwrap_or_else(|_| {
            (Err(Failure::Crashed { how: "panic".to_owned() }), Usage::default())
        })
    }
}

/// What a piece of work came to, and the fence it was done behind.
type Ended<T> = Result<(T, Option<Fence>), Failure>;

/// The work in a helper.
fn elsewhere<W: Work>(
    program: &Program,
    work: W,
    allowance: &Allowance,
    stop: &PipeReader,
) -> (Ended<W::Output>, Usage) {
    let request = match request(&work, allowance) {
        Ok(request) => request,
        Err(failure) => return (Err(failure), Usage::default()),
    };
    drop(work);
    let (output, mut usage) = supervise(program, W::NAME, &request, allowance, stop);
    let ended = output.and_then(|output| read::<W>(&output, &mut usage));
    tracing::debug!(
        work = W::NAME,
        memory = usage.memory,
        computing_ms = usage.time.as_millis() as u64,
        "media work has ended"
    );
    (ended, usage)
}

fn request<W: Work>(work: &W, allowance: &Allowance) -> Result<Vec<u8>, Failure> {
    let request = Request { work: W::NAME.to_owned(), allowance: allowance.clone() };
    let mut lines = Vec::new();
    let mut line = |write: &mut dyn FnMut(&mut Vec<u8>) -> serde_json::Result<()>| {
        write(&mut lines).map(|()| lines.push(b'\n'))
    };
    line(&mut |out| serde_json::to_writer(out, &request))
        .and_then(|()| line(&mut |out| serde_json::to_writer(out, work)))
        .map_err(|e| Failure::Unavailable { detail: e.to_string(), lasting: true })?;
    Ok(lines)
}

fn read<W: Work>(output: &[u8], usage: &mut Usage) -> Ended<W::Output> {
    let mut fence = None;
    for line in output.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        match serde_json::from_slice::<Line<W::Output>>(line) {
            Ok(Line::Fenced(held)) => fence = Some(held),
            Ok(Line::Used(memory)) => usage.memory = Some(memory),
            Ok(Line::Done(output)) => return Ok((output, fence)),
            Ok(Line::Failed(told)) => return Err(told.into()),
            Err(error) => {
                return Err(Failure::Crashed {
                    how: format!("its answer makes no sense: {error}"),
                });
            }
        }
    }
    Err(Failure::Crashed { how: "it ended without an answer".to_owned() })
}
