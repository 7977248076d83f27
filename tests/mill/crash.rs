//! kill -9 again and again: during uploads, right after their 201, in the middle of everything. In
//! the end each video that was accepted has one recording, each event was emitted once, and what
//! was not accepted has left nothing.

use crate::support::{Mill, PATIENCE, footage, is_done, is_temporary};
use ports::{STAGES, Stage};
use reelmill::{cli::KafkaArgs, connections::kafka, event};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Write as _},
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
/// Padding of uploads that are cut off: three parts of a multipart upload.
const PADDING: usize = 24 << 20;
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
    /// So long after the 201, whatever the videos before are at.
    Accepted { ms: u64 },
    /// So long after this stage got work, with nothing else to do.
    Working { stage: &'static str, ms: u64 },
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uploading { hundredths } => write!(f, "{hundredths} % of the body sent"),
            Self::Accepted { ms } => write!(f, "{ms} ms after the 201"),
            Self::Working { stage, ms } => write!(f, "{ms} ms after `{stage}` got work"),
        }
    }
}

/// Each stage is met once in so many kills.
fn moments(seed: u64, kills: usize) -> Vec<Moment> {
    let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut stages = STAGES.iter().cycle();
    (0..kills)
        .map(|n| match n % 5 {
            // A whole body whose answer is not waited for is the moment around the event.
            0 => Moment::Uploading { hundredths: [100, 1 + chance.below(99)][n.min(1)] },
            2 => Moment::Accepted { ms: chance.below(300) },
            // The film is compared for seconds; what joins clips, takes a picture or sweeps up is
            // done in a fraction of one.
            _ => stages.next().map_or(Moment::Accepted { ms: 0 }, |stage| Moment::Working {
                stage: stage.name,
                ms: chance.below(match stage.name {
                    "verify" => 1_000,
                    _ if stage.per_clip => 400,
                    _ => 100,
                }),
            }),
        })
        .collect()
}

/// Sends the first part of an upload, and does not wait for an answer.
fn part_of_an_upload(mill: &Mill, film: &[u8], hundredths: u64) -> TcpStream {
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

/// The stages of a video that have work, as a user would see it.
fn under_way(mill: &Mill, video: &str) -> Vec<String> {
    let row = mill.get(&format!("/api/videos/{video}")).1;
    let told = |name: &str| -> (i64, Option<i64>) {
        let stages = row["stages"].as_array();
        let stage = stages.and_then(|stages| stages.iter().find(|s| s["stage"] == name));
        stage.map_or((0, None), |s| (s["done"].as_i64().unwrap_or(0), s["total"].as_i64()))
    };
    let has_work = |stage: &&Stage| {
        let (done, total) = told(stage.name);
        let given = stage.after.iter().all(|before| {
            let before = told(before);
            if stage.per_clip { before.0 > done } else { before.1 == Some(before.0) }
        });
        given && total.is_none_or(|total| done < total)
    };
    STAGES.iter().filter(has_work).map(|stage| stage.name.to_owned()).collect()
}

/// Waits until a stage of the video has work, or has done some.
fn until_at(mill: &Mill, video: &str, stage: &str) {
    let started = Instant::now();
    let is_done = || {
        let row = mill.get(&format!("/api/videos/{video}")).1;
        let stages = row["stages"].as_array();
        stages.is_some_and(|all| all.iter().any(|s| s["stage"] == stage && s["done"] != 0))
    };
    while !under_way(mill, video).iter().any(|at| at == stage) && !is_done() {
        assert!(started.elapsed() < PATIENCE, "{stage} was never met\n{}", mill.log());
        sleep(Duration::from_millis(1));
    }
}

/// Committed events of a topic, counted by video (and clip).
fn emitted(mill: &Mill, topic: &str) -> BTreeMap<(String, i64), usize> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (kafka_at, registry) =
        (&mill.endpoints["REELMILL_KAFKA"], &mill.endpoints["REELMILL_REGISTRY"]);
    runtime.block_on(async {
        let mut counted = BTreeMap::new();
        for record in
            kafka(&KafkaArgs::plaintext(kafka_at), "reader").unwrap().read_all(topic).await.unwrap()
        {
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
    let film = padded(std::fs::read(footage("head-pose-two.mp4")).unwrap());
    let mut mill = Mill::start(&["--clip-seconds", "2", "--orphan-age", "2"]);
    let (mut accepted, mut whole) = (Vec::new(), 0);
    let mut rows = String::new();
    for (number, moment) in moments(seed, kills).into_iter().enumerate() {
        let what = match moment {
            Moment::Uploading { hundredths } => {
                whole += usize::from(hundredths == 100);
                let mut upload = part_of_an_upload(&mill, &film, hundredths);
                sleep(Duration::from_millis(5));
                mill.kill_and_restart();
                let mut answer = String::new();
                upload.read_to_string(&mut answer).ok();
                assert!(!answer.contains(" 201 "), "it was to be killed before: {answer}");
                "an upload".to_owned()
            }
            Moment::Accepted { ms } => {
                accepted.push(mill.upload(&footage("head-pose-two.mp4"), "title=accepted"));
                sleep(Duration::from_millis(ms));
                killed_at(&mut mill, &accepted)
            }
            Moment::Working { stage, ms } => {
                settle(&mill);
                accepted.push(mill.upload(&footage("head-pose-two.mp4"), "title=accepted"));
                until_at(&mill, accepted.last().unwrap(), stage);
                sleep(Duration::from_millis(ms));
                killed_at(&mut mill, &accepted)
            }
        };
        writeln!(rows, "| {} | {moment} | {what} |", number + 1).unwrap();
    }
    for video in &accepted {
        mill.ready(video);
    }
    nothing_lost_nothing_doubled(&mill, &accepted, whole);
    if !long && seed == SEED {
        table(&rows);
    }
}

/// The film with a box at its end that players skip.
fn padded(mut film: Vec<u8>) -> Vec<u8> {
    film.extend(u32::try_from(PADDING + 8).unwrap().to_be_bytes());
    film.extend(b"free");
    film.resize(film.len() + PADDING, 0);
    film
}

/// Kills, and tells what all videos were at.
fn killed_at(mill: &mut Mill, videos: &[String]) -> String {
    let at: BTreeSet<_> = videos.iter().flat_map(|video| under_way(mill, video)).collect();
    mill.kill_and_restart();
    let in_order = STAGES.iter().map(|stage| stage.name).filter(|stage| at.contains(*stage));
    let in_order: Vec<_> = in_order.collect();
    if in_order.is_empty() { "what follows the last stage".to_owned() } else { in_order.join(", ") }
}

/// Waits until nothing is to be done for any video, and answers with them all.
fn settle(mill: &Mill) -> Vec<Value> {
    let started = Instant::now();
    loop {
        let page = mill.get("/api/videos?page_size=100").1;
        let videos = page["videos"].as_array().unwrap().clone();
        let settled = |v: &Value| {
            let stages = v["stages"].as_array().unwrap().iter().all(is_done);
            v["state"] == "ready" && v["searchable"] == true && stages
        };
        let keys = mill.keys();
        let swept = !keys.iter().any(|key| is_temporary(key));
        // One that was whole and never announced is announced late.
        let announced =
            keys.iter().filter(|key| key.starts_with("uploads/")).count() == videos.len();
        if videos.iter().all(settled) && swept && announced {
            return videos;
        }
        assert!(started.elapsed() < PATIENCE, "{page:#}\n{:#?}\n{}", mill.keys(), mill.log());
        sleep(Duration::from_millis(100));
    }
}

/// `whole` uploads were sent to their end and cut off before their answer: they may be there.
fn nothing_lost_nothing_doubled(mill: &Mill, accepted: &[String], whole: usize) {
    let videos = settle(mill);
    let ids: Vec<_> = videos.iter().map(|v| v["video_id"].as_str().unwrap().to_owned()).collect();
    assert!(accepted.iter().all(|video| ids.contains(video)), "lost: {ids:?}");
    assert!(ids.len() <= accepted.len() + whole, "nobody has accepted some of {ids:?}");
    let objects = mill.data().join("store/objects");
    let unfinished: Vec<_> = std::fs::read_dir(objects)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains(".upload") || name.starts_with(".tmp"))
        .collect();
    assert!(unfinished.is_empty(), "left of uploads: {unfinished:?}");
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
            let expected = if CLIP_TOPICS.contains(&topic) { clips(mill, &keys, video) } else { 1 };
            assert_eq!(parts, expected, "events of {video} on {topic}");
        }
    }
    let letters = mill.run(&["dead-letters", "list"]);
    assert_eq!(String::from_utf8_lossy(&letters.stdout), "no dead letters\n");
}

/// How many clips a video has, by the manifest of its one run.
fn clips(mill: &Mill, keys: &[String], video: &str) -> usize {
    let is_manifest = |key: &&String| key.contains(video) && key.ends_with("/manifest.json");
    let manifests: Vec<_> = keys.iter().filter(is_manifest).collect();
    let [manifest] = manifests[..] else { panic!("{video} has not one run: {manifests:?}") };
    let file = mill.data().join("store/objects/reelmill").join(manifest);
    let manifest: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let clips = manifest["clips"].as_array().unwrap().len();
    // Several, or the count would say nothing.
    assert!(clips > 1, "{manifest:#}");
    clips
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
