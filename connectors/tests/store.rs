//! What every object store must do, asked of the embedded one and of VersityGW; and what only the
//! embedded one must do, because it is ours.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first surprise")]

#[path = "store/conformance.rs"]
mod conformance;

use bytes::Bytes;
use connectors::s3::{
    S3, S3Config,
    embedded::{EmbeddedError, EmbeddedOptions, EmbeddedStore},
};
use futures::{StreamExt, future::join_all, stream};
use ports::{ObjectRef, Put, PutOutcome, Refusal, Store, Trouble};
use std::{path::Path, time::Duration};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const BUCKET: &str = "reelmill";

fn options(data: &Path) -> EmbeddedOptions {
    EmbeddedOptions {
        data: data.to_owned(),
        port: 0,
        access_key: "local".to_owned(),
        secret_key: "local-secret".to_owned(),
        buckets: vec![BUCKET.to_owned()],
    }
}

async fn client(store: &EmbeddedStore, secret: &str) -> S3 {
    client_of(store.endpoint(), secret).await
}

async fn client_of(endpoint: String, secret: &str) -> S3 {
    client_as(endpoint, "local", secret).await
}

async fn client_as(endpoint: String, access_key: &str, secret: &str) -> S3 {
    S3::new(S3Config {
        endpoint: Some(endpoint),
        region: "us-east-1".to_owned(),
        access_key: Some(access_key.to_owned()),
        secret_key: Some(secret.to_owned()),
        force_path_style: true,
    })
    .await
    .unwrap()
}

/// VersityGW with an empty bucket for one test; `None` where it is not installed.
async fn versity(test: &str) -> Option<(S3, String)> {
    let s3 = services::s3()?;
    let client = client_as(s3.endpoint, &s3.access_key, &s3.secret_key).await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let bucket = format!("{test}-{}", now.as_micros());
    client.ensure_bucket(&bucket).await.unwrap();
    Some((client, bucket))
}

async fn start() -> (tempfile::TempDir, EmbeddedStore, S3) {
    let data = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::start(options(data.path())).await.unwrap();
    let client = client(&store, "local-secret").await;
    (data, store, client)
}

fn object(key: &str) -> ObjectRef {
    ObjectRef::new(BUCKET, key)
}

fn poison(trouble: &Trouble) -> &str {
    match trouble {
        Trouble::Refused(Refusal::Poison(poison)) => poison.reason,
        other => panic!("no poison: {other:?}"),
    }
}

/// All files of the store, hidden ones included.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.path().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.path().display().to_string());
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_store_is_an_object_store() {
    let (_data, _store, client) = start().await;
    conformance::store(&client, BUCKET).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn versitygw_is_an_object_store() {
    let Some((client, bucket)) = versity("conformance").await else { return };
    conformance::store(&client, &bucket).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_fifty_conditional_writers_one_wins() {
    let (_data, _store, client) = start().await;
    one_of_fifty_wins(&client, BUCKET).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_fifty_conditional_writers_to_versitygw_one_wins() {
    let Some((client, bucket)) = versity("claims").await else { return };
    one_of_fifty_wins(&client, &bucket).await;
}

async fn one_of_fifty_wins(client: &S3, bucket: &str) {
    for round in 0..40 {
        let claim = ObjectRef::new(bucket, format!("work/v/r{round}/claims/stitch"));
        let writers = (0..50).map(|n| {
            let put = Put { only_if_absent: true, ..Put::default() };
            client.write(&claim, Bytes::from(format!("writer {n}")), put)
        });
        let outcomes = join_all(writers).await;
        let winners: Vec<usize> = outcomes
            .into_iter()
            .enumerate()
            .filter(|(_, outcome)| matches!(outcome, Ok(PutOutcome::Written { .. })))
            .map(|(n, _)| n)
            .collect();
        assert_eq!(winners.len(), 1, "round {round}: {winners:?}");
        let stands = client.read(&claim, 100).await.unwrap();
        assert_eq!(stands, format!("writer {}", winners[0]), "the winner's words stand");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_conditional_uploads_in_parts_one_wins() {
    let (data, _store, client) = start().await;
    one_upload_in_parts_wins(&client, BUCKET).await;
    let parts = files(data.path()).into_iter().filter(|name| name.contains(".upload")).count();
    assert_eq!(parts, 0, "the losers leave no parts");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_conditional_uploads_in_parts_to_versitygw_one_wins() {
    let Some((client, bucket)) = versity("uploads").await else { return };
    one_upload_in_parts_wins(&client, &bucket).await;
}

async fn one_upload_in_parts_wins(client: &S3, bucket: &str) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("large");
    std::fs::write(&file, vec![7; 17 << 20]).unwrap();
    let recording = ObjectRef::new(bucket, "recordings/me/one-0.mp4");
    let uploads = (0..4).map(|_| {
        let put = Put { only_if_absent: true, ..Put::default() };
        client.upload(&file, &recording, put)
    });
    let outcomes = join_all(uploads).await;
    let written = outcomes.iter().filter(|o| matches!(o, Ok(PutOutcome::Written { .. }))).count();
    let existed = outcomes.iter().filter(|o| matches!(o, Ok(PutOutcome::Exists))).count();
    assert_eq!((written, existed), (1, 3), "{outcomes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_would_leave_their_bucket_are_refused() {
    let (data, _store, client) = start().await;
    std::fs::write(data.path().join("secret"), "mine").unwrap();
    let too_long = "k".repeat(161);
    let bad = ["a/../../secret", "../secret", "a//b", "a/", "a/./b", "a\nb", &too_long];
    for key in bad {
        let written = client.write(&object(key), Bytes::from_static(b"x"), Put::default()).await;
        assert_eq!(poison(&written.unwrap_err()), "invalid_key", "{key:?}");
        assert!(client.read(&object(key), 100).await.is_err(), "{key:?}");
    }
    assert_eq!(std::fs::read_to_string(data.path().join("secret")).unwrap(), "mine");
    assert_eq!(files(&data.path().join("objects")), [""; 0]);
    // The same over a raw socket: no client in between tidies the path.
    let (_data2, store, _) = start().await;
    let mut socket = tokio::net::TcpStream::connect(store.address()).await.unwrap();
    let request = "GET /reelmill/../../secret HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_cannot_be_an_object_and_a_folder() {
    let (_data, _store, client) = start().await;
    let put = |key: &'static str| {
        let client = client.clone();
        async move { client.write(&object(key), Bytes::from_static(b"x"), Put::default()).await }
    };
    put("a/b").await.unwrap();
    assert_eq!(poison(&put("a/b/c").await.unwrap_err()), "invalid_key");
    assert_eq!(poison(&put("a").await.unwrap_err()), "invalid_key");
    assert_eq!(client.head(&object("a")).await.unwrap(), None, "a folder is no object");
    client.delete(BUCKET, &["a".to_owned()]).await.unwrap();
    assert!(client.head(&object("a/b")).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_objects_leave_nothing() {
    let (data, _store, client) = start().await;
    let keys: Vec<String> = (0..5).map(|n| format!("work/v/r/clips/{n}.mp4")).collect();
    for key in &keys {
        let put = Put { content_type: Some("video/mp4".to_owned()), ..Put::default() };
        client.write(&object(key), Bytes::from_static(b"clip"), put).await.unwrap();
    }
    client.delete(BUCKET, &keys).await.unwrap();
    let root = data.path().join("objects");
    assert_eq!(files(&root), [""; 0]);
    assert_eq!(std::fs::read_dir(root.join(BUCKET)).unwrap().count(), 0, "no empty folders");
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_survive_a_restart_and_unfinished_uploads_do_not() {
    let (data, store, client) = start().await;
    let put = Put { metadata: [("video".into(), "v1".into())].into(), ..Put::default() };
    client.write(&object("kept"), Bytes::from_static(b"kept"), put).await.unwrap();
    let before = client.head(&object("kept")).await.unwrap().unwrap();
    store.stop().await;
    let gone = client.head(&object("kept")).await.unwrap_err();
    assert!(matches!(gone, Trouble::Transient { reason: "store_unreachable", .. }), "{gone:?}");

    let left = data.path().join("objects/.upload_id-1234.part-1");
    std::fs::write(&left, "half").unwrap();
    let store = EmbeddedStore::start(options(data.path())).await.unwrap();
    let client = client_of(store.endpoint(), "local-secret").await;
    assert_eq!(client.head(&object("kept")).await.unwrap().unwrap(), before);
    assert!(!left.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_upload_leaves_no_part() {
    let (data, _store, client) = start().await;
    let endless = stream::iter(0..20)
        .map(|_| Ok(Bytes::from(vec![1; 2 << 20])))
        .chain(stream::pending())
        .boxed();
    let uploaded = object("uploads/me/v/source");
    let upload = client.write_stream(&uploaded, endless, u64::MAX, Put::default());
    tokio::time::timeout(Duration::from_secs(4), upload).await.unwrap_err();
    let left = || files(data.path()).into_iter().filter(|name| !name.contains(".tmp.")).count();
    for _ in 0..100 {
        if left() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("left: {:?}", files(data.path()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_and_no_secret_are_refused() {
    let (_data, store, owner) = start().await;
    let stranger = client(&store, "guessed").await;
    strangers_are_refused(&owner, &stranger, &store.endpoint(), BUCKET).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_and_no_secret_are_refused_by_versitygw() {
    let Some((owner, bucket)) = versity("strangers").await else { return };
    let Some(s3) = services::s3() else { return };
    let stranger = client_as(s3.endpoint.clone(), &s3.access_key, "guessed").await;
    strangers_are_refused(&owner, &stranger, &s3.endpoint, &bucket).await;
}

async fn strangers_are_refused(owner: &S3, stranger: &S3, endpoint: &str, bucket: &str) {
    let object = ObjectRef::new(bucket, "a");
    owner.write(&object, Bytes::from_static(b"x"), Put::default()).await.unwrap();
    let refused = stranger.read(&object, 10).await.unwrap_err();
    assert!(matches!(refused, Trouble::Fatal(_)), "{refused:?}");
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = http.get(format!("{endpoint}/{bucket}/a")).send().await.unwrap();
    assert_eq!(answer.status(), 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_whose_name_was_rebound_to_loopback_reads_nothing_even_with_the_keys() {
    let (_data, store, owner) = start().await;
    let source = object("uploads/ann/talk.mp4");
    owner.write(&source, Bytes::from_static(b"faces"), Put::default()).await.unwrap();
    // What such a page can do: its name leads here, and it knows the keys.
    let rebound = format!("http://evil.example:{}", store.address().port());
    let page = client_of(rebound, "local-secret").await;
    let link = page.signed_url(&source, Duration::from_secs(60)).await.unwrap();
    let http = reqwest::Client::builder()
        .no_proxy()
        .resolve("evil.example", store.address())
        .build()
        .unwrap();
    let refused = http.get(link).send().await.unwrap();
    assert_eq!(refused.status(), 403);
    assert_eq!(refused.headers()["content-type"], "application/xml");
    let told = refused.text().await.unwrap();
    assert!(told.contains("<Code>AccessDenied</Code>"), "{told}");
    assert!(told.contains("dns rebinding") && told.contains("http://localhost"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_site_reads_nothing_and_one_of_this_machine_does() {
    let (_data, store, owner) = start().await;
    let source = object("uploads/ann/talk.mp4");
    owner.write(&source, Bytes::from_static(b"faces"), Put::default()).await.unwrap();
    let link = owner.signed_url(&source, Duration::from_secs(60)).await.unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    for (name, value) in
        [("origin", "https://evil.example"), ("origin", "null"), ("sec-fetch-site", "cross-site")]
    {
        let refused = http.get(&link).header(name, value).send().await.unwrap();
        assert_eq!(refused.status(), 403, "{name}: {value}");
        let told = refused.text().await.unwrap();
        assert!(told.contains("<Code>AccessDenied</Code>"), "{told}");
        assert!(told.contains("web page"), "{told}");
    }
    let own = [("origin", store.endpoint()), ("sec-fetch-site", "same-origin".to_owned())];
    for (name, value) in own {
        let read = http.get(&link).header(name, &value).send().await.unwrap();
        assert_eq!(read.status(), 200, "{name}: {value}");
        assert_eq!(read.text().await.unwrap(), "faces");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_and_a_bad_bucket_name_say_what_to_do() {
    let (data, store, _client) = start().await;
    let taken = EmbeddedOptions { port: store.address().port(), ..options(data.path()) };
    let error = EmbeddedStore::start(taken).await.unwrap_err();
    assert!(error.to_string().contains("choose another port"), "{error}");
    let elsewhere = tempfile::tempdir().unwrap();
    let bad = EmbeddedOptions { buckets: vec!["../evil".to_owned()], ..options(elsewhere.path()) };
    let error = EmbeddedStore::start(bad).await.unwrap_err();
    assert!(matches!(error, EmbeddedError::Bucket(_)), "{error}");
}

/// Passes bytes on, and cuts every connection after so many bytes of answers.
async fn cutting_proxy(to: std::net::SocketAddr, after: u64) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = tokio::net::TcpStream::connect(to).await.unwrap();
            tokio::spawn(async move {
                let (mut from_client, mut to_client) = client.into_split();
                let (from_server, mut to_server) = server.into_split();
                let asking =
                    tokio::spawn(
                        async move { tokio::io::copy(&mut from_client, &mut to_server).await },
                    );
                let mut answers = from_server.take(after);
                drop(tokio::io::copy(&mut answers, &mut to_client).await);
                asking.abort();
            });
        }
    });
    format!("http://{address}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_goes_on_where_the_connection_broke() {
    let (data, store, client) = start().await;
    let body: Vec<u8> = (0..20u32 << 20).map(|n| (n % 251) as u8).collect();
    let whole = Bytes::from(body);
    client.write(&object("large"), whole.clone(), Put::default()).await.unwrap();

    // Every connection breaks after 3 MiB: an 8 MiB piece needs three.
    let proxied = cutting_proxy(store.address(), 3 << 20).await;
    // Signatures cover the host, which s3s reads from the request: any will do.
    let shaky = client_of(proxied, "local-secret").await;
    let file = data.path().join("downloaded");
    shaky.download(&object("large"), &file).await.unwrap();
    assert!(std::fs::read(&file).unwrap() == whole, "every byte once");
    let seen = shaky.stream(&object("large"), Some(1_000_000..9_000_000)).await.unwrap();
    let seen: Vec<Bytes> = seen.body.map(Result::unwrap).collect().await;
    assert!(seen.concat() == whole[1_000_000..9_000_000]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_changes_meanwhile_is_not_mixed() {
    let (_data, store, client) = start().await;
    // Every 3 MiB the rest must be asked for anew.
    let shaky = client_of(cutting_proxy(store.address(), 3 << 20).await, "local-secret").await;
    versions_are_not_mixed(&client, &shaky, BUCKET).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_of_versitygw_that_changes_meanwhile_is_not_mixed() {
    let Some((client, bucket)) = versity("changes").await else { return };
    let Some(s3) = services::s3() else { return };
    let address = s3.endpoint.strip_prefix("http://").unwrap().parse().unwrap();
    let proxied = cutting_proxy(address, 3 << 20).await;
    let shaky = client_as(proxied, &s3.access_key, &s3.secret_key).await;
    versions_are_not_mixed(&client, &shaky, &bucket).await;
}

async fn versions_are_not_mixed(client: &S3, shaky: &S3, bucket: &str) {
    let film = ObjectRef::new(bucket, "film");
    client.write(&film, Bytes::from(vec![1; 20 << 20]), Put::default()).await.unwrap();
    let mut seen = shaky.stream(&film, None).await.unwrap().body;
    assert_eq!(seen.next().await.unwrap().unwrap()[0], 1);
    client.write(&film, Bytes::from(vec![2; 20 << 20]), Put::default()).await.unwrap();
    let trouble = loop {
        match seen.next().await.unwrap() {
            Ok(bytes) => assert!(bytes.iter().all(|byte| *byte == 1), "mixed"),
            Err(trouble) => break trouble,
        }
    };
    let changed = matches!(&trouble, Trouble::Transient { reason: "object_changed", .. });
    assert!(changed, "{trouble:?}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("film");
    shaky.download(&film, &file).await.unwrap();
    assert!(std::fs::read(&file).unwrap().iter().all(|byte| *byte == 2), "the next try is whole");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_is_made_where_it_is_missing() {
    let (_data, _store, client) = start().await;
    let there = ObjectRef::new("another-bucket", "key");
    for _ in 0..2 {
        client.ensure_bucket(&there.bucket).await.unwrap();
        client.write(&there, Bytes::from_static(b"x"), Put::default()).await.unwrap();
    }
    let refused = client.ensure_bucket("Not_A_Name").await.unwrap_err();
    assert!(matches!(refused, Trouble::Fatal(_)), "{refused:?}");
    assert!(refused.to_string().contains("Not_A_Name"), "{refused}");
}
