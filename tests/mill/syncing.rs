//! What `--kafka-sync` makes the whole program do, seen from outside: the calls that wait for the disk.

use crate::{
    support::{START, footage, program},
    tracing::can_trace,
};
use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Starts a mill, has it do its whole job on one film, and stops it; counts how often it waited for
/// the disk with files of the broker.
fn waits(word: &str) -> usize {
    let dir = TempDir::new().unwrap();
    let (data, log) = (dir.path().join("data"), dir.path().join("trace"));
    let mut traced = Command::new("strace")
        .args(["-f", "-y", "--seccomp-bpf", "-e", "trace=fsync,fdatasync", "-o"])
        .arg(&log)
        .arg(program().get_program())
        .args(["up", "--port", "0", "--kafka-port", "0", "--registry-port", "0"])
        .args(["--store-port", "0", "--vision-port", "0", "--kafka-sync", word, "--data"])
        .arg(&data)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let started = Instant::now();
    let is_up = |data: &Path| fs::read(data.join("endpoints.env")).is_ok_and(|it| !it.is_empty());
    while !is_up(&data) && started.elapsed() < START {
        sleep(Duration::from_millis(20));
    }
    assert!(is_up(&data), "the mill did not start");
    let endpoints = fs::read_to_string(data.join("endpoints.env")).unwrap();
    let uploaded = program()
        .args(["upload", "--wait"])
        .arg(footage("head-pose-two.mp4"))
        .envs(endpoints.lines().filter_map(|line| line.split_once('=')))
        .output()
        .unwrap();
    assert!(uploaded.status.success(), "{uploaded:?}");
    let pid = traced.id();
    let mill = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    let stopped = Command::new("kill").arg("-TERM").args(mill.split_whitespace()).status().unwrap();
    assert!(stopped.success());
    assert!(traced.wait().unwrap().success());
    let broker = data.join("broker").display().to_string();
    fs::read_to_string(log).unwrap().lines().filter(|line| line.contains(&broker)).count()
}

#[test]
fn the_embedded_broker_waits_for_the_disk_as_often_as_it_is_told() {
    if !can_trace() {
        return;
    }
    let (never, hourly, always) = (waits("never"), waits("3600000"), waits("always"));
    eprintln!("never {never}, hourly {hourly}, always {always}");
    // A new journal and its directory are written down in any case.
    assert!(never * 4 < hourly, "never {never}, hourly {hourly}");
    assert!(hourly < always, "hourly {hourly}, always {always}");
}
