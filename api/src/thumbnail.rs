//! The still that stands for a recording.

use crate::{
    Services,
    codes::{Code, DATABASE, STORE},
    extract::{Variable, VideoId},
    object::{CacheHeaders, etag, gone, insert, named, replaced},
    problem::Problem,
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
use utoipa::ToSchema;

/// The picture itself.
#[derive(Debug, ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "only its schema is used: the body is bytes")]
struct Picture(Vec<u8>);

/// The thumbnail
///
/// A still of the recording at a third of its duration, at most 360 x 200 px, in the recording's
/// aspect ratio. 409 `no_thumbnail` while there is none of the recording that is shown: what an
/// earlier run shows is not given, as it may have left a face clear that this one masks.
#[utoipa::path(
    get,
    path = "/api/videos/{id}/thumbnail",
    operation_id = "get_thumbnail",
    tag = "videos",
    params(VideoId, CacheHeaders),
    responses(
        (
            status = 200,
            description = "The still.",
            content_type = "image/jpeg",
            body = inline(Picture),
            headers(("ETag" = String, description = "Names this very object."))
        ),
        (
            status = 304,
            description = "The copy at hand is this very object.",
            headers(("ETag" = String, description = "Names this very object."))
        )
    ),
    extensions(("x-problem-codes" = json!([
        [Code::BadParameter, Code::NoSuchVideo, Code::NotReady, Code::Failed],
        [Code::NoThumbnail, Code::Replaced],
        DATABASE,
        STORE
    ])))
)]
pub(crate) async fn thumbnail(
    State(services): State<Arc<Services>>,
    Variable(VideoId { id }): Variable<VideoId>,
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

    let mut response = named(&headers, &etag(&still))?;
    if response.status() == StatusCode::NOT_MODIFIED {
        return Ok(response);
    }
    insert(&mut response, header::CONTENT_TYPE, "image/jpeg")?;
    let stream = services.store.stream(&object, None).await?;
    if stream.info.etag != still.etag {
        return Err(replaced(&object));
    }
    *response.body_mut() = Body::from_stream(stream.body);
    Ok(response)
}

fn not_taken() -> Problem {
    Problem::new(Code::NoThumbnail, "the recording is there, but its thumbnail is not made yet")
        .retry_after(2)
}
