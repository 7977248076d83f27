//! The process: arguments in, exit code out.

use clap::Parser;
use reelmill::{
    cli::{Cli, Command},
    commands, confinement, mill,
};
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// Wrong usage or configuration (sysexits' EX_USAGE).
const USAGE: u8 = 64;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(answer) => {
            // Help and version are no mistakes.
            let code = if answer.use_stderr() { USAGE } else { 0 };
            return if answer.print().is_ok() { ExitCode::from(code) } else { ExitCode::FAILURE };
        }
    };
    if let Command::MediaJob = cli.command {
        // Before any thread is started: the fence must be around all of them.
        return confine::child(&confinement::works());
    }
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
