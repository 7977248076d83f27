//! For people who look around, and for machines that watch.

use crate::{Services, problem::Problem};
use axum::{
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use std::sync::Arc;

const INDEX: &str = "\
reelmill: footage in; a verified blurred recording, and answers, out

It listens on loopback only, until accounts exist: whoever is on this machine sees everything.

  GET  /api/uploads/config           what an upload may be
  POST /api/videos                   upload; the body is the file itself (curl --data-binary @film.mp4)
         ?assessment= &title= &filename= &blur=all|none &visibility=private|listed &recorded_at_ms=
  GET  /api/videos                   ?owner= &assessment= &page= &page_size=
  GET  /api/videos/{id}              state, stages, and the reason of a failure
  GET  /api/videos/{id}/recording    the verified recording; ranges
  GET  /api/videos/{id}/thumbnail    a still of it, at a third of its duration (JPEG)
  GET  /api/videos/{id}/receipt      what was verified
  POST /api/videos/{id}/retry        ?stage= : what failed is tried again
  GET  /api/search                   ?q= &owner= &assessment= &page= &page_size=
         words, \"phrases\", AND, OR, NOT, ( ), label: person: place: text: title: after: before:
  GET  /healthz  /readyz  /metrics   for machines that watch
";

pub(crate) async fn index() -> &'static str {
    INDEX
}

/// The process answers.
pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}

/// Every part can work; else which cannot, and why.
pub(crate) async fn readyz(State(services): State<Arc<Services>>) -> Result<Response, Problem> {
    let unready = (services.readiness)();
    if unready.is_empty() {
        return Ok("ready\n".into_response());
    }
    let told: Vec<_> = unready.iter().map(|u| format!("{}: {}", u.part, u.reason)).collect();
    let parts = serde_json::to_value(&unready).unwrap_or_default();
    Err(Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "not_ready",
        "a part of the mill is not ready",
        told.join("; "),
        "wait a moment; if it stays so, the log of the mill says what to do",
    )
    .with("parts", parts))
}

pub(crate) async fn metrics(State(services): State<Arc<Services>>) -> Response {
    let content_type = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (content_type, (services.metrics)()).into_response()
}

pub(crate) async fn unknown_route(request: Request) -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "no_such_route",
        "there is nothing at this path",
        format!("nothing is at {}", request.uri().path()),
        "GET / lists what is here",
    )
}

pub(crate) async fn wrong_method(request: Request) -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "wrong_method",
        "the path does not take this method",
        format!("{} does not take {}", request.uri().path(), request.method()),
        "GET / lists what is here; the allow header says what this path takes",
    )
}
