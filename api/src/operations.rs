//! For people who look around, and for machines that watch.

use crate::{
    Health,
    codes::Code,
    problem::{Members, Problem},
};
use axum::{
    extract::{Request, State},
    http::header,
    response::{IntoResponse, Response},
};

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
  POST /api/videos/{id}/replay       ?from= : all is done again, from a stage on
  GET  /api/search                   ?q= &owner= &assessment= &page= &page_size=
         words, \"phrases\", AND, OR, NOT, ( ), label: person: place: text: title: after: before:
  GET  /healthz  /readyz  /metrics   for machines that watch
  GET  /docs/                        all of this described, to try it out
  GET  /api/openapi.json             the same for programs: OpenAPI 3.1
";

/// What is here
///
/// The routes, for people who look around.
#[utoipa::path(
    get,
    path = "/",
    operation_id = "index",
    tag = "operations",
    responses((status = 200, description = "A list.", content_type = "text/plain", body = String))
)]
pub(crate) async fn index() -> &'static str {
    INDEX
}

/// The process answers
///
/// Says nothing about its parts: that is `GET /readyz`.
#[utoipa::path(
    get,
    path = "/healthz",
    operation_id = "healthz",
    tag = "operations",
    responses((status = 200, description = "`ok`", content_type = "text/plain", body = String))
)]
pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}

/// Every part can work
///
/// Else which cannot, and why.
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "readyz",
    tag = "operations",
    responses((status = 200, description = "`ready`", content_type = "text/plain", body = String)),
    extensions(("x-problem-codes" = json!([Code::PartNotReady])))
)]
pub(crate) async fn readyz(State(health): State<Health>) -> Result<Response, Problem> {
    let unready = (health.readiness)();
    if unready.is_empty() {
        return Ok("ready\n".into_response());
    }
    let told: Vec<_> = unready.iter().map(|u| format!("{}: {}", u.part, u.reason)).collect();
    Err(Problem::new(Code::PartNotReady, told.join("; "))
        .with(Members { parts: Some(unready), ..Members::default() }))
}

/// Figures
///
/// In Prometheus' text format.
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "metrics",
    tag = "operations",
    responses((
        status = 200,
        description = "Counters, gauges and histograms.",
        content_type = "text/plain",
        body = String
    ))
)]
pub(crate) async fn metrics(State(health): State<Health>) -> Response {
    let content_type = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (content_type, (health.metrics)()).into_response()
}

pub(crate) async fn unknown_route(request: Request) -> Problem {
    Problem::new(Code::NoSuchRoute, format!("nothing is at {}", request.uri().path()))
}

pub(crate) async fn wrong_method(request: Request) -> Problem {
    let (path, method) = (request.uri().path(), request.method());
    Problem::new(Code::WrongMethod, format!("{path} does not take {method}"))
}
