//! A mill of one's own, through the same doors a user has: the program, HTTP, Kafka.

use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// The longest any test waits for a mill to start.
pub(crate) const START: Duration = Duration::from_secs(60);
/// The longest any test waits for what a mill does with a film: on a busy machine minutes go by.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);

/// The program under test.
pub(crate) fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_reelmill"))
}

/// A file of the test footage.
pub(crate) fn footage(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/footage").join(name)
}

/// A running mill on free ports; killed and removed when dropped.
pub(crate) struct Mill {
    dir: TempDir,
    child: Child,
    arguments: Vec<String>,
    /// What `up` published of itself, e.g. `REELMILL_URL`.
    pub(crate) endpoints: BTreeMap<String, String>,
    http: reqwest::blocking::Client,
}

impl Mill {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::in_directory(TempDir::new().unwrap(), arguments)
    }

    /// The same, with everything it keeps below a directory of the test's.
    pub(crate) fn start_on(disk: &Path, arguments: &[&str]) -> Self {
        Self::in_directory(TempDir::new_in(disk).unwrap(), arguments)
    }

    fn in_directory(dir: TempDir, arguments: &[&str]) -> Self {
        let arguments: Vec<_> = arguments.iter().map(|a| (*a).to_owned()).collect();
        let child = spawn(dir.path(), &arguments);
        let http =
            reqwest::blocking::Client::builder().timeout(Duration::from_secs(120)).build().unwrap();
        let mut mill = Self { dir, child, arguments, endpoints: BTreeMap::new(), http };
        mill.wait_until_up();
        mill
    }

    fn wait_until_up(&mut self) {
        let file = self.data().join("endpoints.env");
        let started = Instant::now();
        loop {
            if let Ok(text) = std::fs::read_to_string(&file)
                && !text.is_empty()
            {
                self.endpoints = text
                    .lines()
                    .filter_map(|line| line.split_once('='))
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .collect();
                return;
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the mill ended with {status}:\n{}", self.log());
            }
            assert!(started.elapsed() < START, "the mill did not start:\n{}", self.log());
            sleep(Duration::from_millis(20));
        }
    }

    /// kill -9, then the same mill on the same data.
    pub(crate) fn kill_and_restart(&mut self) {
        self.kill();
        self.start_again();
    }

    /// On the same data, after it has ended.
    pub(crate) fn start_again(&mut self) {
        std::fs::remove_file(self.data().join("endpoints.env")).ok();
        self.child = spawn(self.dir.path(), &self.arguments);
        self.wait_until_up();
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and how it ended.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.child.wait().unwrap()
    }

    /// Where `/proc` tells of the process.
    pub(crate) fn proc(&self) -> PathBuf {
        Path::new("/proc").join(self.child.id().to_string())
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("up.log")).unwrap_or_default()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.endpoints["REELMILL_URL"])
    }

    /// The program as a client of this mill.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        program().args(arguments).envs(&self.endpoints).output().unwrap()
    }

    /// Produces one message from outside.
    pub(crate) fn produce(&self, topic: &str, message: &[u8]) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let kafka = reelmill::connections::kafka(
            &reelmill::cli::KafkaArgs::plaintext(&self.endpoints["REELMILL_KAFKA"]),
            "outside",
        )
        .unwrap();
        let record = ports::Record {
            topic: topic.to_owned(),
            key: None,
            value: Some(message.to_vec().into()),
            headers: ports::Headers::default(),
            timestamp_ms: None,
            position: None,
        };
        runtime.block_on(kafka.produce(record)).unwrap();
    }

    pub(crate) fn get(&self, path: &str) -> (u16, Value) {
        let response = self.http.get(self.url(path)).send().unwrap();
        (response.status().as_u16(), response.json().unwrap_or(Value::Null))
    }

    pub(crate) fn text(&self, path: &str) -> String {
        self.http.get(self.url(path)).send().unwrap().text().unwrap()
    }

    /// Uploads a file over HTTP; `query` like `assessment=a&blur=none`. Returns the video id.
    pub(crate) fn upload(&self, file: &Path, query: &str) -> String {
        let body = std::fs::read(file).unwrap();
        let response =
            self.http.post(self.url(&format!("/api/videos?{query}"))).body(body).send().unwrap();
        assert_eq!(response.status().as_u16(), 201, "{}", response.text().unwrap());
        response.json::<Value>().unwrap()["video_id"].as_str().unwrap().to_owned()
    }

    /// Waits until a video is ready and searchable, or has failed, and returns its row.
    pub(crate) fn settled(&self, video: &str) -> Value {
        let started = Instant::now();
        loop {
            let (status, row) = self.get(&format!("/api/videos/{video}"));
            if status == 200 {
                let state = row["state"].as_str().unwrap_or_default();
                let done = state == "ready" && row["searchable"] == true;
                if done || state == "failed" {
                    return row;
                }
            }
            assert!(
                started.elapsed() < PATIENCE,
                "still not settled after {PATIENCE:?}: {row:#}\n{}",
                self.log()
            );
            sleep(Duration::from_millis(100));
        }
    }

    /// The same, and it must be ready.
    pub(crate) fn ready(&self, video: &str) -> Value {
        let row = self.settled(video);
        assert_eq!(row["state"], "ready", "{row:#}\n{}", self.log());
        row
    }

    /// The same, and waits until nothing is left to do: every stage is told, and what was temporary
    /// is gone.
    pub(crate) fn at_rest(&self, video: &str) -> Value {
        self.ready(video);
        let started = Instant::now();
        loop {
            let (_, row) = self.get(&format!("/api/videos/{video}"));
            let is_told = row["stages"].as_array().unwrap().iter().all(is_done);
            let left: Vec<_> = self
                .keys()
                .into_iter()
                .filter(|key| key.contains(video) && is_temporary(key))
                .collect();
            if is_told && left.is_empty() {
                return row;
            }
            assert!(started.elapsed() < PATIENCE, "{row:#}\n{left:#?}\n{}", self.log());
            sleep(Duration::from_millis(100));
        }
    }

    /// Waits for the thumbnail of a ready video.
    pub(crate) fn thumbnail(&self, video: &str) -> Vec<u8> {
        let started = Instant::now();
        loop {
            let path = format!("/api/videos/{video}/thumbnail");
            let response = self.http.get(self.url(&path)).send().unwrap();
            match response.status().as_u16() {
                200 => return response.bytes().unwrap().to_vec(),
                status => assert_eq!(status, 409, "{}", response.text().unwrap()),
            }
            assert!(started.elapsed() < PATIENCE, "no thumbnail\n{}", self.log());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Downloads a recording into the mill's directory.
    pub(crate) fn recording(&self, video: &str) -> PathBuf {
        let file = self.dir.path().join(format!("{video}.mp4"));
        let response =
            self.http.get(self.url(&format!("/api/videos/{video}/recording"))).send().unwrap();
        assert_eq!(response.status().as_u16(), 200);
        std::fs::write(&file, response.bytes().unwrap()).unwrap();
        file
    }

    /// The keys of the embedded store's bucket, as its files.
    pub(crate) fn keys(&self) -> Vec<String> {
        let root = self.data().join("store/objects/reelmill");
        let mut keys = Vec::new();
        walk(&root, &root, &mut keys);
        keys.sort();
        keys
    }
}

impl Drop for Mill {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn spawn(dir: &Path, arguments: &[String]) -> Child {
    let log = File::options().create(true).append(true).open(dir.join("up.log")).unwrap();
    program()
        .args(["up", "--port", "0", "--kafka-port", "0", "--registry-port", "0"])
        .args(["--store-port", "0", "--vision-port", "0", "--data"])
        .arg(dir.join("data"))
        .args(arguments)
        // As a user starts it: what cargo sets for tests is not there.
        .env_remove(vision::NO_TELEMETRY.0)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

/// Whether a stage has done all there is for it.
pub(crate) fn is_done(stage: &Value) -> bool {
    stage["total"].is_i64() && stage["done"] == stage["total"]
}

/// Whether an object is of use only until its video is ready.
pub(crate) fn is_temporary(key: &str) -> bool {
    key.contains("/clips/") || key.contains("/masked/") || key.contains("staged")
}

fn walk(root: &Path, dir: &Path, keys: &mut Vec<String>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            walk(root, &path, keys);
        } else {
            keys.push(path.strip_prefix(root).unwrap().to_string_lossy().into_owned());
        }
    }
}

/// Runs ffmpeg with these words, on a file it makes.
pub(crate) fn ffmpeg(arguments: &[&str], out: &Path) {
    let output = Command::new("ffmpeg")
        .args(["-nostdin", "-loglevel", "error", "-y"])
        .args(arguments)
        .arg(out)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
