//! The search index of a deployment: OpenSearch.
//!
//! A video is one document, replaced whole; its moments are nested in it, so that no search sees a
//! video without them. Words are split by us, see [`crate::words`]: the index only looks them up.
//!
//! Each write carries the video's version (`external_gte`): whatever the order in which writes
//! arrive, the newest stays. A conflict says that a newer one is there, and is a success.

mod blame;
mod client;
mod document;
mod layout;
mod look;
mod query;
mod rebuild;
mod write;

pub use self::look::Looked;
pub use self::rebuild::{NewIndex, Switched};

use self::blame::Problem;
use self::client::Client;
use self::layout::Layout;
use async_trait::async_trait;
use ports::{Document, Page, Search, SearchRequest, Trouble};
use serde_json::{Value, json};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// Videos on a page.
const MAX_PAGE_SIZE: u32 = 100;

/// Results OpenSearch gives by their number (`index.max_result_window`); those beyond are reached
/// by walking there.
const WINDOW: u64 = 10_000;

/// The reason of the trouble that an index is not there.
const MISSING: &str = "index_missing";

/// Where OpenSearch is.
#[derive(Clone, PartialEq, Eq)]
pub struct OpenSearchConfig {
    /// `http://` or `https://`, with a path where there is one. Whoever writes user and password
    /// into it writes special characters as `%XX`.
    pub url: String,
    /// Goes before the one in the address.
    pub user: Option<String>,
    pub password: Option<String>,
    /// Sign requests for this region, with credentials of AWS's default chain, as Amazon OpenSearch
    /// Service wants it of roles. Then there is neither user nor password.
    pub signed_for: Option<String>,
    /// The alias; indexes and the template are named after it.
    pub alias: String,
    /// How long one request may take. The first ones after a start take seconds.
    pub patience: Duration,
}

impl Default for OpenSearchConfig {
    fn default() -> Self {
        Self {
            url: "http://127.0.0.1:9200".to_owned(),
            user: None,
            password: None,
            signed_for: None,
            alias: "reelmill".to_owned(),
            patience: Duration::from_secs(60),
        }
    }
}

impl OpenSearchConfig {
    /// Finds the mistakes that can be told without a connection.
    ///
    /// # Errors
    /// Fatal for an address or a name that cannot be.
    pub fn check(&self) -> Result<(), Trouble> {
        OpenSearch::client(self).map(drop)
    }
}

impl fmt::Debug for OpenSearchConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenSearchConfig").field("alias", &self.alias).finish_non_exhaustive()
    }
}

/// A search index in OpenSearch, shared by any number of processes.
#[derive(Debug, Clone)]
pub struct OpenSearch {
    layout: Layout,
}

impl OpenSearch {
    /// Connects; writes the template, and makes index and alias where they are missing.
    ///
    /// # Errors
    /// Fatal for a wrong address, something else that answers there, credentials that are not
    /// taken, a template or an index of somebody else in the way, an index of another layout;
    /// transient where nobody answers.
    pub async fn open(config: &OpenSearchConfig) -> Result<Self, Trouble> {
        let index = Self::client(config)?;
        index.layout.ensure().await?;
        Ok(index)
    }

    fn client(config: &OpenSearchConfig) -> Result<Self, Trouble> {
        check_name(&config.alias)?;
        let client = Client::new(config)?;
        Ok(Self { layout: Layout { client, alias: config.alias.clone() } })
    }

    /// An answer of the index. A missing one is made anew, empty, before the trouble is told.
    async fn answer(&self, answer: Result<Value, Problem>) -> Result<Value, Trouble> {
        match answer {
            Ok(value) => Ok(value),
            Err(problem) => {
                if problem.is_missing_index() {
                    self.layout.ensure().await?;
                }
                Err(self.layout.blame(&problem))
            }
        }
    }

    /// Searches, and once more where the index was removed while it was asked: a rebuild removes the
    /// old one as soon as the alias has moved.
    async fn ask(&self, body: &Value) -> Result<Value, Trouble> {
        // The pages of one query come from one copy of the index: copies differ a little in what
        // is removed and not yet merged away, and so in their scores.
        let mut copy = DefaultHasher::new();
        body.get("query").map(Value::to_string).hash(&mut copy);
        let path = format!("/{}/_search?preference={:x}", self.layout.alias, copy.finish());
        let mut again = true;
        loop {
            let trouble = match self.layout.client.post(&path, body).await {
                Ok(answer) if is_whole(&answer) => return Ok(answer),
                Ok(_) => self.layout.partial(),
                Err(problem) if problem.is_missing_index() => {
                    // An empty one in its place must not be taken for the answer.
                    again &= !self.layout.ensure().await?;
                    self.layout.blame(&problem)
                }
                Err(problem) => return Err(self.layout.blame(&problem)),
            };
            if !again {
                return Err(trouble);
            }
            again = false;
        }
    }

    /// The sort values of the last result before number `offset`, which is beyond the window.
    async fn walk(&self, request: &SearchRequest, offset: u64) -> Result<Option<Value>, Trouble> {
        let mut after = None;
        let mut passed = 0;
        while passed < offset {
            let step = (offset - passed).min(WINDOW);
            let mut body = json!({
                "size": step,
                "_source": false,
                "query": query::query(request, false)?,
                "sort": order(),
            });
            if let Some(after) = &after {
                body["search_after"] = Value::clone(after);
            }
            let answer = self.ask(&body).await?;
            let last = hits(&answer).last().and_then(|hit| hit.get("sort")).cloned();
            let Some(last) = last else { return Ok(None) };
            after = Some(last);
            passed += step;
        }
        Ok(after)
    }
}

/// Half an answer is none.
fn is_whole(answer: &Value) -> bool {
    let failed = answer.pointer("/_shards/failed").and_then(Value::as_u64).unwrap_or(0);
    failed == 0 && answer.get("timed_out") != Some(&Value::Bool(true))
}

/// Best first, then newest, then by id.
fn order() -> Value {
    json!([{ "_score": "desc" }, { "recorded_at_ms": "desc" }, { "video_id": "asc" }])
}

fn hits(answer: &Value) -> impl DoubleEndedIterator<Item = &Value> {
    answer.pointer("/hits/hits").and_then(Value::as_array).into_iter().flatten()
}

/// OpenSearch's rules for the names of indexes, and a little less.
fn check_name(alias: &str) -> Result<(), Trouble> {
    let harmless = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    let starts = alias.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    if starts && alias.len() <= 100 && alias.chars().all(harmless) {
        return Ok(());
    }
    Err(Trouble::fatal(format!(
        "`{alias}` cannot name an index: use small letters, digits, - and _ in --opensearch-index"
    )))
}

#[async_trait]
impl Search for OpenSearch {
    async fn put(&self, document: &Document) -> Result<(), Trouble> {
        let written = self.put_all(std::slice::from_ref(document)).await;
        written.into_iter().collect()
    }

    async fn put_all(&self, documents: &[Document]) -> Vec<Result<(), Trouble>> {
        let documents: Vec<&Document> = documents.iter().collect();
        self.write(&self.layout.alias, &documents, write::Seen::Waits).await
    }

    async fn remove(&self, video_id: &str) -> Result<(), Trouble> {
        self.delete(video_id).await
    }

    async fn search(&self, request: &SearchRequest) -> Result<Page, Trouble> {
        let size = u64::from(request.page_size.clamp(1, MAX_PAGE_SIZE));
        let offset = u64::from(request.page) * size;
        let mut body = json!({
            "size": size,
            "track_total_hits": true,
            "_source": ["document"],
            "query": query::query(request, true)?,
            "sort": order(),
        });
        let mut beyond = None;
        if offset + size > WINDOW {
            // What is asked for may be far beyond the end: nobody walks there for nothing.
            let count = json!({
                "size": 0, "track_total_hits": true, "query": query::query(request, false)?,
            });
            let total = total(&self.ask(&count).await?);
            let after = if offset < total { self.walk(request, offset).await? } else { None };
            match after {
                Some(after) => body["search_after"] = after,
                None => return Ok(Page { total, hits: Vec::new() }),
            }
            beyond = Some(total);
        } else {
            body["from"] = json!(offset);
        }
        let answer = self.ask(&body).await?;
        let hits = hits(&answer).map(document::to_hit).collect::<Result<_, _>>()?;
        Ok(Page { total: beyond.unwrap_or_else(|| total(&answer)), hits })
    }
}

fn total(answer: &Value) -> u64 {
    answer.pointer("/hits/total/value").and_then(Value::as_u64).unwrap_or(0)
}
