//! Each service answers in its own protocol, and the scripts stop just what they started.
//! Kafka, the registry and the store answer to their whole suites in `connectors/tests`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first surprise")]

use serde_json::{Value, json};
use services::{Own, Service};
use std::{
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

fn http() -> reqwest::blocking::Client {
    // The first requests to a cold OpenSearch are slow.
    reqwest::blocking::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(60))
        .build()
        .unwrap()
}

fn get(url: &str) -> Value {
    let answer = http().get(url).send().unwrap();
    assert!(answer.status().is_success(), "{url}: {}", answer.status());
    answer.json().unwrap()
}

#[test]
fn opensearch_finds_what_was_indexed() {
    let Some(url) = services::opensearch() else { return };
    assert_eq!(get(&url)["version"]["number"], "2.19.4");
    let health = get(&format!("{url}/_cluster/health"));
    assert_ne!(health["status"], "red", "{health}");

    let index = format!("{url}/services-{}", std::process::id());
    let document = json!({ "title": "two people talking" });
    let put = http().put(format!("{index}/_doc/1?refresh=true")).json(&document).send().unwrap();
    assert_eq!(put.status(), 201, "{}", put.text().unwrap());
    let found = get(&format!("{index}/_search?q=title:talking"));
    assert_eq!(found["hits"]["hits"][0]["_source"], document, "{found}");
    assert!(http().delete(&index).send().unwrap().status().is_success());
}

#[test]
fn postgres_lets_its_user_in_and_answers_a_query() {
    let Some(url) = services::postgres() else { return };
    let rest = url.strip_prefix("postgres://reelmill@").unwrap();
    let mut socket = TcpStream::connect(rest.strip_suffix("/reelmill").unwrap()).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    // StartupMessage of protocol 3.0, then a simple Query.
    let parameters = b"user\0reelmill\0database\0reelmill\0\0";
    let mut hello = (8 + parameters.len() as u32).to_be_bytes().to_vec();
    hello.extend(196_608_u32.to_be_bytes());
    hello.extend(parameters);
    socket.write_all(&hello).unwrap();
    let query = b"select 40 + 2 as answer\0";
    let mut message = vec![b'Q'];
    message.extend((4 + query.len() as u32).to_be_bytes());
    message.extend(query);
    socket.write_all(&message).unwrap();
    // The answer is one DataRow ('D') with one column.
    for _ in 0..100 {
        let mut head = [0; 5];
        socket.read_exact(&mut head).unwrap();
        let length = u32::from_be_bytes(head[1..].try_into().unwrap()) as usize;
        let mut body = vec![0; length - 4];
        socket.read_exact(&mut body).unwrap();
        assert_ne!(head[0], b'E', "{}", String::from_utf8_lossy(&body));
        if head[0] == b'D' {
            assert_eq!(body, b"\0\x01\0\0\0\x0242");
            return;
        }
    }
    panic!("no row came");
}

#[test]
fn prometheus_scrapes_what_its_targets_say() {
    let Some(prometheus) = services::prometheus() else { return };
    let ready = http().get(format!("{}/-/ready", prometheus.url)).send().unwrap();
    assert_eq!(ready.status(), 200);
    let written = std::fs::read_to_string(&prometheus.targets).unwrap();
    assert!(written.contains(prometheus.url.strip_prefix("http://").unwrap()), "{written}");
    let query = format!("{}/api/v1/query?query=up", prometheus.url);
    let started = Instant::now();
    loop {
        let answer = get(&query);
        if answer["data"]["result"][0]["value"][1] == "1" {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(30), "{answer}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn a_service_comes_back_on_its_port_with_its_data() {
    let Some(own) = Own::start(&[Service::Prometheus, Service::S3]) else { return };
    let (first, other) = (own.pid(Service::Prometheus).unwrap(), own.pid(Service::S3).unwrap());
    let url = format!("{}/-/ready", own.variable("REELMILL_PROMETHEUS"));
    assert!(http().get(&url).send().is_ok());
    std::fs::write(own.folder().join("s3/data/kept"), "kept").unwrap();

    own.kill(Service::Prometheus);
    assert!(http().get(&url).send().is_err(), "it is dead");
    own.restart(Service::Prometheus);
    assert_eq!(http().get(&url).send().unwrap().status(), 200, "the same port");
    assert_ne!(own.pid(Service::Prometheus), Some(first));
    own.stop(Service::S3);
    assert_eq!(own.pid(Service::S3), None);
    own.restart(Service::S3);
    assert_ne!(own.pid(Service::S3), Some(other));
    assert!(own.folder().join("s3/data/kept").exists());
}

#[test]
fn when_the_owner_goes_its_services_and_their_folder_go() {
    let Some(own) = Own::start(&[Service::S3]) else { return };
    let (folder, pid) = (own.folder().to_owned(), own.pid(Service::S3).unwrap());
    assert!(is_alive(pid));
    drop(own);
    assert!(!is_alive(pid) && !folder.exists());
}

#[test]
fn a_process_that_has_a_stopped_services_number_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("s3");
    std::fs::create_dir(&home).unwrap();
    let mut innocent = Command::new("sleep").arg("60").spawn().unwrap();
    let started = started_at(innocent.id());
    std::fs::write(home.join("pid"), format!("{} {}\n", innocent.id(), started - 1)).unwrap();
    assert!(stop(folder.path()));
    assert!(is_alive(innocent.id()), "it was started at another time");
    // With its own time it is the service, and is ended: so the test can fail.
    std::fs::write(home.join("pid"), format!("{} {started}\n", innocent.id())).unwrap();
    assert!(stop(folder.path()));
    assert!(!is_alive(innocent.id()));
    innocent.wait().unwrap();
}

/// Whether the script has a service to start; `services` has the words for where it has not.
fn has(service: Service) -> bool {
    Own::start(&[service]).is_some()
}

fn stop(folder: &Path) -> bool {
    script().arg("down").arg(folder).arg("s3").status().unwrap().success()
}

fn script() -> Command {
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/services.sh"))
}

/// The fields of `/proc/PID/stat` after the name.
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(") ")?;
    Some(fields.split_whitespace().map(str::to_owned).collect())
}

fn is_alive(pid: u32) -> bool {
    stat(pid).is_some_and(|fields| fields[0] != "Z")
}

fn started_at(pid: u32) -> u64 {
    stat(pid).unwrap()[19].parse().unwrap()
}

#[test]
fn a_command_finds_the_services_it_runs_with_and_its_exit_code_comes_through() {
    if !has(Service::S3) {
        return;
    }
    let command = "grep -q ^REELMILL_S3=http $REELMILL_SERVICES && exit 7";
    let ran = script().args(["with", "s3", "--", "sh", "-c", command]).status().unwrap();
    assert_eq!(ran.code(), Some(7));
}

#[test]
fn a_service_that_dies_at_the_start_says_why() {
    if !has(Service::S3) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("s3");
    std::fs::create_dir(&home).unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    std::fs::write(home.join("ports"), format!("{port} 1\n")).unwrap();
    let output = script().arg("up").arg(folder.path()).arg("s3").output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{words}");
    assert!(words.contains("s3 ended while it started") && words.contains("address"), "{words}");
}

#[test]
fn a_name_that_is_no_service_is_wrong_usage() {
    for arguments in [&["install", "kafak"][..], &["run", "kafak"], &["with", "kafka"], &["fly"]] {
        let mut child: Child = script().args(arguments).stderr(Stdio::piped()).spawn().unwrap();
        let mut words = String::new();
        child.stderr.take().unwrap().read_to_string(&mut words).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(64), "{words}");
        assert!(words.contains("usage: scripts/services.sh"), "{words}");
    }
}
