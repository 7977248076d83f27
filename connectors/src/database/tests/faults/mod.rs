//! A real server that fails. What could not be told is told again, as the engine does with a
//! transient trouble, and in the end the rows are those of a catalogue nothing ever happened to.

#![expect(clippy::panic, reason = "a test fails by panicking")]

mod limits;
mod outages;
mod proxy;
mod refusals;

use crate::database::{Address, Database, Limits, OpenError};
use ports::{Catalog, Fact, Trouble};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use std::time::Duration;
use url::Url;

/// So that a test waits for seconds and not for a minute.
fn hasty() -> Limits {
    Limits {
        connect: Duration::from_secs(1),
        lock: Duration::from_secs(1),
        statement: Duration::from_secs(2),
        call: Duration::from_secs(3),
        ..Limits::default()
    }
}

fn url(address: &Address) -> Url {
    let Address::Postgres(url) = address else { panic!("{address} is no server") };
    url.clone()
}

/// Somebody else at the same server, by sqlx's own driver.
async fn somebody(address: &Address) -> PgConnection {
    PgConnection::connect(url(address).as_str()).await.unwrap()
}

async fn say(somebody: &mut PgConnection, statement: impl Into<String>) {
    somebody.execute(AssertSqlSafe(statement.into())).await.unwrap();
}

/// The word and the sentence of a trouble that may pass.
fn passing(trouble: &Trouble) -> (&'static str, String) {
    let Trouble::Transient { reason, .. } = trouble else { panic!("lasting: {trouble}") };
    (reason, trouble.to_string())
}

/// The same of a catalogue that could not be opened.
fn passing_at_start(error: &OpenError) -> (&'static str, String) {
    let OpenError::Trouble { trouble, .. } = error else { panic!("lasting: {error}") };
    assert!(!error.is_lasting(), "{error}");
    passing(trouble)
}

/// Tells facts until they are kept, and notes what went wrong meanwhile; none of it may be lasting.
async fn keep(catalog: &Database, facts: &[Fact], troubles: &mut Vec<&'static str>) {
    while let Err(trouble) = catalog.record(facts).await {
        troubles.push(passing(&trouble).0);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
