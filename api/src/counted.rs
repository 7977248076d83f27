//! Every request is told of once it is answered.

use crate::{
    guard::WATCHED,
    services::{Answered, Health},
};
use axum::{
    extract::{MatchedPath, Request, State},
    http::Method,
    middleware::Next,
    response::Response,
};
use std::time::Instant;

pub(crate) async fn counted(
    State(health): State<Health>,
    route: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let method = word(request.method());
    let begun = Instant::now();
    let response = next.run(request).await;
    let route = route.as_ref().map_or("", MatchedPath::as_str);
    // What probes and scrapers ask all the time is no request of anybody's.
    if !WATCHED.contains(&route) {
        let status = response.status().as_u16();
        (health.answered)(&Answered { method, route, status, took: begun.elapsed() });
    }
    response
}

/// Clients may invent methods; labels are ours.
fn word(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}
