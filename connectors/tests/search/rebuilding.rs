//! A new index from the store's runs, while searches and writes go on.

use crate::refusals::send;
use crate::support::*;
use connectors::opensearch::{NewIndex, OpenSearch, OpenSearchConfig};
use connectors::reindexing::{self, Rebuilt};
use engine::memory::MemoryStore;
use ports::{Document, ObjectRef, Put, Search, SearchRequest, Store, Trouble};
use schemas::{Label, Labels, Manifest, TimeBase, Tracks, keys};
use serde_json::json;
use services::proxy::{Fault, Proxy};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

const BUCKET: &str = "reelmill";

fn manifest(video_id: &str, run_id: &str, run_order: i64) -> Manifest {
    let clip = json!({
        "index": 0, "core_start": 0, "core_end": 100, "margin_start": 0, "margin_end": 100,
        "core_frames": 100, "frames": 100,
    });
    let manifest = json!({
        "version": 1, "video_id": video_id, "run_id": run_id, "run_order": run_order,
        "owner": "ann", "assessment": "exam-1", "title": "", "visibility": "private",
        "recorded_at_ms": JAN_31,
        "source": {
            "bucket": BUCKET, "key": "k", "etag": "e", "bytes": 1, "sha256": "s",
            "container": "mp4", "video_codec": "h264", "audio_codec": null,
        },
        "time_base": { "num": 1, "den": 25 }, "start_pts": 0, "duration_ms": 4_000, "frames": 100,
        "width": 640, "height": 360, "frame_rate": { "num": 25, "den": 1 },
        "clips": [clip], "render": "full", "render_reason": "",
        "masking": {
            "blur": "all", "style": "pixelate", "detector": "d", "threshold": 0.3,
            "verify_threshold": 0.6, "extend_ms": 0,
        },
        "audio": "none", "probe": null,
    });
    serde_json::from_value(manifest).unwrap()
}

async fn write(store: &MemoryStore, key: String, body: Vec<u8>) {
    store.write(&ObjectRef::new(BUCKET, key), body.into(), Put::default()).await.unwrap();
}

/// A run of one clip in which one thing is seen.
async fn run(store: &MemoryStore, video_id: &str, run_id: &str, run_order: i64, seen: &str) {
    let (video, run) = (video_id.to_owned(), run_id.to_owned());
    let tracks = Tracks {
        video_id: video.clone(),
        run_id: run.clone(),
        index: 0,
        time_base: TimeBase { num: 1, den: 25 },
        frame_ticks: 1,
        looked_every_ms: None,
        tracks: Vec::new(),
    };
    let label = Label {
        at_ms: 0,
        name: seen.to_owned(),
        parents: Vec::new(),
        confidence: 90.0,
        regions: Vec::new(),
    };
    let labels = Labels { video_id: video, run_id: run, index: 0, labels: vec![label] };
    let manifest = manifest(video_id, run_id, run_order).to_json().unwrap();
    write(store, keys::manifest(video_id, run_id), manifest).await;
    write(store, keys::tracks(video_id, run_id, 0), tracks.to_avro().unwrap()).await;
    write(store, keys::labels(video_id, run_id, 0), labels.to_avro().unwrap()).await;
}

async fn rebuild(store: &MemoryStore, config: &OpenSearchConfig) -> Result<Rebuilt, Trouble> {
    reindexing::rebuild(store, BUCKET, NewIndex::create(config).await?).await
}

async fn open(config: &OpenSearchConfig) -> Arc<dyn Search> {
    Arc::new(OpenSearch::open(config).await.unwrap())
}

#[tokio::test]
async fn what_the_store_keeps_is_found_again_after_the_index_was_lost() {
    let Some(config) = config() else { return };
    let store = MemoryStore::default();
    for n in 0..45 {
        run(&store, &format!("video-{n:02}"), "run", 1, "Car").await;
    }
    run(&store, "again", "old", 5, "Tram").await;
    run(&store, "again", "new", 6, "Car").await;
    run(&store, "gone", "run", 1, "Car").await;
    write(&store, keys::tombstone("gone"), Vec::new()).await;
    write(&store, keys::manifest("half", "run"), manifest("half", "run", 1).to_json().unwrap())
        .await;
    write(&store, keys::manifest("odd", "run"), b"{".to_vec()).await;
    // A replay that is not verified, or never will be.
    run(&store, "video-00", "replay", 7, "Bus").await;
    let replay = Manifest { replay: 1, ..manifest("video-00", "replay", 7) };
    write(&store, keys::manifest("video-00", "replay"), replay.to_json().unwrap()).await;

    let rebuilt = rebuild(&store, &config).await.unwrap();
    assert_eq!((rebuilt.runs, rebuilt.unfinished), (47, 2));
    assert_eq!(rebuilt.left_out.len(), 1, "{rebuilt:?}");
    assert_eq!(rebuilt.left_out[0].0, keys::manifest("odd", "run"));
    let index = open(&config).await;
    let all = SearchRequest { page_size: 100, ..request("car") };
    assert_eq!(index.search(&all).await.unwrap().total, 46);
    assert_eq!(found(&index, "tram").await, Vec::<String>::new());
    assert_eq!(found(&index, "bus").await, Vec::<String>::new());

    // Only the index has these: one that is newer than its run, one without a run.
    let newer = Document { version: 9, ..document("again", labels(&["Tram"])) };
    index.put(&newer).await.unwrap();
    index.put(&document("alone", labels(&["Tram"]))).await.unwrap();
    write(&store, keys::receipt_of_run("video-00", "replay"), b"{}".to_vec()).await;
    let rebuilt = rebuild(&store, &config).await.unwrap();
    assert_eq!(rebuilt.switched.carried, 2);
    assert_eq!(rebuilt.switched.removed, [format!("{}-v1-000002", config.alias)]);
    assert_eq!(found(&index, "tram").await, ["again", "alone"]);
    assert_eq!(found(&index, "bus").await, ["video-00"]);
    assert_eq!(index.search(&all).await.unwrap().total, 44);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn searches_and_writes_go_on_during_rebuilds_and_nothing_is_missed() {
    let Some(config) = config() else { return };
    let store = MemoryStore::default();
    for n in 0..30 {
        run(&store, &format!("video-{n:02}"), "run", 1, "Car").await;
    }
    rebuild(&store, &config).await.unwrap();
    let index = open(&config).await;
    let (written, over) = (Arc::new(AtomicUsize::new(30)), Arc::new(AtomicBool::new(false)));
    let searcher = |text: &'static str| {
        let (index, written, over) = (Arc::clone(&index), Arc::clone(&written), Arc::clone(&over));
        tokio::spawn(async move {
            let mut asked = 0;
            while !over.load(Ordering::SeqCst) {
                let at_least = written.load(Ordering::SeqCst) as u64;
                let page = index.search(&request(text)).await.unwrap();
                assert!(page.total >= at_least, "{} of {at_least} are found", page.total);
                assert_eq!(page.hits.len(), 20);
                assert!(page.hits.iter().all(|hit| hit.moments.len() == 1));
                asked += 1;
            }
            asked
        })
    };
    let searchers = [searcher("car"), searcher("label:car -tram")];
    let writer = {
        let (index, written, over) = (Arc::clone(&index), Arc::clone(&written), Arc::clone(&over));
        tokio::spawn(async move {
            let mut waits = 0;
            for n in 0.. {
                let video = document(&format!("late-{n:04}"), labels(&["Car"]));
                // As the mill does: what may pass is waited for.
                while let Err(trouble) = index.put(&video).await {
                    assert!(matches!(trouble, Trouble::Transient { .. }), "{trouble:?}");
                    waits += 1;
                    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                }
                written.fetch_add(1, Ordering::SeqCst);
                if over.load(Ordering::SeqCst) {
                    break;
                }
            }
            waits
        })
    };
    for _ in 0..4 {
        rebuild(&store, &config).await.unwrap();
    }
    over.store(true, Ordering::SeqCst);
    let waits = writer.await.unwrap();
    for searcher in searchers {
        let asked = searcher.await.unwrap();
        assert!(asked > 20, "only {asked} searches");
    }
    let written = written.load(Ordering::SeqCst);
    assert_eq!(index.search(&request("car")).await.unwrap().total, written as u64);
    assert!(written > 34, "only {written} videos, {waits} waits");
    let (_, indexes) =
        send("GET", &format!("{}/{}-*/_alias", config.url, config.alias), &json!({})).await;
    let expected = json!({
        (format!("{}-v1-000006", config.alias)): { "aliases": { (config.alias.as_str()): {} } },
    });
    assert_eq!(indexes, expected);
}

#[tokio::test]
async fn a_rebuild_waits_for_a_busy_index_and_one_that_fails_changes_nothing() {
    let Some(config) = config() else { return };
    let store = MemoryStore::default();
    run(&store, "a", "run", 1, "Car").await;
    let index = open(&config).await;
    index.put(&document("b", labels(&["Car"]))).await.unwrap();

    let busy = Fault::Answer(429, r#"{"error":{"type":"circuit_breaking_exception"}}"#);
    let proxy =
        Proxy::start(&config.url, "_bulk", &[busy.clone(), Fault::CutAnswer, busy]).await.unwrap();
    let through = OpenSearchConfig { url: proxy.url.clone(), ..config.clone() };
    rebuild(&store, &through).await.unwrap();
    assert_eq!(proxy.left(), 0);
    assert_eq!(found(&index, "car").await, ["a", "b"]);

    // The alias cannot be moved: the old index is searched, and takes writes again.
    run(&store, "c", "run", 1, "Car").await;
    let down = [Fault::Answer(503, "{}")];
    let proxy = Proxy::start(&config.url, "_aliases", &down).await.unwrap();
    let through = OpenSearchConfig { url: proxy.url.clone(), ..config.clone() };
    let trouble = rebuild(&store, &through).await.unwrap_err();
    assert!(matches!(trouble, Trouble::Transient { .. }), "{trouble:?}");
    assert_eq!(found(&index, "car").await, ["a", "b"]);
    index.put(&document("d", labels(&["Car"]))).await.unwrap();
    assert_eq!(found(&index, "car").await, ["a", "b", "d"]);

    // Killed while the old index refused writes: the next one mends that.
    let old = format!("{}/{}-v1-000002/_block/write", config.url, config.alias);
    assert_eq!(send("PUT", &old, &json!({})).await.0, 200);
    let told = index.put(&document("e", labels(&["Car"]))).await.unwrap_err().to_string();
    assert!(told.contains("run `reelmill index rebuild`"), "{told}");
    rebuild(&store, &config).await.unwrap();
    index.put(&document("e", labels(&["Car"]))).await.unwrap();
    assert_eq!(found(&index, "car").await, ["a", "b", "c", "d", "e"]);
}

#[tokio::test]
async fn of_two_rebuilds_at_once_one_is_refused_and_nothing_is_lost() {
    let Some(config) = config() else { return };
    let store = MemoryStore::default();
    run(&store, "a", "run", 1, "Car").await;
    rebuild(&store, &config).await.unwrap();
    let index = open(&config).await;

    let slow = NewIndex::create(&config).await.unwrap();
    let ready = NewIndex::create(&config).await.unwrap();
    slow.put_all(&[document("b", labels(&["Car"]))]).await.unwrap();
    ready.switch().await.unwrap();
    for refused in [
        slow.put_all(&[document("c", labels(&["Car"]))]).await.map(drop),
        slow.switch().await.map(drop),
    ] {
        let told = refused.unwrap_err();
        assert!(matches!(&told, Trouble::Fatal(_)), "{told:?}");
        assert!(told.to_string().contains("another rebuild"), "{told}");
    }
    assert_eq!(found(&index, "car").await, ["a"]);
    index.put(&document("d", labels(&["Car"]))).await.unwrap();
    assert_eq!(found(&index, "car").await, ["a", "d"]);
}

#[tokio::test]
async fn an_index_of_another_layout_is_replaced_by_a_rebuild() {
    let Some(config) = config() else { return };
    let store = MemoryStore::default();
    run(&store, "a", "run", 1, "Car").await;
    let old = format!("{}/{}-v0-000007", config.url, config.alias);
    let body = json!({ "aliases": { (config.alias.as_str()): {} } });
    assert_eq!(send("PUT", &old, &body).await.0, 200);
    let refused = OpenSearch::open(&config).await.unwrap_err().to_string();
    assert!(refused.contains("run `reelmill index rebuild`"), "{refused}");
    let rebuilt = rebuild(&store, &config).await.unwrap();
    assert_eq!(rebuilt.switched.removed, [format!("{}-v0-000007", config.alias)]);
    assert_eq!(found(&open(&config).await, "car").await, ["a"]);
}
