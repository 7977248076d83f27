//! The suite on SQLite, and what only a file can do.

use super::Place;
use super::facts::{all, uploaded};
use crate::database::{Address, Database, Limits, OpenError};
use ports::{Catalog, Trouble};
use std::time::Duration;

#[expect(clippy::duplicate_mod, reason = "the same tests on each engine")]
#[path = "merging.rs"]
mod merging;
#[expect(clippy::duplicate_mod, reason = "the same tests on each engine")]
#[path = "suite.rs"]
mod suite;

async fn empty() -> Option<(Database, Place)> {
    let dir = tempfile::tempdir().unwrap();
    let address = Address::file(dir.path().join("catalogue.db"));
    let catalog = Database::open(&address).await.unwrap();
    Some((catalog, Place { address, _dir: Some(dir) }))
}

#[tokio::test]
async fn a_locked_file_is_the_worlds_fault() {
    let (other, place) = empty().await.unwrap();
    let lock = other.pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let limits = Limits { lock: Duration::ZERO, ..Limits::default() };
    let impatient = Database::open_within(&place.address, limits).await.unwrap();
    let refused = impatient.record(&[uploaded("v", "t", 1, None)]).await;
    assert!(matches!(refused, Err(Trouble::Transient { reason: "database_busy", .. })));
    assert_eq!(impatient.videos(&all(0, 1)).await.unwrap().total, 0, "reading needs no lock");
    drop(lock);
}

#[tokio::test]
async fn what_is_no_catalogue_of_ours_is_refused_with_a_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalogue.db");
    std::fs::write(&path, "this is a text file, and a long one, but no database. ".repeat(40))
        .unwrap();
    let error = Database::open(&Address::file(&path)).await.unwrap_err();
    assert!(matches!(error, OpenError::Trouble { trouble: Trouble::Fatal(_), .. }), "{error:?}");
    assert!(error.to_string().contains("move it away"), "{error}");

    let error =
        Database::open(&Address::file(dir.path().join("missing/catalogue.db"))).await.unwrap_err();
    assert!(error.to_string().contains("directory exists"), "{error}");
}
