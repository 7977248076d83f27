//! Real services for tests: Apache Kafka, Apicurio, VersityGW, OpenSearch, PostgreSQL, Prometheus.
//!
//! `scripts/services.sh` starts and stops them. Under `make test` they run already and
//! `REELMILL_SERVICES` names the file that says where; a test that is run by itself starts what it
//! asks for, once per test program. Where a service is not installed the answer is `None`, with a
//! word of why; with `REELMILL_REQUIRE_SERVICES` set it is a failure.

#![expect(clippy::panic, reason = "used by tests only: one ends at the first surprise")]

mod own;
pub mod proxy;
mod secured;

pub use own::Own;
pub use secured::{PASSWORD, REGION, Secured, USER};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

/// A service, as `scripts/services.sh` knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    Kafka,
    Registry,
    S3,
    OpenSearch,
    Postgres,
    Prometheus,
}

impl Service {
    pub const ALL: [Self; 6] =
        [Self::Kafka, Self::Registry, Self::S3, Self::OpenSearch, Self::Postgres, Self::Prometheus];

    /// Its name on the command line, and of its folder.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::Registry => "registry",
            Self::S3 => "s3",
            Self::OpenSearch => "opensearch",
            Self::Postgres => "postgres",
            Self::Prometheus => "prometheus",
        }
    }

    /// The variable that says where it is.
    fn variable(self) -> &'static str {
        match self {
            Self::Kafka => "REELMILL_KAFKA",
            Self::Registry => "REELMILL_REGISTRY",
            Self::S3 => "REELMILL_S3",
            Self::OpenSearch => "REELMILL_OPENSEARCH",
            Self::Postgres => "REELMILL_DATABASE",
            Self::Prometheus => "REELMILL_PROMETHEUS",
        }
    }
}

/// Apache Kafka's bootstrap server. Topics are made by whoever wants them, under names of their own.
#[must_use]
pub fn kafka() -> Option<String> {
    address(Service::Kafka)
}

/// The URL of Apicurio's API in Confluent's manner.
#[must_use]
pub fn registry() -> Option<String> {
    address(Service::Registry)
}

/// VersityGW, and the keys to it. It has no buckets.
#[must_use]
pub fn s3() -> Option<S3> {
    shared(Service::S3).map(|running| S3::from(&running.variables))
}

/// OpenSearch's URL.
#[must_use]
pub fn opensearch() -> Option<String> {
    address(Service::OpenSearch)
}

/// PostgreSQL's URL, with the user and the name of an empty database; the user may make others.
#[must_use]
pub fn postgres() -> Option<String> {
    address(Service::Postgres)
}

/// Prometheus, and what it scrapes.
#[must_use]
pub fn prometheus() -> Option<Prometheus> {
    let running = shared(Service::Prometheus)?;
    Some(Prometheus {
        url: running.variables[Service::Prometheus.variable()].clone(),
        targets: running.folder.join("prometheus/targets.json"),
    })
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3 {
    pub endpoint: String,
    pub access_key: String,
    pub secret_key: String,
}

impl From<&Variables> for S3 {
    fn from(variables: &Variables) -> Self {
        Self {
            endpoint: variables["REELMILL_S3"].clone(),
            access_key: variables["REELMILL_ACCESS_KEY"].clone(),
            secret_key: variables["REELMILL_SECRET_KEY"].clone(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prometheus {
    pub url: String,
    /// `[{"targets": ["127.0.0.1:8080"]}]`; read again as soon as it changes.
    pub targets: PathBuf,
}

type Variables = BTreeMap<String, String>;

/// A service that runs, and who sees to its end.
#[derive(Debug)]
struct Running {
    variables: Variables,
    /// Where the folders of the services are.
    folder: PathBuf,
    /// Ends with this process; `None` where the service is somebody else's.
    _own: Option<Own>,
}

fn address(service: Service) -> Option<String> {
    shared(service).map(|running| running.variables[service.variable()].clone())
}

/// The one instance for all tests of this program.
fn shared(service: Service) -> Option<&'static Running> {
    static RUNNING: [OnceLock<Option<Running>>; Service::ALL.len()] =
        [const { OnceLock::new() }; Service::ALL.len()];
    RUNNING[service as usize].get_or_init(|| find(service)).as_ref()
}

fn find(service: Service) -> Option<Running> {
    if let Some(file) = std::env::var_os("REELMILL_SERVICES").map(PathBuf::from) {
        let variables = read(&file);
        if variables.contains_key(service.variable()) {
            let folder = file.parent().map(Path::to_owned).unwrap_or_default();
            return Some(Running { variables, folder, _own: None });
        }
    }
    let own = Own::start(&[service])?;
    Some(Running {
        variables: own.variables().clone(),
        folder: own.folder().to_owned(),
        _own: Some(own),
    })
}

/// Whether a service is installed, in the manner of all tests that need something.
fn installed(service: Service) -> bool {
    let name = service.name();
    let status = script().args(["installed", name]).stderr(Stdio::null()).status();
    let there = status.is_ok_and(|status| status.success());
    if !there {
        let remedy = format!("run 'scripts/services.sh install {name}'");
        assert!(
            std::env::var_os("REELMILL_REQUIRE_SERVICES").is_none(),
            "{name} is required and not installed: {remedy}"
        );
        eprintln!("skipped: {name} is not installed: {remedy}");
    }
    there
}

fn script() -> Command {
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/services.sh"))
}

/// A file of `NAME=value` lines.
fn read(file: &Path) -> Variables {
    let text = std::fs::read_to_string(file)
        .unwrap_or_else(|e| panic!("REELMILL_SERVICES: {}: {e}", file.display()));
    let pair = |line: &str| line.split_once('=').map(|(n, v)| (n.to_owned(), v.to_owned()));
    text.lines().filter_map(pair).collect()
}
