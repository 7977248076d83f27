//! Search: the unit is the video; moments say where in it.

use crate::Trouble;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::fmt::Debug;
use utoipa::ToSchema;

/// Who is asking. Every read takes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Viewer {
    /// The person at this machine, until accounts exist: sees everything.
    Local,
}

/// What kind of thing a moment shows.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum MomentKind {
    Label,
    Person,
    Place,
    Text,
}

/// An interval of a video in which something is seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Moment {
    pub kind: MomentKind,
    /// The word as shown, e.g. `Person`.
    pub name: String,
    /// Milliseconds from the start of the recording, half open.
    pub start_ms: i64,
    pub end_ms: i64,
    /// 0 to 100.
    pub confidence: f32,
    /// left, top, width, height relative to the picture.
    pub region: Option<[f32; 4]>,
}

/// All that is indexed of one video. Replaces an older version whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Document {
    pub video_id: String,
    pub run_id: String,
    /// Orders the runs of a video: an older one never replaces a newer one.
    pub version: i64,
    pub owner: String,
    pub assessment: String,
    pub title: String,
    /// `private` or `listed`.
    pub visibility: String,
    /// Milliseconds since 1970.
    pub recorded_at_ms: i64,
    pub duration_ms: i64,
    /// Parents and synonyms of the moments' names that should match too, e.g. `Vehicle`.
    pub words: Vec<String>,
    pub moments: Vec<Moment>,
}

/// A query, parsed once by us and never handed to an engine as text.
#[derive(Debug, Clone, PartialEq)]
pub enum Query {
    /// Every video.
    All,
    Term(Match),
    /// Words next to each other, in order.
    Phrase(Vec<String>),
    And(Vec<Query>),
    Or(Vec<Query>),
    Not(Box<Query>),
}

/// One word, in any field or in one: `label:car`, `person:`, `owner:`, `assessment:`, `title:`,
/// `place:`, `text:`, `after:2026-01-31`, `before:2026-01-31`.
///
/// Days are in UTC: `after:` takes videos recorded at or after the day's first millisecond,
/// `before:` those before it. A word that an engine splits, such as `e-mail` or the quoted
/// `owner:"ann lee"`, means its parts next to each other, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    pub field: Option<String>,
    pub word: String,
}

/// Where a query went wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("query is wrong at character {at}: {problem}")]
pub struct QueryError {
    /// Characters from the start, from 0.
    pub at: usize,
    pub problem: String,
}

/// A page of a search.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchRequest {
    pub query: Query,
    pub viewer: Viewer,
    /// Filters, never identities.
    pub owner: Option<String>,
    pub assessment: Option<String>,
    /// From 0.
    pub page: u32,
    /// 1 to 100.
    pub page_size: u32,
}

/// A video that matched, and where in it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Hit {
    pub video_id: String,
    pub title: String,
    pub owner: String,
    pub assessment: String,
    pub recorded_at_ms: i64,
    pub duration_ms: i64,
    pub score: f32,
    /// Moments of the query's positive terms, in order of time, at most 100.
    pub moments: Vec<Moment>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Page {
    pub total: u64,
    pub hits: Vec<Hit>,
}

#[async_trait]
pub trait Search: Debug + Send + Sync {
    /// Writes the document and its moments in one step; an older version than the one there is
    /// passed over and reported as success.
    async fn put(&self, document: &Document) -> Result<(), Trouble>;

    /// Writes several as [`Search::put`] does, and answers for each, in their order.
    async fn put_all(&self, documents: &[Document]) -> Vec<Result<(), Trouble>> {
        let mut answers = Vec::with_capacity(documents.len());
        for document in documents {
            answers.push(self.put(document).await);
        }
        answers
    }

    /// Removes a video and its moments; one not there counts as removed.
    async fn remove(&self, video_id: &str) -> Result<(), Trouble>;

    /// Best first: by BM25 (k1 1.2, b 0.75) over the words of the videos, where how rare a word is
    /// counts all videos of the index; filters, days, `*` and what is excluded count nothing. Equal scores are newest
    /// first, then by id. Videos that were replaced or removed may count until the engine has tidied
    /// up, so that scores of two indexes with the same videos may differ a little.
    async fn search(&self, request: &SearchRequest) -> Result<Page, Trouble>;
}
