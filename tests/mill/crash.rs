//! kill -9 again and again: during uploads, right after their 201, in the middle of everything. In
//! the end each video that was accepted has one recording, each event was emitted once, and what
//! was not accepted has left nothing.

use crate::support::{Mill, footage};
use reelmill::{event, mill::kafka};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

/// The seed of the table in the docs; `REELMILL_SEED` chooses another.
const SEED: u64 = 1;
const KILLS: usize = 21;
/// With `REELMILL_LONG`.
const KILLS_LONG: usize = 100;
/// On two cores a video takes about this long.
const WITHIN_MS: u64 = 4_000;
const CLIP_TOPICS: [&str; 4] =
    ["clips-ready", "faces-detected", "labels-detected", "clips-blurred"];
const VIDEO_TOPICS: [&str; 4] =
    ["recording-stitched", "recording-ready", "thumbnail-ready", "metadata-indexed"];

/// xorshift64, Marsaglia 2003.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// When to kill.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// When so many hundredths of the upload were sent.
    Uploading { hundredths: u64 },
    /// So long after the 201.
    Working { ms: u64 },
}

fn moments(seed: u64, kills: usize) -> Vec<Moment> {
    let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    (0..kills)
        .map(|n| match n % 3 {
            // A whole body whose answer is not waited for is the moment around the event.
            0 => Moment::Uploading { hundredths: 1 + chance.below(100) },
            1 => Moment::Working { ms: chance.below(300) },
            _ => Moment::Working { ms: chance.below(WITHIN_MS) },
        })
        .collect()
}

/// Sends the first part of an upload, and does not wait for an answer.
fn half_an_upload(mill: &Mill, film: &[u8], hundredths: u64) -> TcpStream {
    let address = mill.url("").trim_start_matches("http://").to_owned();
    let mut upload = TcpStream::connect(&address).unwrap();
    let length = film.len();
    let head = format!(
        "POST /api/videos?title=cut-off HTTP/1.1\r\nhost: {address}\r\ncontent-length: {length}\r\n\r\n"
    );
    upload.write_all(head.as_bytes()).unwrap();
    let part = usize::try_from(hundredths).unwrap() * length / 100;
    upload.write_all(&film[..part]).unwrap();
    upload
}

/// What the mill was at when it was killed, as a user would see it: the first stage that is not
/// done of each video that is not ready.
fn under_way(mill: &Mill, videos: &[String]) -> String {
    let mut open = BTreeSet::new();
    for video in videos {
        let row = mill.get(&format!("/api/videos/{video}")).1;
        let stages = row["stages"].as_array().cloned().unwrap_or_default();
        let first = stages.iter().find(|s| s["total"].is_null() || s["done"] != s["total"]);
        open.extend(first.and_then(|stage| stage["stage"].as_str()).map(str::to_owned));
    }
    open.into_iter().collect::<Vec<_>>().join(", ")
}

/// Committed events of a topic, counted by video (and clip).
fn emitted(mill: &Mill, topic: &str) -> BTreeMap<(String, i64), usize> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (kafka_at, registry) =
        (&mill.endpoints["REELMILL_KAFKA"], &mill.endpoints["REELMILL_REGISTRY"]);
    runtime.block_on(async {
        let mut counted = BTreeMap::new();
        for record in kafka(kafka_at, "reader").read_all(topic).await.unwrap() {
            let text = event::decode(topic, &record.value.unwrap(), registry).await.unwrap();
            let event: Value = serde_json::from_str(&text).unwrap();
            let video = event["video_id"].as_str().unwrap().to_owned();
            *counted.entry((video, event["index"].as_i64().unwrap_or(0))).or_default() += 1;
        }
        counted
    })
}

#[test]
fn a_mill_killed_again_and_again_loses_nothing_and_doubles_nothing() {
    let seed = std::env::var("REELMILL_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(SEED);
    let long = std::env::var_os("REELMILL_LONG").is_some();
    let kills = if long { KILLS_LONG } else { KILLS };
    println!("seed {seed}: {kills} kills");
    let film = std::fs::read(footage("head-pose-two.mp4")).unwrap();
    let mut mill = Mill::start(&["--clip-seconds", "2", "--orphan-age", "2"]);
    let mut accepted = Vec::new();
    let mut rows = String::new();
    for (number, moment) in moments(seed, kills).into_iter().enumerate() {
        let (when, what) = match moment {
            Moment::Uploading { hundredths } => {
                let mut upload = half_an_upload(&mill, &film, hundredths);
                sleep(Duration::from_millis(5));
                mill.kill_and_restart();
                let mut answer = String::new();
                upload.read_to_string(&mut answer).ok();
                assert!(!answer.contains(" 201 "), "it was to be killed before: {answer}");
                (format!("{hundredths} % of the body sent"), "an upload".to_owned())
            }
            Moment::Working { ms } => {
                let video = mill.upload(&footage("head-pose-two.mp4"), "title=accepted");
                accepted.push(video);
                sleep(Duration::from_millis(ms));
                let what = under_way(&mill, &accepted);
                mill.kill_and_restart();
                (format!("{ms} ms after the 201"), what)
            }
        };
        writeln!(rows, "| {} | {when} | {what} |", number + 1).unwrap();
    }
    for video in &accepted {
        mill.ready(video);
    }
    nothing_lost_nothing_doubled(&mill, &accepted);
    if !long && seed == SEED {
        table(&rows);
    }
}

fn nothing_lost_nothing_doubled(mill: &Mill, accepted: &[String]) {
    // An upload that was whole and never announced is announced late; let it end, too.
    let started = Instant::now();
    let videos = loop {
        let page = mill.get("/api/videos?page_size=100").1;
        let videos = page["videos"].as_array().unwrap().clone();
        let is_done = |s: &Value| s["stage"] != "thumbnail" || s["done"] == 1;
        let settled = |v: &Value| {
            let shown = v["stages"].as_array().unwrap().iter().all(is_done);
            v["state"] == "ready" && v["searchable"] == true && shown
        };
        let swept = !mill.keys().iter().any(|key| is_temporary(key));
        if videos.iter().all(settled) && swept && started.elapsed() > Duration::from_secs(6) {
            break videos;
        }
        assert!(
            started.elapsed() < Duration::from_secs(120),
            "{page:#}\n{:#?}\n{}",
            mill.keys(),
            mill.log()
        );
        sleep(Duration::from_millis(200));
    };
    let ids: Vec<_> = videos.iter().map(|v| v["video_id"].as_str().unwrap().to_owned()).collect();
    assert!(accepted.iter().all(|video| ids.contains(video)), "lost: {ids:?}");
    let keys = mill.keys();
    let count = |start: &str| keys.iter().filter(|key| key.starts_with(start)).count();
    assert_eq!(count("recordings/"), ids.len(), "{keys:#?}");
    assert_eq!(count("receipts/"), ids.len(), "{keys:#?}");
    assert_eq!(count("uploads/"), ids.len(), "{keys:#?}");
    assert_eq!(count("thumbnails/"), ids.len(), "{keys:#?}");
    assert_eq!(mill.get("/api/search?q=person&page_size=100").1["total"], ids.len());

    for topic in CLIP_TOPICS.into_iter().chain(VIDEO_TOPICS) {
        let events = emitted(mill, topic);
        let doubled: Vec<_> = events.iter().filter(|(_, n)| **n != 1).collect();
        assert!(doubled.is_empty(), "doubled on {topic}: {doubled:?}");
        for video in &ids {
            let parts = events.keys().filter(|(of, _)| of == video).count();
            assert!(parts > 0, "nothing of {video} on {topic}");
        }
    }
    let letters = mill.run(&["dead-letters", "list"]);
    assert_eq!(String::from_utf8_lossy(&letters.stdout), "no dead letters\n");
}

fn is_temporary(key: &str) -> bool {
    key.contains("/clips/") || key.contains("/masked/") || key.contains("staged")
}

/// The table in the docs: written where asked for, else checked to be of these kills. What was
/// under way at a kill differs from machine to machine.
fn table(rows: &str) {
    let head = format!(
        "# Crash points\n\n\
         Written by `REELMILL_WRITE_TABLES=1 cargo test -p reelmill --test mill crash`: one mill, seed\n\
         {SEED}, killed with SIGKILL at each of these moments and started again on the same data. After\n\
         the last one each accepted video has one recording, one receipt and one search document, each\n\
         event is on its topic once, no working object and no dead letter is left. `REELMILL_SEED`\n\
         chooses other moments, `REELMILL_LONG=1` makes it {KILLS_LONG} kills.\n\n\
         | kill | moment | under way |\n|--|--|--|\n"
    );
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/crash-points.md");
    if std::env::var_os("REELMILL_WRITE_TABLES").is_some() {
        std::fs::write(&file, head + rows).unwrap();
        return;
    }
    let told = std::fs::read_to_string(&file).unwrap();
    assert!(told.starts_with(&head), "docs/crash-points.md is stale: write it again");
    let moments = |text: &str| -> Vec<String> {
        let rows = text.lines().filter(|line| line.starts_with("| ") && !line.contains("moment"));
        rows.map(|row| row.rsplitn(3, '|').last().unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(moments(&told), moments(rows), "docs/crash-points.md is stale: write it again");
}
