//! What differs between the engines, but for their migrations and their errors.

use super::{Address, Limits};
use sqlx::migrate::Migrator;

static SQLITE: Migrator = sqlx::migrate!("./migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("./migrations/postgres");

/// Said once on every connection.
pub(super) fn prepare(address: &Address, limits: Limits) -> String {
    let lock = limits.lock.as_millis();
    match address {
        // An event's offset moves on once its facts are recorded, so they must stay: `FULL`.
        Address::Sqlite(_) => format!(
            "PRAGMA busy_timeout = {lock}; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
             PRAGMA foreign_keys = ON"
        ),
        // A process that is halted inside a transaction must not hold its rows for ever.
        Address::Postgres(_) => format!(
            "SET statement_timeout = {}; SET lock_timeout = {lock}; \
             SET idle_in_transaction_session_timeout = {}; SET synchronous_commit = on",
            limits.statement.as_millis(),
            2 * limits.call.as_millis()
        ),
    }
}

/// Said on the connection that brings the tables up to date, which may take its time. With a
/// server, sqlx does so under an advisory lock, for which several processes may wait at once.
pub(super) fn prepare_migration(address: &Address, limits: Limits) -> String {
    match address {
        Address::Sqlite(_) => prepare(address, limits),
        Address::Postgres(_) => {
            // Tables that are there already are no news.
            format!(
                "SET statement_timeout = 0; SET lock_timeout = {}; SET client_min_messages = warning",
                limits.migrate.as_millis()
            )
        }
    }
}

pub(super) fn migrations(address: &Address) -> &'static Migrator {
    match address {
        Address::Sqlite(_) => &SQLITE,
        Address::Postgres(_) => &POSTGRES,
    }
}

/// Against tables of another version.
pub(super) fn remedy(address: &Address) -> &'static str {
    match address {
        Address::Sqlite(_) => {
            "use that version, or move the file away and start with an empty catalogue"
        }
        Address::Postgres(_) => {
            "use that version, or name another, empty database for this one to start with"
        }
    }
}

pub(super) fn begin_writing(address: &Address) -> &'static str {
    match address {
        // Takes the write lock at once: a transaction that read first could not wait for it.
        Address::Sqlite(_) => "BEGIN IMMEDIATE",
        // Rows are locked one by one, and read again once they are.
        Address::Postgres(_) => "BEGIN ISOLATION LEVEL READ COMMITTED",
    }
}

/// All that is read then is of the same moment.
pub(super) fn begin_reading(address: &Address) -> &'static str {
    match address {
        Address::Sqlite(_) => "BEGIN",
        Address::Postgres(_) => "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY",
    }
}
