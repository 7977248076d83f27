//! The catalogue's tables, in files of other versions.

use crate::support::{Patient, World};
use connectors::database::{Address, Database};
use sqlx::{Connection, Executor, SqliteConnection};
use std::path::Path;
use tokio::runtime::Runtime;

fn catalogue(file: &Path, change: &'static str) {
    Runtime::new().unwrap().block_on(async {
        Database::open(&Address::file(file)).await.unwrap().close().await;
        let url = format!("sqlite:{}", file.display());
        let mut connection = SqliteConnection::connect(&url).await.unwrap();
        if !change.is_empty() {
            connection.execute(change).await.unwrap();
        }
        // So that all is in the one file.
        connection.close().await.unwrap();
    });
}

#[test]
fn tables_of_other_versions_are_told_and_left_as_they_are() {
    const FUTURE: &str = "INSERT INTO _sqlx_migrations \
                          VALUES (99, 'future', '2026-01-01', true, x'00', 0)";
    let world = World::new();
    for (change, state, found, remedy) in [
        ("", "ok", "up to date", ""),
        (FUTURE, "failed", "of version 99", "REELMILL_DATABASE"),
        (
            "UPDATE _sqlx_migrations SET checksum = x'00' WHERE version = 1",
            "failed",
            "migration 1 is another",
            "REELMILL_DATABASE",
        ),
        (
            "DELETE FROM _sqlx_migrations WHERE version > 1",
            "warning",
            "are of version 1",
            "keep a copy",
        ),
    ] {
        let mut patient = Patient::deployment(&world);
        let file = patient.home.path().join("catalog.sqlite");
        catalogue(&file, change);
        let before = std::fs::read(&file).unwrap();
        patient.set("REELMILL_DATABASE", &format!("sqlite://{}", file.display()));
        let report = patient.looked_at();
        let told = &report.findings["database"];
        assert_eq!(told.state, state, "{change}: {}", report.text);
        assert!(told.found.contains(found), "{change}: {}", report.text);
        assert!(told.remedy.contains(remedy), "{change}: {}", report.text);
        assert!(std::fs::read(&file).unwrap() == before, "{change}: it is only looked at");
        let beside = std::fs::read_dir(patient.home.path()).unwrap().flatten();
        let beside: Vec<_> = beside.map(|entry| entry.file_name()).collect();
        assert_eq!(beside, ["catalog.sqlite"], "{change}");
    }
}
