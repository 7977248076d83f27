//! The catalogue: what a user sees of each video. Rows are derived from events, in any order,
//! any number of times.

use crate::{Trouble, Viewer};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::fmt::Debug;
use utoipa::ToSchema;

/// Where a video is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum VideoState {
    Processing,
    /// The recording is verified and published.
    Ready,
    /// Something the recording needs is in a dead letter: see `reason`.
    Failed,
}

/// What is known of a video.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VideoRow {
    pub video_id: String,
    /// Empty until the first run starts.
    pub run_id: String,
    pub owner: String,
    pub assessment: String,
    pub title: String,
    pub visibility: String,
    pub recorded_at_ms: i64,
    pub uploaded_at_ms: i64,
    pub state: VideoState,
    /// The word and the sentence of the failure.
    pub reason: Option<String>,
    pub detail: Option<String>,
    pub bytes: Option<i64>,
    pub duration_ms: Option<i64>,
    /// Where the verified recording is.
    pub recording_bucket: Option<String>,
    pub recording_key: Option<String>,
    pub receipt_key: Option<String>,
    pub searchable: bool,
    /// When dead letters of it were last sent back, ms since 1970.
    pub retried_at_ms: Option<i64>,
    /// Processors with dead letters of it that nothing has answered and nobody has sent back.
    pub stopped: Vec<String>,
    /// In the order of the mill, see [`crate::STAGES`].
    pub stages: Vec<StageRow>,
    /// How many runs have got through their first stage.
    pub runs: u32,
    /// The run that is to replace the recording, where one has begun since.
    pub next_run: Option<NextRun>,
}

/// A run of a video that has a recording of an older one. What is shown of the video is of the older
/// run until this one is verified.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NextRun {
    pub run_id: String,
    /// `processing` or `failed`; never `ready`, since then it is the run that is shown.
    pub state: VideoState,
    /// In the order of the mill.
    pub stages: Vec<StageRow>,
}

/// How far a stage is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = Stage)]
pub struct StageRow {
    /// What a user sees: the name of one of [`crate::STAGES`].
    #[schema(example = "detect")]
    pub stage: String,
    /// Parts that are done.
    pub done: i64,
    /// Parts there are. Unknown until the video is cut.
    #[schema(required)]
    pub total: Option<i64>,
    /// Frames of the parts that are done.
    pub frames: i64,
    /// Record times of the first and the last event of the stage, ms since 1970.
    #[schema(required)]
    pub first_at_ms: Option<i64>,
    #[schema(required)]
    pub last_at_ms: Option<i64>,
}

/// One thing learned from one event. Applying it twice, or late, changes nothing more.
#[derive(Debug, Clone, PartialEq)]
pub enum Fact {
    /// `video-uploaded` with a video id, or the first `clips-ready` of a video without.
    Uploaded {
        video_id: String,
        owner: String,
        assessment: String,
        title: String,
        visibility: String,
        recorded_at_ms: i64,
        uploaded_at_ms: i64,
        bytes: Option<i64>,
    },
    /// A stage has finished one of its parts.
    Progress {
        video_id: String,
        run_id: String,
        stage: &'static str,
        /// Clip index, or 0 for per-video stages.
        index: i64,
        total: Option<i64>,
        frames: i64,
        at_ms: i64,
    },
    /// The recording is published.
    Ready {
        video_id: String,
        run_id: String,
        bucket: String,
        key: String,
        receipt_key: String,
        duration_ms: i64,
        bytes: i64,
        at_ms: i64,
    },
    Searchable {
        video_id: String,
        run_id: String,
        at_ms: i64,
    },
    /// A dead letter; `video_id` where it could be told.
    Dead(DeadLetterRow),
    /// The id of a video is none its source gave: no source was found. The row stands for its dead
    /// letters, and is gone when they were sent back.
    StandIn {
        video_id: String,
    },
    /// A dead letter was sent back to its processor, and so says nothing about its video any more.
    Redriven {
        topic: String,
        partition: i32,
        offset: i64,
        at_ms: i64,
    },
}

/// An event a processor gave up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = DeadLetter)]
pub struct DeadLetterRow {
    /// Topic, partition and offset of the dead letter: its identity.
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    /// Who gave it up.
    pub processor: String,
    #[schema(required)]
    pub video_id: Option<String>,
    /// The word for programs, and the sentence for people.
    pub reason: String,
    pub detail: String,
    /// Ms since 1970.
    pub at_ms: i64,
    /// When it was sent back to its processor.
    #[schema(required)]
    pub redriven_at_ms: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoFilter {
    pub viewer: Viewer,
    pub owner: Option<String>,
    pub assessment: Option<String>,
    /// From 0.
    pub page: u32,
    /// 1 to 100.
    pub page_size: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VideoPage {
    pub total: i64,
    pub videos: Vec<VideoRow>,
}

#[async_trait]
pub trait Catalog: Debug + Send + Sync {
    /// Applies facts, in one transaction.
    async fn record(&self, facts: &[Fact]) -> Result<(), Trouble>;

    /// A video with its stages; `None` where there is none the viewer may see.
    async fn video(&self, viewer: &Viewer, video_id: &str) -> Result<Option<VideoRow>, Trouble>;

    /// Newest first.
    async fn videos(&self, filter: &VideoFilter) -> Result<VideoPage, Trouble>;

    /// The newest dead letters, of one video or all, at most `limit`.
    async fn dead_letters(
        &self,
        video_id: Option<&str>,
        limit: u32,
    ) -> Result<Vec<DeadLetterRow>, Trouble>;
}
