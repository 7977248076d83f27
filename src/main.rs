//! The process: arguments in, exit code out.

use reelmill::{
    cli::Command,
    commands,
    config::{self, Asked, Unread},
    confinement, mill,
};
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// Wrong usage or configuration (sysexits' EX_USAGE).
const USAGE: u8 = 64;

fn main() -> ExitCode {
    // Before any thread is started: the fence must be around all of them.
    if std::env::args_os().nth(1).is_some_and(|word| word == confinement::COMMAND) {
        return confine::child(&confinement::works());
    }
    let cli = match config::read(std::env::args_os()) {
        Ok(Asked::Run(cli)) => cli,
        Ok(Asked::Print(settings)) => {
            print!("{settings}");
            return ExitCode::SUCCESS;
        }
        Err(Unread::Arguments(answer)) => {
            // Help and version are no mistakes.
            let code = if answer.use_stderr() { USAGE } else { 0 };
            return if answer.print().is_ok() { ExitCode::from(code) } else { ExitCode::FAILURE };
        }
        Err(Unread::File(failure)) => {
            eprintln!("reelmill: {failure}");
            return ExitCode::from(failure.exit_code());
        }
    };
    let filter = EnvFilter::try_from_env("REELMILL_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(e) => {
            eprintln!("reelmill: cannot start threads: {e}");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(async {
        match cli.command {
            Command::Up(args) => mill::up(*args).await,
            Command::Run(args) => mill::run(*args).await,
            other => commands::run(other).await,
        }
    });
    // Threads of a stopped mill may hang in a C library; nothing they do matters any more.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("reelmill: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}
