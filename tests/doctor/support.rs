//! Engines to look at, and the program that looks.

use broker::{Broker, Options, Sync};
use connectors::{
    kafka::TopicSpec,
    registry::{ConfluentRegistry, embedded::EmbeddedRegistry},
    s3::embedded::{EmbeddedOptions, EmbeddedStore},
};
use reelmill::connections;
use serde_json::Value;
use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

pub(crate) const ACCESS_KEY: &str = "mill";
pub(crate) const SECRET_KEY: &str = "hush-hush";

/// Broker, registry and store as a deployment has them, with everything in them that it needs.
pub(crate) struct World {
    pub(crate) runtime: Runtime,
    pub(crate) kafka: String,
    pub(crate) registry: String,
    pub(crate) s3: String,
    dir: TempDir,
    _engines: (EmbeddedRegistry, EmbeddedStore),
}

impl World {
    pub(crate) fn new() -> Self {
        let (runtime, dir) = (Runtime::new().unwrap(), TempDir::new().unwrap());
        let (registry, store) = runtime.block_on(async {
            let registry = EmbeddedRegistry::start(&dir.path().join("registry"), 0).await.unwrap();
            let store = EmbeddedStore::start(EmbeddedOptions {
                data: dir.path().join("store"),
                port: 0,
                access_key: ACCESS_KEY.to_owned(),
                secret_key: SECRET_KEY.to_owned(),
                buckets: vec!["reelmill".to_owned(), "archive".to_owned()],
            });
            (registry, store.await.unwrap())
        });
        let mut world = Self {
            kafka: String::new(),
            registry: registry.url(),
            s3: store.endpoint(),
            runtime,
            dir,
            _engines: (registry, store),
        };
        world.kafka = world.broker(|topic| topic);
        world.register(&world.registry, |_, schema| schema.to_owned(), "FULL_TRANSITIVE");
        world
    }

    /// A further broker, with topics as `change` makes them of those that are right; one that is
    /// given no name is left out.
    pub(crate) fn broker(&self, change: impl Fn(TopicSpec) -> TopicSpec) -> String {
        let data = TempDir::new_in(self.dir.path()).unwrap().keep();
        let (port, default_partitions) = (0, 4);
        let options = Options {
            data,
            port,
            default_partitions,
            sync: Sync::Never,
            auto_create_topics: false,
        };
        let topics = reelmill::pipeline::shape().topics().into_iter();
        let topics = topics.map(|name| TopicSpec {
            partitions: connections::partitions_of(&name),
            name,
            replication: None,
            config: BTreeMap::new(),
        });
        let topics: Vec<_> = topics.map(change).filter(|topic| !topic.name.is_empty()).collect();
        self.runtime.block_on(async {
            let broker = Broker::start(options).await.unwrap();
            let at = broker.bootstrap();
            if !topics.is_empty() {
                connections::kafka(&reelmill::cli::KafkaArgs::plaintext(&at), "test")
                    .unwrap()
                    .create_topics(&topics)
                    .await
                    .unwrap();
            }
            // Until the end of the test program.
            std::mem::forget(broker);
            at
        })
    }

    /// A further registry, without a subject.
    pub(crate) fn empty_registry(&self) -> String {
        let data = TempDir::new_in(self.dir.path()).unwrap().keep();
        let registry = self.runtime.block_on(EmbeddedRegistry::start(&data, 0)).unwrap();
        let url = registry.url();
        std::mem::forget(registry);
        url
    }

    /// Registers all schemas, as `change` makes them of the topic's own.
    pub(crate) fn register(&self, url: &str, change: impl Fn(&str, &str) -> String, level: &str) {
        let registry = ConfluentRegistry::new(url).unwrap();
        self.runtime.block_on(async {
            for kind in schemas::ALL {
                let subject = format!("{}-value", kind.topic);
                registry.set_compatibility(&subject, level).await.unwrap();
                let schema = change(kind.topic, kind.schema);
                registry.register_all(&[(subject.as_str(), schema.as_str())]).await.unwrap();
            }
        });
    }
}

/// A set-up that is looked at: in order, until something is planted in it.
pub(crate) struct Patient {
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) flags: Vec<String>,
    pub(crate) home: TempDir,
    /// Lives as long as it is looked at.
    kept: Vec<Box<dyn Any + Send>>,
}

impl Patient {
    /// A laptop: nothing is elsewhere, and every port may be any.
    pub(crate) fn laptop() -> Self {
        let home = TempDir::new().unwrap();
        let mut patient = Self { variables: BTreeMap::new(), flags: vec![], home, kept: vec![] };
        for port in ["PORT", "KAFKA_PORT", "REGISTRY_PORT", "STORE_PORT", "VISION_PORT"] {
            patient.set(&format!("REELMILL_{port}"), "0");
        }
        patient.set("REELMILL_ONNXRUNTIME", onnxruntime().to_str().unwrap());
        // A disk of a machine where this is tested may be small.
        patient.set("REELMILL_SCRATCH_MAX_BYTES", "1300000000");
        patient
    }

    /// A deployment on these engines.
    pub(crate) fn deployment(world: &World) -> Self {
        let mut patient = Self::laptop();
        patient.set("REELMILL_KAFKA", &world.kafka);
        patient.set("REELMILL_REGISTRY", &world.registry);
        patient.set("REELMILL_S3", &world.s3);
        patient.set("REELMILL_ACCESS_KEY", ACCESS_KEY);
        patient.set("REELMILL_SECRET_KEY", SECRET_KEY);
        patient
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.variables.insert(name.to_owned(), value.to_owned());
    }

    pub(crate) fn unset(&mut self, name: &str) {
        self.variables.remove(name).unwrap();
    }

    pub(crate) fn keep(&mut self, what: impl Any + Send) {
        self.kept.push(Box::new(what));
    }

    /// Its data directory, which may not be there.
    pub(crate) fn data(&self) -> PathBuf {
        match self.variables.get("REELMILL_DATA") {
            Some(data) => data.into(),
            None => self.home.path().join(".local/share/reelmill"),
        }
    }

    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        // What a machine's own environment would add is not looked at.
        command.env_clear().env("HOME", self.home.path()).env("PATH", "/usr/bin:/bin");
        command.envs(&self.variables).arg("doctor").args(&self.flags);
        command
    }

    /// As people read it.
    pub(crate) fn table(&self) -> String {
        let output = self.command(env!("CARGO_BIN_EXE_reelmill")).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn looked_at(&self) -> Report {
        Report::of(self.command(env!("CARGO_BIN_EXE_reelmill")).arg("--json"))
    }
}

/// What was found.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) code: Option<i32>,
    pub(crate) findings: BTreeMap<String, Found>,
    pub(crate) order: Vec<String>,
    pub(crate) text: String,
}

#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) state: String,
    pub(crate) found: String,
    pub(crate) remedy: String,
}

impl Report {
    pub(crate) fn of(command: &mut Command) -> Self {
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let json: Value = serde_json::from_str(&text)
            .unwrap_or_else(|e| panic!("{e}, {:?}: {text}\n{said}", output.status));
        let word = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
        let rows = json["findings"].as_array().unwrap();
        let found = |row: &Value| Found {
            state: word(row, "state"),
            found: word(row, "found"),
            remedy: word(row, "remedy"),
        };
        Self {
            code: output.status.code(),
            findings: rows.iter().map(|row| (word(row, "check"), found(row))).collect(),
            order: rows.iter().map(|row| word(row, "check")).collect(),
            text: text + &said,
        }
    }

    pub(crate) fn of_state(&self, state: &str) -> BTreeSet<&str> {
        let those = self.findings.iter().filter(|(_, found)| found.state == state);
        those.map(|(name, _)| name.as_str()).collect()
    }

    pub(crate) fn is_ok(&self, checks: &[&str]) {
        for check in checks {
            assert_eq!(self.findings[*check].state, "ok", "{check}: {}", self.text);
        }
    }

    pub(crate) fn has_no_failure(&self) {
        assert_eq!(self.of_state("failed"), BTreeSet::new(), "{}", self.text);
        assert_eq!(self.code, Some(0), "{}", self.text);
        let names: Vec<_> = reelmill::doctor::Check::ALL.map(|check| check.name()).into();
        assert_eq!(self.order, names, "a row for every check, in its order");
    }
}

/// Where ONNX Runtime is for the tests, whose homes are others.
fn onnxruntime() -> PathBuf {
    match std::env::var_os("REELMILL_ONNXRUNTIME") {
        Some(set) => set.into(),
        None => std::env::home_dir().unwrap().join(".cache/reelmill/onnxruntime"),
    }
}

/// A file in a directory that is made for it.
pub(crate) fn write(file: &Path, text: impl AsRef<[u8]>) {
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, text).unwrap();
}
