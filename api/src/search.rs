//! Where was that? Videos that match, and the moments in them.

use crate::{
    Services,
    extract::{Paging, Parameters, base_url, filter},
    problem::Problem,
    videos::recording_object,
};
use axum::{Json, extract::State, http::HeaderMap};
use futures::future::try_join_all;
use ports::{Hit, Moment, MomentKind, Query, SearchRequest, VideoState, Viewer, parse_query};
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};

const PAGE_SIZE: u32 = 20;
const LINK_VALID: Duration = Duration::from_secs(300);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SearchParameters {
    #[serde(default)]
    q: String,
    owner: Option<String>,
    assessment: Option<String>,
    page: Option<u32>,
    page_size: Option<u32>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Results {
    total: u64,
    page: u32,
    page_size: u32,
    hits: Vec<VideoHit>,
}

#[derive(Debug, Serialize)]
pub(crate) struct VideoHit {
    video_id: String,
    title: String,
    owner: String,
    assessment: String,
    recorded_at_ms: i64,
    duration_seconds: f64,
    score: f32,
    /// Absent where the catalogue has not heard of the video yet.
    state: Option<VideoState>,
    url: String,
    /// Where the recording is in the store.
    recording: Option<String>,
    recording_url: Option<String>,
    /// Reads the recording without credentials.
    signed_url: Option<String>,
    signed_url_valid_seconds: Option<u64>,
    moments: Vec<VideoMoment>,
}

#[derive(Debug, Serialize)]
struct VideoMoment {
    kind: MomentKind,
    name: String,
    /// From the start of the recording, half open.
    start_seconds: f64,
    end_seconds: f64,
    /// 0 to 100.
    confidence: f32,
    /// left, top, width, height relative to the picture.
    region: Option<[f32; 4]>,
    /// Opens a player at the moment.
    url: Option<String>,
}

/// A page of hits. A query of nothing finds every video.
pub(crate) async fn search(
    State(services): State<Arc<Services>>,
    Parameters(parameters): Parameters<SearchParameters>,
    headers: HeaderMap,
) -> Result<Json<Results>, Problem> {
    let Paging { page, page_size } =
        Paging::check(parameters.page, parameters.page_size, PAGE_SIZE)?;
    let query = match parameters.q.trim() {
        "" => Query::All,
        _ => parse_query(&parameters.q)?,
    };
    let request = SearchRequest {
        query,
        viewer: Viewer::Local,
        owner: filter(parameters.owner),
        assessment: filter(parameters.assessment),
        page,
        page_size,
    };
    let found = services.search.search(&request).await?;
    let base = base_url(&headers);
    let hits = found.hits.into_iter().map(|hit| with_links(&services, &request.viewer, hit, &base));
    Ok(Json(Results { total: found.total, page, page_size, hits: try_join_all(hits).await? }))
}

async fn with_links(
    services: &Services,
    viewer: &Viewer,
    hit: Hit,
    base: &str,
) -> Result<VideoHit, Problem> {
    let row = services.catalog.video(viewer, &hit.video_id).await?;
    let recording = row.as_ref().and_then(recording_object);
    let signed_url = match &recording {
        Some(object) => Some(services.store.signed_url(object, LINK_VALID).await?),
        None => None,
    };
    let url = format!("{base}/api/videos/{}", hit.video_id);
    let recording_url = recording.as_ref().map(|_| format!("{url}/recording"));
    let moments = hit.moments.into_iter().map(|m| moment(m, recording_url.as_deref())).collect();
    Ok(VideoHit {
        video_id: hit.video_id,
        title: hit.title,
        owner: hit.owner,
        assessment: hit.assessment,
        recorded_at_ms: hit.recorded_at_ms,
        duration_seconds: seconds(hit.duration_ms),
        score: hit.score,
        state: row.map(|row| row.state),
        url,
        recording: recording.map(|object| object.to_string()),
        recording_url,
        signed_url_valid_seconds: signed_url.as_ref().map(|_| LINK_VALID.as_secs()),
        signed_url,
        moments,
    })
}

fn moment(moment: Moment, recording_url: Option<&str>) -> VideoMoment {
    let (start_seconds, end_seconds) = (seconds(moment.start_ms), seconds(moment.end_ms));
    VideoMoment {
        kind: moment.kind,
        name: moment.name,
        start_seconds,
        end_seconds,
        confidence: moment.confidence,
        region: moment.region,
        // A media fragment: browsers seek to it by themselves.
        url: recording_url.map(|url| format!("{url}#t={start_seconds},{end_seconds}")),
    }
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds of any film are exact in an f64")]
fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}
