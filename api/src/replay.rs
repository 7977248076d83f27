//! A video is worked on again: a new run, from a stage on. What the older run published stays until
//! the new one is verified.

use crate::{
    Cause, Services,
    codes::{BROKER, Code, DATABASE, STORE},
    extract::{Parameters, Variable, VideoId},
    problem::{Members, Problem},
    retry::check_stage,
    videos::row,
};
use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use ports::{ObjectRef, STAGES, VideoRow, VideoState};
use schemas::{Blur, Manifest, VideoUploaded, ids, keys};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// A manifest of an hour in ten-second clips is 100 kB.
const MANIFEST_BYTES: u64 = 64 << 20;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ReplayParameters {
    /// The first stage to be done again. What earlier ones found is taken over; clips are always
    /// cut anew, since they are not kept.
    #[param(example = "blur")]
    from: String,
}

/// A run that begins.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Replayed {
    video_id: String,
    from: String,
    /// How often the video was worked on again, this time included.
    replay: u32,
    /// The run whose faces are taken over; null: they are looked for.
    #[schema(required)]
    faces_of: Option<String>,
    /// The run whose labels are taken over; null: they are looked for.
    #[schema(required)]
    labels_of: Option<String>,
}

/// Work on a video again
///
/// A new run begins, with the mill's settings of today. The recording and all that is shown of the
/// video stay until the new run is verified. From `cut` or `detect`, everything is done again; from
/// `label`, the faces that were found are taken over; from any later stage, faces and labels are.
/// Asked twice before the first run has begun, it is one run. 202 means: it is on its way.
#[utoipa::path(
    post,
    path = "/api/videos/{id}/replay",
    operation_id = "replay_video",
    tag = "videos",
    params(VideoId, ReplayParameters),
    responses((status = 202, description = "The run that begins.", body = Replayed)),
    extensions(("x-problem-codes" = json!([
        [Code::BadParameter, Code::NoSuchVideo, Code::NothingToReplay],
        DATABASE,
        STORE,
        BROKER
    ])))
)]
pub(crate) async fn replay(
    State(services): State<Arc<Services>>,
    Variable(VideoId { id }): Variable<VideoId>,
    Parameters(ReplayParameters { from }): Parameters<ReplayParameters>,
    headers: HeaderMap,
) -> Result<(StatusCode, Json<Replayed>), Problem> {
    let cause = Cause::request(&headers);
    check_stage(&from, &STAGES.map(|stage| stage.name))?;
    let row = row(&services, &id).await?;
    let refused = |what: String| {
        let members = Members { state: Some(row.state), ..Members::default() };
        Problem::new(Code::NothingToReplay, what).with(members)
    };
    let next = row.next_run.as_ref().map(|run| run.state);
    if row.state == VideoState::Processing || next == Some(VideoState::Processing) {
        let what = format!("{id} is still worked on");
        return Err(refused(what).next_step("wait until it is ready or has failed"));
    }
    let Some(manifest) = manifest(&services, &row).await? else {
        return Err(refused(format!("{id} was never cut")).next_step("upload the footage again"));
    };
    let source = ObjectRef::new(&manifest.source.bucket, &manifest.source.key);
    match services.store.head(&source).await? {
        Some(info) if info.etag == manifest.source.etag => {}
        found => {
            let is = if found.is_some() { "is another file now" } else { "is gone" };
            let what = format!("the source of {id}, {source}, {is}");
            return Err(refused(what).next_step("upload the footage again"));
        }
    }
    let takes_faces = !["cut", "detect"].contains(&from.as_str());
    let takes_labels = takes_faces && from != "label";
    let taken = |takes: bool| takes.then(|| manifest.run_id.clone());
    let (faces_of, labels_of) = (taken(takes_faces), taken(takes_labels));
    for (takes, name, key) in [
        (takes_faces, "faces", keys::tracks as fn(&str, &str, u32) -> String),
        (takes_labels, "labels", keys::labels),
    ] {
        if takes && let Some(clip) = missing(&services, &manifest, key).await? {
            let what = format!("the {name} of clip {clip} of {id} were never found");
            return Err(refused(what));
        }
    }
    // A run that failed has used its number up: its parts are not mixed with those of another.
    let replay = manifest.replay.saturating_add(1).max(row.runs);
    let begun = Replayed { video_id: id, from, replay, faces_of, labels_of };
    let event = event(&manifest, &begun);
    let of = format!("{}/{}/{takes_faces}/{takes_labels}", manifest.video_id, manifest.run_id);
    let event_id = ids::output(&of, "replay", replay as usize);
    services.uploads.announce(&event, &event_id, &cause).await?;
    Ok((StatusCode::ACCEPTED, Json(begun)))
}

/// The manifest of the run that is shown, or of the newest one where none is.
async fn manifest(services: &Services, row: &VideoRow) -> Result<Option<Manifest>, Problem> {
    let at = ObjectRef::new(&services.bucket, keys::manifest(&row.video_id, &row.run_id));
    if row.run_id.is_empty() || services.store.head(&at).await?.is_none() {
        return Ok(None);
    }
    let body = services.store.read(&at, MANIFEST_BYTES).await?;
    Manifest::from_json(&body).map(Some).map_err(|e| Problem::internal(e.to_string()))
}

/// The first clip of a run without an object at `key`.
async fn missing(
    services: &Services,
    manifest: &Manifest,
    key: fn(&str, &str, u32) -> String,
) -> Result<Option<u32>, Problem> {
    for clip in &manifest.clips {
        let at = key(&manifest.video_id, &manifest.run_id, clip.index);
        if services.store.head(&ObjectRef::new(&services.bucket, at)).await?.is_none() {
            return Ok(Some(clip.index));
        }
    }
    Ok(None)
}

fn event(manifest: &Manifest, begun: &Replayed) -> VideoUploaded {
    VideoUploaded {
        bucket: manifest.source.bucket.clone(),
        key: manifest.source.key.clone(),
        owner: manifest.owner.clone(),
        video_id: Some(manifest.video_id.clone()),
        recorded_at_ms: Some(manifest.recorded_at_ms),
        assessment: manifest.assessment.clone(),
        title: manifest.title.clone(),
        blur: match manifest.masking.blur {
            Blur::All => "all",
            Blur::None => "none",
        }
        .to_owned(),
        visibility: manifest.visibility.clone(),
        size_bytes: i64::try_from(manifest.source.bytes).ok(),
        replay: i32::try_from(begun.replay).unwrap_or(i32::MAX),
        faces_of: begun.faces_of.clone(),
        labels_of: begun.labels_of.clone(),
    }
}
