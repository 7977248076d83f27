//! A server with a certificate, and who trusts it.

use super::*;
use crate::database::tests::facts::{all, uploaded};
use services::{Own, Service};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Command;
use tokio::task::spawn_blocking;

/// `NAME.crt` and `NAME.key`, signed by `ca` where one is given.
fn certificate(dir: &Path, name: &str, ca: Option<&str>) {
    let mut openssl = Command::new("openssl");
    openssl.current_dir(dir).args(["req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"]);
    openssl.args(["-pkeyopt", "ec_paramgen_curve:P-256", "-subj", &format!("/CN={name}")]);
    openssl.args(["-out", &format!("{name}.crt"), "-keyout", &format!("{name}.key")]);
    if let Some(ca) = ca {
        openssl.args(["-CA", &format!("{ca}.crt"), "-CAkey", &format!("{ca}.key")]);
        openssl.args(["-addext", "subjectAltName=IP:127.0.0.1"]);
        openssl.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
    }
    let output = openssl.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A server that proves to be 127.0.0.1 by `ours.crt` of this folder; `theirs.crt` is of others.
async fn server(dir: &Path) -> Option<(Own, Url)> {
    let own = spawn_blocking(|| Own::start(&[Service::Postgres])).await.unwrap()?;
    certificate(dir, "ours", None);
    certificate(dir, "theirs", None);
    certificate(dir, "server", Some("ours"));
    let data = own.folder().join("postgres/data");
    let owner = std::fs::metadata(&data).unwrap();
    for file in ["server.crt", "server.key"] {
        let there = data.join(file);
        std::fs::copy(dir.join(file), &there).unwrap();
        std::fs::set_permissions(&there, std::fs::Permissions::from_mode(0o600)).unwrap();
        chown(&there, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
    let address: Address = own.variable("REELMILL_DATABASE").parse().unwrap();
    let mut admin = somebody(&address).await;
    say(&mut admin, "ALTER SYSTEM SET ssl = on").await;
    say(&mut admin, "SELECT pg_reload_conf()").await;
    let mut url = url(&address);
    url.set_query(Some("sslmode=require"));
    // It reads its configuration a moment later.
    while PgConnection::connect(url.as_str()).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Some((own, url))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_is_trusted_as_far_as_its_certificate_goes_and_refused_with_a_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let Some((_own, url)) = server(dir.path()).await else { return };
    let ca = |name: &str| format!("sslrootcert={}", dir.path().join(name).display());
    let address = |host: &str, query: &str| -> Address {
        let mut url = url.clone();
        url.set_host(Some(host)).unwrap();
        url.set_query(Some(query));
        url.as_str().parse().unwrap()
    };
    let trusted = [
        ("127.0.0.1", "sslmode=require".to_owned()),
        ("127.0.0.1", format!("sslmode=verify-full&{}", ca("ours.crt"))),
        ("localhost", format!("sslmode=verify-ca&{}", ca("ours.crt"))),
    ];
    for (n, (host, query)) in trusted.into_iter().enumerate() {
        let catalog = Database::open(&address(host, &query)).await.unwrap();
        catalog.record(&[uploaded(&format!("v{n}"), "t", 1, None)]).await.unwrap();
        assert_eq!(catalog.videos(&all(0, 1)).await.unwrap().total, 1 + n as i64);
        let secured = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
        let secured: bool = sqlx::query_scalar(secured).fetch_one(&catalog.pool).await.unwrap();
        assert!(secured, "{query}");
    }

    std::fs::write(dir.path().join("no.crt"), "no certificate").unwrap();
    let refused = [
        ("127.0.0.1", "sslmode=verify-full".to_owned(), "invalid peer certificate"),
        (
            "127.0.0.1",
            format!("sslmode=verify-full&{}", ca("theirs.crt")),
            "invalid peer certificate",
        ),
        (
            "127.0.0.1",
            format!("sslmode=verify-ca&{}", ca("theirs.crt")),
            "invalid peer certificate",
        ),
        ("127.0.0.1", format!("sslmode=verify-full&{}", ca("no.crt")), "invalid peer certificate"),
        ("localhost", format!("sslmode=verify-full&{}", ca("ours.crt")), "localhost"),
        ("127.0.0.1", format!("sslmode=verify-full&{}", ca("missing.crt")), "may read them"),
    ];
    for (host, query, expected) in refused {
        let error = Database::open(&address(host, &query)).await.unwrap_err();
        let said = error.to_string();
        assert!(error.is_lasting(), "{query}: {said}");
        assert!(said.contains(expected) && said.contains("sslrootcert"), "{query}: {said}");
    }
}
