//! What a person who looks for a fault asks of a catalogue. Nothing is made or changed.

use super::{Address, Limits, OpenError, blame, engine};
use sqlx::{
    AnyConnection, AssertSqlSafe, ConnectOptions, Connection, Executor, any::AnyConnectOptions,
    migrate::Migrator,
};
use std::{collections::BTreeMap, path::Path};
use tokio::time::timeout;

/// The tables of a catalogue, against those that this version writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tables {
    /// No file, or an empty database: the tables are made at the start.
    None {
        may_be_made: bool,
    },
    Current {
        version: i64,
    },
    /// Brought up to date at the start.
    Behind {
        version: i64,
        ours: i64,
        may_be_made: bool,
    },
    /// Another version wrote there, and this one would refuse to.
    Foreign {
        cause: String,
        remedy: &'static str,
    },
    /// A server that copies another one, and takes no writes.
    Standby,
}

/// Looks at the tables.
///
/// # Errors
/// Where the database does not answer, or is none.
pub async fn look(address: &Address, limits: Limits) -> Result<Tables, OpenError> {
    sqlx::any::install_default_drivers();
    let trouble = |error: &sqlx::Error| OpenError::Trouble {
        address: address.clone(),
        trouble: blame(address, error),
    };
    if let Address::Sqlite(path) = address
        && !path.exists()
    {
        return Ok(Tables::None { may_be_made: true });
    }
    let options = match address {
        Address::Sqlite(path) => untouched(address, path),
        Address::Postgres(_) => address.options(),
    };
    let options = options.map_err(|error| trouble(&error))?;
    let looked = timeout(limits.connect, async {
        let mut connection = options.connect().await?;
        let tables = tables(address, limits, &mut connection).await;
        drop(connection.close().await);
        tables
    });
    match looked.await {
        Ok(tables) => tables.map_err(|error| trouble(&error)),
        Err(_) => Err(OpenError::Trouble {
            address: address.clone(),
            trouble: blame::silence(address, limits.connect),
        }),
    }
}

/// A file that nobody has open is read as it lies there: SQLite would put others beside it.
fn untouched(address: &Address, path: &Path) -> Result<AnyConnectOptions, sqlx::Error> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    address.reading(!Path::new(&log).exists())
}

async fn tables(
    address: &Address,
    limits: Limits,
    connection: &mut AnyConnection,
) -> Result<Tables, sqlx::Error> {
    let (kept, may_be_made) = match address {
        Address::Sqlite(_) => {
            ("SELECT count(*) FROM sqlite_master WHERE name = '_sqlx_migrations'", true)
        }
        Address::Postgres(_) => {
            let patience = limits.statement.as_millis();
            let patience = AssertSqlSafe(format!("SET statement_timeout = {patience}"));
            connection.execute(patience).await?;
            if count(connection, "SELECT count(*) WHERE pg_is_in_recovery()").await? > 0 {
                return Ok(Tables::Standby);
            }
            let made = "SELECT count(*) WHERE has_schema_privilege(current_schema(), 'CREATE')";
            let kept = "SELECT count(*) FROM pg_catalog.pg_tables \
                        WHERE tablename = '_sqlx_migrations' \
                        AND schemaname = ANY (current_schemas(false))";
            (kept, count(connection, made).await? > 0)
        }
    };
    if count(connection, kept).await? == 0 {
        return Ok(Tables::None { may_be_made });
    }
    let applied: Vec<(i64, Vec<u8>)> =
        sqlx::query_as("SELECT version, checksum FROM _sqlx_migrations ORDER BY version")
            .fetch_all(connection)
            .await?;
    let known = engine::migrations(address);
    Ok(compared(&applied.into_iter().collect(), known, engine::remedy(address), may_be_made))
}

async fn count(connection: &mut AnyConnection, of: &'static str) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(of).fetch_one(connection).await
}

fn compared(
    applied: &BTreeMap<i64, Vec<u8>>,
    known: &Migrator,
    remedy: &'static str,
    may_be_made: bool,
) -> Tables {
    let ours: BTreeMap<i64, &[u8]> = known.iter().map(|m| (m.version, &*m.checksum)).collect();
    let (newest, last) = (ours.keys().last(), applied.keys().last());
    let (newest, last) = (newest.copied().unwrap_or(0), last.copied().unwrap_or(0));
    for (version, checksum) in applied {
        let cause = match ours.get(version) {
            Some(known) if *known == checksum => continue,
            Some(_) => format!("its migration {version} is another than ours"),
            None => format!("its tables are of version {last}, those of this program of {newest}"),
        };
        return Tables::Foreign { cause, remedy };
    }
    match applied.len() {
        0 => Tables::None { may_be_made },
        made if made < ours.len() => Tables::Behind { version: last, ours: newest, may_be_made },
        _ => Tables::Current { version: last },
    }
}
