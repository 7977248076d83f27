//! The fence: what a helper gives up before it reads footage, and never gets back.

use crate::{Allowance, MEMORY, syscalls};
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus, Scope, path_beneath_rules,
};
use rustix::process::{Resource, Rlimit, setrlimit};
use serde::{Deserialize, Serialize};
use std::{fmt, io, path::Path};

/// Files open at once.
const FILES: u64 = 64;
/// Seconds after its computing time has run out in which a process may say so.
const LAST_WORDS: u64 = 2;
/// What is asked of Landlock; an older kernel upholds a part of it.
const NEWEST: ABI = ABI::V6;

/// What ONNX Runtime reads to choose its kernels: the same for everybody on the machine.
const OF_THE_MACHINE: [&str; 2] = ["/proc/cpuinfo", "/sys/devices/system/cpu"];

/// How far the kernel upholds a part of the fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Held {
    /// All that is asked of it.
    Fully,
    /// As much as this kernel knows of.
    Partly,
    /// This kernel does not have it.
    Not,
}

/// What holds a helper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fence {
    /// No file outside of its directory, no TCP, no signal to others.
    pub landlock: Held,
    /// No system call that codecs do not need.
    pub seccomp: Held,
}

impl Fence {
    /// Whether nothing of it is missing.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        (self.landlock, self.seccomp) == (Held::Fully, Held::Fully)
    }
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("limits on memory, time and files")?;
        for (part, held) in [("landlock", self.landlock), ("seccomp", self.seccomp)] {
            match held {
                Held::Fully => write!(f, ", {part}")?,
                Held::Partly => write!(f, ", {part} in part")?,
                Held::Not => {}
            }
        }
        Ok(())
    }
}

/// Closes the fence around this process, which must have a single thread.
///
/// # Errors
/// When the kernel has a part of the fence and does not let it be used.
pub(crate) fn close(allowance: &Allowance) -> io::Result<Fence> {
    let threads = std::fs::read_dir("/proc/self/task")?.count();
    if threads != 1 {
        // Landlock holds the calling thread and those that it starts.
        return Err(io::Error::other(format!("{threads} threads run before the fence is closed")));
    }
    limit(allowance)?;
    let landlock = landlock(&allowance.folder)?;
    let seccomp = syscalls::forbid()?;
    Ok(Fence { landlock, seccomp })
}

fn limit(allowance: &Allowance) -> io::Result<()> {
    let seconds = allowance.time.as_secs().max(1);
    let limits = [
        (Resource::Data, MEMORY, MEMORY),
        (Resource::Cpu, seconds, seconds.saturating_add(LAST_WORDS)),
        (Resource::Fsize, allowance.file_bytes, allowance.file_bytes),
        (Resource::Nofile, FILES, FILES),
        (Resource::Core, 0, 0),
    ];
    for (resource, soft, hard) in limits {
        setrlimit(resource, Rlimit { current: Some(soft), maximum: Some(hard) })?;
    }
    Ok(())
}

/// Everything that Landlock can forbid, except the files of one directory and facts about the CPU.
fn landlock(folder: &Path) -> io::Result<Held> {
    let own_files: BitFlags<AccessFs> = AccessFs::ReadFile
        | AccessFs::ReadDir
        | AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::RemoveFile;
    let folder = PathFd::new(folder).map_err(io::Error::other)?;
    let facts = path_beneath_rules(OF_THE_MACHINE, AccessFs::ReadFile | AccessFs::ReadDir);
    let restricted = Ruleset::default()
        .handle_access(AccessFs::from_all(NEWEST))
        .and_then(|ruleset| ruleset.handle_access(AccessNet::from_all(NEWEST)))
        .and_then(|ruleset| ruleset.scope(Scope::from_all(NEWEST)))
        .and_then(|ruleset| ruleset.create())
        .and_then(|ruleset| ruleset.add_rule(PathBeneath::new(folder, own_files)))
        .and_then(|ruleset| ruleset.add_rules(facts))
        .and_then(|ruleset| ruleset.restrict_self())
        .map_err(io::Error::other)?;
    Ok(match restricted.ruleset {
        RulesetStatus::FullyEnforced => Held::Fully,
        RulesetStatus::PartiallyEnforced => Held::Partly,
        RulesetStatus::NotEnforced => Held::Not,
    })
}
