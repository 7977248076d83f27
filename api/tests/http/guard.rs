//! Who may ask, what is where, and what watchers see.

use crate::support::{Mill, problem};
use api::{Reach, ServeError, Unready, serve, watching};
use reqwest::Method;
use tokio::net::TcpListener;

#[tokio::test]
async fn a_foreign_host_name_is_refused_everywhere() {
    let mill = Mill::start().await;
    for path in ["/", "/api/videos", "/metricsx", "/nowhere"] {
        problem(mill.get(path).header("host", "evil.example"), 403, "foreign_host").await;
    }
    let refused = mill.get("/").header("host", "evil.example").send().await.unwrap();
    assert_eq!(refused.headers()["x-content-type-options"], "nosniff");
    assert_eq!(refused.headers()["cache-control"], "no-store");
    for path in ["/healthz", "/readyz", "/metrics"] {
        let watched = mill.get(path).header("host", "detect:8080").send().await.unwrap();
        assert_eq!(watched.status(), 200, "{path}");
    }
    let local = mill.get("/healthz").header("host", "localhost:1").send().await.unwrap();
    assert_eq!(local.status(), 200);
}

#[tokio::test]
async fn a_page_of_another_site_cannot_upload() {
    let mill = Mill::start().await;
    for (name, value) in
        [("origin", "https://evil.example"), ("origin", "null"), ("sec-fetch-site", "cross-site")]
    {
        let request = mill.post("/api/videos", "film").header(name, value);
        problem(request, 403, "foreign_origin").await;
    }
    assert!(mill.store.keys().is_empty());
    let own = mill.post("/api/videos", "film").header("origin", mill.base.as_str());
    assert_eq!(own.send().await.unwrap().status(), 201);
}

#[tokio::test]
async fn unknown_paths_and_wrong_methods_say_so() {
    let mill = Mill::start().await;
    problem(mill.get("/api/nothing"), 404, "no_such_route").await;
    let url = format!("{}/api/videos", mill.base);
    let wrong = mill.http.request(Method::DELETE, &url).send().await.unwrap();
    let mut allowed: Vec<_> = wrong.headers()["allow"].to_str().unwrap().split(',').collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["GET", "HEAD", "POST"]);
    problem(mill.http.request(Method::DELETE, url), 405, "wrong_method").await;
    problem(mill.get("/api/videos/%ff"), 400, "bad_parameter").await;
}

#[tokio::test]
async fn the_index_says_what_is_here_and_who_may_see_it() {
    let mill = Mill::start().await;
    let answer = mill.get("/").send().await.unwrap();
    assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
    let text = answer.text().await.unwrap();
    for part in ["loopback only, until accounts exist", "/api/videos/{id}/recording", "/api/search"]
    {
        assert!(text.contains(part), "{part}");
    }
}

#[tokio::test]
async fn readiness_names_the_part_and_the_reason() {
    let mill = Mill::start().await;
    assert_eq!(mill.get("/readyz").send().await.unwrap().status(), 200);
    let blur = Unready { part: "blur".to_owned(), reason: "no disk".to_owned() };
    mill.unready.lock().unwrap().push(blur);
    let told = problem(mill.get("/readyz"), 503, "part_not_ready").await;
    assert_eq!(told["parts"][0]["part"], "blur");
    assert_eq!(told["detail"], "blur: no disk");
    assert_eq!(mill.get("/healthz").send().await.unwrap().status(), 200, "it still answers");
}

#[tokio::test]
async fn requests_are_told_by_their_routes_and_never_by_what_a_client_made_up() {
    let mill = Mill::start().await;
    for path in
        ["/api/videos", "/api/videos/some-id", "/api/videos/../../etc", "/readyz", "/metrics"]
    {
        mill.get(path).send().await.unwrap();
    }
    let invented = reqwest::Method::from_bytes(b"BREW").unwrap();
    mill.http.request(invented, format!("{}/api/videos", mill.base)).send().await.unwrap();
    mill.get("/api/videos").header("host", "evil.example").send().await.unwrap();
    let told = mill.answered.lock().unwrap().clone();
    let expected = [
        "GET /api/videos 200",
        "GET /api/videos/{id} 404",
        "GET  404",
        "other /api/videos 405",
        "GET /api/videos 403",
    ];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn metrics_are_prometheus_text() {
    let mill = Mill::start().await;
    let answer = mill.get("/metrics").send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(answer.text().await.unwrap(), "reelmill_events_total 1\n");
}

#[tokio::test]
async fn an_address_others_can_reach_is_refused() {
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let served =
        serve(listener, axum::Router::new(), Reach::Loopback, std::future::pending()).await;
    assert!(matches!(served, Err(ServeError::NotLoopback(_))));
}

#[tokio::test]
async fn a_part_without_accounts_shows_its_health_to_everybody_and_nothing_else() {
    let mill = Mill::start().await;
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let url = format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port());
    let router = watching(mill.services.health.clone());
    tokio::spawn(serve(listener, router, Reach::Everyone, std::future::pending()));
    let status =
        async |path: &str| reqwest::get(format!("{url}{path}")).await.unwrap().status().as_u16();
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(status(path).await, 200, "{path}");
    }
    for path in ["/", "/api/videos", "/api/search?q=car", "/docs/", "/api/openapi.json"] {
        assert_eq!(status(path).await, 404, "{path}");
    }
}
