//! Dashboards and alerts, held against a real Prometheus that scrapes this program at work.
//!
//! What is checked is in `tests/panels`; each script can be run by itself as well.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use services::{Own, Service};
use std::{
    collections::BTreeSet,
    path::Path,
    process::Command,
    sync::{Mutex, PoisonError},
};

/// One at a time: each has a mill at work, and a time in which it must be done.
static AT_WORK: Mutex<()> = Mutex::new(());

/// Runs a script of `tests/panels` beside a Prometheus of its own.
fn passes(script: &str) {
    let _alone = AT_WORK.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(own) = Own::start(&[Service::Prometheus]) else { return };
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/panels").join(script);
    let run = Command::new("python3")
        .arg(file)
        .env("REELMILL_BIN", env!("CARGO_BIN_EXE_reelmill"))
        .env("REELMILL_SERVICES", own.folder().join("env"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{said}{}", String::from_utf8_lossy(&run.stderr));
    println!("{said}");
}

#[test]
fn every_panel_of_a_mill_at_work_shows_something() {
    passes("live.py");
}

#[test]
fn the_dashboards_name_a_broken_stage_and_why() {
    passes("broken.py");
}

#[test]
fn every_alert_fires_and_stays_silent_and_has_a_runbook() {
    passes("rules.py");
}

#[test]
fn the_metrics_that_the_program_has_are_those_that_are_listed() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    let text = std::fs::read_to_string(file).unwrap();
    let listed = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
    let listed: BTreeSet<_> = listed.map(|(name, _)| name.to_owned()).collect();
    let metrics = engine::Metrics::new().unwrap();
    assert_eq!(&listed, metrics.names());
}

#[test]
fn the_dashboards_have_every_stage_in_the_order_of_the_work() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/grafana/parts.py");
    let text = std::fs::read_to_string(file).unwrap();
    let listed = text.lines().find_map(|line| line.strip_prefix("STAGES = [")).unwrap();
    let listed = listed.trim_end_matches(']').split(", ").map(|name| name.trim_matches('"'));
    let shape = reelmill::pipeline::shape();
    assert_eq!(listed.collect::<Vec<_>>(), shape.specs().map(|spec| spec.name).collect::<Vec<_>>());
}
