//! Requests in, answers and errors out.

use super::{
    jobs::{Job, NotStarted, Params, Started, State as JobState},
    wire::{GetRequest, Kind, S3Object, StartRequest, Video},
    worker::Worker,
};
use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use ports::{ObjectRef, Refusal, Trouble};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::sync::Arc;

/// Longest request, bytes; real ones have a few hundred.
const MAX_BODY: usize = 64 * 1024;
/// Most entries of one page, as at AWS.
const MAX_RESULTS: usize = 1000;
/// AWS's default for labels, percent.
const MIN_CONFIDENCE: f32 = 50.0;
const PREFIX: &str = "RekognitionService.";
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

pub(super) fn router(worker: Arc<Worker>) -> Router {
    Router::new().route("/", post(answer)).layer(DefaultBodyLimit::max(MAX_BODY)).with_state(worker)
}

/// An error as AWS words it.
#[derive(Debug)]
struct Fault {
    status: StatusCode,
    kind: &'static str,
    message: String,
}

impl Fault {
    fn new(kind: &'static str, message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, kind, message: message.into() }
    }

    fn parameter(message: impl Into<String>) -> Self {
        Self::new("InvalidParameterException", message)
    }

    /// Clients try these again.
    fn server(message: impl Into<String>) -> Self {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Self { status, kind: "InternalServerError", message: message.into() }
    }
}

async fn answer(State(worker): State<Arc<Worker>>, headers: HeaderMap, body: Bytes) -> Response {
    let (status, body) = match dispatch(&worker, &headers, &body).await {
        Ok(body) => (StatusCode::OK, body),
        Err(fault) => {
            tracing::debug!(?fault, "vision request refused");
            (fault.status, json!({"__type": fault.kind, "message": fault.message}))
        }
    };
    let headers = [
        (header::CONTENT_TYPE, "application/x-amz-json-1.1".to_owned()),
        (REQUEST_ID, uuid::Uuid::new_v4().to_string()),
    ];
    (status, headers, body.to_string()).into_response()
}

async fn dispatch(worker: &Arc<Worker>, headers: &HeaderMap, body: &[u8]) -> Result<Value, Fault> {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if !text("authorization").starts_with("AWS4-HMAC-SHA256 ") {
        return Err(Fault::new("AccessDeniedException", "the request is not signed"));
    }
    let target = text("x-amz-target");
    match target.strip_prefix(PREFIX).unwrap_or_default() {
        "StartFaceDetection" => start(worker, Kind::Faces, parse(body)?).await,
        "StartLabelDetection" => start(worker, Kind::Labels, parse(body)?).await,
        "GetFaceDetection" => get(worker, Kind::Faces, parse(body)?).await,
        "GetLabelDetection" => get(worker, Kind::Labels, parse(body)?).await,
        _ => Err(Fault::new(
            "UnknownOperationException",
            format!("{target:?} is not served here: face and label detection of videos is"),
        )),
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(body)
        .map_err(|e| Fault::new("SerializationException", format!("the body is not valid: {e}")))
}

async fn start(worker: &Arc<Worker>, kind: Kind, request: StartRequest) -> Result<Value, Fault> {
    let (params, token) = accept(kind, request)?;
    let object = ObjectRef::new(&params.bucket, &params.key);
    match worker.store().head(&object).await {
        Ok(Some(_)) => {}
        Ok(None) | Err(Trouble::Refused(Refusal::Poison(_) | Refusal::Skip(_))) => {
            let message = format!("{object} is not there or cannot be read");
            return Err(Fault::new("InvalidS3ObjectException", message));
        }
        Err(trouble @ Trouble::Transient { .. }) => return Err(Fault::server(trouble.to_string())),
        Err(Trouble::Fatal(fatal)) => {
            return Err(Fault::new("AccessDeniedException", fatal.to_string()));
        }
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
    let Some(S3Object { bucket, name, version }) = request.video.and_then(|v| v.s3_object) else {
        return Err(Fault::parameter("Video.S3Object is missing"));
    };
    let bucket = bucket.filter(|b| (3..=255).contains(&b.len()));
    let bucket = bucket.ok_or_else(|| Fault::parameter("Bucket must have 3 to 255 characters"))?;
    let key = name.filter(|n| (1..=1024).contains(&n.len()));
    let key = key.ok_or_else(|| Fault::parameter("Name must have 1 to 1024 characters"))?;
    if version.is_some() {
        return Err(Fault::parameter("Version is not served here: leave it out"));
    }
    if request.notification_channel.is_some() {
        return Err(Fault::parameter("NotificationChannel is not served here: poll instead"));
    }
    let word = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if let Some(token) = &request.client_request_token
        && !(1..=64).contains(&token.len()) | !token.chars().all(word)
    {
        let message = "ClientRequestToken must have 1 to 64 letters, digits, - or _";
        return Err(Fault::parameter(message));
    }
    let tag = |c: char| c.is_ascii_alphanumeric() || "_.-:+=/".contains(c);
    if let Some(job_tag) = &request.job_tag
        && !(1..=1024).contains(&job_tag.len()) | !job_tag.chars().all(tag)
    {
        let message = "JobTag must have 1 to 1024 letters, digits or any of _.-:+=/";
        return Err(Fault::parameter(message));
    }
    let min_confidence = match kind {
        Kind::Faces => {
            if !matches!(request.face_attributes.as_deref(), None | Some("DEFAULT")) {
                return Err(Fault::parameter("FaceAttributes must be DEFAULT here"));
            }
            0.0
        }
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
    let params = Params { kind, bucket, key, min_confidence, job_tag: request.job_tag };
    Ok((params, request.client_request_token))
}

async fn get(worker: &Arc<Worker>, kind: Kind, request: GetRequest) -> Result<Value, Fault> {
    let id = request.job_id.as_deref().unwrap_or_default();
    let job = worker.job(id).filter(|job| job.params.kind == kind).ok_or_else(|| {
        Fault::new("ResourceNotFoundException", format!("there is no such job: {id:?}"))
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
        Some(token) => place(&job.id, token)
            .ok_or_else(|| Fault::new("InvalidPaginationTokenException", "NextToken is wrong"))?,
    };
    let mut answer = describe(&job);
    match &job.state {
        JobState::InProgress => answer["JobStatus"] = json!("IN_PROGRESS"),
        JobState::Failed { message, .. } => {
            answer["JobStatus"] = json!("FAILED");
            answer["StatusMessage"] = json!(message);
        }
        JobState::Succeeded(video) => {
            let page = worker
                .page(&job.id, from, most)
                .await
                .map_err(|e| Fault::server(format!("results cannot be read: {e}")))?;
            let page = page.ok_or_else(|| {
                Fault::new("InvalidPaginationTokenException", "NextToken is wrong")
            })?;
            answer["JobStatus"] = json!("SUCCEEDED");
            answer["VideoMetadata"] = json!(video);
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
