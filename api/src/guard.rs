//! Keeps foreign web pages out: a browser on this machine reaches loopback, whatever page it shows.
//! Health and metrics are the exception: probes and scrapers name us as they please, and what they
//! are told is about nobody.

use crate::{codes::Code, problem::Problem};
use axum::{
    extract::Request,
    http::{HeaderName, HeaderValue, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures::FutureExt;
use std::panic::AssertUnwindSafe;

/// What may be asked under any name.
pub(crate) const WATCHED: [&str; 3] = ["/healthz", "/readyz", "/metrics"];
/// Room for the longest query: 1,000 characters of four bytes, percent-encoded.
const MAX_URI_BYTES: usize = 16 << 10;
const MAX_HEADER_BYTES: usize = 32 << 10;

/// Refuses requests that name us by a name which is not loopback's (DNS rebinding), and requests
/// that change something on behalf of another site's page (cross-site request forgery). A handler
/// that panics is an answer too.
pub(crate) async fn guard(request: Request, next: Next) -> Response {
    let mut response = match check(&request) {
        // A handler owns what it works on: what a panic leaves half done is dropped with it.
        Ok(()) => AssertUnwindSafe(next.run(request)).catch_unwind().await.unwrap_or_else(|_| {
            Problem::internal("the request met a bug; the mill goes on").into_response()
        }),
        Err(problem) => problem.into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-site"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

fn check(request: &Request) -> Result<(), Problem> {
    let watches = request.method().is_safe() && WATCHED.contains(&request.uri().path());
    if !watches && doors::check_host(request.uri(), request.headers()).is_err() {
        return Err(Problem::new(
            Code::ForeignHost,
            "the host header names no loopback address, which is how dns rebinding looks",
        ));
    }
    // Links to here may stand on any page.
    if !request.method().is_safe() && doors::check_page(request.headers()).is_err() {
        return Err(Problem::new(
            Code::ForeignOrigin,
            "the origin header names a page that does not come from this machine",
        ));
    }
    let uri_bytes = request.uri().path_and_query().map_or(0, |both| both.as_str().len());
    if uri_bytes > MAX_URI_BYTES {
        return Err(Problem::new(
            Code::UriTooLong,
            format!("path and query have {uri_bytes} bytes, at most {MAX_URI_BYTES} fit"),
        ));
    }
    let size = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len();
    let header_bytes: usize = request.headers().iter().map(size).sum();
    if header_bytes > MAX_HEADER_BYTES {
        return Err(Problem::new(
            Code::HeadersTooLarge,
            format!("the headers have {header_bytes} bytes, at most {MAX_HEADER_BYTES} fit"),
        ));
    }
    Ok(())
}
