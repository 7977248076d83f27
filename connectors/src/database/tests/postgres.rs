//! The suite on a real PostgreSQL, each test in a schema of its own.

use super::Place;
use crate::database::{Address, Database};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::OnceCell;
use url::Url;

#[expect(clippy::duplicate_mod, reason = "the same tests on each engine")]
#[path = "merging.rs"]
mod merging;
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

#[tokio::test]
async fn every_text_is_compared_by_its_bytes() {
    let Some((catalog, _place)) = empty().await else { return };
    let texts = "SELECT CAST(table_name || '.' || column_name AS TEXT), collation_name = 'C'
                 FROM information_schema.columns
                 WHERE table_schema = current_schema() AND data_type = 'text'
                   AND table_name <> '_sqlx_migrations'";
    let texts: Vec<(String, Option<bool>)> =
        sqlx::query_as(texts).fetch_all(&catalog.pool).await.unwrap();
    assert!(texts.len() > 20, "{texts:?}");
    let others: Vec<_> = texts.iter().filter(|(_, by_bytes)| *by_bytes != Some(true)).collect();
    assert!(others.is_empty(), "{others:?}");
}

#[tokio::test]
async fn both_engines_have_the_same_columns() {
    let Some((catalog, _place)) = empty().await else { return };
    let dir = tempfile::tempdir().unwrap();
    let file = Database::open(&Address::file(dir.path().join("catalogue.db"))).await.unwrap();
    let of_server = "SELECT CAST(table_name || '.' || column_name AS TEXT)
                     FROM information_schema.columns
                     WHERE table_schema = current_schema()";
    let of_file = "SELECT tables.name || '.' || columns.name
                   FROM sqlite_master AS tables, pragma_table_info(tables.name) AS columns
                   WHERE tables.type IN ('table', 'view')";
    let mut columns = Vec::new();
    for (catalog, statement) in [(&catalog, of_server), (&file, of_file)] {
        let mut of: Vec<String> =
            sqlx::query_scalar(statement).fetch_all(&catalog.pool).await.unwrap();
        of.sort();
        columns.push(of);
    }
    assert!(columns[0].len() > 50, "{columns:?}");
    assert_eq!(columns[0], columns[1]);
}
