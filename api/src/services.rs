//! What the routes stand on.

use async_trait::async_trait;
use axum::{extract::FromRef, http::HeaderMap};
use bytes::Bytes;
use ports::{Catalog, Position, Search, Store, Trouble};
use schemas::VideoUploaded;
use serde::Serialize;
use std::{
    collections::BTreeSet,
    fmt::{self, Debug},
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

/// The extensions an uploaded file may keep. The content decides what a file is, never its name.
pub const MEDIA_TYPES: &[&str] = &["mp4", "m4v", "mov", "mkv", "webm", "avi", "ts", "m2ts", "mts"];

/// Tells the mill that footage has arrived.
#[async_trait]
pub trait Uploads: Debug + Send + Sync {
    /// Produces `event` to its topic under the event id `id`. Returns only after the broker has
    /// acknowledged it; after an error the event may be taken as not there.
    async fn announce(&self, event: &VideoUploaded, id: &str, cause: &Cause)
    -> Result<(), Trouble>;
}

/// What led to an event, for its trace.
#[derive(Debug, Clone)]
pub struct Cause {
    /// The request's header of that name (W3C Trace Context), as it came.
    pub traceparent: Option<Bytes>,
    pub began: SystemTime,
}

impl Cause {
    /// A request that has just come.
    pub(crate) fn request(headers: &HeaderMap) -> Self {
        let traceparent = headers.get("traceparent");
        let traceparent = traceparent.map(|text| Bytes::copy_from_slice(text.as_bytes()));
        Self { traceparent, ..Self::own() }
    }

    /// What the API does by itself.
    #[must_use]
    pub fn own() -> Self {
        Self { traceparent: None, began: SystemTime::now() }
    }
}

/// What became of dead letters that were to be sent back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Redriven {
    pub sent: usize,
    /// Had been sent back before.
    pub before: usize,
}

/// Sends dead letters back to the processors that gave them up.
#[async_trait]
pub trait DeadLetters: Debug + Send + Sync {
    /// The names of all processors that may give an event up.
    fn processors(&self) -> &[&'static str];

    /// Sends those of one processor back, each once however often it is asked for.
    async fn redrive(
        &self,
        processor: &str,
        letters: &BTreeSet<Position>,
    ) -> Result<Redriven, Trouble>;
}

/// What an upload may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadLimits {
    pub max_bytes: u64,
    /// Extensions, lower case and without the dot, that the stored object keeps.
    pub types: Vec<String>,
    /// A client that sends nothing for this long is given up.
    pub max_silence: Duration,
}

impl Default for UploadLimits {
    /// 10 GiB, [`MEDIA_TYPES`], one minute.
    fn default() -> Self {
        Self {
            max_bytes: 10 << 30,
            types: MEDIA_TYPES.iter().map(|&t| t.to_owned()).collect(),
            max_silence: Duration::from_secs(60),
        }
    }
}

/// A part that is not ready for work, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Unready {
    pub part: String,
    pub reason: String,
}

/// What machines that watch are told.
#[derive(Clone)]
pub struct Health {
    /// The page of `/metrics`, in Prometheus' text format.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// The parts that are not ready; empty when all are.
    pub readiness: Arc<dyn Fn() -> Vec<Unready> + Send + Sync>,
    /// Told of every request that was answered.
    pub answered: Arc<dyn Fn(&Answered<'_>) + Send + Sync>,
}

/// A request that was answered.
#[derive(Debug, Clone, Copy)]
pub struct Answered<'a> {
    /// `GET` and the like, or `other`.
    pub method: &'static str,
    /// The pattern that the request met, such as `/api/videos/{id}`; empty where it met none.
    pub route: &'a str,
    pub status: u16,
    /// From the request's head to the answer's.
    pub took: Duration,
}

impl FromRef<Arc<Services>> for Health {
    fn from_ref(services: &Arc<Services>) -> Self {
        services.health.clone()
    }
}

impl Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health").field("unready", &(self.readiness)()).finish_non_exhaustive()
    }
}

/// The ports and settings behind [`crate::router`].
pub struct Services {
    pub store: Arc<dyn Store>,
    pub catalog: Arc<dyn Catalog>,
    pub search: Arc<dyn Search>,
    pub uploads: Arc<dyn Uploads>,
    pub letters: Arc<dyn DeadLetters>,
    /// Where uploads are put.
    pub bucket: String,
    /// Whose uploads they are, until accounts exist.
    pub owner: String,
    pub limits: UploadLimits,
    pub health: Health,
    /// Cancelled at shutdown: uploads under way are aborted cleanly instead of waited for.
    pub stopping: CancellationToken,
}

impl Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Services")
            .field("store", &self.store)
            .field("catalog", &self.catalog)
            .field("search", &self.search)
            .field("uploads", &self.uploads)
            .field("letters", &self.letters)
            .field("bucket", &self.bucket)
            .field("owner", &self.owner)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
