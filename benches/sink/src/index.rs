//! An index over plain HTTP, with nothing of reelmill in between.

use crate::Failure;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};

/// Documents of one answer.
const PAGE: usize = 1_000;

pub(crate) struct Index {
    client: Client,
    url: String,
}

impl Index {
    pub(crate) fn new(at: &str, name: &str) -> Self {
        Self { client: Client::new(), url: format!("{}/{name}", at.trim_end_matches('/')) }
    }

    pub(crate) async fn bulk(&self, lines: String) -> Result<(), Failure> {
        let request = self.request(Method::POST, "_bulk?refresh=false");
        let answer = answer(request.header("content-type", "application/x-ndjson").body(lines));
        let answer = answer.await?;
        match answer.get("errors") {
            Some(Value::Bool(false)) => Ok(()),
            _ => Err(format!("a bulk was not taken whole: {answer:.500}").into()),
        }
    }

    /// Waits until a search sees them all, or says how many it sees.
    pub(crate) async fn holds(&self, count: usize) -> Result<(), Failure> {
        answer(self.request(Method::POST, "_refresh")).await?;
        let found = answer(self.request(Method::GET, "_count")).await?;
        match found.get("count").and_then(Value::as_u64) {
            Some(found) if found == count as u64 => Ok(()),
            found => Err(format!("{found:?} documents in the index, not {count}").into()),
        }
    }

    /// Every document: its id and its body.
    pub(crate) async fn all(&self) -> Result<Vec<(String, Value)>, Failure> {
        let mut all = Vec::new();
        let mut after = None;
        loop {
            let mut page = json!({ "size": PAGE, "sort": [{ "video_id": "asc" }] });
            if let Some(after) = after.take() {
                page["search_after"] = after;
            }
            let found = answer(self.request(Method::POST, "_search").json(&page)).await?;
            let hits = found.pointer("/hits/hits").and_then(Value::as_array);
            for hit in hits.into_iter().flatten() {
                let id = hit.get("_id").and_then(Value::as_str).unwrap_or_default();
                all.push((id.to_owned(), hit.get("_source").cloned().unwrap_or_default()));
                after = hit.get("sort").cloned();
            }
            if after.is_none() {
                return Ok(all);
            }
        }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}/{path}", self.url))
    }
}

async fn answer(request: RequestBuilder) -> Result<Value, Failure> {
    Ok(request.send().await?.error_for_status()?.json().await?)
}
