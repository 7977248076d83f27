//! Stored videos: StartFaceDetection, GetFaceDetection, StartLabelDetection, GetLabelDetection.

use super::{
    fault::Fault,
    jobs::{Job, NotStarted, Params, Started, State as JobState, Success},
    wire::{GetRequest, Kind, S3Object, StartRequest, Video, word},
    worker::Worker,
};
use ports::ObjectRef;
use serde_json::{Value, json};
use std::sync::Arc;

/// Most entries of one page, as at AWS.
const MAX_RESULTS: usize = 1000;
/// AWS's default for labels, percent.
const MIN_CONFIDENCE: f32 = 50.0;

pub(super) async fn start(
    worker: &Arc<Worker>,
    kind: Kind,
    request: StartRequest,
) -> Result<Value, Fault> {
    let (params, token) = accept(kind, request)?;
    let object = ObjectRef::new(&params.bucket, &params.key);
    let info = worker.store().head(&object).await;
    if info.map_err(|trouble| Fault::object(&object, &trouble))?.is_none() {
        return Err(Fault::no_object(&object));
    }
    match worker.begin(params, token) {
        Ok(Started::New(job)) => {
            let id = job.id.clone();
            worker.spawn(job);
            Ok(json!({ "JobId": id }))
        }
        Ok(Started::Known(id)) => Ok(json!({ "JobId": id })),
        Err(NotStarted::Mismatch) => Err(Fault::new(
            "IdempotentParameterMismatchException",
            "ClientRequestToken was used with other parameters: choose another",
        )),
        Err(NotStarted::TooMany) => Err(Fault::new(
            "LimitExceededException",
            "too many jobs are open: wait for some to end",
        )),
        Err(NotStarted::Io(error)) => Err(Fault::server(format!("job was not stored: {error}"))),
    }
}

/// Checks a request and brings it into its one form.
fn accept(kind: Kind, request: StartRequest) -> Result<(Params, Option<String>), Fault> {
    let Some(object) = request.video.and_then(|v| v.s3_object) else {
        return Err(Fault::parameter("Video.S3Object is missing"));
    };
    let object = object.accept()?;
    if request.notification_channel.is_some() {
        return Err(Fault::parameter("NotificationChannel is not served here: poll instead"));
    }
    if let Some(token) = &request.client_request_token {
        word("ClientRequestToken", token, 64, "_-")?;
    }
    if let Some(job_tag) = &request.job_tag {
        word("JobTag", job_tag, 1024, "_.-:+=/")?;
    }
    let all_attributes = match request.face_attributes.as_deref() {
        None | Some("DEFAULT") => false,
        Some("ALL") => true,
        Some(_) => return Err(Fault::parameter("FaceAttributes must be DEFAULT or ALL")),
    };
    let min_confidence = match kind {
        Kind::Faces => 0.0,
        Kind::Labels => {
            let features = request.features.unwrap_or_default();
            if features.iter().any(|f| f != "GENERAL_LABELS") {
                return Err(Fault::parameter("Features must be GENERAL_LABELS"));
            }
            if request.settings.is_some() {
                return Err(Fault::parameter("Settings is not served here: leave it out"));
            }
            let min = request.min_confidence.unwrap_or(MIN_CONFIDENCE);
            if !(0.0..=100.0).contains(&min) {
                return Err(Fault::parameter("MinConfidence must be 0 to 100"));
            }
            min
        }
    };
    let params = Params {
        kind,
        bucket: object.bucket,
        key: object.key,
        min_confidence,
        all_attributes,
        job_tag: request.job_tag,
    };
    Ok((params, request.client_request_token))
}

pub(super) async fn get(
    worker: &Arc<Worker>,
    kind: Kind,
    request: GetRequest,
) -> Result<Value, Fault> {
    let id = request.job_id.as_deref().unwrap_or_default();
    let job = worker.job(id).filter(|job| job.params.kind == kind).ok_or_else(|| {
        Fault::not_found(format!("there is no such job, or it is over for seven days: {id:?}"))
    })?;
    if !matches!(request.sort_by.as_deref(), None | Some("TIMESTAMP")) {
        return Err(Fault::parameter("SortBy must be TIMESTAMP here"));
    }
    if !matches!(request.aggregate_by.as_deref(), None | Some("TIMESTAMPS")) {
        return Err(Fault::parameter("AggregateBy must be TIMESTAMPS here"));
    }
    let most = match request.max_results {
        None => MAX_RESULTS,
        Some(asked) if asked >= 1 => usize::try_from(asked).unwrap_or(MAX_RESULTS).min(MAX_RESULTS),
        Some(asked) => return Err(Fault::parameter(format!("MaxResults of {asked} is below 1"))),
    };
    let from = match &request.next_token {
        None => 0,
        Some(token) => {
            place(&job.id, token).ok_or_else(|| Fault::page("NextToken is not of this job"))?
        }
    };
    let mut answer = describe(&job);
    match &job.state {
        JobState::InProgress => answer["JobStatus"] = json!("IN_PROGRESS"),
        JobState::Failed { message, .. } => {
            answer["JobStatus"] = json!("FAILED");
            answer["StatusMessage"] = json!(message);
        }
        JobState::Succeeded(Success { video, profile }) => {
            let page = worker
                .page(&job.id, from, most)
                .await
                .map_err(|e| Fault::server(format!("results cannot be read: {e}")))?;
            let page = page.ok_or_else(|| Fault::page("NextToken is not of this job"))?;
            answer["JobStatus"] = json!("SUCCEEDED");
            answer["VideoMetadata"] = json!(video);
            if let Some(profile) = profile {
                answer["StatusMessage"] = json!(profile.told());
            }
            answer[entries_of(kind)] = Value::Array(page.entries);
            if let Some(next) = page.next {
                answer["NextToken"] = json!(format!("{}.{next}", job.id));
            }
        }
    }
    Ok(answer)
}

/// What an answer says of its job whatever the state.
fn describe(job: &Job) -> Value {
    let object = S3Object {
        bucket: Some(job.params.bucket.clone()),
        name: Some(job.params.key.clone()),
        version: None,
    };
    let mut answer = json!({
        "JobId": job.id,
        "Video": Video { s3_object: Some(object) },
        entries_of(job.params.kind): [],
    });
    if let Some(tag) = &job.params.job_tag {
        answer["JobTag"] = json!(tag);
    }
    if job.params.kind == Kind::Labels {
        answer["LabelModelVersion"] = json!(crate::LABELLER);
        answer["GetRequestMetadata"] = json!({"SortBy": "TIMESTAMP", "AggregateBy": "TIMESTAMPS"});
    }
    answer
}

fn entries_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Faces => "Faces",
        Kind::Labels => "Labels",
    }
}

/// The byte a token of this job points at.
fn place(id: &str, token: &str) -> Option<u64> {
    token.strip_prefix(id)?.strip_prefix('.')?.parse().ok()
}
