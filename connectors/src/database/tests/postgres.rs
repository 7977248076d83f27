//! The suite on a real PostgreSQL, each test in a schema of its own.

use super::Place;
use crate::database::{Address, Database};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::OnceCell;
use url::Url;

#[expect(clippy::duplicate_mod, reason = "the same tests on each engine")]
#[path = "suite.rs"]
mod suite;

/// A database for this test program, on a server that sorts text as the English do.
async fn server() -> Option<&'static Url> {
    static DATABASE: OnceCell<Option<Url>> = OnceCell::const_new();
    let made = async {
        let mut url = Url::parse(&services::postgres()?).unwrap();
        let name = format!("suite_{}", std::process::id());
        let mut server = PgConnection::connect(url.as_str()).await.unwrap();
        let create = format!(
            "CREATE DATABASE {name} TEMPLATE template0 LOCALE 'C' LOCALE_PROVIDER icu \
             ICU_LOCALE 'en'"
        );
        server.execute(AssertSqlSafe(create)).await.unwrap();
        url.set_path(&name);
        Some(url)
    };
    DATABASE.get_or_init(|| made).await.as_ref()
}

/// An empty schema, and the address that leads there.
pub(super) async fn schema() -> Option<Address> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let mut url = server().await?.clone();
    let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let mut server = PgConnection::connect(url.as_str()).await.unwrap();
    server.execute(AssertSqlSafe(format!("CREATE SCHEMA {name}"))).await.unwrap();
    url.query_pairs_mut().append_pair("options[search_path]", &name);
    Some(url.as_str().parse().unwrap())
}

pub(super) async fn empty() -> Option<(Database, Place)> {
    let address = schema().await?;
    let catalog = Database::open(&address).await.unwrap();
    Some((catalog, Place { address, _dir: None }))
}
