//! An index of documents on each engine.

pub(crate) use crate::documents::{JAN_31, document, labels, moment, request};

use connectors::opensearch::{OpenSearch, OpenSearchConfig};
use connectors::tantivy::Tantivy;
use ports::{Document, Search};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};
use tempfile::TempDir;

pub(crate) const DAY: i64 = 86_400_000;
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
