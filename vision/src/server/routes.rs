//! Requests in, answers and errors out.

use super::{
    Services, collections, fault::Fault, images, observer::Observer, photos::MOST_SENT,
    signature::Signed, videos, wire::Kind,
};
use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use doors::Stranger;
use futures::StreamExt;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::{net::SocketAddr, sync::Arc};

/// Longest request without a picture, bytes: 4096 face ids have 160 kB.
const MAX_BODY: usize = 256 << 10;
/// Longest request with a picture: base64 needs four bytes for three.
const MAX_PICTURE_BODY: usize = MOST_SENT / 3 * 4 + MAX_BODY;
/// So much of a request that is too long is read and dropped, since a client that is still sending
/// does not see an answer.
const MOST_DROPPED: usize = 64 << 20;
const PREFIX: &str = "RekognitionService.";
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

pub(super) fn router(services: Arc<Services>, listens_on: SocketAddr) -> Router {
    let observer = services.worker.observer();
    let router = Router::new().route("/", post(answer)).with_state(services);
    // For those who watch, under whatever name they know us by.
    let watching = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(async || "ready\n"))
        .route("/metrics", get(move || async move { metrics(&*observer) }));
    doors::guarded(router, listens_on, turned_away).merge(watching)
}

/// In Prometheus' text format, where somebody counts.
fn metrics(observer: &dyn Observer) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    match observer.page() {
        Some(page) => (kind, page).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn answer(State(services): State<Arc<Services>>, headers: HeaderMap, body: Body) -> Response {
    told(receive(&services, &headers, body).await)
}

/// The answer to a web page of another site.
fn turned_away(stranger: Stranger) -> Response {
    told(Err(Fault::new("AccessDeniedException", stranger.to_string())))
}

fn told(answer: Result<Value, Fault>) -> Response {
    let request_id = uuid::Uuid::new_v4().to_string();
    let (status, body) = match answer {
        Ok(body) => (StatusCode::OK, body),
        Err(fault) => {
            tracing::debug!(?fault, "vision request refused");
            (fault.status, fault.body(&request_id))
        }
    };
    let headers =
        [(header::CONTENT_TYPE, "application/x-amz-json-1.1".to_owned()), (REQUEST_ID, request_id)];
    (status, headers, body.to_string()).into_response()
}

/// Reads the request as far as it may be kept, then serves it.
async fn receive(services: &Services, headers: &HeaderMap, body: Body) -> Result<Value, Fault> {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let target = text("x-amz-target");
    let operation = target.strip_prefix(PREFIX).unwrap_or_default();
    let mut kept = Reading::new(body);
    if !text("authorization").starts_with("AWS4-HMAC-SHA256 ") {
        kept.drop_rest().await;
        return Err(Fault::new("AccessDeniedException", "the request is not signed"));
    }
    let with_picture =
        matches!(operation, "DetectFaces" | "DetectLabels" | "IndexFaces" | "SearchFacesByImage");
    if !with_picture {
        let body = kept.up_to(MAX_BODY).await.ok_or_else(|| {
            Fault::parameter(format!("the request is longer than {MAX_BODY} bytes"))
        })?;
        return serve(services, operation, headers, &body).await;
    }
    let _place = match services.photos.place() {
        Ok(place) => place,
        Err(fault) => {
            kept.drop_rest().await;
            return Err(fault);
        }
    };
    let body = kept.up_to(MAX_PICTURE_BODY).await.ok_or_else(|| {
        let message = "the picture is larger than 5 MB: send a smaller one, or put it in the store";
        Fault::new("ImageTooLargeException", message)
    })?;
    serve(services, operation, headers, &body).await
}

async fn serve(
    services: &Services,
    operation: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Value, Fault> {
    if let Some(keys) = &services.keys {
        keys.check(Signed { headers, body }, &services.clock)?;
    }
    let worker = &services.worker;
    match operation {
        "StartFaceDetection" => videos::start(worker, Kind::Faces, parse(body)?).await,
        "StartLabelDetection" => videos::start(worker, Kind::Labels, parse(body)?).await,
        "GetFaceDetection" => videos::get(worker, Kind::Faces, parse(body)?).await,
        "GetLabelDetection" => videos::get(worker, Kind::Labels, parse(body)?).await,
        "DetectFaces" => images::detect_faces(services, parse(body)?).await,
        "DetectLabels" => images::detect_labels(services, parse(body)?).await,
        "CreateCollection" => collections::create(services, parse(body)?).await,
        "DescribeCollection" => collections::describe(services, parse(body)?).await,
        "ListCollections" => collections::list(services, parse(body)?).await,
        "DeleteCollection" => collections::delete(services, parse(body)?).await,
        "IndexFaces" => collections::index_faces(services, parse(body)?).await,
        "SearchFacesByImage" => collections::search_by_image(services, parse(body)?).await,
        "SearchFaces" => collections::search(services, parse(body)?).await,
        "ListFaces" => collections::list_faces(services, parse(body)?).await,
        "DeleteFaces" => collections::delete_faces(services, parse(body)?).await,
        _ => Err(Fault::new(
            "UnknownOperationException",
            format!("{operation:?} is not served here: docs/rekognition.md lists what is"),
        )),
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(body)
        .map_err(|e| Fault::new("SerializationException", format!("the body is not valid: {e}")))
}

/// A request's body on its way in.
struct Reading(futures::stream::BoxStream<'static, Result<Bytes, axum::Error>>);

impl Reading {
    fn new(body: Body) -> Self {
        Self(body.into_data_stream().boxed())
    }

    /// The whole body; `None` where it is longer, or breaks off.
    async fn up_to(&mut self, most: usize) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        while let Some(chunk) = self.0.next().await {
            let chunk = chunk.ok()?;
            if body.len() + chunk.len() > most {
                drop(body);
                self.drop_rest().await;
                return None;
            }
            body.extend_from_slice(&chunk);
        }
        Some(body)
    }

    async fn drop_rest(&mut self) {
        let mut dropped = 0;
        while let Some(Ok(chunk)) = self.0.next().await
            && dropped < MOST_DROPPED
        {
            dropped += chunk.len();
        }
    }
}
