//! What a helper has opened and contacted, by strace.

use std::{
    collections::BTreeMap,
    path::{Component, Path, PathBuf},
};

/// The system calls that are watched; `seccomp` is the sign that the fence is closed.
const WATCHED: &str = "trace=%file,%network,seccomp";

/// The calls that start processes and threads.
pub(crate) const BIRTHS: &str = "clone,clone3,fork,vfork";

/// The words in front of a program that have it traced into `log`.
pub(crate) fn traced(log: &Path) -> Vec<String> {
    let log = log.display().to_string();
    ["-f", "--seccomp-bpf", "-e", WATCHED, "-s", "4096", "-o", &log].map(str::to_owned).to_vec()
}

/// What ONNX Runtime may read: facts about the CPU.
const OF_THE_MACHINE: [&str; 2] = ["/proc/cpuinfo", "/sys/devices/system/cpu/"];

/// What a trace shows.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Files outside of the folder that were opened.
    pub(crate) opened: Vec<String>,
    /// Those that were named otherwise, or in vain.
    pub(crate) named: Vec<String>,
    /// Calls that have to do with sockets.
    pub(crate) network: Vec<String>,
    /// Calls on files of the folder.
    pub(crate) own: usize,
}

/// Reads a trace: what was done behind the fence, or all where `fence` is false.
pub(crate) fn read(log: &Path, folder: &Path, fence: bool) -> Seen {
    let text = std::fs::read_to_string(log).unwrap();
    let mut lines = text.lines();
    if fence {
        let closed = lines.any(|line| line.contains(" seccomp(SECCOMP_SET_MODE_FILTER"));
        assert!(closed, "no fence was closed:\n{text}");
    }
    judge(lines.filter_map(|line| Some(line.split_once(' ')?.1.trim_start())), &[folder])
}

/// What these calls do that a work may not, which has its `folders` to itself.
fn judge<'a>(calls: impl Iterator<Item = &'a str>, folders: &[&Path]) -> Seen {
    let mut seen = Seen::default();
    for call in calls {
        let name = call.split('(').next().unwrap_or_default();
        let is_network = ["socket", "connect", "bind", "listen", "accept", "send", "recv"]
            .iter()
            .any(|word| name.starts_with(word));
        if is_network {
            seen.network.push(call.to_owned());
        } else if let Some(path) = call.split('"').nth(1) {
            let is_fact = OF_THE_MACHINE.iter().any(|fact| path.starts_with(fact));
            let path = PathBuf::from(path);
            if is_fact {
                continue;
            }
            let climbs = path.components().any(|part| part == Component::ParentDir);
            if !climbs
                && (path.is_relative() || folders.iter().any(|folder| path.starts_with(folder)))
            {
                seen.own += 1;
            } else if !name.starts_with("open") || call.contains("= -1 ") {
                seen.named.push(call.to_owned());
            } else {
                seen.opened.push(call.to_owned());
            }
        }
    }
    seen
}

/// What all works of a mill did behind their fences. `traces` are the calls of each thread, by its
/// id, with [`BIRTHS`] among them: threads that are started behind a fence are behind it, too.
pub(crate) fn behind_fences(traces: &BTreeMap<u32, String>, folders: &[&Path]) -> Seen {
    let mut begins: BTreeMap<u32, usize> = traces
        .iter()
        .filter_map(|(id, text)| Some((*id, text.find("seccomp(SECCOMP_SET_MODE_FILTER")?)))
        .collect();
    assert!(!begins.is_empty(), "no fence was closed");
    let mut unread: Vec<_> = begins.iter().map(|(id, at)| (*id, *at)).collect();
    while let Some((id, at)) = unread.pop() {
        let born = traces[&id][at..].lines().filter(|call| call.starts_with("clone"));
        for child in born.filter_map(|call| call.rsplit(" = ").next()?.parse().ok()) {
            if traces.contains_key(&child) && begins.insert(child, 0).is_none() {
                unread.push((child, 0));
            }
        }
    }
    // The call that closes the fence is not behind it.
    let calls = begins.iter().flat_map(|(id, at)| traces[id][*at..].lines());
    judge(calls.filter(|call| !call.starts_with("seccomp(")), folders)
}
