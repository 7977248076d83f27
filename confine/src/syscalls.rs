//! The system calls that decoding, encoding and inference need. All others fail with EPERM.
//!
//! Files may be opened here; which ones is Landlock's business. Not in the list, and so gone for
//! good: sockets, starting programs, processes (threads are allowed), links, mounts, tracing,
//! shared memory, memory that is run as code.

use crate::Held;
use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter,
};
use std::{collections::BTreeMap, env::consts::ARCH, io};

/// System calls of every architecture.
const ALLOWED: &[c_long] = &[
    // files
    libc::SYS_openat,
    libc::SYS_close,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_pwrite64,
    libc::SYS_pwritev,
    libc::SYS_lseek,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_readlinkat,
    libc::SYS_getdents64,
    libc::SYS_getcwd,
    libc::SYS_unlinkat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_fadvise64,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_fcntl,
    libc::SYS_flock,
    libc::SYS_dup,
    libc::SYS_ppoll,
    // memory (see `conditional` for mmap and mprotect)
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    // threads (see `conditional` for clone)
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_get_robust_list,
    libc::SYS_rseq,
    libc::SYS_set_tid_address,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_setaffinity,
    libc::SYS_sched_getparam,
    libc::SYS_sched_getscheduler,
    libc::SYS_sched_get_priority_max,
    libc::SYS_sched_get_priority_min,
    libc::SYS_getpriority,
    libc::SYS_getcpu,
    // signals
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    // time
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_nanosleep,
    // what the process is told about itself and its machine
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_getrlimit,
    libc::SYS_getrusage,
    libc::SYS_getrandom,
    libc::SYS_sysinfo,
    libc::SYS_times,
    libc::SYS_uname,
];

/// Older names of the same, which only this architecture has.
#[cfg(target_arch = "x86_64")]
const ALLOWED_HERE: &[c_long] = &[
    libc::SYS_open,
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_access,
    libc::SYS_readlink,
    libc::SYS_unlink,
    libc::SYS_rename,
    libc::SYS_poll,
    libc::SYS_time,
];
#[cfg(not(target_arch = "x86_64"))]
const ALLOWED_HERE: &[c_long] = &[];

/// Calls that are allowed with some arguments only: number and length of the argument, and what
/// it must be. All conditions of a call must hold.
fn conditional() -> [(c_long, u8, SeccompCmpArgLen, SeccompCmpOp, u64); 8] {
    use SeccompCmpArgLen::{Dword, Qword};
    use SeccompCmpOp::{Eq, MaskedEq};
    let executable = MaskedEq(libc::PROT_EXEC as u64);
    // Shared mappings count towards no limit.
    let shared = MaskedEq(libc::MAP_SHARED as u64);
    let thread = libc::CLONE_THREAD as u64;
    [
        (libc::SYS_mmap, 2, Dword, executable.clone(), 0),
        (libc::SYS_mmap, 3, Dword, shared, 0),
        (libc::SYS_mprotect, 2, Dword, executable, 0),
        (libc::SYS_clone, 0, Dword, MaskedEq(thread), thread),
        (libc::SYS_prctl, 0, Dword, Eq, libc::PR_SET_NAME as u64),
        // isatty
        (libc::SYS_ioctl, 1, Dword, Eq, libc::TCGETS),
        // abort
        (libc::SYS_tgkill, 0, Dword, Eq, u64::from(std::process::id())),
        // reading limits, not setting them
        (libc::SYS_prlimit64, 2, Qword, Eq, 0),
    ]
}

/// Installs the filter for this thread and all that it starts.
pub(crate) fn forbid() -> io::Result<Held> {
    let Ok(arch) = TargetArch::try_from(ARCH) else { return Ok(Held::Not) };
    if !std::path::Path::new("/proc/sys/kernel/seccomp").exists() {
        return Ok(Held::Not);
    }
    let mut rules: BTreeMap<c_long, Vec<SeccompRule>> =
        ALLOWED.iter().chain(ALLOWED_HERE).map(|call| (*call, Vec::new())).collect();
    let mut conditions: BTreeMap<c_long, Vec<SeccompCondition>> = BTreeMap::new();
    for (call, argument, length, op, value) in conditional() {
        let condition = SeccompCondition::new(argument, length, op, value).map_err(failed)?;
        conditions.entry(call).or_default().push(condition);
    }
    for (call, conditions) in conditions {
        rules.insert(call, vec![SeccompRule::new(conditions).map_err(failed)?]);
    }
    // The C library falls back to clone, whose flags can be checked, only where clone3 is unknown.
    rules.insert(libc::SYS_clone3, Vec::new());
    let unknown = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);

    install(SeccompFilter::new(unknown, SeccompAction::Allow, errno(libc::ENOSYS), arch))?;
    install(SeccompFilter::new(rules, errno(libc::EPERM), SeccompAction::Allow, arch))?;
    Ok(Held::Fully)
}

fn install(filter: Result<SeccompFilter, seccompiler::BackendError>) -> io::Result<()> {
    let program: BpfProgram = filter.and_then(BpfProgram::try_from).map_err(failed)?;
    apply_filter(&program).map_err(failed)
}

fn errno(number: i32) -> SeccompAction {
    SeccompAction::Errno(number.unsigned_abs())
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::other(error)
}
