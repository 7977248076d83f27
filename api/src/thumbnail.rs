//! The still that stands for a recording.

use crate::{
    Services,
    extract::Variable,
    problem::Problem,
    recording::{gone, insert, is_known},
    videos::{no_recording, recording_object, row},
};
use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::Response,
};
use ports::ObjectRef;
use schemas::keys;
use std::sync::Arc;

/// 360 x 200 px in any quality are less.
const THUMBNAIL_BYTES: u64 = 1 << 20;

/// Answers 200 or 304; 409 while there is no recording, or no still of this run's recording. What
/// an earlier run shows is not given: it may have left a face clear that this one masks.
pub(crate) async fn thumbnail(
    State(services): State<Arc<Services>>,
    Variable(id): Variable<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let row = row(&services, &id).await?;
    let recording = recording_object(&row).ok_or_else(|| no_recording(&row))?;
    let shown = services.store.head(&recording).await?.ok_or_else(|| gone(&recording))?;
    let object = ObjectRef::new(&recording.bucket, keys::thumbnail(&row.video_id));
    let still = services.store.head(&object).await?.filter(|still| {
        let run = still.metadata.get(keys::RUN_METADATA);
        run.is_some() && run == shown.metadata.get(keys::RUN_METADATA)
    });
    let still = still.ok_or_else(not_taken)?;
    let etag = format!("\"{}\"", still.etag.trim_matches('"'));

    let mut response = Response::new(Body::empty());
    insert(&mut response, header::ETAG, &etag)?;
    insert(&mut response, header::CACHE_CONTROL, "private, no-cache")?;
    if is_known(&headers, &etag) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return Ok(response);
    }
    insert(&mut response, header::CONTENT_TYPE, "image/jpeg")?;
    *response.body_mut() = services.store.read(&object, THUMBNAIL_BYTES).await?.into();
    Ok(response)
}

fn not_taken() -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "not_ready",
        "the recording is not ready yet",
        "the recording is there, but its thumbnail is not made yet",
        "ask again; where GET /api/videos/{id} shows a dead letter of the thumbnail, POST \
         /api/videos/{id}/retry?stage=thumbnail",
    )
    .header(header::RETRY_AFTER, 2.into())
}
