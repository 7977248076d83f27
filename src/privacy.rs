//! What a mill keeps is for its own user alone: unmasked footage and faces are among it.

use rustix::{fs::Mode, process};
use std::{
    ffi::OsStr,
    fs::{self, DirBuilder, Metadata, Permissions},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::Path,
};

/// All rights of the owner, none of anybody else.
const OWNERS_ALONE: u32 = 0o700;
/// Rights of group and others.
const OF_OTHERS: u32 = 0o077;
/// A directory that many write to, such as /tmp.
const STICKY: u32 = 0o1000;
/// What commands keep directly in their data directory. SQLite's further files begin with the name
/// of their database and a dash.
const KEPT: [&str; 12] = [
    "broker",
    "catalog.sqlite",
    "endpoints.env",
    "endpoints.tmp",
    "faces.sqlite",
    "index",
    "jobs",
    "lock",
    "registry",
    "scratch",
    "store",
    "vision",
];

/// Lets this process, and all that it starts, make files and directories for their owner alone.
pub fn keep_new_files_private() {
    process::umask(Mode::RWXG | Mode::RWXO);
}

/// Makes a data directory for its owner alone; one that is there and open to others is closed, if it
/// is known to be a mill's.
///
/// # Errors
/// Where it cannot be made. One that cannot be closed is told in the log.
pub fn data_directory(data: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(OWNERS_ALONE).create(data)?;
    match close(data) {
        Ok(false) => {}
        Ok(true) => tracing::info!(
            directory = %data.display(),
            "other users of this machine could read the data directory; closed it to them (mode 0700)"
        ),
        Err(error) => tracing::warn!(
            directory = %data.display(),
            %error,
            "other users of this machine may be able to read the data directory: chmod 0700 it"
        ),
    }
    Ok(())
}

/// Closes an open data directory; whether there was need to.
fn close(data: &Path) -> io::Result<bool> {
    let found = fs::metadata(data)?;
    if found.mode() & OF_OTHERS == 0 || !may_close(&found) || !is_a_mills(data)? {
        return Ok(false);
    }
    fs::set_permissions(data, Permissions::from_mode(OWNERS_ALONE))?;
    Ok(true)
}

/// Not where somebody else made it, or made it for many.
fn may_close(directory: &Metadata) -> bool {
    directory.uid() == process::geteuid().as_raw() && directory.mode() & STICKY == 0
}

/// Whether there is something of a mill, and nothing else.
fn is_a_mills(directory: &Path) -> io::Result<bool> {
    let mut is_empty = true;
    for entry in fs::read_dir(directory)? {
        if !is_kept(&entry?.file_name()) {
            return Ok(false);
        }
        is_empty = false;
    }
    Ok(!is_empty)
}

fn is_kept(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    KEPT.iter().any(|kept| {
        let further = name.strip_prefix(kept);
        further.is_some_and(|f| f.is_empty() || kept.ends_with(".sqlite") && f.starts_with('-'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;
    use tempfile::TempDir;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    /// A directory of this mode with these files.
    fn directory(mode: u32, files: &[&str]) -> (TempDir, PathBuf) {
        let dir = TempDir::new().unwrap();
        let data = dir.path().join("data");
        fs::create_dir(&data).unwrap();
        for file in files {
            fs::write(data.join(file), "").unwrap();
        }
        fs::set_permissions(&data, Permissions::from_mode(mode)).unwrap();
        (dir, data)
    }

    #[test]
    fn a_new_data_directory_is_for_its_owner_alone() {
        let dir = TempDir::new().unwrap();
        let data = dir.path().join("share/reelmill");
        data_directory(&data).unwrap();
        assert_eq!(mode(&data), 0o700);
        data_directory(&data).unwrap();
        assert_eq!(mode(&data), 0o700);
    }

    #[test]
    fn an_open_data_directory_is_closed() {
        let whole = ["lock", "catalog.sqlite", "catalog.sqlite-wal", "endpoints.env", "scratch"];
        for files in [&whole[..], &["faces.sqlite", "faces.sqlite-journal", "jobs"], &["scratch"]] {
            for open in [0o755, 0o750, 0o701] {
                let (_dir, data) = directory(open, files);
                data_directory(&data).unwrap();
                assert_eq!(mode(&data), 0o700, "{open:o} {files:?}");
            }
        }
    }

    #[test]
    fn a_directory_that_holds_other_things_or_nothing_or_is_for_many_is_left_as_it_is() {
        for (open, files) in [
            (0o755, &["lock", "holidays.jpg"][..]),
            (0o755, &["lock-file"][..]),
            (0o755, &["lost+found", "store"][..]),
            (0o755, &[][..]),
            (0o1777, &["lock", "store"][..]),
        ] {
            let (_dir, data) = directory(open, files);
            data_directory(&data).unwrap();
            assert_eq!(mode(&data), open, "{files:?}");
        }
    }
}
