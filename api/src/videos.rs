//! What is known of the videos.

use crate::{
    Services,
    codes::{Code, DATABASE, STORE},
    extract::{Paging, Parameters, Variable, VideoId, base_url, filter},
    problem::{Members, Problem},
    source::now_ms,
};
use axum::{
    Json,
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use ports::{
    DeadLetterRow, NextRun, ObjectRef, Overdue, StageRow, VideoFilter, VideoRow, VideoState,
    Viewer, overdue,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

const PAGE_SIZE: u32 = 30;
const DEAD_LETTERS: u32 = 20;
/// A receipt is a page of figures.
const RECEIPT_BYTES: u64 = 1 << 20;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListParameters {
    /// Only videos of this owner.
    #[param(example = "local")]
    owner: Option<String>,
    /// Only videos of this assessment.
    #[param(example = "geography")]
    assessment: Option<String>,
    /// From 0. Only the first 10,000 of a list can be asked for.
    #[param(minimum = 0, maximum = 9999, default = 0, example = 0)]
    page: Option<u32>,
    /// Entries of a page.
    #[param(minimum = 1, maximum = 100, default = 30, example = 30)]
    page_size: Option<u32>,
}

/// A page of videos, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VideoList {
    /// On all pages.
    #[schema(minimum = 0)]
    total: i64,
    page: u32,
    page_size: u32,
    videos: Vec<Video>,
}

/// A video as clients see it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Video {
    video_id: String,
    /// Empty until the first run starts.
    run_id: String,
    owner: String,
    /// Empty where it belongs to none.
    assessment: String,
    title: String,
    /// `private` or `listed`.
    visibility: String,
    /// Milliseconds since 1970.
    recorded_at_ms: i64,
    uploaded_at_ms: i64,
    state: VideoState,
    /// The word and the sentence of a failure.
    #[schema(required)]
    reason: Option<String>,
    #[schema(required)]
    detail: Option<String>,
    /// The length of the uploaded file.
    #[schema(required)]
    bytes: Option<i64>,
    #[schema(required)]
    duration_ms: Option<i64>,
    /// Whether a search can find it.
    searchable: bool,
    /// The stage that has not done its work in time, if any.
    #[schema(required)]
    overdue: Option<Overdue>,
    /// In the order of the mill, of the run that is shown.
    stages: Vec<StageRow>,
    /// The run that is to replace the recording, where one has begun since. All else is of the run
    /// that is shown, but for `reason` and `detail`, which tell why this one failed.
    #[schema(required)]
    next_run: Option<NextRun>,
    /// Where the verified recording is in the store.
    #[schema(required, example = "s3://reelmill/recordings/local/geography-1700000000000.mp4")]
    recording: Option<String>,
    links: Links,
}

/// Where more of a video is.
#[derive(Debug, Serialize, ToSchema)]
struct Links {
    #[serde(rename = "self")]
    #[schema(format = "uri")]
    itself: String,
    /// Null until it is verified.
    #[schema(required, format = "uri")]
    recording: Option<String>,
    #[schema(required, format = "uri")]
    receipt: Option<String>,
    #[schema(required, format = "uri")]
    thumbnail: Option<String>,
}

/// All that is known of a video.
#[derive(Debug, Serialize, ToSchema)]
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
            next_run: row.next_run,
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
    let state = Members { state: Some(row.state), ..Members::default() };
    if row.state == VideoState::Failed {
        let reason = row.reason.as_deref().unwrap_or("unknown");
        let detail = row.detail.as_deref().unwrap_or("no detail was given");
        Problem::new(Code::Failed, format!("{reason}: {detail}")).with(state).reason(reason)
    } else {
        let detail = "the video is still being processed, and nothing is published unverified";
        Problem::new(Code::NotReady, detail).with(state).retry_after(2)
    }
}

/// List the videos
///
/// A page of videos, the newest first. An empty filter is none.
#[utoipa::path(
    get,
    path = "/api/videos",
    operation_id = "list_videos",
    tag = "videos",
    params(ListParameters),
    responses((status = 200, description = "A page, perhaps empty.", body = VideoList)),
    extensions(("x-problem-codes" = json!([[Code::BadParameter], DATABASE])))
)]
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

/// One video
///
/// All that is known of it: its state, how far each stage is, the reason of a failure, and its
/// newest dead letters.
#[utoipa::path(
    get,
    path = "/api/videos/{id}",
    operation_id = "get_video",
    tag = "videos",
    params(VideoId),
    responses((status = 200, description = "The video.", body = VideoDetails)),
    extensions(("x-problem-codes" = json!([[Code::BadParameter, Code::NoSuchVideo], DATABASE])))
)]
pub(crate) async fn one(
    State(services): State<Arc<Services>>,
    Variable(VideoId { id }): Variable<VideoId>,
    headers: HeaderMap,
) -> Result<Json<VideoDetails>, Problem> {
    let row = row(&services, &id).await?;
    let dead_letters = services.catalog.dead_letters(Some(&id), DEAD_LETTERS).await?;
    Ok(Json(VideoDetails { video: Video::new(row, &base_url(&headers)), dead_letters }))
}

/// The receipt
///
/// What was verified before the recording was published: by which detector, at which threshold,
/// and what was found.
#[utoipa::path(
    get,
    path = "/api/videos/{id}/receipt",
    operation_id = "get_receipt",
    tag = "videos",
    params(VideoId),
    responses((status = 200, description = "The receipt.", body = schemas::Receipt)),
    extensions(("x-problem-codes" = json!([
        [Code::BadParameter, Code::NoSuchVideo, Code::NotReady, Code::Failed],
        DATABASE,
        STORE
    ])))
)]
pub(crate) async fn receipt(
    State(services): State<Arc<Services>>,
    Variable(VideoId { id }): Variable<VideoId>,
) -> Result<Response, Problem> {
    let row = row(&services, &id).await?;
    let (Some(bucket), Some(key)) = (&row.recording_bucket, &row.receipt_key) else {
        return Err(no_recording(&row));
    };
    let receipt = services.store.read(&ObjectRef::new(bucket, key), RECEIPT_BYTES).await?;
    Ok(([(header::CONTENT_TYPE, "application/json")], receipt).into_response())
}
