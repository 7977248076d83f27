//! Whose fault an error of PostgreSQL is.

use ports::Trouble;
use std::io;
use url::Url;

/// By SQLSTATE, whose first two characters are its class
/// (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
pub(super) fn answered(said: String, state: &str) -> Trouble {
    let (class, _) = state.split_at_checked(2).unwrap_or_default();
    match (state, class) {
        // invalid_password and its like
        (_, "28") => Trouble::fatal(format!(
            "{said}; correct the user and the password in the database's address, or pg_hba.conf"
        )),
        ("3D000", _) => Trouble::fatal(format!(
            "{said}; create it (CREATE DATABASE), or name another in the database's address"
        )),
        // insufficient_privilege
        ("42501", _) => Trouble::fatal(format!(
            "{said}; the user needs CREATE on the schema and must own the catalogue's tables"
        )),
        // invalid_schema_name: nowhere to put tables
        ("3F000", _) => Trouble::fatal(format!(
            "{said}; create the schema, or name another in the address (options[search_path]=...)"
        )),
        ("53100", _) => {
            Trouble::away("disk_full", format!("{said}; make room on the server's disk"))
        }
        ("53300", _) => Trouble::away(
            "database_busy",
            format!("{said}; raise the server's limit, or run fewer processes"),
        ),
        // serialization_failure, deadlock_detected and the rest of transaction_rollback;
        // lock_not_available, query_canceled: the limits of ours on waiting
        (_, "40") | ("55P03" | "57014", _) => Trouble::transient("database_busy", said),
        // read_only_sql_transaction: a standby that has not taken over yet
        ("25006", _) => Trouble::away(
            "database_gone",
            format!("{said}; this server is a standby, name the primary in the address"),
        ),
        // idle_in_transaction_session_timeout, transaction_timeout
        ("25P03" | "25P04", _) => Trouble::away("database_gone", said),
        ("57P04", _) => Trouble::fatal(format!("{said}; the database was dropped")),
        // connection exceptions; a server that stops, has crashed or starts
        (_, "08" | "57") => unreachable(said),
        // out of memory and other resources; system errors
        (_, "53" | "58") => Trouble::transient("database_io", said),
        // data_corrupted, index_corrupted
        ("XX001" | "XX002", _) => {
            Trouble::fatal(format!("{said}; the database is damaged, restore it from a copy"))
        }
        // Data that no column takes; an owner too long for an index.
        (_, "22" | "54") => Trouble::poison("unfit_for_database", said),
        // Everything else is about statements, types and schemas.
        _ => Trouble::fatal(format!("{said}; this is a bug, please report it")),
    }
}

pub(super) fn network(said: String, cause: &io::Error, address: &Url) -> Trouble {
    let names_files = || address.query_pairs().any(|(name, _)| CERTIFICATES.contains(&&*name));
    match cause.kind() {
        // As rustls tells that a certificate is not to be trusted.
        io::ErrorKind::InvalidData => Trouble::fatal(format!(
            "{said}; see sslmode and sslrootcert in the database's address, and the server's certificate"
        )),
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied if names_files() => {
            Trouble::fatal(format!(
                "{said}; see that the files of sslrootcert, sslcert and sslkey in the database's address \
                 are there and that this user may read them"
            ))
        }
        _ => unreachable(said),
    }
}

/// Parameters of an address that name files.
const CERTIFICATES: [&str; 3] = ["sslrootcert", "sslcert", "sslkey"];

pub(super) fn unreachable(said: String) -> Trouble {
    Trouble::away(
        "database_gone",
        format!("{said}; see that the server runs and that the address names its host and port"),
    )
}

#[cfg(test)]
mod tests {
    use super::super::tests::reason;
    use super::*;

    #[test]
    fn a_file_of_a_certificate_that_is_missing_is_no_server_that_is_away() {
        let table = [
            ("postgres://db/mill?sslmode=verify-full&sslrootcert=/ca.pem", None),
            ("postgres://db/mill?sslkey=/key.pem", None),
            ("postgres://db/mill?sslmode=verify-full", Some("database_gone")),
            ("postgres:///mill?host=/run/postgresql", Some("database_gone")),
        ];
        for (url, expected) in table {
            let missing = io::Error::from(io::ErrorKind::NotFound);
            let trouble = network("said".to_owned(), &missing, &url.parse().unwrap());
            assert_eq!(reason(&trouble), expected, "{url}");
        }
    }

    #[test]
    fn every_state_has_its_blame() {
        let (busy, gone, io) = (Some("database_busy"), Some("database_gone"), Some("database_io"));
        let table = [
            ("08000", gone),            // connection_exception
            ("08006", gone),            // connection_failure
            ("08P01", gone),            // protocol_violation
            ("0A000", None),            // feature_not_supported
            ("22001", Some("refused")), // string_data_right_truncation
            ("22021", Some("refused")), // character_not_in_repertoire
            ("23503", None),            // foreign_key_violation
            ("23505", None),            // unique_violation
            ("25006", gone),            // read_only_sql_transaction
            ("25P02", None),            // in_failed_sql_transaction
            ("25P03", gone),            // idle_in_transaction_session_timeout
            ("28000", None),            // invalid_authorization_specification
            ("28P01", None),            // invalid_password
            ("3D000", None),            // invalid_catalog_name
            ("3F000", None),            // invalid_schema_name
            ("40001", busy),            // serialization_failure
            ("40P01", busy),            // deadlock_detected
            ("42501", None),            // insufficient_privilege
            ("42601", None),            // syntax_error
            ("42703", None),            // undefined_column
            ("42P01", None),            // undefined_table
            ("53000", io),              // insufficient_resources
            ("53100", Some("disk_full")),
            ("53200", io),              // out_of_memory
            ("53300", busy),            // too_many_connections
            ("54000", Some("refused")), // program_limit_exceeded
            ("55P03", busy),            // lock_not_available
            ("57014", busy),            // query_canceled
            ("57P01", gone),            // admin_shutdown
            ("57P02", gone),            // crash_shutdown
            ("57P03", gone),            // cannot_connect_now
            ("57P04", None),            // database_dropped
            ("57P05", gone),            // idle_session_timeout
            ("58000", io),              // system_error
            ("58030", io),              // io_error
            ("P0001", None),            // raise_exception
            ("XX000", None),            // internal_error
            ("XX001", None),            // data_corrupted
            ("", None),
            ("4", None),
        ];
        for (state, expected) in table {
            assert_eq!(reason(&answered("said".to_owned(), state)), expected, "state {state}");
        }
    }
}
