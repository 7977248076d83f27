//! Services of one's own, which may be stopped, killed and started again.

use crate::{S3, Service, Variables, installed, read, script};
use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// Services that run for their owner only, and end with it: also when the test program is killed.
#[derive(Debug)]
pub struct Own {
    /// Ends them when its standard input closes.
    keeper: Child,
    folder: PathBuf,
    variables: Variables,
}

impl Own {
    /// Returns when all are ready; `None` where one is not installed.
    #[must_use]
    pub fn start(services: &[Service]) -> Option<Self> {
        Self::start_with(services, &[])
    }

    /// The same, with variables for the script, e.g. `REELMILL_KAFKA_EXTRA`.
    #[must_use]
    pub fn start_with(services: &[Service], variables: &[(&str, &str)]) -> Option<Self> {
        if !services.iter().all(|service| installed(*service)) {
            return None;
        }
        let mut command = script();
        command.envs(variables.iter().copied());
        command.args(["run", "--until-eof"]).args(services.iter().map(|service| service.name()));
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut keeper = spawned.unwrap_or_else(|e| panic!("scripts/services.sh: {e}"));
        let mut line = String::new();
        let read_line = keeper.stdout.take().map(|out| BufReader::new(out).read_line(&mut line));
        let file = PathBuf::from(line.trim_end());
        assert!(
            matches!(read_line, Some(Ok(1..))) && file.is_file(),
            "{services:?} did not start: the cause is above"
        );
        let folder = file.parent().map(Path::to_owned).unwrap_or_default();
        Some(Self { keeper, folder, variables: read(&file) })
    }

    /// Kafka's bootstrap server.
    #[must_use]
    pub fn kafka(&self) -> String {
        self.variable("REELMILL_KAFKA")
    }

    /// The URL of the registry.
    #[must_use]
    pub fn registry(&self) -> String {
        self.variable("REELMILL_REGISTRY")
    }

    #[must_use]
    pub fn s3(&self) -> S3 {
        S3::from(&self.variables)
    }

    /// By the names `reelmill` reads, e.g. `REELMILL_KAFKA`. Ends the test where there is none.
    #[must_use]
    pub fn variable(&self, name: &str) -> String {
        self.variables.get(name).unwrap_or_else(|| panic!("{name}: not started")).clone()
    }

    /// All of them.
    #[must_use]
    pub fn variables(&self) -> &std::collections::BTreeMap<String, String> {
        &self.variables
    }

    /// Holds a folder for each service: `pid`, `log`, `data`, …
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The process, for signals; `None` where it was stopped.
    #[must_use]
    pub fn pid(&self, service: Service) -> Option<u32> {
        let file = self.folder.join(service.name()).join("pid");
        std::fs::read_to_string(file).ok()?.split_whitespace().next()?.parse().ok()
    }

    /// Asks it to end, and waits.
    pub fn stop(&self, service: Service) {
        self.run("down", service);
    }

    /// kill -9.
    pub fn kill(&self, service: Service) {
        self.run("kill", service);
    }

    /// Starts what was stopped or killed, on the same port and data; returns when it is ready.
    pub fn restart(&self, service: Service) {
        self.run("up", service);
    }

    fn run(&self, what: &str, service: Service) {
        let mut command: Command = script();
        command.arg(what).arg(&self.folder).arg(service.name()).stdout(Stdio::null());
        let done = command.status();
        assert!(done.is_ok_and(|status| status.success()), "{what} {}", service.name());
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        if let Err(error) = self.keeper.wait() {
            eprintln!("services: {error}");
        }
    }
}
