//! The search index in OpenSearch, through the doors a user has; and what is said where it cannot be.

use crate::{
    places::up,
    support::{Mill, footage, program},
};
use serde_json::Value;
use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tempfile::TempDir;

/// A name no other index has.
fn name() -> String {
    format!("mill-{}", SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros())
}

/// What a search answers, but for what differs from one mill to the next.
fn answers(mill: &Mill) -> Vec<Value> {
    let queries = ["*", "person", "label:person", "person -nothing", "title:pose", "-person", "no"];
    let answers = queries.map(|query| {
        let (status, mut page) = mill.get(&format!("/api/search?q={query}"));
        assert_eq!(status, 200, "{query}: {page:#}");
        keep_what_lasts(&mut page);
        page
    });
    answers.into()
}

fn keep_what_lasts(value: &mut Value) {
    match value {
        Value::Object(members) => {
            let of_this_mill = ["video_id", "recorded_at_ms", "recording"];
            members.retain(|name, _| !name.ends_with("url") && !of_this_mill.contains(&&**name));
            members.values_mut().for_each(keep_what_lasts);
        }
        Value::Array(members) => members.iter_mut().for_each(keep_what_lasts),
        Value::Number(number) => {
            // Scores of single precision, said with more digits by one than by the other.
            if let Some(whole) = number.as_f64() {
                *value = format!("{whole:.4}").into();
            }
        }
        _ => {}
    }
}

#[test]
fn the_whole_job_with_opensearch_gives_the_answers_of_one_machine_and_an_index_comes_back() {
    let Some(url) = services::opensearch() else { return };
    let name = name();
    let arguments = ["--opensearch", &url, "--opensearch-index", &name];
    let film = footage("head-pose-two.mp4");

    let machine = Mill::start(&[]);
    machine.ready(&machine.upload(&film, "title=pose"));
    let expected = answers(&machine);
    assert_eq!(expected[0]["hits"].as_array().unwrap().len(), 1, "{expected:#?}");
    drop(machine);

    let mut mill = Mill::start(&arguments);
    mill.ready(&mill.upload(&film, "title=pose"));
    assert_eq!(answers(&mill), expected);
    assert!(!mill.data().join("index").exists());
    mill.kill_and_restart();
    assert_eq!(answers(&mill), expected);

    let http = reqwest::blocking::Client::builder().no_proxy().build().unwrap();
    let gone = http.delete(format!("{url}/{name}-v1-000001")).send().unwrap();
    assert!(gone.status().is_success());
    let (status, problem) = mill.get("/api/search?q=*");
    assert_eq!((status, &problem["code"]), (503, &"index_missing".into()), "{problem:#}");
    let told = problem["detail"].as_str().unwrap_or_default();
    assert!(told.contains("reelmill index rebuild"), "{problem:#}");

    let rebuilt = mill.run(&[&["index", "rebuild"], &arguments[..]].concat());
    let said = String::from_utf8_lossy(&rebuilt.stdout).into_owned();
    assert!(rebuilt.status.success(), "{said}{}", String::from_utf8_lossy(&rebuilt.stderr));
    assert!(said.contains("is searched now: 1 runs from the store"), "{said}");
    assert_eq!(answers(&mill), expected);
}

/// Answers every caller so.
fn server(status: &'static str, body: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for caller in listener.incoming() {
            let mut caller = caller.unwrap();
            drop(caller.read(&mut [0; 4000]));
            let length = body.len();
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n");
            drop(caller.write_all(format!("{head}Connection: close\r\n\r\n{body}").as_bytes()));
        }
    });
    place
}

#[test]
fn an_index_that_cannot_be_is_refused_with_cause_and_remedy_and_without_its_password() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let elastic = r#"{"version":{"number":"8.15.0"},"tagline":"You Know, for Search"}"#;
    // 64 is for what a person must correct; a server that is away may come back.
    let table = [
        (
            format!("http://ann:hush@{nobody}"),
            "mill",
            1,
            ["does not answer", "see whether it runs"],
        ),
        (
            format!("http://ann:hush@{}", server("200 OK", "<html>It works!</html>")),
            "mill",
            64,
            ["is not OpenSearch", "correct --opensearch"],
        ),
        (
            format!("http://ann:hush@{}", server("200 OK", elastic)),
            "mill",
            64,
            ["another engine of version 8.15.0", "correct --opensearch"],
        ),
        (
            format!("http://ann:hush@{}", server("401 Unauthorized", "Unauthorized")),
            "mill",
            64,
            ["401", "set --opensearch-user and --opensearch-password"],
        ),
        (
            format!("http://ann:hush@{}", server("503 Service Unavailable", "starting")),
            "mill",
            1,
            ["503", "starting"],
        ),
        (format!("ann:hush@{nobody}"), "mill", 64, ["is no address", "http://HOST:9200"]),
        (format!("http://ann:hush@{nobody}"), "My Index", 64, ["cannot name an index", "small"]),
    ];
    for (url, index, code, expected) in table {
        let dir = TempDir::new().unwrap();
        let file = dir.path().join("reelmill.toml");
        fs::write(&file, format!("opensearch = {url:?}\nopensearch_index = {index:?}\n")).unwrap();
        let mut ways = vec![("up", {
            let mut command = program();
            command.arg("--config").arg(&file).env("REELMILL_LOG", "trace");
            up(command, &dir.path().join("data"))
        })];
        let mut rebuild = program();
        rebuild.args(["index", "rebuild", "--config"]).arg(&file).env("REELMILL_LOG", "trace");
        ways.push(("index rebuild", rebuild.output().unwrap()));
        for (way, output) in ways {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(!said.contains("hush"), "{way} tells the password:\n{said}");
            let last = said.lines().rev().find(|line| line.starts_with("reelmill: "));
            let last = last.unwrap_or(&said);
            assert_eq!(output.status.code(), Some(code), "{way} {url}: {last}");
            for words in expected {
                assert!(last.contains(words), "{way} {url}: {last}");
            }
        }
    }
    let started = Instant::now();
    let output = program().args(["index", "rebuild"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(64), "{said}");
    assert!(said.contains("set --opensearch"), "{said}");
    assert!(started.elapsed() < Duration::from_secs(10));
}
