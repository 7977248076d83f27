//! Servers that stop, die, are cut off or fall silent.

use super::proxy::{Fault, Of, Proxy};
use super::*;
use crate::database::tests::facts::{all, life_of, row_of, uploaded};
use crate::database::tests::postgres::{empty, schema};
use ports::{VideoRow, Viewer};
use services::{Own, Service};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use tokio::task::spawn_blocking;

const WRITERS: i64 = 4;
/// How often the server is stopped or killed.
const OUTAGES: usize = 4;

/// Tells one video's life after the other, until it is asked to stop after the one in hand.
async fn writer(catalog: Database, n: i64, stop: Arc<AtomicBool>) -> (i64, Vec<&'static str>) {
    let mut troubles = Vec::new();
    let mut lives = 0;
    while !stop.load(Ordering::SeqCst) {
        let life = life_of(&format!("v{n}-{lives:05}"), n + WRITERS * lives);
        for batch in life.chunks(1 + n as usize) {
            keep(&catalog, batch, &mut troubles).await;
        }
        lives += 1;
    }
    (lives, troubles)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_stopped_or_killed_in_mid_work_and_started_again_has_lost_nothing() {
    let started = spawn_blocking(|| Own::start(&[Service::Postgres])).await.unwrap();
    let Some(own) = started.map(Arc::new) else { return };
    let address = own.variable("REELMILL_DATABASE").parse().unwrap();
    let catalog = Database::open_within(&address, hasty()).await.unwrap();

    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> =
        (0..WRITERS).map(|n| tokio::spawn(writer(catalog.clone(), n, Arc::clone(&stop)))).collect();
    for outage in 0..OUTAGES {
        tokio::time::sleep(Duration::from_millis(400)).await;
        let own = Arc::clone(&own);
        spawn_blocking(move || {
            if outage % 2 == 0 {
                own.kill(Service::Postgres)
            } else {
                own.stop(Service::Postgres)
            }
            own.restart(Service::Postgres);
        })
        .await
        .unwrap();
    }
    tokio::time::sleep(Duration::from_millis(400)).await;
    stop.store(true, Ordering::SeqCst);

    let expected = row_of("").await;
    let mut total = 0;
    for (n, writer) in writers.into_iter().enumerate() {
        let (lives, troubles) = writer.await.unwrap();
        assert!(troubles.contains(&"database_gone"), "writer {n} noticed nothing: {troubles:?}");
        for life in 0..lives {
            let video = format!("v{n}-{life:05}");
            let row = catalog.video(&Viewer::Local, &video).await.unwrap().unwrap();
            assert_eq!(row, VideoRow { video_id: video, ..expected.clone() });
        }
        total += lives;
    }
    assert_eq!(catalog.videos(&all(0, 1)).await.unwrap().total, total);
    let letters = catalog.dead_letters(None, u32::MAX).await.unwrap().len();
    assert_eq!(letters as i64, 3 * total, "three dead letters in each life");
}

/// Tells lives through a proxy that lets ever more bytes through before the fault, until one life
/// meets none; each must be there whole after its second telling. Returns the number of faults.
async fn lives_under_faults(of: Of, fault: Fault, step: usize) -> Option<usize> {
    let proxy = Proxy::before(&schema().await?).await;
    let limits = Limits {
        connections: 1,
        connect: Duration::from_millis(300),
        call: Duration::from_millis(600),
        ..Limits::default()
    };
    let catalog = Database::open_within(&proxy.address, limits).await.unwrap();
    let expected = row_of("").await;
    for faults in 0.. {
        let video = format!("v{faults}");
        let life = life_of(&video, faults as i64);
        proxy.let_through((faults * step) as i64, of, fault);
        let first = catalog.record(&life).await;
        proxy.mend();
        if let Err(trouble) = &first {
            assert_eq!(passing(trouble).0, "database_gone", "{trouble}");
            keep(&catalog, &life, &mut Vec::new()).await;
        }
        let row = catalog.video(&Viewer::Local, &video).await.unwrap().unwrap();
        assert_eq!(row, VideoRow { video_id: video, ..expected.clone() }, "fault {faults}");
        if first.is_ok() {
            return Some(faults);
        }
    }
    None
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_connection_cut_after_any_number_of_the_servers_bytes_loses_and_doubles_nothing() {
    let Some(faults) = lives_under_faults(Of::Server, Fault::Cut, 17).await else { return };
    assert!(faults > 30, "only {faults} faults");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_connection_cut_after_any_number_of_our_bytes_loses_and_doubles_nothing() {
    let Some(faults) = lives_under_faults(Of::Client, Fault::Cut, 101).await else { return };
    assert!(faults > 30, "only {faults} faults");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_that_falls_silent_is_given_up_in_time_and_asked_again() {
    let Some(faults) = lives_under_faults(Of::Server, Fault::Silence, 150).await else { return };
    assert!(faults > 4, "only {faults} faults");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_that_is_silent_from_the_beginning_is_named_as_such() {
    let Some(address) = schema().await else { return };
    let proxy = Proxy::before(&address).await;
    let whole = Database::open_within(&proxy.address, hasty()).await.unwrap();
    whole.record(&life_of("v", 0)).await.unwrap();
    // From the first byte, and from within the greeting.
    for bytes in [0, 20] {
        proxy.let_through(bytes, Of::Server, Fault::Silence);
        let began = Instant::now();
        let refused = Database::open_within(&proxy.address, hasty()).await.unwrap_err();
        let (reason, said) = passing_at_start(&refused);
        assert_eq!(reason, "database_gone");
        assert!(said.contains("no answer within 1 s") && said.contains("hangs"), "{said}");
        // One that worked a moment ago.
        let said = passing(&whole.videos(&all(0, 1)).await.unwrap_err()).1;
        assert!(said.contains("no answer within") && said.contains("hangs"), "{said}");
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
    proxy.mend();
    assert_eq!(whole.videos(&all(0, 1)).await.unwrap().total, 1);
}

#[tokio::test]
async fn nobody_at_the_address_and_somebody_who_speaks_otherwise_may_both_change() {
    let Some((catalog, place)) = empty().await else { return };
    drop(catalog);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut elsewhere = url(&place.address);
    elsewhere.set_port(Some(listener.local_addr().unwrap().port())).unwrap();
    let elsewhere: Address = elsewhere.as_str().parse().unwrap();
    let web = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut one, _) = listener.accept().unwrap();
        drop(one.read(&mut [0; 1000]));
        one.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
    });
    for attempt in ["a web server", "nobody"] {
        let refused = Database::open_within(&elsewhere, hasty()).await.unwrap_err();
        let (reason, said) = passing_at_start(&refused);
        assert_eq!(reason, "database_gone", "{attempt}: {said}");
        assert!(said.contains("that the address names its host and port"), "{attempt}: {said}");
        if !web.is_finished() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    web.join().unwrap();
}

#[tokio::test]
async fn a_standby_is_waited_for_until_it_takes_over() {
    let Some((catalog, place)) = empty().await else { return };
    let mut admin = somebody(&place.address).await;
    let role = format!("standby_{}", std::process::id());
    say(&mut admin, format!("CREATE ROLE {role} SUPERUSER LOGIN")).await;
    say(&mut admin, format!("ALTER ROLE {role} SET default_transaction_read_only = on")).await;
    catalog.record(&[uploaded("v", "t", 100, None)]).await.unwrap();

    let mut as_role = url(&place.address);
    as_role.set_username(&role).unwrap();
    let as_role: Address = as_role.as_str().parse().unwrap();
    let (reason, said) = passing_at_start(&Database::open(&as_role).await.unwrap_err());
    assert_eq!(reason, "database_gone");
    assert!(said.contains("is a standby"), "{said}");

    say(&mut admin, format!("ALTER ROLE {role} SET default_transaction_read_only = off")).await;
    let moved = Database::open(&as_role).await.unwrap();
    say(&mut admin, format!("ALTER ROLE {role} SET default_transaction_read_only = on")).await;
    let refused = moved.record(&[uploaded("v", "earlier", 50, None)]).await.unwrap_err();
    let (reason, said) = passing(&refused);
    assert_eq!(reason, "database_gone");
    assert!(said.contains("name the primary"), "{said}");
    assert_eq!(moved.videos(&all(0, 1)).await.unwrap().total, 1, "reading goes on");
}
