//! Processes of the program that work together.

use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Output},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Killed when the test ends, however it ends.
pub(crate) struct Killed(pub(crate) Child);

impl Drop for Killed {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// What a mill makes of films: by title the recording's bytes, and what search finds.
pub(crate) struct Made {
    pub(crate) recordings: BTreeMap<String, Vec<u8>>,
    pub(crate) found: Vec<Value>,
}

/// Processes of the program that work together, each with a log and data of its own.
pub(crate) struct Processes {
    dir: TempDir,
    pub(crate) variables: BTreeMap<String, String>,
    running: Vec<(String, Killed)>,
}

impl Processes {
    pub(crate) fn new(variables: &BTreeMap<String, String>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { dir, variables: variables.clone(), running: Vec::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Starts one; what it prints goes to `name.out`, its log to `name.log`.
    pub(crate) fn start(&mut self, name: &str, arguments: &[&str]) {
        let file = |kind: &str| File::create(self.path(&format!("{name}.{kind}"))).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_reelmill"));
        command.args(arguments).envs(&self.variables).env("REELMILL_DATA", self.path(name));
        let child = command.stdout(file("out")).stderr(file("log")).spawn().unwrap();
        self.running.push((name.to_owned(), Killed(child)));
    }

    /// Waits until the last one has said where it is, `variable` last, and tells the following.
    pub(crate) fn learn(&mut self, variable: &str) {
        let (name, _) = self.running.last().unwrap();
        let (file, started) = (self.path(&format!("{name}.out")), Instant::now());
        let said = loop {
            let said = std::fs::read_to_string(&file).unwrap();
            if said.ends_with('\n') && said.contains(variable) {
                break said;
            }
            let process = &mut self.running.last_mut().unwrap().1.0;
            assert!(process.try_wait().unwrap().is_none(), "{}", self.logs());
            assert!(started.elapsed() < Duration::from_secs(300), "{}", self.logs());
            std::thread::sleep(Duration::from_millis(20));
        };
        let pairs = said.lines().filter_map(|line| line.split_once('='));
        self.variables.extend(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    pub(crate) fn logs(&self) -> String {
        let log = |(name, _): &(String, Killed)| {
            let log = std::fs::read_to_string(self.path(&format!("{name}.log"))).unwrap();
            format!("--- {name}\n{log}")
        };
        self.running.iter().map(log).collect()
    }

    pub(crate) fn client(&self, arguments: &[&str]) -> Output {
        let mut client = Command::new(env!("CARGO_BIN_EXE_reelmill"));
        let told = client.args(arguments).envs(&self.variables).output().unwrap();
        assert!(
            told.status.success(),
            "{}\n{}",
            String::from_utf8_lossy(&told.stderr),
            self.logs()
        );
        told
    }

    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_slice(&self.client(arguments).stdout).unwrap()
    }

    /// Uploads two films for an assessment and waits for all that comes of them.
    pub(crate) fn make(&self, assessment: &str) -> Made {
        let footage = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/footage");
        let films = ["head-pose-two.mp4", "signing-again.mkv"].map(|film| footage.join(film));
        let films = films.each_ref().map(|film| film.to_str().unwrap());
        self.client(&["upload", "--wait", "--assessment", assessment, films[0], films[1]]);
        let mut recordings = BTreeMap::new();
        for video in self.json(&["status", "--json"])["videos"].as_array().unwrap() {
            if video["assessment"] == assessment {
                let file = self.path("recording.mp4");
                let id = video["video_id"].as_str().unwrap();
                self.client(&["get", id, "--output", file.to_str().unwrap()]);
                let title = video["title"].as_str().unwrap().to_owned();
                recordings.insert(title, std::fs::read(&file).unwrap());
                std::fs::remove_file(file).unwrap();
            }
        }
        let found = self.json(&["search", "--json", "person"]);
        let mut found: Vec<_> = found["hits"].as_array().unwrap().clone();
        found.retain(|hit| hit["assessment"] == assessment);
        found.sort_by_key(|hit| hit["title"].to_string());
        for hit in &mut found {
            // Others tell of this mill and this hour.
            let lasting = ["title", "owner", "duration_seconds", "state", "moments"];
            hit.as_object_mut().unwrap().retain(|name, _| lasting.contains(&name.as_str()));
            for moment in hit["moments"].as_array_mut().unwrap() {
                moment.as_object_mut().unwrap().remove("url").unwrap();
            }
        }
        Made { recordings, found }
    }

    /// Ends one as Kubernetes does, and waits until it has given its work back.
    pub(crate) fn end(&mut self, name: &str) {
        let at = self.running.iter().position(|(running, _)| running == name).unwrap();
        let logs = self.logs();
        let (_, mut process) = self.running.remove(at);
        let pid = process.0.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        assert!(process.0.wait().unwrap().success(), "{name}\n{logs}");
    }

    pub(crate) fn stop(mut self) {
        for (_, process) in &self.running {
            let pid = process.0.id().to_string();
            assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        }
        let logs = self.logs();
        for (name, process) in &mut self.running {
            assert!(process.0.wait().unwrap().success(), "{name}\n{logs}");
        }
    }
}
