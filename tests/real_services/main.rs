//! The program on Apache Kafka, Apicurio, VersityGW, PostgreSQL and OpenSearch, told where they are by
//! the file that `scripts/services.sh` writes.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod processes;
mod scaling;

use ports::{ObjectRef, Put, Record, Store};
use processes::{Killed, Made, Processes};
use services::{Own, Service};
use std::{
    collections::BTreeMap,
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

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
    let kafka =
        reelmill::connections::kafka(&reelmill::cli::KafkaArgs::plaintext(&own.kafka()), "outside")
            .unwrap();

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
        assert!(started.elapsed() < Duration::from_secs(300), "no clip came\n{}", log());
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

/// All in one process.
fn whole_mill(variables: &BTreeMap<String, String>) -> Made {
    let mut mill = Processes::new(variables);
    let ports = ["--port", "0", "--kafka-port", "0", "--registry-port", "0", "--store-port", "0"];
    let rest = ["--vision-port", "0", "--clip-seconds", "2"];
    mill.start("up", &[&["up"], &ports[..], &rest].concat());
    mill.learn("REELMILL_REKOGNITION");
    let made = mill.make("whole");
    mill.stop();
    made
}

/// A process for the detector, one for the API, and one for every processor.
fn deployment(variables: &BTreeMap<String, String>) -> Made {
    let mut mill = Processes::new(variables);
    mill.client(&["topics", "create"]);
    mill.start("vision", &["vision", "--port", "0"]);
    mill.learn("REELMILL_REKOGNITION");
    for spec in reelmill::pipeline::shape().specs() {
        let name = spec.name;
        mill.start(name, &["run", "--only", name, "--clip-seconds", "2"]);
    }
    mill.start("serve", &["serve", "--port", "0"]);
    mill.learn("REELMILL_URL");
    mill.start("watch", &["watch", "--port", "0"]);
    mill.learn("REELMILL_WATCH");
    let made = mill.make("parts");
    nothing_waits(&mill);
    mill.stop();
    made
}

/// A page of a process or a service.
fn get(url: &str, query: &[(&str, &str)]) -> String {
    let client = reqwest::blocking::Client::builder().no_proxy().build().unwrap();
    let url = reqwest::Url::parse_with_params(url, query).unwrap();
    client.get(url).send().unwrap().error_for_status().unwrap().text().unwrap()
}

/// All that `watch` counts becomes 0, for every processor.
fn nothing_waits(mill: &Processes) {
    let started = Instant::now();
    loop {
        let page = get(&format!("{}/metrics", mill.variables["REELMILL_WATCH"]), &[]);
        let lags: Vec<_> =
            page.lines().filter(|line| line.starts_with("reelmill_work_lag{")).collect();
        let processors = reelmill::pipeline::shape().specs().count();
        if lags.len() == processors && lags.iter().all(|lag| lag.ends_with("} 0")) {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(300), "{lags:#?}\n{}", mill.logs());
        std::thread::sleep(Duration::from_millis(500));
    }
}

#[test]
fn a_whole_mill_and_a_deployment_make_the_same_on_real_services_as_one_program_byte_for_byte() {
    let wanted =
        [Service::Kafka, Service::Registry, Service::S3, Service::Postgres, Service::OpenSearch];
    let Some(own) = Own::start(&wanted) else { return };
    let embedded = whole_mill(&BTreeMap::new());
    assert_eq!((embedded.recordings.len(), embedded.found.len()), (2, 2));
    for (name, real) in
        [("whole", whole_mill(own.variables())), ("in parts", deployment(own.variables()))]
    {
        for (title, recording) in &embedded.recordings {
            assert!(real.recordings[title] == *recording, "{title} differs, {name}");
        }
        assert_eq!(real.recordings.len(), 2, "{name}");
        assert_eq!(real.found, embedded.found, "{name}");
    }
}
