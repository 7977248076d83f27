//! What goes wrong on the way to OpenSearch and in it: nothing is lost, nothing is reordered.

use crate::support::*;
use connectors::opensearch::{OpenSearch, OpenSearchConfig};
use ports::{Document, Refusal, Search, Trouble};
use services::proxy::{Fault, Proxy};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

const BUSY: &str =
    r#"{"error":{"type":"opensearch_rejected_execution_exception","reason":"full"},"status":429}"#;
const DOWN: &str =
    r#"{"error":{"type":"cluster_manager_not_discovered_exception","reason":null},"status":503}"#;

fn every_fault() -> Vec<Fault> {
    vec![
        Fault::Answer(429, BUSY),
        Fault::None,
        Fault::Answer(503, DOWN),
        Fault::CutBefore,
        Fault::None,
        Fault::CutRequest,
        Fault::CutAnswer,
        Fault::Hang,
        Fault::Answer(502, "<html>Bad Gateway</html>"),
        Fault::CutAnswer,
        Fault::Answer(500, ""),
        Fault::Answer(200, "{\"took\":3,\"err"),
        Fault::Answer(200, "{\"items\":[]}"),
    ]
}

/// What a trouble is, in a word or two.
fn word(answer: &Result<(), Trouble>) -> String {
    match answer {
        Ok(()) => "ok".to_owned(),
        Err(Trouble::Transient { reason, .. }) => (*reason).to_owned(),
        Err(Trouble::Refused(Refusal::Poison(poison))) => format!("poison {}", poison.reason),
        Err(other) => format!("{other:?}"),
    }
}

async fn through(proxy: &Proxy, config: &OpenSearchConfig) -> Arc<dyn Search> {
    // A busy server takes its time to make an index; hanging is to be noticed soon.
    OpenSearch::open(config).await.unwrap();
    let url = proxy.url.clone();
    let patience = Duration::from_secs(3);
    let config = OpenSearchConfig { url, patience, ..config.clone() };
    let started = Instant::now();
    loop {
        match OpenSearch::open(&config).await {
            Ok(index) => return Arc::new(index),
            Err(trouble) => assert!(started.elapsed() < Duration::from_secs(60), "{trouble:?}"),
        }
    }
}

#[tokio::test]
async fn what_fails_on_the_way_is_told_again_and_the_newest_stays_whatever_comes_late() {
    let Some(config) = config() else { return };
    let proxy = Proxy::start(&config.url, "_bulk", &every_fault()).await.unwrap();
    let index = through(&proxy, &config).await;
    let ids = ["a", "b", "c"];
    let mut waiting: VecDeque<Vec<Document>> = (1..=8)
        .map(|version: i64| {
            let label = format!("v{version}");
            let of = |id| Document { version, ..document(id, labels(&[&label])) };
            ids.map(of).into()
        })
        .collect();
    // What fails waits behind all that is newer, as on a retry topic.
    let mut failures = 0;
    while let Some(documents) = waiting.pop_front() {
        let answers = index.put_all(&documents).await;
        assert_eq!(answers.len(), documents.len());
        let failed = documents.into_iter().zip(answers).filter_map(|(document, answer)| {
            assert!(matches!(answer, Ok(()) | Err(Trouble::Transient { .. })), "{answer:?}");
            answer.is_err().then_some(document)
        });
        let failed: Vec<Document> = failed.collect();
        if !failed.is_empty() {
            failures += 1;
            waiting.push_back(failed);
        }
    }
    // A busy server adds some of its own.
    assert!(proxy.left() == 0 && failures >= 11, "{} left, {failures} failed", proxy.left());
    assert_eq!(found(&index, "*").await, ids);
    assert_eq!(found(&index, "v8").await, ids);
}

#[tokio::test]
async fn each_fault_has_its_word_and_hanging_ends_in_time() {
    let Some(config) = config() else { return };
    let proxy = Proxy::start(&config.url, "_bulk", &[]).await.unwrap();
    let index = through(&proxy, &config).await;
    let video = document("a", labels(&["Car"]));
    for (fault, expected) in [
        (Fault::Answer(429, BUSY), "index_busy"),
        (Fault::Answer(503, DOWN), "index_failed"),
        (Fault::Answer(502, "<html>Bad Gateway</html>"), "index_failed"),
        (Fault::Answer(200, "<html>Hello</html>"), "index_unreachable"),
        (Fault::CutBefore, "index_unreachable"),
        (Fault::CutAnswer, "index_unreachable"),
        (Fault::Hang, "index_timed_out"),
        (Fault::None, "ok"),
    ] {
        proxy.then(fault.clone());
        let started = Instant::now();
        assert_eq!(word(&index.put(&video).await), expected, "{fault:?}");
        assert!(started.elapsed() < Duration::from_secs(10), "{fault:?}");
    }
    assert_eq!(found(&index, "car").await, ["a"]);
}

#[tokio::test]
async fn a_search_fails_whole_or_answers_whole() {
    let Some(config) = config() else { return };
    let proxy = Proxy::start(&config.url, "_search", &[]).await.unwrap();
    let index = through(&proxy, &config).await;
    index.put(&document("a", labels(&["Car"]))).await.unwrap();
    let half = r#"{"took":1,"timed_out":false,"_shards":{"total":2,"successful":1,"failed":1},
        "hits":{"total":{"value":0},"hits":[]}}"#;
    for (fault, expected) in [
        (Fault::Answer(429, BUSY), "index_busy"),
        (Fault::CutAnswer, "index_unreachable"),
        (Fault::Hang, "index_timed_out"),
    ] {
        proxy.then(fault.clone());
        let answer = index.search(&request("car")).await.map(drop);
        assert_eq!(word(&answer), expected, "{fault:?}");
    }
    // Once may be a rebuild that has just removed the old index.
    proxy.then(Fault::Answer(200, half));
    assert_eq!(found(&index, "car").await, ["a"]);
    proxy.then(Fault::Answer(200, half));
    proxy.then(Fault::Answer(200, half));
    assert_eq!(word(&index.search(&request("car")).await.map(drop)), "index_partial");
    assert_eq!(found(&index, "car").await, ["a"]);
}

#[tokio::test]
async fn each_item_of_a_bulk_has_its_own_answer() {
    let Some(config) = config() else { return };
    let items = r#"{"took":1,"errors":true,"items":[
        {"index":{"_id":"a","status":201}},
        {"index":{"_id":"b","status":429,"error":
            {"type":"opensearch_rejected_execution_exception","reason":"full"}}},
        {"index":{"_id":"c","status":409,"error":
            {"type":"version_conflict_engine_exception","reason":"newer"}}},
        {"index":{"_id":"d","status":400,"error":{"type":"mapper_parsing_exception",
            "reason":"failed to parse","caused_by":{"reason":"it is odd"}}}},
        {"index":{"_id":"e","status":503,"error":
            {"type":"unavailable_shards_exception","reason":"away"}}}]}"#;
    let proxy = Proxy::start(&config.url, "_bulk", &[Fault::Answer(200, items)]).await.unwrap();
    let index = through(&proxy, &config).await;
    let videos = ["a", "b", "c", "d", "e"].map(|id| document(id, labels(&["Car"])));
    let answers = index.put_all(&videos).await;
    let words: Vec<String> = answers.iter().map(word).collect();
    assert_eq!(words, ["ok", "index_busy", "ok", "poison document_refused", "index_failed"]);
    assert!(format!("{:?}", answers[3]).contains("it is odd"), "{:?}", answers[3]);
}

#[tokio::test]
async fn what_opensearch_refuses_for_good_is_poison_and_its_neighbours_are_written() {
    let Some(config) = config() else { return };
    let index: Arc<dyn Search> = Arc::new(OpenSearch::open(&config).await.unwrap());
    // Longer than any keyword of Lucene's.
    let odd = "x".repeat(40_000);
    let negative = Document { version: -5, ..document("negative", labels(&["Car"])) };
    let videos = [
        document("a", labels(&["Car"])),
        document(&odd, labels(&["Car"])),
        negative,
        document("b", labels(&["Car"])),
    ];
    let words: Vec<String> = index.put_all(&videos).await.iter().map(word).collect();
    assert_eq!(words, ["ok", "poison document_refused", "ok", "ok"]);
    assert_eq!(found(&index, "car").await, ["a", "b", "negative"]);
}
