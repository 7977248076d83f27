//! Documents, and an index of them on each engine.

use connectors::opensearch::{OpenSearch, OpenSearchConfig};
use connectors::tantivy::Tantivy;
use ports::{Document, Moment, MomentKind, Search, SearchRequest, Viewer, parse_query};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};
use tempfile::TempDir;

pub(crate) const DAY: i64 = 86_400_000;
/// 2026-01-31, midnight UTC.
pub(crate) const JAN_31: i64 = 1_769_817_600_000;

pub(crate) fn moment(kind: MomentKind, name: &str, start_ms: i64) -> Moment {
    Moment {
        kind,
        name: name.to_owned(),
        start_ms,
        end_ms: start_ms + 500,
        confidence: 91.5,
        region: Some([0.1, 0.2, 0.3, 0.4]),
    }
}

pub(crate) fn labels(names: &[&str]) -> Vec<Moment> {
    (0..).zip(names).map(|(n, name)| moment(MomentKind::Label, name, n * 1_000)).collect()
}

pub(crate) fn document(video_id: &str, moments: Vec<Moment>) -> Document {
    Document {
        video_id: video_id.to_owned(),
        run_id: "run-1".to_owned(),
        version: 1,
        owner: "ann".to_owned(),
        assessment: "exam-1".to_owned(),
        title: String::new(),
        visibility: "private".to_owned(),
        recorded_at_ms: JAN_31,
        duration_ms: 60_000,
        words: Vec::new(),
        moments,
    }
}

pub(crate) fn request(text: &str) -> SearchRequest {
    SearchRequest {
        query: parse_query(text).unwrap(),
        viewer: Viewer::Local,
        owner: None,
        assessment: None,
        page: 0,
        page_size: 20,
    }
}

/// OpenSearch with names that no other test has; `None` where it is not installed.
pub(crate) fn config() -> Option<OpenSearchConfig> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    Some(OpenSearchConfig {
        url: services::opensearch()?,
        alias: format!("test-{}-{n}", now.as_micros()),
        ..OpenSearchConfig::default()
    })
}

/// An index, and what must live as long.
pub(crate) type Kept = (Arc<dyn Search>, Option<TempDir>);

pub(crate) async fn on_tantivy(documents: &[Document]) -> Option<Kept> {
    let dir = tempfile::tempdir().unwrap();
    let index: Arc<dyn Search> = Arc::new(Tantivy::open(dir.path()).unwrap());
    fill(&index, documents).await;
    Some((index, Some(dir)))
}

pub(crate) async fn on_opensearch(documents: &[Document]) -> Option<Kept> {
    let index: Arc<dyn Search> = Arc::new(OpenSearch::open(&config()?).await.unwrap());
    fill(&index, documents).await;
    Some((index, None))
}

async fn fill(index: &Arc<dyn Search>, documents: &[Document]) {
    for answer in index.put_all(documents).await {
        answer.unwrap();
    }
}

/// The ids that a query finds, sorted.
pub(crate) async fn found(index: &Arc<dyn Search>, text: &str) -> Vec<String> {
    let page = index.search(&request(text)).await.unwrap();
    assert_eq!(page.total, page.hits.len() as u64);
    let mut ids: Vec<_> = page.hits.into_iter().map(|hit| hit.video_id).collect();
    ids.sort();
    ids
}

/// Numbers that look random, the same each time (xorshift64).
pub(crate) fn random(mut state: u64) -> impl FnMut(usize) -> usize {
    move |n| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as usize % n
    }
}
