//! Whose fault a database error is.

mod postgres;
mod sqlite;

use super::Address;
use ports::Trouble;
use std::time::Duration;

/// Sorts an error by blame. Total: locks, disks and servers may recover; a damaged file, wrong
/// credentials or a wrong statement of ours do not.
pub(super) fn blame(address: &Address, error: &sqlx::Error) -> Trouble {
    let said = format!("catalogue {address}: {error}");
    match (error, address) {
        (sqlx::Error::Database(refused), Address::Sqlite(_)) => {
            sqlite::answered(said, refused.code().and_then(|code| code.parse().ok()))
        }
        (sqlx::Error::Database(refused), Address::Postgres(_)) => {
            postgres::answered(said, refused.code().as_deref().unwrap_or_default())
        }
        (sqlx::Error::Io(cause), Address::Sqlite(_)) => sqlite::disk(said, cause),
        (sqlx::Error::Io(cause), Address::Postgres(url)) => postgres::network(said, cause, url),
        // What answers is no PostgreSQL, or was cut off in the middle of a word.
        (sqlx::Error::Protocol(_), Address::Postgres(_)) => postgres::unreachable(said),
        (sqlx::Error::PoolTimedOut, _) => Trouble::away(
            "database_busy",
            format!("catalogue {address}: no connection came free in time"),
        ),
        // A closed pool is a stop under way; a crashed worker is replaced by the pool.
        (sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed | sqlx::Error::BeginFailed, _) => {
            Trouble::away("database_gone", said)
        }
        (sqlx::Error::Configuration(_), _) => {
            Trouble::fatal(format!("{said}; correct the database's address"))
        }
        (sqlx::Error::Tls(_), _) => {
            Trouble::fatal(format!("{said}; see sslmode and sslrootcert in the database's address"))
        }
        // Statements, columns and types are ours, and so is whatever sqlx will add.
        _ => Trouble::fatal(format!("{said}; this is a bug, please report it")),
    }
}

/// Of a database that did not answer at all.
pub(super) fn silence(address: &Address, waited: Duration) -> Trouble {
    let what = match address {
        Address::Sqlite(_) => "the disk",
        Address::Postgres(_) => "the server, or the network to it,",
    };
    Trouble::away(
        "database_gone",
        format!(
            "catalogue {address}: no answer within {} s; see whether {what} hangs",
            waited.as_secs_f32()
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    /// `None` is fatal.
    pub(super) fn reason(trouble: &Trouble) -> Option<&'static str> {
        match trouble {
            Trouble::Transient { reason, .. } => Some(reason),
            Trouble::Fatal(_) => None,
            Trouble::Refused(_) => Some("refused"),
        }
    }

    #[test]
    fn every_other_error_has_its_blame() {
        let io = |kind| sqlx::Error::Io(io::Error::from(kind));
        let (file, server) = (Some("database_io"), Some("database_gone"));
        let table = [
            (io(io::ErrorKind::StorageFull), Some("disk_full"), server),
            (io(io::ErrorKind::Interrupted), file, server),
            (io(io::ErrorKind::PermissionDenied), None, server),
            (io(io::ErrorKind::NotFound), None, server),
            (io(io::ErrorKind::ConnectionRefused), file, server),
            (io(io::ErrorKind::UnexpectedEof), file, server),
            (io(io::ErrorKind::InvalidData), file, None),
            (sqlx::Error::Protocol("x".to_owned()), None, server),
            (sqlx::Error::PoolTimedOut, Some("database_busy"), Some("database_busy")),
            (sqlx::Error::PoolClosed, server, server),
            (sqlx::Error::WorkerCrashed, server, server),
            (sqlx::Error::BeginFailed, server, server),
            (sqlx::Error::Configuration("x".into()), None, None),
            (sqlx::Error::Tls("x".into()), None, None),
            (sqlx::Error::RowNotFound, None, None),
            (sqlx::Error::ColumnNotFound("owner".to_owned()), None, None),
        ];
        let sqlite = Address::file("catalogue.db");
        let postgres: Address = "postgres://ann:hush@db/mill".parse().unwrap();
        for (error, of_file, of_server) in table {
            assert_eq!(reason(&blame(&sqlite, &error)), of_file, "{error:?}");
            let trouble = blame(&postgres, &error);
            assert_eq!(reason(&trouble), of_server, "{error:?}");
            assert!(!trouble.to_string().contains("hush"), "{trouble}");
        }
    }
}
