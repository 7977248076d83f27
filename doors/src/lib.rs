//! Keeps web pages of other sites out of what listens on loopback.
//!
//! A browser on this machine reaches every port of loopback, whatever page it shows. A page may let
//! its own name resolve to 127.0.0.1 (DNS rebinding), and then reads answers as those of its own
//! site; or it sends what a form could send to another site, and needs no answer (cross-site request
//! forgery). Both can be told by headers that a browser sets and no page can change: `Host`, `Origin`
//! and `Sec-Fetch-Site`. Programs send their own `Host` and neither of the others.
//!
//! This is no access control: whoever runs a program on this machine sends what he likes.

use axum::{
    Router,
    extract::Request,
    http::{HeaderMap, HeaderValue, Uri, header, uri::Authority},
    middleware::{self, Next},
    response::Response,
};
use std::net::{IpAddr, SocketAddr};

/// Why a request is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Stranger {
    #[error(
        "the host header names no loopback address, which is how dns rebinding looks: \
         use http://127.0.0.1 or http://localhost"
    )]
    Host,
    #[error(
        "the origin or sec-fetch-site header names a web page that does not come from this machine: \
         send the request from a program, or from a page of this machine"
    )]
    Page,
}

/// Takes a request that names us as loopback does and that no page of another site has sent.
///
/// # Errors
/// The first of the two that does not hold.
pub fn check(uri: &Uri, headers: &HeaderMap) -> Result<(), Stranger> {
    check_host(uri, headers)?;
    check_page(headers)
}

/// Takes a request that names a host, and names loopback wherever it names one.
///
/// # Errors
/// [`Stranger::Host`]
pub fn check_host(uri: &Uri, headers: &HeaderMap) -> Result<(), Stranger> {
    let mut named = headers
        .get_all(header::HOST)
        .iter()
        .map(|host| host.to_str().ok()?.parse::<Authority>().ok())
        .chain(uri.authority().cloned().map(Some))
        .peekable();
    let ours =
        named.peek().is_some() && named.all(|host| host.is_some_and(|host| is_loopback(&host)));
    ours.then_some(()).ok_or(Stranger::Host)
}

/// Takes a request of a program, or of a page that comes from this machine.
///
/// # Errors
/// [`Stranger::Page`]
pub fn check_page(headers: &HeaderMap) -> Result<(), Stranger> {
    let cross_site = |value: &HeaderValue| value.as_bytes() == b"cross-site";
    // Programs send no origin; sandboxed pages send `null`, which is nobody's.
    let ours = headers.get_all(header::ORIGIN).iter().all(|origin| {
        let uri = origin.to_str().ok().and_then(|text| text.parse::<Uri>().ok());
        uri.is_some_and(|uri| uri.scheme().is_some() && uri.authority().is_some_and(is_loopback))
    }) && !headers.get_all("sec-fetch-site").iter().any(cross_site);
    ours.then_some(()).ok_or(Stranger::Page)
}

/// A router of which nothing is reached without [`check`], where it listens on loopback; elsewhere
/// it has other names, and is as it was. `refuse` says it in the words of the door's protocol.
pub fn guarded(router: Router, listens_on: SocketAddr, refuse: fn(Stranger) -> Response) -> Router {
    if !listens_on.ip().to_canonical().is_loopback() {
        return router;
    }
    router.layer(middleware::from_fn(move |request: Request, next: Next| async move {
        match check(request.uri(), request.headers()) {
            Ok(()) => next.run(request).await,
            Err(stranger) => refuse(stranger),
        }
    }))
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
        assert_eq!(check_host(&uri, &headers), Err(Stranger::Host));
        headers.append(header::HOST, HeaderValue::from_static("localhost"));
        assert_eq!(check_host(&uri, &headers), Ok(()));
        let elsewhere = Uri::from_static("http://example.org/");
        assert_eq!(check_host(&elsewhere, &headers), Err(Stranger::Host));
        headers.append(header::HOST, HeaderValue::from_static("example.org"));
        assert_eq!(check_host(&uri, &headers), Err(Stranger::Host));
    }

    #[test]
    fn programs_and_local_pages_may_ask_and_foreign_or_sandboxed_pages_may_not() {
        let with = |name: &'static str, value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.append(name, HeaderValue::from_static(value));
            check_page(&headers).is_ok()
        };
        assert_eq!(check_page(&HeaderMap::new()), Ok(()));
        assert!(with("origin", "http://localhost:3000"));
        assert!(with("origin", "http://[::1]:8080"));
        assert!(!with("origin", "https://example.org"));
        assert!(!with("origin", "null"));
        assert!(!with("origin", "localhost"));
        assert!(!with("sec-fetch-site", "cross-site"));
        assert!(with("sec-fetch-site", "same-origin"));
    }

    #[test]
    fn each_of_the_two_is_enough_to_be_refused() {
        let uri = Uri::from_static("/");
        let of = |host: &'static str, origin: &'static str| {
            let mut headers = HeaderMap::new();
            headers.append(header::HOST, HeaderValue::from_static(host));
            headers.append(header::ORIGIN, HeaderValue::from_static(origin));
            check(&uri, &headers)
        };
        assert_eq!(of("localhost:9000", "http://localhost:9000"), Ok(()));
        // A rebound page is of the site that it names.
        assert_eq!(of("example.org:9000", "http://localhost:9000"), Err(Stranger::Host));
        assert_eq!(of("localhost:9000", "http://example.org:9000"), Err(Stranger::Page));
    }
}
