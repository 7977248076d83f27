//! Servers that are busy: locks, time limits, connections, and several who begin at once.

use super::*;
use crate::database::tests::facts::{all, seen, uploaded};
use crate::database::tests::postgres::{empty, schema};
use ports::{VideoRow, Viewer};
use sqlx::Row;

/// A catalogue with two videos, and somebody who holds the row of `b`.
async fn held() -> Option<(Address, Database, PgConnection)> {
    let (catalog, place) = empty().await?;
    catalog.record(&both(100)).await.unwrap();
    let mut other = somebody(&place.address).await;
    say(&mut other, "BEGIN; UPDATE videos SET bytes = 7 WHERE video_id = 'b'").await;
    Some((place.address, catalog, other))
}

fn both(at_ms: i64) -> [Fact; 2] {
    [uploaded("a", "t", at_ms, None), uploaded("b", "t", at_ms, None)]
}

async fn times(catalog: &Database) -> Vec<i64> {
    let rows: Vec<VideoRow> = catalog.videos(&all(0, 10)).await.unwrap().videos;
    rows.iter().map(|row| row.uploaded_at_ms).collect()
}

#[tokio::test]
async fn a_row_that_others_hold_too_long_is_busy_and_nothing_of_the_batch_is_kept() {
    let Some((address, catalog, mut other)) = held().await else { return };
    let (short, long) = (Duration::from_millis(300), Duration::from_secs(10));
    let table = [
        (Limits { lock: short, statement: long, call: long, ..hasty() }, "lock timeout"),
        (Limits { lock: long, statement: short, call: long, ..hasty() }, "statement timeout"),
    ];
    for (limits, expected) in table {
        let impatient = Database::open_within(&address, limits).await.unwrap();
        let (reason, said) = passing(&impatient.record(&both(50)).await.unwrap_err());
        assert_eq!(reason, "database_busy", "{said}");
        assert!(said.contains(expected), "{said}");
        assert_eq!(times(&catalog).await, [100, 100], "reading waits for nobody");
    }
    let patient = catalog.clone();
    let waiting = tokio::spawn(async move { patient.record(&both(50)).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!waiting.is_finished(), "it was to wait for the row");
    say(&mut other, "ROLLBACK").await;
    waiting.await.unwrap().unwrap();
    assert_eq!(times(&catalog).await, [50, 50]);
}

#[tokio::test]
async fn the_server_ends_a_statement_before_the_call_is_given_up() {
    let Limits { lock, statement, call, .. } = Limits::default();
    assert!(lock < statement && statement < call, "or a busy server is taken for one that is gone");
}

#[tokio::test]
async fn who_loses_a_deadlock_tells_it_again() {
    let Some((address, catalog, mut other)) = held().await else { return };
    // Theirs is never the one that notices.
    say(&mut other, "SET deadlock_timeout = '1h'").await;
    let mut named = url(&address);
    named.query_pairs_mut().append_pair("application_name", "loser");
    let loser = Database::open(&named.as_str().parse().unwrap()).await.unwrap();
    let telling = {
        let loser = loser.clone();
        tokio::spawn(async move { loser.record(&both(50)).await })
    };
    // It has locked `a` once it waits for `b`.
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' \
                 AND application_name = 'loser' AND datname = current_database()";
    let mut observer = somebody(&address).await;
    while observer.fetch_one(waits).await.unwrap().get::<i64, _>(0) == 0 {
        assert!(!telling.is_finished(), "it was to wait for the row");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    say(&mut other, "UPDATE videos SET bytes = 7 WHERE video_id = 'a'").await;
    let (reason, said) = passing(&telling.await.unwrap().unwrap_err());
    assert_eq!(reason, "database_busy");
    assert!(said.contains("deadlock detected"), "{said}");
    assert_eq!(times(&catalog).await, [100, 100], "half a batch was kept");
    say(&mut other, "ROLLBACK").await;
    loser.record(&both(50)).await.unwrap();
    assert_eq!(times(&catalog).await, [50, 50]);
}

#[tokio::test]
async fn a_server_with_no_connection_to_spare_is_waited_for() {
    let Some((owners, place)) = empty().await else { return };
    let (role, mut admin) =
        (format!("crowd_{}", std::process::id()), somebody(&place.address).await);
    say(&mut admin, format!("CREATE ROLE {role} LOGIN CONNECTION LIMIT 1")).await;
    let schema: String = admin.fetch_one("SELECT current_schema()").await.unwrap().get(0);
    say(&mut admin, format!("GRANT ALL ON SCHEMA {schema} TO {role}")).await;
    say(&mut admin, format!("GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO {role}")).await;
    let mut crowded = url(&place.address);
    crowded.set_username(&role).unwrap();
    let crowded: Address = crowded.as_str().parse().unwrap();

    let only = somebody(&crowded).await;
    let refused = Database::open_within(&crowded, hasty()).await.unwrap_err();
    let (reason, said) = passing_at_start(&refused);
    assert_eq!(reason, "database_busy");
    assert!(said.contains("raise the server's limit"), "{said}");
    only.close().await.unwrap();

    let catalog = loop {
        // The server notices a moment later that the only connection is free.
        match Database::open_within(&crowded, hasty()).await {
            Ok(catalog) => break catalog,
            Err(refused) => assert_eq!(passing_at_start(&refused).0, "database_busy"),
        }
    };
    let only = loop {
        if let Ok(only) = PgConnection::connect(url(&crowded).as_str()).await {
            break only;
        }
    };
    let fact = [uploaded("v", "t", 100, None)];
    let (reason, said) = passing(&catalog.record(&fact).await.unwrap_err());
    assert_eq!(reason, "database_busy");
    assert!(said.contains("raise the server's limit"), "{said}");
    let telling = tokio::spawn(async move { catalog.record(&fact).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    only.close().await.unwrap();
    telling.await.unwrap().unwrap();
    assert!(owners.video(&Viewer::Local, "v").await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_who_begin_at_once_on_an_empty_database_all_find_its_tables() {
    let Some(address) = schema().await else { return };
    let beginners: Vec<_> = (0..8)
        .map(|n| {
            let address = address.clone();
            tokio::spawn(async move {
                let catalog = Database::open(&address).await.unwrap();
                catalog.record(&[uploaded(&format!("v{n}"), "t", 100, None)]).await.unwrap();
            })
        })
        .collect();
    for beginner in beginners {
        beginner.await.unwrap();
    }
    let catalog = Database::open(&address).await.unwrap();
    assert_eq!(catalog.videos(&all(0, 1)).await.unwrap().total, 8);
    let mut other = somebody(&address).await;
    let applied = other.fetch_one("SELECT count(*) FROM _sqlx_migrations").await.unwrap();
    assert_eq!(applied.get::<i64, _>(0), 1);
}

#[tokio::test]
async fn who_meets_another_at_the_tables_waits_and_then_says_so() {
    let Some((catalog, place)) = empty().await else { return };
    let mut other = somebody(&place.address).await;
    say(&mut other, "BEGIN; LOCK TABLE _sqlx_migrations").await;
    let limits = Limits { migrate: Duration::from_millis(300), ..hasty() };
    let refused = Database::open_within(&place.address, limits).await.unwrap_err();
    assert_eq!(passing_at_start(&refused).0, "database_busy", "{refused}");

    let address = place.address.clone();
    let waiting = tokio::spawn(async move { Database::open(&address).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!waiting.is_finished(), "it was to wait for the other");
    say(&mut other, "ROLLBACK").await;
    let late = waiting.await.unwrap().unwrap();
    assert_eq!(
        seen(&late, &[uploaded("v", "t", 1, None)]).await,
        catalog.video(&Viewer::Local, "v").await.unwrap().unwrap()
    );
}
