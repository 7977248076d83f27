//! The same files through a whole mill, one after the other in one process, traced: those that play
//! go through every work there is.

use crate::{
    corpus::{Maker, Row},
    tracing::can_trace,
};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    fs::{self, File},
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Of the files that are refused at once, every so many goes through the mill, too.
const REFUSED: usize = 4;

/// What is refused by a later work than those that the table is about.
const LATER: [(&str, &str); 1] = [("8192x4320 in HEVC", "media_memory")];

struct Mill {
    dir: TempDir,
    strace: Child,
    url: String,
    http: reqwest::blocking::Client,
}

impl Mill {
    fn start() -> Self {
        let dir = TempDir::new().unwrap();
        let log = File::create(dir.path().join("up.log")).unwrap();
        let strace = Command::new("strace")
            .args(["-ff", "--seccomp-bpf", "-e", "trace=%file", "-s", "4096", "-o"])
            .arg(dir.path().join("trace"))
            .args([env!("CARGO_BIN_EXE_reelmill"), "up", "--port", "0", "--kafka-port", "0"])
            .args(["--registry-port", "0", "--store-port", "0", "--vision-port", "0", "--data"])
            .arg(dir.path().join("data"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let endpoints = dir.path().join("data/endpoints.env");
        let started = Instant::now();
        while !endpoints.exists() {
            assert!(started.elapsed() < Duration::from_secs(60), "the mill did not start");
            sleep(Duration::from_millis(20));
        }
        let text = fs::read_to_string(endpoints).unwrap();
        let url = text.lines().find_map(|line| line.strip_prefix("REELMILL_URL=")).unwrap();
        let http = reqwest::blocking::Client::new();
        Self { strace, url: url.to_owned(), http, dir }
    }

    fn get(&self, path: &str) -> Value {
        self.http.get(format!("{}{path}", self.url)).send().unwrap().json().unwrap_or_default()
    }

    /// Uploads a film; the code where it is not accepted.
    fn upload(&self, title: &str, film: &[u8]) -> Result<String, String> {
        let upload = self.http.post(format!("{}/api/videos", self.url));
        let upload = upload.query(&[("title", title)]).body(film.to_vec()).send().unwrap();
        let told: Value = upload.json().unwrap();
        let word = |name: &str| told[name].as_str().map(str::to_owned);
        word("video_id").ok_or_else(|| word("code").unwrap())
    }

    /// Waits for what becomes of a video: `plays`, or the reason why not.
    fn fate(&self, video: &str) -> String {
        let started = Instant::now();
        loop {
            let row = self.get(&format!("/api/videos/{video}"));
            let is_done = |stage: &Value| stage["done"] == stage["total"];
            let all = row["stages"].as_array().is_some_and(|stages| stages.iter().all(is_done));
            match row["state"].as_str() {
                Some("failed") => return row["reason"].as_str().unwrap().to_owned(),
                Some("ready") if all => return "plays".to_owned(),
                _ => {}
            }
            assert!(started.elapsed() < Duration::from_secs(180), "it is stuck: {row:#}");
            sleep(Duration::from_millis(50));
        }
    }

    /// What has been traced so far, process by process.
    fn traces(&self) -> impl Iterator<Item = String> {
        let files = fs::read_dir(self.dir.path()).unwrap().map(|file| file.unwrap().path());
        let traces = files.filter(|file| file.file_stem().is_some_and(|stem| stem == "trace"));
        traces.map(|file| String::from_utf8_lossy(&fs::read(file).unwrap()).into_owned())
    }

    /// Files outside of the data directory that were opened so far.
    fn opened(&self) -> BTreeSet<PathBuf> {
        let mut outside = BTreeSet::new();
        for trace in self.traces() {
            let opens =
                trace.lines().filter(|call| call.starts_with("open") && !call.contains("= -1 "));
            let named = opens.filter_map(|call| call.split('"').nth(1)).map(PathBuf::from);
            let away =
                named.filter(|path| path.is_absolute() && !path.starts_with(self.dir.path()));
            outside.extend(away.map(without_numbers));
        }
        outside
    }
}

/// `/proc/123/status` is one file with `/proc/456/status`.
fn without_numbers(path: PathBuf) -> PathBuf {
    let text = path.to_string_lossy();
    text.split('/').filter(|part| part.parse::<u32>().is_err()).collect::<Vec<_>>().join("/").into()
}

impl Drop for Mill {
    fn drop(&mut self) {
        let tracer = self.strace.id();
        let children = fs::read_to_string(format!("/proc/{tracer}/task/{tracer}/children"));
        // The tracer ends with its program.
        Command::new("kill")
            .arg("-TERM")
            .args(children.unwrap_or_default().split_whitespace())
            .status()
            .ok();
        self.strace.wait().ok();
    }
}

#[test]
fn one_mill_takes_them_all_and_ordinary_films_between_them() {
    if !can_trace() {
        return;
    }
    let place = TempDir::new().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let canary = place.path().join("zk7-canary.ts");
    fs::write(&canary, [0x47; 188]).unwrap();
    let maker = Maker { folder: place.path(), canary: &canary, address };
    let ordinary = maker.ordinary();

    let mill = Mill::start();
    let works = |after: &str| {
        let ready = mill.http.get(format!("{}/readyz", mill.url)).send().unwrap();
        assert!(ready.status().is_success(), "{after}: {}", ready.text().unwrap());
        let video = mill.upload("ordinary", &ordinary).unwrap();
        assert_eq!(mill.fate(&video), "plays", "after {after}");
    };
    works("the start");
    let mut known = mill.opened();
    assert!(!known.is_empty(), "nothing was traced");
    let mut wrong = Vec::new();
    let mut refused = 0;
    for group in Maker::GROUPS {
        let mut uploaded = Vec::new();
        for Row { name, bytes, reason, .. } in group(&maker) {
            refused += usize::from(reason != "plays");
            if reason == "plays" || refused % REFUSED == 0 {
                uploaded.push((mill.upload(&name, &bytes), name, reason));
            }
        }
        for (upload, name, reason) in &uploaded {
            let fate = upload.as_ref().map_or_else(Clone::clone, |video| mill.fate(video));
            let later = LATER.iter().find(|(of, _)| of == name).map_or(*reason, |(_, later)| later);
            if fate != later {
                wrong.push(format!("{name}: {fate} instead of {later}"));
            }
        }
        let names: Vec<_> = uploaded.into_iter().map(|(_, name, _)| name).collect();
        works(&names.join(", "));
        let opened = mill.opened();
        let strange: Vec<_> = opened.difference(&known).collect();
        if !strange.is_empty() {
            wrong.push(format!("one of {names:?} opened {strange:?}"));
        }
        known = opened;
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(listener.accept().is_err(), "somebody has called");
    let named = mill.traces().flat_map(|trace| {
        trace
            .lines()
            .filter(|call| call.contains("zk7-canary"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    });
    assert_eq!(named.collect::<Vec<_>>(), Vec::<String>::new());
}
