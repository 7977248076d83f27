//! Where was that? Videos that match, and the moments in them.

use crate::{
    Services,
    codes::{Code, DATABASE, INDEX, STORE},
    extract::{Paging, Parameters, base_url, filter},
    problem::Problem,
    videos::recording_object,
};
use axum::{Json, extract::State, http::HeaderMap};
use futures::future::try_join_all;
use ports::{Hit, Moment, MomentKind, Query, SearchRequest, VideoState, Viewer, parse_query};
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};
use utoipa::{IntoParams, ToSchema};

const PAGE_SIZE: u32 = 20;
const LINK_VALID: Duration = Duration::from_secs(300);

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SearchParameters {
    /// Words, "phrases", AND, OR, NOT, ( ), and `label:` `person:` `place:` `text:` `title:`
    /// `after:` `before:` with a word or a day. Nothing finds every video.
    #[serde(default)]
    #[param(max_length = 1000, example = "person AND NOT tie")]
    q: String,
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
    #[param(minimum = 1, maximum = 100, default = 20, example = 20)]
    page_size: Option<u32>,
}

/// A page of hits, the best first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SearchResults)]
pub(crate) struct Results {
    /// On all pages.
    total: u64,
    page: u32,
    page_size: u32,
    hits: Vec<VideoHit>,
}

/// A video that matches.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Hit)]
pub(crate) struct VideoHit {
    video_id: String,
    title: String,
    owner: String,
    assessment: String,
    /// Milliseconds since 1970.
    recorded_at_ms: i64,
    duration_seconds: f64,
    /// Comparable within one answer only.
    score: f32,
    /// Null where the catalogue has not heard of the video yet.
    #[schema(required)]
    state: Option<VideoState>,
    #[schema(format = "uri")]
    url: String,
    /// Where the recording is in the store.
    #[schema(required)]
    recording: Option<String>,
    #[schema(required, format = "uri")]
    recording_url: Option<String>,
    /// Reads the recording without credentials.
    #[schema(required, format = "uri")]
    signed_url: Option<String>,
    #[schema(required)]
    signed_url_valid_seconds: Option<u64>,
    /// Where in it, for the words that are wanted.
    moments: Vec<VideoMoment>,
}

/// An interval in which something is seen.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Moment)]
struct VideoMoment {
    kind: MomentKind,
    /// As shown, e.g. `Person`.
    name: String,
    /// From the start of the recording, half open.
    start_seconds: f64,
    end_seconds: f64,
    #[schema(minimum = 0, maximum = 100)]
    confidence: f32,
    /// left, top, width, height relative to the picture.
    #[schema(required, min_items = 4, max_items = 4)]
    region: Option<[f32; 4]>,
    /// Opens a player at the moment.
    #[schema(required, format = "uri")]
    url: Option<String>,
}

/// Search
///
/// Videos that match, and the moments in them. A query of nothing finds every video.
#[utoipa::path(
    get,
    path = "/api/search",
    operation_id = "search",
    tag = "search",
    params(SearchParameters),
    responses((status = 200, description = "A page, perhaps empty.", body = Results)),
    extensions(("x-problem-codes" = json!([[Code::BadParameter], INDEX, DATABASE, STORE])))
)]
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
