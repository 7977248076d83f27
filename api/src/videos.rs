//! What is known of the videos.

use crate::{
    Services,
    extract::{Paging, Parameters, Variable, base_url, filter},
    problem::Problem,
    source::now_ms,
};
use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use ports::{
    DeadLetterRow, ObjectRef, Overdue, StageRow, VideoFilter, VideoRow, VideoState, Viewer, overdue,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

const PAGE_SIZE: u32 = 30;
const DEAD_LETTERS: u32 = 20;
/// A receipt is a page of figures.
const RECEIPT_BYTES: u64 = 1 << 20;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListParameters {
    owner: Option<String>,
    assessment: Option<String>,
    page: Option<u32>,
    page_size: Option<u32>,
}

#[derive(Debug, Serialize)]
pub(crate) struct VideoList {
    total: i64,
    page: u32,
    page_size: u32,
    videos: Vec<Video>,
}

/// A video as clients see it.
#[derive(Debug, Serialize)]
pub(crate) struct Video {
    video_id: String,
    run_id: String,
    owner: String,
    assessment: String,
    title: String,
    visibility: String,
    recorded_at_ms: i64,
    uploaded_at_ms: i64,
    state: VideoState,
    reason: Option<String>,
    detail: Option<String>,
    bytes: Option<i64>,
    duration_ms: Option<i64>,
    searchable: bool,
    /// The stage that has not done its work in time, if any.
    overdue: Option<Overdue>,
    stages: Vec<StageRow>,
    /// Where the verified recording is in the store.
    recording: Option<String>,
    links: Links,
}

#[derive(Debug, Serialize)]
struct Links {
    #[serde(rename = "self")]
    itself: String,
    recording: Option<String>,
    receipt: Option<String>,
    thumbnail: Option<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct VideoDetails {
    #[serde(flatten)]
    video: Video,
    /// The newest first.
    dead_letters: Vec<DeadLetterRow>,
}

impl Video {
    fn new(row: VideoRow, base: &str) -> Self {
        let itself = format!("{base}/api/videos/{}", row.video_id);
        let recording = recording_object(&row);
        Self {
            overdue: overdue(&row, now_ms()),
            links: Links {
                recording: recording.as_ref().map(|_| format!("{itself}/recording")),
                thumbnail: recording.as_ref().map(|_| format!("{itself}/thumbnail")),
                receipt: row.receipt_key.as_ref().map(|_| format!("{itself}/receipt")),
                itself,
            },
            recording: recording.map(|object| object.to_string()),
            video_id: row.video_id,
            run_id: row.run_id,
            owner: row.owner,
            assessment: row.assessment,
            title: row.title,
            visibility: row.visibility,
            recorded_at_ms: row.recorded_at_ms,
            uploaded_at_ms: row.uploaded_at_ms,
            state: row.state,
            reason: row.reason,
            detail: row.detail,
            bytes: row.bytes,
            duration_ms: row.duration_ms,
            searchable: row.searchable,
            stages: row.stages,
        }
    }
}

/// The verified recording, once there is one. It stays while a later run is under way.
pub(crate) fn recording_object(row: &VideoRow) -> Option<ObjectRef> {
    Some(ObjectRef::new(row.recording_bucket.as_ref()?, row.recording_key.as_ref()?))
}

/// The row of a video, or why there is none to see.
pub(crate) async fn row(services: &Services, id: &str) -> Result<VideoRow, Problem> {
    let row = services.catalog.video(&Viewer::Local, id).await?;
    row.ok_or_else(|| Problem::no_such_video(id))
}

/// Why a video has no recording: it is on its way, or it failed.
pub(crate) fn no_recording(row: &VideoRow) -> Problem {
    let state = serde_json::to_value(row.state).unwrap_or_default();
    let problem = if row.state == VideoState::Failed {
        let reason = row.reason.as_deref().unwrap_or("unknown");
        Problem::new(
            StatusCode::CONFLICT,
            "failed",
            "the video failed",
            format!("{reason}: {}", row.detail.as_deref().unwrap_or("no detail was given")),
            "mend what the detail names, then POST /api/videos/{id}/retry; footage that is itself \
             damaged must be uploaded again",
        )
        .with("reason", reason)
    } else {
        Problem::new(
            StatusCode::CONFLICT,
            "not_ready",
            "the recording is not ready yet",
            "the video is still being processed, and nothing is published unverified",
            "watch its stages with GET /api/videos/{id}",
        )
        .header(header::RETRY_AFTER, 2.into())
    };
    problem.with("state", state)
}

/// A page of videos, the newest first.
pub(crate) async fn list(
    State(services): State<Arc<Services>>,
    Parameters(parameters): Parameters<ListParameters>,
    headers: HeaderMap,
) -> Result<Json<VideoList>, Problem> {
    let Paging { page, page_size } =
        Paging::check(parameters.page, parameters.page_size, PAGE_SIZE)?;
    let filter = VideoFilter {
        viewer: Viewer::Local,
        owner: filter(parameters.owner),
        assessment: filter(parameters.assessment),
        page,
        page_size,
    };
    let found = services.catalog.videos(&filter).await?;
    let base = base_url(&headers);
    let videos = found.videos.into_iter().map(|row| Video::new(row, &base)).collect();
    Ok(Json(VideoList { total: found.total, page, page_size, videos }))
}

/// All that is known of one video, its dead letters included.
pub(crate) async fn one(
    State(services): State<Arc<Services>>,
    Variable(id): Variable<String>,
    headers: HeaderMap,
) -> Result<Json<VideoDetails>, Problem> {
    let row = row(&services, &id).await?;
    let dead_letters = services.catalog.dead_letters(Some(&id), DEAD_LETTERS).await?;
    Ok(Json(VideoDetails { video: Video::new(row, &base_url(&headers)), dead_letters }))
}

/// What was verified before the recording was published.
pub(crate) async fn receipt(
    State(services): State<Arc<Services>>,
    Variable(id): Variable<String>,
) -> Result<Response, Problem> {
    let row = row(&services, &id).await?;
    let (Some(bucket), Some(key)) = (&row.recording_bucket, &row.receipt_key) else {
        return Err(no_recording(&row));
    };
    let receipt = services.store.read(&ObjectRef::new(bucket, key), RECEIPT_BYTES).await?;
    Ok(([(header::CONTENT_TYPE, "application/json")], receipt).into_response())
}
