//! What a helper has opened and contacted, by strace.

use std::path::{Component, Path, PathBuf};

/// The system calls that are watched; `seccomp` is the sign that the fence is closed.
const WATCHED: &str = "trace=%file,%network,seccomp";

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
    let mut seen = Seen::default();
    for line in lines {
        let Some((_, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start();
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
            if !climbs && (path.is_relative() || path.starts_with(folder)) {
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
