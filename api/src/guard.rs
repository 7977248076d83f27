//! Keeps foreign web pages out: a browser on this machine reaches loopback, whatever page it shows.

use crate::problem::Problem;
use axum::{
    extract::Request,
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse, Response},
};
use std::net::IpAddr;

/// Refuses requests that name us by a name which is not loopback's (DNS rebinding), and requests
/// that change something on behalf of another site's page (cross-site request forgery).
pub(crate) async fn guard(request: Request, next: Next) -> Response {
    if let Err(problem) = check(&request) {
        return problem.into_response();
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-site"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

fn check(request: &Request) -> Result<(), Problem> {
    if !host_is_loopback(request.uri(), request.headers()) {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "foreign_host",
            "the host name is not this machine's",
            "the host header names no loopback address, which is how dns rebinding looks",
            "use http://127.0.0.1 or http://localhost; until accounts exist the api answers on \
             loopback only",
        ));
    }
    if !request.method().is_safe() && !from_own_page(request.headers()) {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "foreign_origin",
            "another site's page may not change anything here",
            "the origin header names a page that does not come from this machine",
            "send the request from a program, or from a page of this machine",
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
