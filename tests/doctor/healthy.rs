//! Set-ups in order, in which nothing must be called a failure.

use crate::support::{Patient, Report, World};
use reelmill::connections;
use services::{Own, Service};
use std::{
    collections::BTreeSet,
    fs::File,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Killed when the test ends, however it ends.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn a_laptop_on_which_nothing_has_run_is_in_order_and_stays_as_it_is() {
    let patient = Patient::laptop();
    let report = patient.looked_at();
    report.has_no_failure();
    report.is_ok(&["broker", "registry", "bucket", "detector", "models", "codecs", "database"]);
    for check in ["broker", "registry", "bucket", "detector"] {
        let found = &report.findings[check].found;
        assert!(found.contains("is embedded"), "{check}: {found}");
    }
    let told = BTreeSet::from([
        "topics",
        "partitions",
        "retention",
        "transactions",
        "schemas",
        "rights",
        "conditions",
        "footage",
        "clock",
    ]);
    assert_eq!(report.of_state("not_looked_at"), told, "{}", report.text);
    let made: Vec<_> = std::fs::read_dir(patient.home.path()).unwrap().collect();
    assert!(made.is_empty(), "{made:?}");
}

/// The files below a directory.
fn files(directory: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.display().to_string());
        }
    }
    found
}

#[test]
fn a_mill_that_runs_is_in_order_and_is_left_without_a_trace() {
    let mut patient = Patient::laptop();
    let data = patient.home.path().join("data");
    patient.set("REELMILL_DATA", data.to_str().unwrap());
    let log = patient.home.path().join("log");
    let mut command = patient.command(env!("CARGO_BIN_EXE_reelmill"));
    // The same environment, another command.
    let mut up = Command::new(command.get_program());
    up.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    up.arg("up").stdout(Stdio::null()).stderr(File::create(&log).unwrap());
    let mut mill = Killed(up.spawn().unwrap());
    let started = Instant::now();
    while !data.join("endpoints.env").exists() {
        let log = || std::fs::read_to_string(&log).unwrap();
        assert!(mill.0.try_wait().unwrap().is_none(), "{}", log());
        assert!(started.elapsed() < Duration::from_secs(300), "{}", log());
        std::thread::sleep(Duration::from_millis(50));
    }
    let objects = data.join("store/objects");
    let before = files(&objects);
    let report = Report::of(command.arg("--json"));
    report.has_no_failure();
    report.is_ok(&["data", "broker", "topics", "partitions", "retention", "registry", "schemas"]);
    report.is_ok(&["bucket", "rights", "conditions", "footage", "detector", "index", "database"]);
    report.is_ok(&["clock", "models", "codecs"]);
    assert!(report.findings["data"].found.contains("a mill is running"), "{}", report.text);
    let doctors = |files: &BTreeSet<String>| files.iter().any(|file| file.contains("doctor"));
    let after = files(&objects);
    assert!(!doctors(&before) && !doctors(&after), "{after:#?}");
}

#[test]
fn what_processes_share_is_in_order_with_as_many_of_them_as_there_are_partitions() {
    let world = World::new();
    let mut patient = Patient::deployment(&world);
    patient.flags = ["--replicas", "detect=12,stitch=6"].map(str::to_owned).into();
    patient.set("REELMILL_ALLOWED_BUCKETS", "archive");
    let report = patient.looked_at();
    report.has_no_failure();
    report.is_ok(&["secrets", "broker", "topics", "partitions", "retention", "transactions"]);
    report.is_ok(&["registry", "schemas", "bucket", "rights", "conditions", "footage", "clock"]);
    assert!(report.findings["footage"].found.contains("archive is empty"), "{}", report.text);
    let own = BTreeSet::from(["index", "database"]);
    assert_eq!(report.of_state("warning"), own, "each process would have its own");
}

#[test]
fn a_store_that_does_nothing_wrong_is_in_order() {
    let world = World::new();
    let mut patient = Patient::deployment(&world);
    let habit = crate::fake::Habit::None;
    patient.set("REELMILL_S3", &crate::fake::store(habit));
    patient.set("REELMILL_OPENSEARCH", &crate::fake::opensearch(1, false, "green"));
    let report = patient.looked_at();
    report.has_no_failure();
    report.is_ok(&["bucket", "rights", "conditions", "footage", "index"]);
}

#[test]
fn real_services_are_in_order_before_and_after_the_first_start() {
    let wanted = [Service::Kafka, Service::Registry, Service::S3, Service::Postgres];
    let Some(own) = Own::start(&wanted) else { return };
    let mut patient = Patient::laptop();
    for (name, value) in own.variables() {
        patient.set(name, value);
    }
    let new = patient.looked_at();
    assert_eq!(new.of_state("failed"), BTreeSet::from(["topics"]), "{}", new.text);
    assert!(new.findings["topics"].remedy.contains("reelmill topics create"), "{}", new.text);

    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime
        .block_on(connections::create_topics(
            &reelmill::cli::KafkaArgs::plaintext(&own.kafka()),
            None,
        ))
        .unwrap();
    patient.looked_at().has_no_failure();

    // As the first process does that starts.
    runtime.block_on(async {
        let reelmill::cli::Command::Up(args) = parsed(own.variables()) else { unreachable!() };
        let endpoints = reelmill::cli::EndpointArgs {
            kafka: reelmill::cli::KafkaArgs::plaintext(&own.kafka()),
            registry: reelmill::cli::RegistryArgs { at: own.registry() },
            s3: own.s3().endpoint,
            keys: args.real.keys.clone(),
        };
        let data = patient.home.path().join("first");
        let metrics = reelmill::version::metrics().unwrap();
        let shared = &args.mill.shared;
        connections::Connections::open(&data, &endpoints, shared, &metrics).await.unwrap();
    });
    let report = patient.looked_at();
    report.has_no_failure();
    report.is_ok(&["broker", "topics", "partitions", "retention", "transactions", "registry"]);
    report.is_ok(&["schemas", "bucket", "rights", "conditions", "database", "clock"]);
}

#[test]
fn a_real_index_is_in_order_before_and_after_it_is_made() {
    let Some(own) = Own::start(&[Service::OpenSearch]) else { return };
    let mut patient = Patient::laptop();
    patient.set("REELMILL_OPENSEARCH", &own.variable("REELMILL_OPENSEARCH"));
    let new = patient.looked_at();
    new.has_no_failure();
    assert_eq!(new.findings["index"].state, "warning", "{}", new.text);
    assert!(new.findings["index"].found.contains("no alias reelmill"), "{}", new.text);

    let reelmill::cli::Command::Up(args) = parsed(own.variables()) else { unreachable!() };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let opened = reelmill::index::open(patient.home.path(), &args.mill.shared.index, "us-east-1");
    runtime.block_on(opened).unwrap();
    let report = patient.looked_at();
    report.has_no_failure();
    report.is_ok(&["index"]);
}

/// `up` with these variables as flags.
fn parsed(variables: &std::collections::BTreeMap<String, String>) -> reelmill::cli::Command {
    let flags = variables.iter().filter(|(name, _)| *name != "REELMILL_PROMETHEUS");
    let flags = flags.map(|(name, value)| {
        let name = name.trim_start_matches("REELMILL_").to_lowercase().replace('_', "-");
        format!("--{name}={value}")
    });
    let words = ["reelmill", "up"].map(str::to_owned).into_iter().chain(flags);
    <reelmill::cli::Cli as clap::Parser>::try_parse_from(words).unwrap().command
}
