//! Whatever goes wrong, the answer is a problem document.

use crate::support::{Mill, problem};
use api::{Unready, UploadLimits};
use ports::Trouble;
use reqwest::Method;
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// The status line, the type and the body of what the API answers to these very bytes.
async fn raw(mill: &Mill, request: &str) -> (String, String) {
    let mut connection = TcpStream::connect(mill.address).await.unwrap();
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = connection.read_to_end(&mut answer);
    tokio::time::timeout(Duration::from_secs(10), read).await.unwrap().unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

#[tokio::test]
async fn a_handler_that_panics_is_answered_and_the_next_request_too() {
    let mill = Mill::start().await;
    let unready = mill.unready.clone();
    let poisoned = std::thread::spawn(move || {
        let _held = unready.lock().unwrap();
        panic!("while the lock is held");
    });
    poisoned.join().unwrap_err();
    problem(mill.get("/readyz"), 500, "internal").await;
    assert_eq!(mill.get("/healthz").send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn what_is_too_long_is_told_before_it_is_looked_at() {
    let mill = Mill::start().await;
    let longest_query = "%F0%90%90%80".repeat(1_000);
    let fits = mill.get(&format!("/api/search?q={longest_query}")).send().await.unwrap();
    assert_eq!(fits.status(), 200, "every query within its bounds fits");
    let long = "x".repeat(17_000);
    problem(mill.get(&format!("/api/search?q={long}")), 414, "uri_too_long").await;
    problem(mill.get(&format!("/api/videos/{long}")), 414, "uri_too_long").await;
    let request = mill.get("/api/videos").header("x-long", "x".repeat(33_000));
    problem(request, 431, "headers_too_large").await;
}

#[tokio::test]
async fn a_wrong_path_or_query_is_named() {
    let mill = Mill::start().await;
    for path in ["/api/videos/%ff", "/api/videos/%FF%fe/recording", "/docs/%ff"] {
        problem(mill.get(path), 400, "bad_parameter").await;
    }
    for query in ["page=1&page=2", "page=%ff", "page=1e3", "page_size=", "%00=1"] {
        problem(mill.get(&format!("/api/videos?{query}")), 400, "bad_parameter").await;
    }
    let told = problem(mill.get("/api/search?q=(("), 400, "bad_query").await;
    assert!(told["position"].is_u64(), "{told}");
    problem(mill.get("/api/search?q=after:tomorrow"), 400, "bad_query").await;
    for path in ["/api", "/api/", "/api//videos", "/api/videos/", "/api/videos/v/nothing", "//"] {
        problem(mill.get(path), 404, "no_such_route").await;
    }
    for method in [Method::PUT, Method::OPTIONS, Method::TRACE, Method::DELETE] {
        let request = mill.http.request(method, format!("{}/api/videos", mill.base));
        problem(request, 405, "wrong_method").await;
    }
    let made_up = Method::from_bytes(b"BREW").unwrap();
    problem(mill.http.request(made_up, &mill.base), 405, "wrong_method").await;
}

#[tokio::test]
async fn a_reason_without_a_code_of_its_own_is_told_beside_the_code() {
    let mill = Mill::start().await;
    mill.publish("v", "", b"film");
    let receipt = |trouble: fn() -> Trouble| {
        *mill.store.refusal.lock().unwrap() = Some(("v.json", trouble));
        mill.get("/api/videos/v/receipt")
    };
    let away = receipt(|| Trouble::transient("moon_in_the_way", "it will pass"));
    assert_eq!(problem(away, 503, "unavailable").await["reason"], "moon_in_the_way");
    let archived = receipt(|| Trouble::poison("archived_object", "it is archived"));
    assert_eq!(problem(archived, 422, "refused").await["reason"], "archived_object");
    problem(receipt(|| Trouble::fatal("the keys are wrong")), 500, "internal").await;
}

#[tokio::test]
async fn requests_by_hand_are_answered_with_problems_too() {
    let limits = UploadLimits { max_bytes: 8, ..UploadLimits::default() };
    let mill = Mill::with_limits(limits).await;
    for (request, status, code) in [
        ("GET / HTTP/1.1\r\nconnection: close\r\n\r\n", 403, "foreign_host"),
        ("GET / HTTP/1.0\r\n\r\n", 403, "foreign_host"),
        (
            "GET http://example.org/ HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
            403,
            "foreign_host",
        ),
        (
            "GET / HTTP/1.1\r\nhost: user@localhost\r\nconnection: close\r\n\r\n",
            403,
            "foreign_host",
        ),
        (
            "POST /api/videos HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 9\r\n\r\n123456789",
            413,
            "too_large",
        ),
        (
            "POST /api/videos HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
            400,
            "cut_off",
        ),
        (
            "GET /api/videos/%zz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
            404,
            "no_such_video",
        ),
    ] {
        let (head, body) = raw(&mill, request).await;
        assert!(
            head.split(' ').nth(1).is_some_and(|told| told == status.to_string()),
            "{request:?}: {head}"
        );
        assert!(
            head.to_ascii_lowercase().contains("content-type: application/problem+json"),
            "{head}"
        );
        let problem: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(problem["code"], code, "{request:?}: {body}");
        assert!(problem["next_step"].as_str().is_some_and(|text| !text.is_empty()), "{body}");
    }
}

#[tokio::test]
async fn what_cannot_be_read_as_http_is_refused_with_a_bare_status() {
    let mill = Mill::start().await;
    let headers: String = (0..200).map(|n| format!("x-{n}: y\r\n")).collect();
    for (request, status) in [
        ("GET / HTTP/1.1\r\nno header\r\n\r\n".to_owned(), "400"),
        ("brew me a coffee\r\n\r\n".to_owned(), "400"),
        (format!("GET / HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n"), "431"),
    ] {
        let (head, body) = raw(&mill, &request).await;
        assert_eq!(head.split(' ').nth(1), Some(status), "{head}");
        assert_eq!(body, "");
    }
}

#[tokio::test]
async fn what_is_worth_asking_again_says_when() {
    let mill = Mill::start().await;
    let part = Unready { part: "blur".to_owned(), reason: "no disk".to_owned() };
    mill.unready.lock().unwrap().push(part);
    let answer = mill.get("/readyz").send().await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["retry-after"]),
        (503, &"2".parse().unwrap())
    );
}
