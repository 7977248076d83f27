//! Parts of a deployment that start before the others.

use crate::support::program;
use std::{
    fs::File,
    net::TcpListener,
    path::Path,
    process::{Child, Command},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// A program that ends with the test.
struct Part(Child);

impl Part {
    fn start(command: &mut Command, log: &Path) -> Self {
        let log = File::create(log).unwrap();
        Self(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn until_it_says(log: &Path, words: &str) {
    let started = Instant::now();
    loop {
        let said = std::fs::read_to_string(log).unwrap_or_default();
        if said.contains(words) {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "no {words:?} in:\n{said}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_processor_and_the_watch_wait_for_services_that_come_later() {
    let free: Vec<_> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let ports = free.iter().map(|listener| listener.local_addr().unwrap().port().to_string());
    let ports: Vec<_> = ports.collect();
    drop(free);
    let dir = TempDir::new().unwrap();
    let at = |port: usize| format!("http://127.0.0.1:{}", ports[port]);
    let variables = [
        ("REELMILL_KAFKA", format!("127.0.0.1:{}", ports[0])),
        ("REELMILL_REGISTRY", at(1)),
        ("REELMILL_S3", at(2)),
    ];
    let file = |name: &str| dir.path().join(name);
    let part = |words: &[&str]| {
        let mut command = program();
        command.args(words).args(["--port", "0", "--start-timeout", "60"]);
        command.env("REELMILL_DATA", file(words[0])).envs(variables.clone());
        Part::start(&mut command, &file(&format!("{}.log", words[0])))
    };
    let _parts = [part(&["run", "--only", "thumbnail"]), part(&["watch"])];
    until_it_says(&file("run.log"), "the schema registry at");
    until_it_says(&file("run.log"), "trying again in 500 ms");
    until_it_says(&file("watch.log"), "trying again in 250 ms");

    let mut up = program();
    up.args(["up", "--port", "0", "--vision-port", "0", "--kafka-port", &ports[0]]);
    up.args(["--registry-port", &ports[1], "--store-port", &ports[2], "--data"]).arg(file("data"));
    let _up = Part::start(&mut up, &file("up.log"));
    until_it_says(&file("run.log"), "running url=");
    until_it_says(&file("watch.log"), "REELMILL_WATCH");
}

#[test]
fn a_part_that_may_not_wait_says_at_once_what_is_away() {
    let dir = TempDir::new().unwrap();
    let began = Instant::now();
    for (part, away) in [("run", "the schema registry"), ("watch", "kafka")] {
        let output = program()
            .args([part, "--port", "0", "--start-timeout", "0", "--kafka", "127.0.0.1:1"])
            .env("REELMILL_DATA", dir.path())
            .env("REELMILL_REGISTRY", "http://127.0.0.1:1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(away) && said.contains("127.0.0.1:1"), "{said}");
        assert!(!said.contains("trying again"), "{said}");
    }
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

#[test]
fn a_second_part_on_the_data_of_another_is_refused_and_leaves_it_alone() {
    let dir = TempDir::new().unwrap();
    let file = |name: &str| dir.path().join(name);
    let part = |words: &[&str]| {
        let mut command = program();
        command.args(words).args(["--port", "0", "--data"]).arg(file("data"));
        // Nobody is there: it waits.
        command.env("REELMILL_REGISTRY", "http://127.0.0.1:1");
        command
    };
    let mut first = Part::start(&mut part(&["run", "--only", "cut"]), &file("first.log"));
    until_it_says(&file("first.log"), "trying again");
    for words in [&["run", "--only", "blur"][..], &["vision"]] {
        let output = part(words).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{said}");
        assert!(said.contains("in use by another reelmill") && said.contains("--data"), "{said}");
    }
    assert!(first.0.try_wait().unwrap().is_none(), "the first one goes on");
}
