//! Processes of the mill: started, struck, and started again whatever ended them.

use crate::schedule::{Blow, Planned};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    collections::BTreeMap,
    fs::File,
    io::{Read, Seek, SeekFrom},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// What each process of the fleet runs. Every processor of the mill is run by two processes.
const PARTS: [&str; 4] =
    ["cut,blur,stitch", "detect,label", "verify,thumbnail,sweep", "index,catalog"];
const TWINS: usize = 2;
/// Between the end of a process by itself and its next start.
const AGAIN: Duration = Duration::from_millis(500);

#[derive(Debug)]
struct Member {
    name: String,
    only: &'static str,
    dir: PathBuf,
    state: State,
    /// How often it was started.
    lives: usize,
}

#[derive(Debug)]
enum State {
    Runs(Child),
    Frozen { child: Child, until: Instant },
    Gone { until: Instant },
}

/// All processes, and how each is started.
#[derive(Debug)]
pub(crate) struct Fleet {
    members: Vec<Mutex<Member>>,
    variables: BTreeMap<String, String>,
    /// Processes that ended by themselves, with their last words.
    fallen: Mutex<Vec<String>>,
    /// Whether those that have ended are started again.
    keeps: Mutex<bool>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn signal(child: &Child, signal: Signal) {
    let pid = Pid::from_child(child);
    // It may have ended by itself just now.
    kill_process(pid, signal).ok();
}

impl Fleet {
    /// Starts all, in folders below `dir`.
    pub(crate) fn start(dir: &Path, variables: BTreeMap<String, String>) -> Arc<Self> {
        let twins = (0..TWINS).flat_map(|twin| PARTS.map(|part| (part, twin)));
        let members = twins.map(|(only, twin)| {
            let name = format!("{}-{twin}", only.split(',').next().unwrap_or(only));
            let dir = dir.join(&name);
            std::fs::create_dir_all(&dir).unwrap();
            let state = State::Gone { until: Instant::now() };
            Mutex::new(Member { name, only, dir, state, lives: 0 })
        });
        let fleet = Arc::new(Self {
            members: members.collect(),
            variables,
            fallen: Mutex::default(),
            keeps: Mutex::new(true),
        });
        fleet.tend();
        fleet
    }

    /// Starts what is to be there and is not, thaws what was frozen long enough.
    pub(crate) fn tend(&self) {
        let keeps = lock(&self.keeps);
        for member in self.members.iter().filter(|_| *keeps) {
            let mut member = lock(member);
            let now = Instant::now();
            let state = std::mem::replace(&mut member.state, State::Gone { until: now });
            member.state = match state {
                State::Runs(mut child) => match child.try_wait().unwrap() {
                    None => State::Runs(child),
                    Some(status) => {
                        let words = format!("{} ended, {status}: {}", member.name, member.said());
                        lock(&self.fallen).push(words);
                        State::Gone { until: now + AGAIN }
                    }
                },
                State::Frozen { child, until } if until <= now => {
                    signal(&child, Signal::Cont);
                    State::Runs(child)
                }
                State::Gone { until } if until <= now => State::Runs(member.spawn(&self.variables)),
                other => other,
            };
        }
    }

    /// Does to one process what is planned. Says which, or nothing where that one is down already.
    pub(crate) fn strike(&self, planned: &Planned) -> Option<String> {
        let mut member = lock(&self.members[planned.which % self.members.len()]);
        let until = Instant::now() + planned.lasts;
        let state = std::mem::replace(&mut member.state, State::Gone { until });
        member.state = match (state, planned.blow) {
            (State::Runs(child), Blow::Freeze) => {
                signal(&child, Signal::Stop);
                State::Frozen { child, until }
            }
            (State::Runs(mut child), Blow::Stop) => {
                signal(&child, Signal::Term);
                // A graceful stop may take ten seconds, and others are struck meanwhile.
                let stopped = wait(&mut child, Duration::from_secs(15));
                if !stopped.is_some_and(|(status, _)| ended_well(status)) {
                    let words = format!("{} did not stop: {}", member.name, member.said());
                    lock(&self.fallen).push(words);
                    child.kill().ok();
                    child.wait().ok();
                }
                State::Gone { until: Instant::now() + planned.lasts }
            }
            (State::Runs(mut child), _) => {
                child.kill().unwrap();
                child.wait().unwrap();
                State::Gone { until }
            }
            (other, _) => {
                member.state = other;
                return None;
            }
        };
        Some(format!("{} ({})", member.name, member.only))
    }

    /// SIGTERM for all that run, at the same instant; how long each took to end.
    pub(crate) fn stop(&self) -> Vec<(String, Duration, bool)> {
        *lock(&self.keeps) = false;
        let mut stopping = Vec::new();
        for member in &self.members {
            let mut member = lock(member);
            let gone = State::Gone { until: Instant::now() };
            match std::mem::replace(&mut member.state, gone) {
                State::Runs(child) | State::Frozen { child, .. } => {
                    signal(&child, Signal::Cont);
                    signal(&child, Signal::Term);
                    stopping.push((member.name.clone(), child));
                }
                State::Gone { .. } => {}
            }
        }
        let ends = stopping.into_iter().map(|(name, mut child)| {
            std::thread::spawn(move || {
                let limit = Duration::from_secs(30);
                let ended = wait(&mut child, limit);
                if ended.is_none() {
                    child.kill().ok();
                    child.wait().ok();
                }
                let (status, took) = ended.unzip();
                (name, took.unwrap_or(limit), status.is_some_and(ended_well))
            })
        });
        let ends: Vec<_> = ends.collect();
        ends.into_iter().map(|end| end.join().unwrap()).collect()
    }

    /// Starts all again, after [`Fleet::stop`].
    pub(crate) fn go_on(&self) {
        *lock(&self.keeps) = true;
        self.tend();
    }

    /// Ends every fault of a process: all are there in the end.
    pub(crate) fn heal(&self) {
        for member in &self.members {
            let mut member = lock(member);
            match &mut member.state {
                State::Frozen { until, .. } | State::Gone { until } => *until = Instant::now(),
                State::Runs(_) => {}
            }
        }
        self.tend();
    }

    pub(crate) fn fallen(&self) -> Vec<String> {
        lock(&self.fallen).clone()
    }

    pub(crate) fn lives(&self) -> usize {
        self.members.iter().map(|member| lock(member).lives).sum()
    }

    /// How often each of these words stands in the logs of all.
    pub(crate) fn said(&self, words: &[&str]) -> Vec<usize> {
        let logs = self.members.iter().map(|member| lock(member).dir.join("log"));
        let logs: Vec<_> = logs.filter_map(|log| std::fs::read_to_string(log).ok()).collect();
        let count = |word: &&str| logs.iter().map(|log| log.matches(*word).count()).sum();
        words.iter().map(count).collect()
    }

    /// What was left in the scratch directories.
    pub(crate) fn scratch(&self) -> Vec<String> {
        let scratch = self.members.iter().map(|member| lock(member).dir.join("data/scratch"));
        let entries = scratch.flat_map(|dir| std::fs::read_dir(dir).into_iter().flatten());
        entries.map(|entry| entry.unwrap().path().display().to_string()).collect()
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for member in &self.members {
            if let State::Runs(child) | State::Frozen { child, .. } = &mut lock(member).state {
                child.kill().ok();
                child.wait().ok();
            }
        }
    }
}

impl Member {
    fn spawn(&mut self, variables: &BTreeMap<String, String>) -> Child {
        self.lives += 1;
        let log = File::options().create(true).append(true).open(self.dir.join("log")).unwrap();
        Command::new(env!("CARGO_BIN_EXE_reelmill"))
            .args(["run", "--only", self.only, "--instance", &self.name])
            .args(["--clip-seconds", "1", "--permits", "3", "--data"])
            .arg(self.dir.join("data"))
            .envs(variables)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    /// The end of its log.
    fn said(&self) -> String {
        let mut text = String::new();
        if let Ok(mut log) = File::open(self.dir.join("log")) {
            let length = log.metadata().map_or(0, |m| m.len());
            log.seek(SeekFrom::Start(length.saturating_sub(600))).ok();
            let mut bytes = Vec::new();
            log.read_to_end(&mut bytes).ok();
            text = String::from_utf8_lossy(&bytes).into_owned();
        }
        text.lines().last().unwrap_or_default().to_owned()
    }
}

/// A process that has only just begun does not listen for the signal yet, and ends by it.
fn ended_well(status: ExitStatus) -> bool {
    status.success() || status.signal() == Some(15)
}

/// Waits for the end of a process; `None` where it does not come in time.
fn wait(child: &mut Child, at_most: Duration) -> Option<(ExitStatus, Duration)> {
    let started = Instant::now();
    while started.elapsed() < at_most {
        if let Some(status) = child.try_wait().unwrap() {
            return Some((status, started.elapsed()));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    None
}
