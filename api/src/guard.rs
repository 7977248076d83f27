//! Keeps foreign web pages out: a browser on this machine reaches loopback, whatever page it shows.
//! Health and metrics are the exception: probes and scrapers name us as they please, and what they
//! are told is about nobody.

use crate::{codes::Code, problem::Problem};
use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, Uri, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures::FutureExt;
use std::{net::IpAddr, panic::AssertUnwindSafe};

/// What may be asked under any name.
const WATCHED: [&str; 3] = ["/healthz", "/readyz", "/metrics"];
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
    if !watches && !host_is_loopback(request.uri(), request.headers()) {
        return Err(Problem::new(
            Code::ForeignHost,
            "the host header names no loopback address, which is how dns rebinding looks",
        ));
    }
    if !request.method().is_safe() && !from_own_page(request.headers()) {
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

fn host_is_loopback(uri: &Uri, headers: &HeaderMap) -> bool {
    let mut named = headers
        .get_all(header::HOST)
        .iter()
        .map(|host| host.to_str().ok()?.parse::<Authority>().ok())
        .chain(uri.authority().cloned().map(Some))
        .peekable();
    named.peek().is_some() && named.all(|host| host.is_some_and(|host| is_loopback(&host)))
}

fn from_own_page(headers: &HeaderMap) -> bool {
    let cross_site = |value: &HeaderValue| value.as_bytes() == b"cross-site";
    // Programs send no origin; sandboxed pages send `null`, which is nobody's.
    headers.get_all(header::ORIGIN).iter().all(|origin| {
        let uri = origin.to_str().ok().and_then(|text| text.parse::<Uri>().ok());
        uri.is_some_and(|uri| uri.scheme().is_some() && uri.authority().is_some_and(is_loopback))
    }) && !headers.get_all("sec-fetch-site").iter().any(cross_site)
}

fn is_loopback(authority: &Authority) -> bool {
    if authority.as_str().contains('@') {
        return false;
    }
    let host = authority.host();
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
        || address.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_and_addresses_of_loopback_are_ours() {
        for ours in ["localhost", "LocalHost:8080", "127.0.0.1:1", "127.9.9.9", "[::1]:8080"] {
            assert!(is_loopback(&ours.parse().unwrap()), "{ours}");
        }
        for foreign in [
            "example.org",
            "localhost.example.org",
            "127.0.0.1.nip.io",
            "10.0.0.1",
            "0.0.0.0",
            "[::]:80",
            "user@localhost",
        ] {
            assert!(!is_loopback(&foreign.parse().unwrap()), "{foreign}");
        }
    }

    #[test]
    fn a_request_without_a_host_is_refused_and_every_host_counts() {
        let uri = Uri::from_static("/");
        let mut headers = HeaderMap::new();
        assert!(!host_is_loopback(&uri, &headers));
        headers.append(header::HOST, HeaderValue::from_static("localhost"));
        assert!(host_is_loopback(&uri, &headers));
        assert!(!host_is_loopback(&Uri::from_static("http://example.org/"), &headers));
        headers.append(header::HOST, HeaderValue::from_static("example.org"));
        assert!(!host_is_loopback(&uri, &headers));
    }

    #[test]
    fn programs_and_local_pages_may_post_and_foreign_or_sandboxed_pages_may_not() {
        let with = |name: &'static str, value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.append(name, HeaderValue::from_static(value));
            from_own_page(&headers)
        };
        assert!(from_own_page(&HeaderMap::new()));
        assert!(with("origin", "http://localhost:3000"));
        assert!(with("origin", "http://[::1]:8080"));
        assert!(!with("origin", "https://example.org"));
        assert!(!with("origin", "null"));
        assert!(!with("origin", "localhost"));
        assert!(!with("sec-fetch-site", "cross-site"));
        assert!(with("sec-fetch-site", "same-origin"));
    }
}
