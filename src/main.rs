//! The process: arguments in, exit code out.

// They panic where the reader has gone away.
#![deny(clippy::print_stdout, clippy::print_stderr)]

use reelmill::{
    cli::Command,
    commands,
    config::{self, Asked, Unread},
    confinement, detector, doctor,
    failure::Failure,
    mill, privacy, serve, watch,
};
use std::{
    fmt::Display,
    io::{self, IsTerminal, Write},
    os::unix::process::CommandExt,
    process::ExitCode,
};
use tracing_subscriber::EnvFilter;

/// Events are allocated on one thread and freed on another, thousands at a time, which glibc's allocator
/// takes half as long again for: see the event path in benches/README.md.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Wrong usage or configuration (sysexits' EX_USAGE).
const USAGE: u8 = 64;
/// What is logged where `REELMILL_LOG` says nothing else. The store's library calls each answer that is
/// no success an error, also one that was asked for, such as that there is no such object.
const LOGGED: &str = "info,s3s::ops=off";

fn main() -> ExitCode {
    // Before any thread is started: the fence must be around all of them.
    if std::env::args_os().nth(1).is_some_and(|word| word == confinement::COMMAND) {
        return confine::child(&confinement::works());
    }
    let cli = match config::read(std::env::args_os()) {
        Ok(Asked::Run(cli)) => cli,
        Ok(Asked::Print(settings)) => {
            let mut out = io::stdout();
            let written = out.write_all(settings.as_bytes()).and_then(|()| out.flush());
            return ended(written.map_err(Failure::from));
        }
        Err(Unread::Arguments(answer)) => {
            // Help and version are no mistakes.
            let code = if answer.use_stderr() { USAGE } else { 0 };
            return match answer.print() {
                Ok(()) => ExitCode::from(code),
                Err(unwritten) => ended(Err(unwritten.into())),
            };
        }
        Err(Unread::File(failure)) => return ended(Err(failure)),
    };
    use Command::{Doctor, Run, Serve, Up, Vision};
    if matches!(cli.command, Up(_) | Run(_) | Serve(_) | Vision(_)) {
        privacy::keep_new_files_private();
    }
    if matches!(cli.command, Up(_) | Run(_) | Vision(_) | Doctor(_))
        && let Err(e) = begin_silent()
    {
        complain(&format_args!("cannot start itself again without ONNX Runtime's telemetry: {e}"));
        return ExitCode::FAILURE;
    }
    let filter = EnvFilter::try_from_env("REELMILL_LOG").unwrap_or_else(|_| EnvFilter::new(LOGGED));
    // A file or a container's log is no terminal.
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours);
    log.with_writer(io::stderr).init();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(e) => {
            complain(&format_args!("cannot start threads: {e}"));
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(async {
        match cli.command {
            Command::Up(args) => mill::up(*args).await,
            Command::Run(args) => mill::run(*args).await,
            Command::Serve(args) => serve::serve(*args).await,
            Command::Vision(args) => detector::vision(*args).await,
            Command::Watch(args) => watch::watch(args).await,
            Command::Doctor(args) => doctor::doctor(*args, cli.config).await,
            other => commands::run(other).await,
        }
    });
    // Threads of a stopped mill may hang in a C library; nothing they do matters any more.
    runtime.shutdown_background();
    ended(result)
}

fn ended(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.is_quiet() {
                complain(&failure);
            }
            ExitCode::from(failure.exit_code())
        }
    }
}

/// The exit code tells it too, where nobody reads this.
fn complain(cause: &dyn Display) {
    writeln!(io::stderr(), "reelmill: {cause}").ok();
}

/// Starts this program anew, as the same process, with the variable that keeps ONNX Runtime from
/// sending usage data, where it is not set: it must be there before the library is loaded.
fn begin_silent() -> std::io::Result<()> {
    let (name, value) = vision::NO_TELEMETRY;
    if std::env::var_os(name).is_some_and(|set| set == value) {
        return Ok(());
    }
    let mut arguments = std::env::args_os();
    let mut again = std::process::Command::new(std::env::current_exe()?);
    again.arg0(arguments.next().unwrap_or_default()).args(arguments).env(name, value);
    // Comes back only where it fails.
    Err(again.exec())
}
