//! The API's description of itself, and whether it is true.

use crate::{
    ports_in_memory::video_row,
    support::{Mill, problem},
};
use ports::{
    DeadLetterRow, Hit, Moment, MomentKind, ObjectRef, Put, StageRow, VideoRow, VideoState,
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    env, fs,
    path::Path,
    process::{Command, Stdio},
    sync::LazyLock,
};

const KEPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");
/// The id of the document's examples.
const EXAMPLE: &str = "5f0c7f3e-6f0e-4a57-9d5c-0b1f7a4c2d11";

/// Whether the document in `docs` has this code among the answers of the path. Of a path that it
/// does not have it says nothing.
pub(crate) fn is_described(path: &str, code: &str) -> bool {
    static DOCUMENT: LazyLock<Value> =
        LazyLock::new(|| serde_json::from_slice(&fs::read(KEPT).unwrap()).unwrap());
    let same = |template: &str| {
        let (ours, theirs) = (template.split('/'), path.split('/'));
        ours.clone().count() == theirs.clone().count()
            && ours.zip(theirs).all(|(ours, theirs)| ours.starts_with('{') || ours == theirs)
    };
    let described = operations(&DOCUMENT).into_iter().filter(|(template, ..)| same(template));
    let codes: Vec<_> = described.map(|(.., operation)| &operation["x-problem-codes"]).collect();
    codes.is_empty() || codes.iter().any(|codes| codes.as_array().unwrap().contains(&json!(code)))
}

/// Every operation: its path, its method and what is said of it.
fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    let operations = paths.iter().flat_map(|(path, item)| {
        let item = item.as_object().unwrap().iter();
        item.map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
    });
    operations.collect()
}

#[tokio::test]
async fn the_document_that_is_served_is_the_one_in_docs() {
    let mill = Mill::start().await;
    let served = mill.get("/api/openapi.json").send().await.unwrap().text().await.unwrap();
    if env::var_os("REELMILL_WRITE_TABLES").is_some() {
        fs::write(KEPT, &served).unwrap();
    }
    let kept = fs::read_to_string(KEPT).unwrap_or_default();
    assert!(kept == served, "docs/openapi.json is old: REELMILL_WRITE_TABLES=1 writes it anew");
}

/// What `docs/problems.md` says before its table.
const PROBLEMS: &str = "\
# Problems

Every error of the HTTP API is an `application/problem+json` document
([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)): `type` (`urn:reelmill:problem:` and the code),
`title`, `status`, `code` for programs, `detail` with the cause for people, `next_step`, and the
members that the table names. `docs/openapi.json` says which codes each operation can answer with.
Only what cannot be read as HTTP at all (a malformed request line or header, more than a hundred
headers) is refused with a bare status, before it has a path.

Written by `REELMILL_WRITE_TABLES=1 cargo test --workspace --test http -- openapi`.

| status | code | title | when | next step |
|--|--|--|--|--|
";

#[tokio::test]
async fn every_code_has_a_status_a_title_of_its_own_a_cause_and_a_next_step() {
    let mill = Mill::start().await;
    let document = mill.json("/api/openapi.json").await;
    let codes = document["components"]["schemas"]["Code"]["enum"].as_array().unwrap();
    assert!(codes.len() > 40);
    let mut titles = BTreeSet::new();
    let mut rows = BTreeSet::new();
    for code in codes {
        let code = code.as_str().unwrap();
        let problem = &document["components"]["examples"][code]["value"];
        assert_eq!(problem["code"], code);
        let status = problem["status"].as_u64().unwrap();
        assert!((400..600).contains(&status), "{code}");
        let mut row = format!("| {status} | `{code}`");
        for member in ["title", "detail", "next_step"] {
            let text = problem[member].as_str().unwrap();
            assert!(text.len() > 8 && !text.ends_with('.'), "{member} of {code}: {text:?}");
            row.push_str(&format!(" | {text}"));
        }
        let title = problem["title"].as_str().unwrap();
        assert!(titles.insert(title), "{code} shares its title {title:?}");
        rows.insert(row + " |\n");
    }
    let page = PROBLEMS.to_owned() + &rows.into_iter().collect::<String>();
    let at = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/problems.md");
    if env::var_os("REELMILL_WRITE_TABLES").is_some() {
        fs::write(at, &page).unwrap();
    }
    let kept = fs::read_to_string(at).unwrap_or_default();
    assert!(kept == page, "docs/problems.md is old: REELMILL_WRITE_TABLES=1 writes it anew");
}

#[tokio::test]
async fn every_operation_says_what_it_takes_and_all_that_it_answers() {
    let mill = Mill::start().await;
    let document = mill.json("/api/openapi.json").await;
    assert_eq!(document["openapi"], "3.1.0");
    let mut ids = BTreeSet::new();
    for (path, method, operation) in operations(&document) {
        let at = format!("{method} {path}");
        let text = |value: &Value| value.as_str().is_some_and(|text| !text.trim().is_empty());
        assert!(text(&operation["summary"]) && text(&operation["description"]), "{at}");
        assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{at}");
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let name = &parameter["name"];
            let example = parameter.get("example").or(parameter["schema"].get("example"));
            assert!(example.is_some(), "{at}: {name} has no example");
            assert!(text(&parameter["description"]), "{at}: {name} is not described");
        }
        let responses = operation["responses"].as_object().unwrap();
        let mut listed = BTreeSet::new();
        for (status, response) in responses {
            assert!(text(&response["description"]), "{at}: {status} is not described");
            if status.as_str() < "400" {
                continue;
            }
            let content = response["content"].as_object().unwrap();
            assert_eq!(content.keys().collect::<Vec<_>>(), ["application/problem+json"], "{at}");
            let examples = content["application/problem+json"]["examples"].as_object().unwrap();
            for (code, example) in examples {
                let at = example["$ref"].as_str().unwrap().trim_start_matches('#');
                let example = document.pointer(at).unwrap();
                assert_eq!(example["value"]["code"], json!(code));
                assert_eq!(example["value"]["status"].to_string(), *status);
                listed.insert(code.as_str());
            }
            if status == "503" {
                assert!(response["headers"]["Retry-After"].is_object(), "{at}");
            }
        }
        let codes = operation["x-problem-codes"].as_array().unwrap().iter();
        assert_eq!(codes.map(|code| code.as_str().unwrap()).collect::<BTreeSet<_>>(), listed);
        for code in ["foreign_host", "internal"] {
            assert!(listed.contains(code), "{at} can answer {code}");
        }
        assert_eq!(listed.contains("foreign_origin"), method != "get", "{at}");
    }
    assert!(ids.len() >= 15);
}

#[tokio::test]
async fn every_described_operation_is_there_and_other_methods_are_not() {
    let mill = Mill::start().await;
    let document = mill.json("/api/openapi.json").await;
    for (path, method, _) in operations(&document) {
        let url = format!("{}{}", mill.base, path.replace(['{', '}'], ""));
        let method = Method::from_bytes(method.to_ascii_uppercase().as_bytes()).unwrap();
        let answer = mill.http.request(method.clone(), &url).send().await.unwrap();
        assert_ne!(answer.status(), StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
        problem(mill.http.request(Method::PATCH, &url), 405, "wrong_method").await;
    }
    let index = mill.get("/").send().await.unwrap().text().await.unwrap();
    for (path, ..) in operations(&document) {
        assert!(path.starts_with("/docs") || index.contains(path), "GET / does not name {path}");
    }
}

#[tokio::test]
async fn the_pages_come_from_this_program_and_may_fetch_from_nowhere_else() {
    let mill = Mill::start().await;
    let page = mill.get("/docs").send().await.unwrap();
    assert_eq!(page.url().path(), "/docs/");
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
    assert!(!policy.contains("http") && !policy.contains("unsafe-eval"), "{policy}");
    let page = page.text().await.unwrap();
    let mut files = 0;
    for part in page.split(['"', '\'']).filter(|part| part.starts_with("./")) {
        let file = mill.get(&format!("/docs/{}", &part[2..])).send().await.unwrap();
        assert_eq!(file.status(), StatusCode::OK, "{part}");
        files += 1;
    }
    assert!(files > 3, "{page}");
    assert!(!page.contains("src=\"http") && !page.contains("href=\"http"), "{page}");
    let start = mill.get("/docs/swagger-initializer.js").send().await.unwrap();
    let start = start.text().await.unwrap();
    assert!(start.contains("/api/openapi.json"), "{start}");
    assert!(start.contains("\"validatorUrl\": \"none\""), "{start}");
    problem(mill.get("/docs/nothing.js"), 404, "no_such_route").await;
    problem(mill.get("/docs/..%2F..%2Fetc%2Fpasswd"), 404, "no_such_route").await;
}

/// Videos in every state, with all that a page can show of them.
async fn lively() -> Mill {
    let mill = Mill::start().await;
    mill.publish(EXAMPLE, "talk", &[7; 5_000]);
    let receipt = ObjectRef::new("mill", format!("receipts/{EXAMPLE}.json"));
    let written = schemas::Receipt {
        version: 1,
        video_id: EXAMPLE.to_owned(),
        run_id: "r".to_owned(),
        statement: "verified against detector yunet_s@640 at threshold 0.5".to_owned(),
        source_sha256: "0".repeat(64),
        output_sha256: "1".repeat(64),
        masking: schemas::Masking {
            blur: schemas::Blur::All,
            style: "pixelate".to_owned(),
            detector: "yunet_s@640".to_owned(),
            threshold: 0.5,
            verify_threshold: 0.7,
            extend_ms: 1000,
        },
        checks: schemas::Checks::default(),
    };
    mill.store.insert(&receipt, &serde_json::to_vec(&written).unwrap(), Put::default());
    let stage = StageRow {
        stage: "cut".to_owned(),
        done: 1,
        total: None,
        frames: 90,
        first_at_ms: Some(5),
        last_at_ms: None,
    };
    let (reason, detail) = ("not_a_video".to_owned(), "the file is a text".to_owned());
    mill.catalog.add(VideoRow {
        state: VideoState::Failed,
        reason: Some(reason.clone()),
        detail: Some(detail.clone()),
        stages: vec![stage.clone(), StageRow { total: Some(3), ..stage }],
        ..video_row("failed")
    });
    mill.catalog.add(video_row("under-way"));
    for video_id in [EXAMPLE, "failed"] {
        mill.catalog.letters.lock().unwrap().push(DeadLetterRow {
            topic: "reelmill.dead.detect".to_owned(),
            partition: 0,
            offset: 4,
            processor: "detect".to_owned(),
            video_id: Some(video_id.to_owned()),
            reason: reason.clone(),
            detail: detail.clone(),
            at_ms: 7,
            redriven_at_ms: None,
        });
    }
    let moment = Moment {
        kind: MomentKind::Label,
        name: "Person".to_owned(),
        start_ms: 500,
        end_ms: 1500,
        confidence: 99.5,
        region: Some([0.1, 0.2, 0.3, 0.4]),
    };
    let hit = |video_id: &str| Hit {
        video_id: video_id.to_owned(),
        title: "talk".to_owned(),
        owner: "local".to_owned(),
        assessment: String::new(),
        recorded_at_ms: 1,
        duration_ms: 2_000,
        score: 1.5,
        moments: vec![moment.clone(), Moment { region: None, ..moment.clone() }],
    };
    *mill.search.hits.lock().unwrap() = vec![hit(EXAMPLE), hit("unheard-of")];
    mill
}

/// Whether a Python package is there; where services are required, its absence is a failure.
fn python_has(package: &str) -> bool {
    let mut python = Command::new("python3");
    let probe = python.args(["-c", &format!("import {package}")]);
    let status = probe.stdout(Stdio::null()).stderr(Stdio::null()).status();
    let there = status.is_ok_and(|status| status.success());
    if !there {
        assert!(
            env::var_os("REELMILL_REQUIRE_SERVICES").is_none(),
            "{package} for python is required and missing: run scripts/setup.sh"
        );
        eprintln!("skipped: {package} for python is not installed");
    }
    there
}

fn run(mut command: Command) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{complained}");
    eprintln!("{said}");
}

#[test]
fn the_document_is_valid_openapi() {
    if python_has("openapi_spec_validator") {
        let mut python = Command::new("python3");
        python.args(["-m", "openapi_spec_validator", "--schema", "3.1", KEPT]);
        run(python);
    }
}

/// Made-up requests, right and wrong ones: no answer may differ from the description, and every
/// error must be a problem that the operation lists. `positive_data_acceptance` is left out: whether
/// a query can be read, a page lies within the first 10,000 or a day is to come, no schema can say.
#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_no_answer_that_differs_from_the_document() {
    if !python_has("schemathesis") {
        return;
    }
    let mill = lively().await;
    let scratch = env::temp_dir().join(format!("reelmill-schemathesis-{}", std::process::id()));
    fs::create_dir_all(&scratch).unwrap();
    let hooks = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/http");
    let mut python = Command::new("python3");
    python
        .args(["-m", "schemathesis.cli", "run"])
        .arg(format!("{}/api/openapi.json", mill.base))
        .args(["--checks", "all", "--exclude-checks", "positive_data_acceptance"])
        .args(["--max-examples", "50", "--seed", "4", "--generation-database", "none"])
        .args(["--suppress-health-check", "all", "--no-color"])
        .args(["--continue-on-failure", "--request-timeout", "10"])
        .env("SCHEMATHESIS_HOOKS", "problems")
        .env("PYTHONPATH", hooks)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(&scratch);
    tokio::task::spawn_blocking(|| run(python)).await.unwrap();
    fs::remove_dir_all(&scratch).unwrap();
}
