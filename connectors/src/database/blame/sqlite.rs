//! Whose fault an error of SQLite is.

use ports::Trouble;
use std::io;

/// By SQLite's result code, of which the lowest byte is the primary one
/// (<https://www.sqlite.org/rescode.html>).
pub(super) fn answered(said: String, code: Option<u32>) -> Trouble {
    match code.map(|code| code & 0xff) {
        // SQLITE_BUSY, SQLITE_LOCKED
        Some(5 | 6) => Trouble::transient("database_busy", said),
        // SQLITE_FULL
        Some(13) => Trouble::away("disk_full", format!("{said}; make room on the disk")),
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

pub(super) fn disk(said: String, cause: &io::Error) -> Trouble {
    match cause.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Trouble::away("disk_full", format!("{said}; make room on the disk"))
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
    use super::super::tests::reason;
    use super::*;

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
}
