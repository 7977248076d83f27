//! A mill as its clients see it.

use super::error::{ClientError, Problem};
use connectors::causes;
use reqwest::{RequestBuilder, Response, Url};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use std::time::Duration;

/// For answers that are not media.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// The HTTP API of one mill.
#[derive(Debug, Clone)]
pub struct Client {
    base: Url,
    http: reqwest::Client,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Processing,
    Ready,
    Failed,
}

/// What a mill tells of a video.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Video {
    pub video_id: String,
    pub title: String,
    pub assessment: String,
    pub state: State,
    pub reason: Option<String>,
    pub detail: Option<String>,
    /// In ms since 1970.
    pub uploaded_at_ms: i64,
    pub duration_ms: Option<i64>,
    pub searchable: bool,
    #[serde(default)]
    pub overdue: Option<Overdue>,
    /// In the order of the mill.
    pub stages: Vec<Stage>,
    #[serde(default)]
    pub next_run: Option<NextRun>,
    pub links: Links,
    /// The newest first; empty in lists.
    #[serde(default)]
    pub dead_letters: Vec<DeadLetter>,
}

/// The run that is to replace a recording.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct NextRun {
    pub run_id: String,
    pub state: State,
    pub stages: Vec<Stage>,
}

/// A stage that has not done its work in time.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Overdue {
    pub stage: String,
    /// In ms since 1970.
    pub waiting_since_ms: i64,
}

/// An event of a video that could not be worked on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct DeadLetter {
    pub processor: String,
    pub reason: String,
    pub detail: String,
    /// When it was sent back to its processor, in ms since 1970.
    #[serde(default)]
    pub redriven_at_ms: Option<i64>,
}

/// How far a stage is; times in ms since 1970.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Stage {
    pub stage: String,
    pub done: u64,
    pub total: Option<u64>,
    pub frames: u64,
    pub first_at_ms: Option<i64>,
    pub last_at_ms: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Links {
    pub recording: Option<String>,
    pub receipt: Option<String>,
    #[serde(default)]
    pub thumbnail: Option<String>,
}

impl Client {
    /// A client of the mill at `url`, e.g. `http://127.0.0.1:8080`.
    pub fn new(url: &str) -> Result<Self, ClientError> {
        let base = Url::parse(url).ok().filter(|base| base.scheme() == "http");
        let base = base.ok_or_else(|| ClientError::Address(url.to_owned()))?;
        let http = reqwest::Client::builder()
            // A mill answers on loopback only, where no proxy reaches.
            .no_proxy()
            .connect_timeout(Duration::from_secs(5))
            .build()
            .map_err(|error| ClientError::Broken(causes(&error)))?;
        Ok(Self { base, http })
    }

    /// What is known of a video.
    pub async fn video(&self, video_id: &str) -> Result<Video, ClientError> {
        self.read(self.json(&["api", "videos", video_id], &[]).await?)
    }

    pub(crate) fn url(&self, path: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.base.clone();
        // Only addresses like `mailto:` have no path, and `new` takes none of those.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    pub(crate) async fn json(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Value, ClientError> {
        let request = self.http.get(self.url(path, query)).timeout(ANSWER_WITHIN);
        self.value(self.send(request).await?).await
    }

    pub(crate) async fn value(&self, answer: Response) -> Result<Value, ClientError> {
        let bytes = answer.bytes().await.map_err(|e| ClientError::Broken(causes(&e)))?;
        serde_json::from_slice(&bytes).map_err(|e| self.not_a_mill(&e))
    }

    pub(crate) fn read<T: DeserializeOwned>(&self, value: Value) -> Result<T, ClientError> {
        serde_json::from_value(value).map_err(|e| self.not_a_mill(&e))
    }

    pub(crate) fn post(&self, path: &[&str], query: &[(&str, &str)]) -> RequestBuilder {
        self.http.post(self.url(path, query))
    }

    pub(crate) fn get(&self, path: &[&str]) -> RequestBuilder {
        self.http.get(self.url(path, &[]))
    }

    /// Sends a request; an answer of 400 and above is an error.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let answer = request.send().await.map_err(|error| {
            if error.is_connect() {
                ClientError::NoMill(self.base.as_str().trim_end_matches('/').to_owned())
            } else {
                ClientError::Broken(causes(&error))
            }
        })?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let bytes = answer.bytes().await.map_err(|e| ClientError::Broken(causes(&e)))?;
        match serde_json::from_slice::<Problem>(&bytes) {
            Ok(problem) => Err(ClientError::Refused(problem)),
            Err(_) => Err(self.not_a_mill(&status)),
        }
    }

    fn not_a_mill(&self, cause: &dyn std::fmt::Display) -> ClientError {
        ClientError::NotAMill(self.base.to_string(), cause.to_string())
    }
}
