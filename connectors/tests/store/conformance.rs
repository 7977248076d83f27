//! conformance::store: what reelmill relies on, whichever store answers.
//!
//! Runs in an empty bucket that exists, and leaves it empty. Every store answers alike, but for
//! the time stamps' resolution (seconds) and keys over 160 bytes, which no part of reelmill
//! writes.

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, future::join_all, stream};
use ports::{ObjectRef, Put, PutOutcome, Refusal, Store, Trouble};
use std::{
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Runs the whole suite.
pub(crate) async fn store(store: &dyn Store, bucket: &str) {
    an_object_comes_back_as_it_was(store, bucket).await;
    what_is_missing_is_told_from_what_is_broken(store, bucket).await;
    ranges_are_half_open_and_cut_to_the_end(store, bucket).await;
    a_conditional_write_never_replaces(store, bucket).await;
    one_of_many_conditional_writers_wins(store, bucket).await;
    files_of_any_size_go_up_and_come_down(store, bucket).await;
    a_stream_too_large_writes_nothing(store, bucket).await;
    a_broken_stream_writes_nothing(store, bucket).await;
    listings_have_every_page_in_order(store, bucket).await;
    deleting_is_idempotent(store, bucket).await;
    a_signed_link_reads_without_credentials(store, bucket).await;
    let left = store.list(bucket, "").await.unwrap();
    let keys: Vec<String> = left.into_iter().map(|object| object.key).collect();
    store.delete(bucket, &keys).await.unwrap();
    assert_eq!(store.list(bucket, "").await.unwrap(), []);
}

fn poison(trouble: &Trouble) -> &str {
    match trouble {
        Trouble::Refused(Refusal::Poison(poison)) => poison.reason,
        other => panic!("no poison: {other:?}"),
    }
}

async fn put(store: &dyn Store, object: &ObjectRef, body: &'static str) {
    store.write(object, Bytes::from_static(body.as_bytes()), Put::default()).await.unwrap();
}

/// Bytes in which every position differs from its neighbours'.
fn pattern(bytes: usize) -> Bytes {
    (0..bytes).map(|n| (n % 251) as u8).collect()
}

async fn an_object_comes_back_as_it_was(store: &dyn Store, bucket: &str) {
    for key in ["plain", "deep/er/ü ñ+&=#%.mp4", "deep/er/.hidden"] {
        let object = ObjectRef::new(bucket, key);
        let put = Put {
            content_type: Some("video/mp4".to_owned()),
            metadata: [("title".to_owned(), "Prüfung № 4 (100 %) ".to_owned())].into(),
            only_if_absent: false,
        };
        let outcome = store.write(&object, pattern(1000), put.clone()).await.unwrap();
        let info = store.head(&object).await.unwrap().unwrap();
        assert_eq!(outcome, PutOutcome::Written { etag: info.etag.clone() });
        assert!(!info.etag.is_empty() && !info.etag.contains('"'), "bare: {}", info.etag);
        assert_eq!((info.key.as_str(), info.bytes), (key, 1000));
        assert_eq!((info.content_type, info.metadata), (put.content_type, put.metadata));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
        assert!((now - info.modified_ms).abs() < 60_000, "{} is not now", info.modified_ms);
        assert_eq!(store.read(&object, 1000).await.unwrap(), pattern(1000));
        assert_eq!(poison(&store.read(&object, 999).await.unwrap_err()), "object_too_large");
    }
    let empty = ObjectRef::new(bucket, "empty");
    put(store, &empty, "").await;
    assert_eq!(store.read(&empty, 0).await.unwrap(), "");
    put(store, &empty, "replaced").await;
    assert_eq!(store.read(&empty, 8).await.unwrap(), "replaced");
}

async fn what_is_missing_is_told_from_what_is_broken(store: &dyn Store, bucket: &str) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    let missing = ObjectRef::new(bucket, "no/such/object");
    assert_eq!(store.head(&missing).await.unwrap(), None);
    assert_eq!(poison(&store.read(&missing, 1).await.unwrap_err()), "missing_object");
    assert_eq!(poison(&store.stream(&missing, None).await.unwrap_err()), "missing_object");
    assert_eq!(poison(&store.download(&missing, &file).await.unwrap_err()), "missing_object");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "no file is left");

    let foreign = ObjectRef::new("no-such-bucket-of-ours", "key");
    assert_eq!(store.head(&foreign).await.unwrap(), None);
    let written = store.write(&foreign, Bytes::new(), Put::default()).await;
    assert_eq!(poison(&written.unwrap_err()), "foreign_bucket");
    let listed = store.list(&foreign.bucket, "").await;
    assert_eq!(poison(&listed.unwrap_err()), "foreign_bucket");
}

async fn ranges_are_half_open_and_cut_to_the_end(store: &dyn Store, bucket: &str) {
    let object = ObjectRef::new(bucket, "ranges");
    let whole = pattern(100_000);
    store.write(&object, whole.clone(), Put::default()).await.unwrap();
    let table = [
        (None, 0..100_000),
        (Some(0..1), 0..1),
        (Some(10..20), 10..20),
        (Some(99_990..u64::MAX), 99_990..100_000),
        (Some(100_000..200_000), 100_000..100_000),
        (Some(500_000..600_000), 100_000..100_000),
    ];
    for (asked, expected) in table {
        let stream = store.stream(&object, asked.clone()).await.unwrap();
        assert_eq!(stream.range, expected, "{asked:?}");
        assert_eq!(stream.info.bytes, 100_000);
        let pieces: Vec<Bytes> = stream.body.try_collect().await.unwrap();
        assert!(pieces.concat() == whole[expected.start as usize..expected.end as usize]);
    }
}

async fn a_conditional_write_never_replaces(store: &dyn Store, bucket: &str) {
    let object = ObjectRef::new(bucket, "claims/stitch");
    let absent = || Put { only_if_absent: true, ..Put::default() };
    let first = store.write(&object, Bytes::from_static(b"first"), absent()).await.unwrap();
    assert!(matches!(first, PutOutcome::Written { .. }));
    let second = store.write(&object, Bytes::from_static(b"second"), absent()).await.unwrap();
    assert_eq!(second, PutOutcome::Exists);
    let large = stream::iter((0..9).map(|_| Ok(Bytes::from(vec![0; 2 << 20])))).boxed();
    let refused = store.write_stream(&object, large, u64::MAX, absent()).await.unwrap_err();
    assert_eq!(poison(&refused), "object_exists");
    assert_eq!(store.read(&object, 100).await.unwrap(), "first");
    store.delete(bucket, std::slice::from_ref(&object.key)).await.unwrap();
    let again = store.write(&object, Bytes::from_static(b"again"), absent()).await.unwrap();
    assert!(matches!(again, PutOutcome::Written { .. }));
}

async fn one_of_many_conditional_writers_wins(store: &dyn Store, bucket: &str) {
    for round in 0..5 {
        let object = ObjectRef::new(bucket, format!("race/{round}"));
        let writers = (0..10).map(|n| {
            let put = Put { only_if_absent: true, ..Put::default() };
            store.write(&object, Bytes::from(vec![n; 10]), put)
        });
        let outcomes = join_all(writers).await;
        let won = |o: &&Result<PutOutcome, Trouble>| matches!(o, Ok(PutOutcome::Written { .. }));
        assert_eq!(outcomes.iter().filter(won).count(), 1, "{outcomes:?}");
    }
}

async fn files_of_any_size_go_up_and_come_down(store: &dyn Store, bucket: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (up, down) = (folder.path().join("up"), folder.path().join("down"));
    // None; one; the most that is sent at once; parts, of which the last is small.
    for bytes in [0, 1, 16 << 20, (24 << 20) + 7] {
        let object = ObjectRef::new(bucket, format!("files/{bytes}"));
        let body = pattern(bytes);
        std::fs::write(&up, &body).unwrap();
        let put = Put {
            content_type: Some("video/mp4".to_owned()),
            metadata: [("run".to_owned(), "r1".to_owned())].into(),
            only_if_absent: false,
        };
        let outcome = store.upload(&up, &object, put.clone()).await.unwrap();
        let info = store.download(&object, &down).await.unwrap();
        assert_eq!(outcome, PutOutcome::Written { etag: info.etag.clone() });
        assert_eq!(info.bytes, bytes as u64);
        assert_eq!((&info.content_type, &info.metadata), (&put.content_type, &put.metadata));
        assert!(std::fs::read(&down).unwrap() == body, "{bytes} bytes come back");

        let pieces: Vec<_> = body.chunks(1_000_003).map(|c| Ok(body.slice_ref(c))).collect();
        let body_stream = stream::iter(pieces).boxed();
        let streamed = store.write_stream(&object, body_stream, bytes as u64, put).await.unwrap();
        let head = store.head(&object).await.unwrap().unwrap();
        assert_eq!((streamed.bytes, &streamed.etag), (head.bytes, &head.etag));
        assert!(store.read(&object, bytes as u64).await.unwrap() == body);
    }
    assert_eq!(names(folder.path()), ["down", "up"], "no temporary file is left");
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

async fn a_stream_too_large_writes_nothing(store: &dyn Store, bucket: &str) {
    for limit in [5 << 20, 20 << 20] {
        let object = ObjectRef::new(bucket, "too-large");
        let body = stream::repeat_with(|| Ok(Bytes::from(vec![0; 1 << 20]))).boxed();
        let refused = store.write_stream(&object, body, limit, Put::default()).await.unwrap_err();
        assert_eq!(poison(&refused), "object_too_large");
        assert_eq!(store.head(&object).await.unwrap(), None);
    }
}

async fn a_broken_stream_writes_nothing(store: &dyn Store, bucket: &str) {
    for pieces in [1, 26] {
        let object = ObjectRef::new(bucket, "broken");
        let body = stream::iter(0..pieces)
            .map(|_| Ok(Bytes::from(vec![0; 1 << 20])))
            .chain(stream::once(async { Err(Trouble::transient("client_gone", "it went")) }))
            .boxed();
        let broken = store.write_stream(&object, body, u64::MAX, Put::default()).await;
        assert_eq!(broken.unwrap_err(), Trouble::transient("client_gone", "it went"));
        assert_eq!(store.head(&object).await.unwrap(), None);
    }
}

async fn listings_have_every_page_in_order(store: &dyn Store, bucket: &str) {
    let count = 1100;
    let keys: Vec<String> = (0..count).map(|n| format!("list/{:02}/{n:04}", n % 7)).collect();
    stream::iter(&keys)
        .for_each_concurrent(16, |key| async move {
            put(store, &ObjectRef::new(bucket, key.as_str()), "x").await;
        })
        .await;
    put(store, &ObjectRef::new(bucket, "list-beside"), "x").await;
    let listed = store.list(bucket, "list/").await.unwrap();
    let mut sorted = keys.clone();
    sorted.sort();
    assert_eq!(
        listed.iter().map(|object| &object.key).collect::<Vec<_>>(),
        sorted.iter().collect::<Vec<_>>()
    );
    let first = &listed[0];
    let head = store.head(&ObjectRef::new(bucket, first.key.as_str())).await.unwrap().unwrap();
    assert_eq!((first.bytes, &first.etag), (head.bytes, &head.etag));
    assert!(first.modified_ms > 0);
    assert_eq!(store.list(bucket, "list/03/").await.unwrap().len(), 157);
    assert_eq!(store.list(bucket, "list/03/000").await.unwrap().len(), 1, "any prefix will do");
    assert_eq!(store.list(bucket, "list/no").await.unwrap(), []);
    store.delete(bucket, &keys).await.unwrap();
    assert_eq!(store.list(bucket, "list/").await.unwrap(), []);
}

async fn deleting_is_idempotent(store: &dyn Store, bucket: &str) {
    put(store, &ObjectRef::new(bucket, "going"), "x").await;
    let keys = ["going".to_owned(), "never/was".to_owned()];
    store.delete(bucket, &keys).await.unwrap();
    store.delete(bucket, &keys).await.unwrap();
    store.delete(bucket, &[]).await.unwrap();
    assert_eq!(store.head(&ObjectRef::new(bucket, "going")).await.unwrap(), None);
}

async fn a_signed_link_reads_without_credentials(store: &dyn Store, bucket: &str) {
    let object = ObjectRef::new(bucket, "linked/ü.mp4");
    put(store, &object, "0123456789").await;
    let link = store.signed_url(&object, Duration::from_secs(60)).await.unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = http.get(&link).header("range", "bytes=2-4").send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.text().await.unwrap()), (206, "234".to_owned()));
    let changed = link.replace("linked", "winked");
    assert_eq!(http.get(&changed).send().await.unwrap().status(), 403);
}
