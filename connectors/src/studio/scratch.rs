//! Scratch disk: bounded, private per job, always removed.

use engine::Trouble;
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tempfile::TempDir;

/// A directory that jobs borrow bytes of.
#[derive(Debug, Clone)]
pub struct Scratch {
    root: PathBuf,
    max_bytes: u64,
    used: Arc<AtomicU64>,
}

impl Scratch {
    /// Opens an empty scratch directory; what a crashed process left in it is removed.
    pub fn open(root: PathBuf, max_bytes: u64) -> std::io::Result<Self> {
        if root.exists() {
            std::fs::remove_dir_all(&root)?;
        }
        std::fs::create_dir_all(&root)?;
        Ok(Self { root, max_bytes, used: Arc::default() })
    }

    /// Where the private directories are made.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A private directory for a job that will need at most `bytes`.
    ///
    /// More than all of the scratch is refused for ever, more than what is free now only for now.
    pub fn job(&self, bytes: u64) -> Result<Job, Trouble> {
        if bytes > self.max_bytes {
            return Err(Trouble::poison(
                "scratch_too_small",
                format!(
                    "this step needs {bytes} bytes of scratch and only {} are allowed: raise --scratch-max-bytes",
                    self.max_bytes
                ),
            ));
        }
        let free = fs4::available_space(&self.root).unwrap_or(u64::MAX);
        if bytes > free {
            return Err(Trouble::away(
                "disk_full",
                format!(
                    "{} has {free} bytes left and this step may need {bytes}: make room",
                    self.root.display()
                ),
            ));
        }
        let reserved = self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, |used| {
            used.checked_add(bytes).filter(|sum| *sum <= self.max_bytes)
        });
        if reserved.is_err() {
            return Err(Trouble::away(
                "scratch_full",
                "other jobs hold the scratch directory: waiting for room",
            ));
        }
        let lease = Lease { bytes, used: Arc::clone(&self.used) };
        let dir = TempDir::new_in(&self.root).map_err(|e| {
            Trouble::transient("scratch_unwritable", format!("{}: {e}", self.root.display()))
        })?;
        Ok(Job { dir, _lease: lease })
    }
}

/// Bytes held; given back when dropped.
#[derive(Debug)]
struct Lease {
    bytes: u64,
    used: Arc<AtomicU64>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

/// A job's private directory, removed with all in it when dropped.
#[derive(Debug)]
pub struct Job {
    dir: TempDir,
    _lease: Lease,
}

impl Job {
    /// A path in it.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(max: u64) -> (TempDir, Scratch) {
        let dir = TempDir::new().unwrap();
        let scratch = Scratch::open(dir.path().join("scratch"), max).unwrap();
        (dir, scratch)
    }

    #[test]
    fn room_is_given_back_and_files_are_removed_when_a_job_ends() {
        let (_dir, scratch) = scratch(100);
        let job = scratch.job(80).unwrap();
        std::fs::write(job.path("x"), b"x").unwrap();
        let path = job.dir().to_owned();
        assert!(matches!(scratch.job(30), Err(Trouble::Transient { reason: "scratch_full", .. })));
        drop(job);
        assert!(!path.exists());
        assert!(scratch.job(100).is_ok());
    }

    #[test]
    fn a_job_larger_than_the_whole_scratch_is_refused_for_ever() {
        let (_dir, scratch) = scratch(100);
        assert!(matches!(scratch.job(101), Err(Trouble::Refused(_))));
    }

    #[test]
    fn leftovers_of_a_crash_are_removed_at_the_start() {
        let dir = TempDir::new().unwrap();
        let root = dir.path().join("scratch");
        std::fs::create_dir_all(root.join("old")).unwrap();
        Scratch::open(root.clone(), 1).unwrap();
        assert_eq!(std::fs::read_dir(root).unwrap().count(), 0);
    }
}
