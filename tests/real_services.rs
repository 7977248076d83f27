//! The program on Apache Kafka, Apicurio, VersityGW, PostgreSQL and OpenSearch, told where they are by
//! the file that `scripts/services.sh` writes.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use ports::{ObjectRef, Put, Record, Store};
use serde_json::Value;
use services::{Own, Service};
use std::{
    collections::BTreeMap,
    fs::File,
    io::Write,
    path::Path,
    process::{Child, Command, Output, Stdio},
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

fn program(own: &Own, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reelmill"));
    command.args(arguments).envs(own.variables());
    command
}

fn output(command: &mut Command, input: &[u8]) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

async fn put_footage(own: &Own, key: &str) {
    let s3 = own.s3();
    let store = connectors::s3::S3::new(connectors::s3::S3Config {
        endpoint: Some(s3.endpoint),
        region: "us-east-1".to_owned(),
        access_key: Some(s3.access_key),
        secret_key: Some(s3.secret_key),
        force_path_style: true,
    })
    .await
    .unwrap();
    let film = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/footage/head-pose-two.mp4");
    store.upload(&film, &ObjectRef::new("reelmill", key), Put::default()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_is_cut_into_clips_on_real_services() {
    let wanted = [Service::Kafka, Service::Registry, Service::S3];
    let Some(own) = Own::start(&wanted) else { return };
    let kafka = reelmill::mill::kafka(&own.kafka(), "outside");

    output(&mut program(&own, &["topics", "create"]), b"");
    let listed = output(&mut program(&own, &["topics", "list"]), b"");
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.contains("video-uploaded") && listed.contains("reelmill.dead.cut"), "{listed}");

    let data = tempfile::tempdir().unwrap();
    let log = std::fs::File::create(data.path().join("log")).unwrap();
    let running = program(&own, &["run", "--only", "cut", "--clip-seconds", "10", "--data"])
        .arg(data.path())
        .stderr(log)
        .spawn();
    let mut running = Killed(running.unwrap());
    let log = || std::fs::read_to_string(data.path().join("log")).unwrap();

    put_footage(&own, "uploads/ann/pose.mp4").await;
    let event = br#"{"bucket": "reelmill", "key": "uploads/ann/pose.mp4", "owner": "ann"}"#;
    let uploaded = output(&mut program(&own, &["event", "encode", "video-uploaded"]), event);
    let record = Record {
        topic: "video-uploaded".to_owned(),
        key: None,
        value: Some(uploaded.stdout.into()),
        headers: ports::Headers::default(),
        timestamp_ms: None,
        position: None,
    };
    kafka.produce(record).await.unwrap();

    let started = Instant::now();
    let clips = loop {
        let clips = kafka.read_all("clips-ready").await.unwrap();
        if !clips.is_empty() {
            break clips;
        }
        assert!(started.elapsed() < Duration::from_secs(120), "no clip came\n{}", log());
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let mut decode = program(&own, &["event", "decode", "clips-ready"]);
    let decoded = output(&mut decode, clips[0].value.as_ref().unwrap());
    let clip: serde_json::Value = serde_json::from_slice(&decoded.stdout).unwrap();
    assert_eq!((&clip["owner"], &clip["total_frames"]), (&"ann".into(), &56.into()), "{clip:#}");

    let pid = running.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let stopping = Instant::now();
    let status = running.0.wait().unwrap();
    assert!(status.success(), "{status}\n{}", log());
    assert!(stopping.elapsed() < Duration::from_secs(10), "{:?}", stopping.elapsed());
}

/// What a mill makes of films: by title the recording's bytes, and what search finds.
struct Made {
    recordings: BTreeMap<String, Vec<u8>>,
    found: Vec<Value>,
}

/// A whole mill with these variables works on two films and stops.
fn whole_mill(variables: &BTreeMap<String, String>) -> Made {
    let dir = tempfile::tempdir().unwrap();
    let log = File::create(dir.path().join("log")).unwrap();
    let mut up = Command::new(env!("CARGO_BIN_EXE_reelmill"));
    up.args(["up", "--port", "0", "--kafka-port", "0", "--registry-port", "0"])
        .args(["--store-port", "0", "--vision-port", "0", "--clip-seconds", "2", "--data"])
        .arg(dir.path().join("data"))
        .envs(variables)
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    let mut up = Killed(up.spawn().unwrap());
    let endpoints = dir.path().join("data/endpoints.env");
    let log = || std::fs::read_to_string(dir.path().join("log")).unwrap();
    let started = Instant::now();
    while !endpoints.exists() {
        assert!(up.0.try_wait().unwrap().is_none(), "{}", log());
        assert!(started.elapsed() < Duration::from_secs(120), "{}", log());
        std::thread::sleep(Duration::from_millis(20));
    }
    let endpoints = std::fs::read_to_string(endpoints).unwrap();
    let endpoints: Vec<_> = endpoints.lines().filter_map(|line| line.split_once('=')).collect();
    let client = |arguments: &[&str]| -> Output {
        let mut client = Command::new(env!("CARGO_BIN_EXE_reelmill"));
        let told = client.args(arguments).envs(endpoints.clone()).output().unwrap();
        assert!(told.status.success(), "{}\n{}", String::from_utf8_lossy(&told.stderr), log());
        told
    };
    let footage = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/footage");
    let films = ["head-pose-two.mp4", "signing-again.mkv"].map(|film| footage.join(film));
    let films = films.each_ref().map(|film| film.to_str().unwrap());
    client(&["upload", "--wait", "--assessment", "whole", films[0], films[1]]);
    let json = |arguments: &[&str]| -> Value {
        serde_json::from_slice(&client(arguments).stdout).unwrap()
    };
    let mut recordings = BTreeMap::new();
    for video in json(&["status", "--json"])["videos"].as_array().unwrap() {
        let file = dir.path().join("recording.mp4");
        client(&["get", video["video_id"].as_str().unwrap(), "--output", file.to_str().unwrap()]);
        let title = video["title"].as_str().unwrap().to_owned();
        recordings.insert(title, std::fs::read(&file).unwrap());
        std::fs::remove_file(file).unwrap();
    }
    let found = json(&["search", "--json", "person"]);
    let mut found: Vec<_> = found["hits"].as_array().unwrap().clone();
    found.sort_by_key(|hit| hit["title"].to_string());
    for hit in &mut found {
        // Others tell of this mill and this hour.
        let lasting = ["title", "owner", "assessment", "duration_seconds", "state", "moments"];
        hit.as_object_mut().unwrap().retain(|name, _| lasting.contains(&name.as_str()));
        for moment in hit["moments"].as_array_mut().unwrap() {
            moment.as_object_mut().unwrap().remove("url").unwrap();
        }
    }
    assert!(
        Command::new("kill").args(["-TERM", &up.0.id().to_string()]).status().unwrap().success()
    );
    assert!(up.0.wait().unwrap().success(), "{}", log());
    Made { recordings, found }
}

#[test]
fn the_whole_mill_makes_the_same_recordings_on_real_services_byte_for_byte() {
    let wanted =
        [Service::Kafka, Service::Registry, Service::S3, Service::Postgres, Service::OpenSearch];
    let Some(own) = Own::start(&wanted) else { return };
    let real = whole_mill(own.variables());
    let embedded = whole_mill(&BTreeMap::new());
    assert_eq!(real.recordings.len(), 2);
    for (title, recording) in &embedded.recordings {
        assert!(real.recordings[title] == *recording, "{title} differs");
    }
    assert_eq!(real.found, embedded.found);
    assert_eq!(real.found.len(), 2);
}
