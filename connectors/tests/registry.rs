//! The registry's client against the embedded registry and Apicurio, over the wire; and what only
//! the embedded one must do, because it is ours.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first surprise")]

#[path = "registry/conformance.rs"]
mod conformance;

use apache_avro::{AvroSchema, Schema, from_value, to_value};
use connectors::registry::{
    ConfluentRegistry,
    embedded::{BookError, EmbeddedError, EmbeddedRegistry},
};
use ports::{Refusal, SchemaRegistry, Trouble};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::Path;

const CLIP: &str = r#"{"type": "record", "name": "ClipSeen", "doc": "A clip was seen.", "fields": [
    {"name": "video_id", "type": "string"},
    {"name": "index", "type": "int"},
    {"name": "count", "type": ["null", "int"], "default": null}
]}"#;

const CLIP_2: &str = r#"{"type": "record", "name": "ClipSeen", "fields": [
    {"name": "video_id", "type": "string"},
    {"name": "index", "type": "int"},
    {"name": "count", "type": ["null", "int"], "default": null},
    {"name": "camera", "type": ["null", "string"], "default": null}
]}"#;

const CLIP_WITH_LESS: &str = r#"{"type": "record", "name": "ClipSeen", "fields": [
    {"name": "video_id", "type": "string"}
]}"#;

const CLIP_WITH_A_REQUIRED_FIELD: &str = r#"{"type": "record", "name": "ClipSeen", "fields": [
    {"name": "video_id", "type": "string"},
    {"name": "index", "type": "int"},
    {"name": "count", "type": ["null", "int"], "default": null},
    {"name": "site", "type": "string"}
]}"#;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, AvroSchema)]
struct ClipSeen {
    video_id: String,
    index: i32,
    count: Option<i32>,
}

fn event() -> ClipSeen {
    ClipSeen { video_id: "v1".to_owned(), index: 7, count: Some(9) }
}

fn value() -> schemas::AvroValue {
    to_value(event()).unwrap().resolve(&Schema::parse_str(CLIP).unwrap()).unwrap()
}

fn poison(trouble: &Trouble) -> &str {
    match trouble {
        Trouble::Refused(Refusal::Poison(poison)) => poison.reason,
        other => panic!("no poison: {other:?}"),
    }
}

fn is_transient<T: std::fmt::Debug>(result: &Result<T, Trouble>) -> bool {
    matches!(result, Err(Trouble::Transient { .. }))
}

async fn start(data: &Path) -> (EmbeddedRegistry, ConfluentRegistry) {
    let server = EmbeddedRegistry::start(data, 0).await.unwrap();
    let client = ConfluentRegistry::new(&server.url()).unwrap();
    (server, client)
}

/// Any request; the status and the JSON of the answer.
async fn ask(server: &EmbeddedRegistry, method: &str, path: &str, body: Value) -> (u16, Value) {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}{path}", server.url());
    let mut request = http.request(method.parse().unwrap(), url);
    if !body.is_null() {
        request = request.json(&body);
    }
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
    assert_eq!(kind, "application/vnd.schemaregistry.v1+json", "{method} {path}");
    (status, answer.json().await.unwrap())
}

/// A schema sent with these headers: the status and the code of the error, if it is one.
async fn register_with(server: &EmbeddedRegistry, headers: &[(&str, &str)]) -> (u16, Value) {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let body = json!({ "schema": CLIP }).to_string();
    let mut request = http.post(format!("{}/subjects/a-value/versions", server.url())).body(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "application/vnd.schemaregistry.v1+json");
    let status = answer.status().as_u16();
    let mut told: Value = answer.json().await.unwrap();
    assert_eq!(told["message"].is_string(), status != 200, "{told}");
    (status, told["error_code"].take())
}

async fn register(server: &EmbeddedRegistry, subject: &str, schema: &str) -> (u16, Value) {
    let path = format!("/subjects/{subject}/versions");
    ask(server, "POST", &path, json!({ "schema": schema, "schemaType": "AVRO" })).await
}

#[tokio::test]
async fn the_embedded_registry_is_a_schema_registry() {
    let data = tempfile::tempdir().unwrap();
    let (server, _) = start(data.path()).await;
    conformance::registry(&server.url()).await;
    conformance::differs_as_told(&server.url(), false).await;
}

#[tokio::test]
async fn apicurio_is_a_schema_registry() {
    let Some(url) = services::registry() else { return };
    conformance::registry(&url).await;
    conformance::differs_as_told(&url, true).await;
}

#[tokio::test]
async fn an_event_comes_back_as_it_was() {
    let data = tempfile::tempdir().unwrap();
    let (server, registry) = start(data.path()).await;
    let bytes = registry.encode("clips-seen", CLIP, value()).await.unwrap();
    assert_eq!(bytes[..5], [0, 0, 0, 0, 1], "Confluent's wire format");
    let decoded = registry.decode(&bytes).await.unwrap();
    assert_eq!(from_value::<ClipSeen>(&decoded).unwrap(), event());

    let (_, subjects) = ask(&server, "GET", "/subjects", Value::Null).await;
    assert_eq!(subjects, json!(["clips-seen-value"]));
    let (_, found) =
        ask(&server, "GET", "/subjects/clips-seen-value/versions/latest", Value::Null).await;
    assert_eq!(
        found,
        json!({ "subject": "clips-seen-value", "version": 1, "id": 1, "schema": CLIP })
    );
}

#[tokio::test]
async fn a_value_that_does_not_fit_its_schema_is_our_bug() {
    let data = tempfile::tempdir().unwrap();
    let (_server, registry) = start(data.path()).await;
    let wrong = schemas::AvroValue::String("no record".to_owned());
    let refused = registry.encode("clips-seen", CLIP, wrong).await.unwrap_err();
    assert!(matches!(refused, Trouble::Fatal(_)), "{refused:?}");
}

#[tokio::test]
async fn bytes_of_no_event_are_malformed() {
    let data = tempfile::tempdir().unwrap();
    let (_server, registry) = start(data.path()).await;
    let good = registry.encode("clips-seen", CLIP, value()).await.unwrap();
    let mut lying = good[..5].to_vec();
    lying.extend([0xfe, 0xff, 0xff, 0xff, 0xff, 0x0f]); // a string of 2^34 bytes, it says
    let garbage: [&[u8]; 7] =
        [b"", b"\0", b"\0\0\0\0", b"{\"video_id\": 1}", b"\x01\0\0\0\x01abc", &good[..6], &lying];
    for bytes in garbage {
        let refused = registry.decode(bytes).await.unwrap_err();
        assert_eq!(poison(&refused), "malformed_event", "{bytes:?}");
    }
}

#[tokio::test]
async fn an_unknown_schema_id_is_poison_until_it_is_registered() {
    let data = tempfile::tempdir().unwrap();
    let (server, registry) = start(data.path()).await;
    let mut bytes = registry.encode("clips-seen", CLIP, value()).await.unwrap();
    bytes[4] = 2;
    assert_eq!(poison(&registry.decode(&bytes).await.unwrap_err()), "unknown_schema");
    assert_eq!(register(&server, "other-value", CLIP_2).await, (200, json!({ "id": 2 })));
    bytes.push(0); // no camera
    registry.decode(&bytes).await.unwrap();
}

#[tokio::test]
async fn a_registry_that_was_away_is_asked_again() {
    let data = tempfile::tempdir().unwrap();
    let (server, registry) = start(data.path()).await;
    let bytes = registry.encode("clips-seen", CLIP, value()).await.unwrap();
    registry.decode(&bytes).await.unwrap();
    let port = server.address().port();
    server.stop().await;

    let fresh = ConfluentRegistry::new(&format!("http://127.0.0.1:{port}")).unwrap();
    assert!(is_transient(&fresh.decode(&bytes).await));
    assert!(is_transient(&fresh.encode("clips-seen", CLIP, value()).await));
    assert!(is_transient(&fresh.register_all(&[("a-value", CLIP)]).await));
    assert!(is_transient(&fresh.set_compatibility("a-value", "FULL").await));
    registry.decode(&bytes).await.unwrap(); // what is known needs no registry

    let _server = EmbeddedRegistry::start(data.path(), port).await.unwrap();
    fresh.decode(&bytes).await.unwrap();
    assert_eq!(fresh.encode("clips-seen", CLIP, value()).await.unwrap(), bytes);
}

#[tokio::test]
async fn a_proxy_that_answers_for_the_registry_is_a_passing_trouble() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let broken = axum::Router::new()
        .fallback(async || (axum::http::StatusCode::INTERNAL_SERVER_ERROR, "<html>sorry</html>"));
    tokio::spawn(async move { axum::serve(listener, broken).await });
    let registry = ConfluentRegistry::new(&url).unwrap();
    for _ in 0..2 {
        assert!(is_transient(&registry.decode(b"\0\0\0\0\x01abc").await));
        assert!(is_transient(&registry.encode("clips-seen", CLIP, value()).await));
    }
}

#[tokio::test]
async fn a_schema_that_breaks_a_subject_is_refused_with_409() {
    let data = tempfile::tempdir().unwrap();
    let (server, registry) = start(data.path()).await;
    registry.set_compatibility("clips-seen-value", "FULL_TRANSITIVE").await.unwrap();
    registry.register_all(&[("clips-seen-value", CLIP)]).await.unwrap();
    registry
        .register_all(&[("clips-seen-value", CLIP), ("clips-seen-value", CLIP_2)])
        .await
        .unwrap();

    let (status, error) = register(&server, "clips-seen-value", CLIP_WITH_A_REQUIRED_FIELD).await;
    assert_eq!((status, &error["error_code"]), (409, &json!(409)));
    let refused = registry.register_all(&[("clips-seen-value", CLIP_WITH_A_REQUIRED_FIELD)]).await;
    assert!(matches!(refused, Err(Trouble::Fatal(_))), "{refused:?}");
    let (_, versions) =
        ask(&server, "GET", "/subjects/clips-seen-value/versions", Value::Null).await;
    assert_eq!(versions, json!([1, 2]), "registering again adds nothing");
}

#[tokio::test]
async fn only_transitive_levels_look_at_every_version() {
    const A: &str = r#"{"type":"record","name":"E","fields":[{"name":"a","type":"int"}]}"#;
    const AB: &str = r#"{"type":"record","name":"E","fields":[{"name":"a","type":"int"},{"name":"b","type":"int","default":0}]}"#;
    // Reads AB, but not A: b has no default any more.
    const AB_REQUIRED: &str = r#"{"type":"record","name":"E","fields":[{"name":"a","type":"int"},{"name":"b","type":"int"}]}"#;
    let data = tempfile::tempdir().unwrap();
    let (server, registry) = start(data.path()).await;
    for (level, status) in [
        ("BACKWARD", 200),
        ("BACKWARD_TRANSITIVE", 409),
        ("FULL", 200),
        ("FULL_TRANSITIVE", 409),
        ("FORWARD_TRANSITIVE", 200),
        ("NONE", 200),
    ] {
        let subject = format!("{}-value", level.to_lowercase());
        registry.set_compatibility(&subject, level).await.unwrap();
        registry.register_all(&[(&subject, A), (&subject, AB)]).await.unwrap();
        let path = format!("/compatibility/subjects/{subject}/versions");
        let (_, check) = ask(&server, "POST", &path, json!({ "schema": AB_REQUIRED })).await;
        assert_eq!(check, json!({ "is_compatible": status == 200 }), "{level}");
        assert_eq!(register(&server, &subject, AB_REQUIRED).await.0, status, "{level}");
    }
    let (_, told) = ask(
        &server,
        "POST",
        "/compatibility/subjects/full_transitive-value/versions/1?verbose=true",
        json!({ "schema": AB_REQUIRED }),
    )
    .await;
    assert_eq!(told["is_compatible"], json!(false));
    assert!(told["messages"][0].as_str().unwrap().starts_with("version 1: "), "{told}");
}

#[tokio::test]
async fn ids_are_of_the_whole_registry_and_follow_what_a_schema_says() {
    let data = tempfile::tempdir().unwrap();
    let (server, _registry) = start(data.path()).await;
    let respaced =
        CLIP.replace('\n', " ").replace(r#""type": "string""#, r#""type":{"type":"string"}"#);
    let undocumented = CLIP.replace(r#" "doc": "A clip was seen.","#, "");
    assert_eq!(register(&server, "a-value", CLIP).await.1, json!({ "id": 1 }));
    assert_eq!(register(&server, "b-value", CLIP).await.1, json!({ "id": 1 }));
    assert_eq!(register(&server, "a-value", &respaced).await.1, json!({ "id": 1 }));
    assert_eq!(register(&server, "a-value", &undocumented).await.1, json!({ "id": 2 }));
    let (_, found) = ask(&server, "POST", "/subjects/a-value", json!({ "schema": respaced })).await;
    assert_eq!((&found["id"], &found["version"]), (&json!(1), &json!(1)));
}

#[tokio::test]
async fn errors_have_confluents_codes() {
    let data = tempfile::tempdir().unwrap();
    let (server, _registry) = start(data.path()).await;
    register(&server, "a-value", CLIP).await;
    let no = Value::Null;
    let table = [
        ("GET", "/schemas/ids/99", no.clone(), 404, 40403),
        ("GET", "/schemas/ids/99?deleted=true", no.clone(), 404, 40403),
        ("GET", "/subjects/b-value/versions", no.clone(), 404, 40401),
        ("GET", "/subjects/b-value/versions/1", no.clone(), 404, 40401),
        ("GET", "/subjects/a-value/versions/2", no.clone(), 404, 40402),
        ("GET", "/subjects/a-value/versions/0", no.clone(), 422, 42202),
        ("GET", "/subjects/a-value/versions/last", no.clone(), 422, 42202),
        ("POST", "/subjects/b-value", json!({ "schema": CLIP }), 404, 40401),
        ("POST", "/subjects/a-value", json!({ "schema": CLIP_2 }), 404, 40403),
        ("POST", "/subjects/a-value/versions", json!({ "schema": "{" }), 422, 42201),
        ("POST", "/subjects/a-value/versions", json!({}), 422, 42201),
        (
            "POST",
            "/subjects/a-value/versions",
            json!({ "schema": "{}", "schemaType": "JSON" }),
            422,
            42201,
        ),
        ("PUT", "/config/a-value", json!({ "compatibility": "SOMEHOW" }), 422, 42203),
        ("GET", "/config/a-value", no.clone(), 404, 40408),
        ("GET", "/nothing/here", no, 404, 404),
    ];
    for (method, path, body, status, code) in table {
        let (answered, error) = ask(&server, method, path, body).await;
        assert_eq!((answered, &error["error_code"]), (status, &json!(code)), "{method} {path}");
        assert!(error["message"].is_string());
    }
}

#[tokio::test]
async fn a_page_of_another_site_neither_writes_nor_reads() {
    let data = tempfile::tempdir().unwrap();
    let (server, _) = start(data.path()).await;
    let json = ("content-type", "application/json");
    let foreign = [
        ("host", "evil.example"),
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
    ];
    for header in foreign {
        let refused = register_with(&server, &[json, header]).await;
        assert_eq!(refused, (403, json!(40301)), "{header:?}");
    }
    let (_, subjects) = ask(&server, "GET", "/subjects", Value::Null).await;
    assert_eq!(subjects, json!([]));
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let rebound = http.get(format!("{}/subjects", server.url())).header("host", "evil.example");
    let refused = rebound.send().await.unwrap();
    assert_eq!(refused.status(), 403);
    let told: Value = refused.json().await.unwrap();
    assert!(told["message"].as_str().unwrap().contains("use http://127.0.0.1"), "{told}");
    let own = [json, ("host", "localhost:8081"), ("origin", "http://localhost:3000")];
    assert_eq!(register_with(&server, &own).await, (200, Value::Null));
}

#[tokio::test]
async fn what_is_sent_must_call_itself_json_which_no_form_of_a_page_can() {
    let data = tempfile::tempdir().unwrap();
    let (server, _) = start(data.path()).await;
    // What a page may send across sites without asking, and what calls itself nothing.
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""] {
        let refused = register_with(&server, &[("content-type", kind)]).await;
        assert_eq!(refused, (415, json!(415)), "{kind}");
    }
    assert_eq!(register_with(&server, &[]).await, (415, json!(415)));
    let (_, subjects) = ask(&server, "GET", "/subjects", Value::Null).await;
    assert_eq!(subjects, json!([]));
    // As clients say it: Confluent's in Java, Python and C, and those that know JSON only.
    for kind in [
        "application/vnd.schemaregistry.v1+json",
        "application/vnd.schemaregistry+json",
        "application/json",
        "Application/JSON; charset=utf-8",
    ] {
        let taken = register_with(&server, &[("content-type", kind)]).await;
        assert_eq!(taken, (200, Value::Null), "{kind}");
    }
}

#[tokio::test]
async fn levels_are_kept_per_subject_with_a_default() {
    let data = tempfile::tempdir().unwrap();
    let (server, registry) = start(data.path()).await;
    let level = |path: &'static str| async { ask(&server, "GET", path, Value::Null).await.1 };
    assert_eq!(level("/config").await, json!({ "compatibilityLevel": "BACKWARD" }));
    let put = ask(&server, "PUT", "/config", json!({ "compatibility": "FULL" })).await;
    assert_eq!(put, (200, json!({ "compatibility": "FULL" })));
    assert_eq!(level("/config").await, json!({ "compatibilityLevel": "FULL" }));
    let with_default = "/config/a-value?defaultToGlobal=true";
    assert_eq!(level(with_default).await, json!({ "compatibilityLevel": "FULL" }));
    registry.set_compatibility("a-value", "NONE").await.unwrap();
    assert_eq!(level("/config/a-value").await, json!({ "compatibilityLevel": "NONE" }));
    let refused = registry.set_compatibility("a-value", "SOMEHOW").await.unwrap_err();
    assert!(matches!(refused, Trouble::Fatal(_)), "{refused:?}");
}

#[tokio::test]
async fn schemas_and_levels_survive_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let (server, registry) = start(data.path()).await;
    registry.set_compatibility("clips-seen-value", "FULL_TRANSITIVE").await.unwrap();
    let bytes = registry.encode("clips-seen", CLIP, value()).await.unwrap();
    server.stop().await;

    let (server, registry) = start(data.path()).await;
    let decoded = registry.decode(&bytes).await.unwrap();
    assert_eq!(from_value::<ClipSeen>(&decoded).unwrap(), event());
    assert_eq!(register(&server, "clips-seen-value", CLIP_WITH_LESS).await.0, 409);
    assert_eq!(register(&server, "clips-seen-value", CLIP_2).await, (200, json!({ "id": 2 })));
}

#[tokio::test]
async fn a_damaged_file_stops_the_start_and_is_left_alone() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("registry.json");
    for damage in [
        "{",
        r#"{"schemas":{"1":"{"},"subjects":{},"levels":{},"level":null}"#,
        r#"{"schemas":{},"subjects":{"a":[1]},"levels":{},"level":null}"#,
    ] {
        std::fs::write(&file, damage).unwrap();
        let error = EmbeddedRegistry::start(data.path(), 0).await.unwrap_err();
        assert!(matches!(error, EmbeddedError::Book(BookError::Damaged { .. })), "{error}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), damage);
    }
}
