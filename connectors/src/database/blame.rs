//! Whose fault a database error is.

use ports::Trouble;
use std::io;
use std::path::Path;

/// Sorts an error by blame. Total: locks and disks may recover, a damaged file or a wrong
/// statement of ours does not.
pub(super) fn blame(path: &Path, error: &sqlx::Error) -> Trouble {
    let said = format!("catalogue {}: {error}", path.display());
    match error {
        sqlx::Error::Database(refused) => {
            answered(said, refused.code().and_then(|code| code.parse().ok()))
        }
        sqlx::Error::Io(cause) => disk(said, cause),
        sqlx::Error::PoolTimedOut => Trouble::transient("database_busy", said),
        // A closed pool is a stop under way; a crashed worker is replaced by the pool.
        sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed | sqlx::Error::BeginFailed => {
            Trouble::transient("database_gone", said)
        }
        // Statements, columns and types are ours, and so is whatever sqlx will add.
        _ => Trouble::fatal(format!("{said}; this is a bug, please report it")),
    }
}

/// By SQLite's result code, of which the lowest byte is the primary one
/// (<https://www.sqlite.org/rescode.html>).
fn answered(said: String, code: Option<u32>) -> Trouble {
    match code.map(|code| code & 0xff) {
        // SQLITE_BUSY, SQLITE_LOCKED
        Some(5 | 6) => Trouble::transient("database_busy", said),
        // SQLITE_FULL
        Some(13) => Trouble::transient("disk_full", format!("{said}; make room on the disk")),
        // SQLITE_NOMEM, SQLITE_INTERRUPT, SQLITE_IOERR
        Some(7 | 9 | 10) => Trouble::transient("database_io", said),
        // SQLITE_CORRUPT, SQLITE_NOTADB
        Some(11 | 26) => Trouble::fatal(format!(
            "{said}; the file is damaged or no catalogue, restore it from a copy or move it away"
        )),
        // SQLITE_PERM, SQLITE_READONLY, SQLITE_CANTOPEN, SQLITE_AUTH
        Some(3 | 8 | 14 | 23) => Trouble::fatal(format!(
            "{said}; see that its directory exists and that this user may write there"
        )),
        // Everything else is about statements, types and schemas.
        _ => Trouble::fatal(format!("{said}; this is a bug, please report it")),
    }
}

fn disk(said: String, cause: &io::Error) -> Trouble {
    match cause.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Trouble::transient("disk_full", format!("{said}; make room on the disk"))
        }
        io::ErrorKind::PermissionDenied
        | io::ErrorKind::ReadOnlyFilesystem
        | io::ErrorKind::NotFound => Trouble::fatal(format!(
            "{said}; see that its directory exists and that this user may write there"
        )),
        _ => Trouble::transient("database_io", said),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `None` is fatal.
    fn reason(trouble: &Trouble) -> Option<&'static str> {
        match trouble {
            Trouble::Transient { reason, .. } => Some(reason),
            Trouble::Fatal(_) => None,
            Trouble::Refused(_) => Some("refused"),
        }
    }

    #[test]
    fn every_result_code_has_its_blame() {
        let table = [
            (1, None),                    // SQLITE_ERROR
            (3, None),                    // SQLITE_PERM
            (5, Some("database_busy")),   // SQLITE_BUSY
            (261, Some("database_busy")), // SQLITE_BUSY_RECOVERY
            (517, Some("database_busy")), // SQLITE_BUSY_SNAPSHOT
            (6, Some("database_busy")),   // SQLITE_LOCKED
            (262, Some("database_busy")), // SQLITE_LOCKED_SHAREDCACHE
            (7, Some("database_io")),     // SQLITE_NOMEM
            (8, None),                    // SQLITE_READONLY
            (10, Some("database_io")),    // SQLITE_IOERR
            (778, Some("database_io")),   // SQLITE_IOERR_WRITE
            (11, None),                   // SQLITE_CORRUPT
            (13, Some("disk_full")),      // SQLITE_FULL
            (14, None),                   // SQLITE_CANTOPEN
            (17, None),                   // SQLITE_SCHEMA
            (19, None),                   // SQLITE_CONSTRAINT
            (20, None),                   // SQLITE_MISMATCH
            (26, None),                   // SQLITE_NOTADB
        ];
        for (code, expected) in table {
            assert_eq!(reason(&answered("said".to_owned(), Some(code))), expected, "code {code}");
        }
        assert_eq!(reason(&answered("said".to_owned(), None)), None);
    }

    #[test]
    fn every_other_error_has_its_blame() {
        let io = |kind| sqlx::Error::Io(io::Error::from(kind));
        let table = [
            (io(io::ErrorKind::StorageFull), Some("disk_full")),
            (io(io::ErrorKind::Interrupted), Some("database_io")),
            (io(io::ErrorKind::PermissionDenied), None),
            (io(io::ErrorKind::NotFound), None),
            (sqlx::Error::PoolTimedOut, Some("database_busy")),
            (sqlx::Error::PoolClosed, Some("database_gone")),
            (sqlx::Error::WorkerCrashed, Some("database_gone")),
            (sqlx::Error::RowNotFound, None),
            (sqlx::Error::ColumnNotFound("owner".to_owned()), None),
        ];
        for (error, expected) in table {
            assert_eq!(reason(&blame(Path::new("catalogue.db"), &error)), expected, "{error:?}");
        }
    }
}
