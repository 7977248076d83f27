//! Clients that are not ours: kcat and Python's confluent-kafka produce `video-uploaded`, boto3 finds
//! a person again.

use crate::support::{Mill, footage, program};
use ports::Put;
use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

/// Whether a client is there; where services are required, its absence is a failure.
pub(crate) fn present(name: &str, probe: &mut Command) -> bool {
    let there =
        probe.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success());
    if !there {
        assert!(
            std::env::var_os("REELMILL_REQUIRE_SERVICES").is_none(),
            "{name} is required and missing: run scripts/setup.sh"
        );
        eprintln!("skipped: {name} is not installed");
    }
    there
}

/// Puts footage where a foreign producer would: straight into the store, through S3's protocol.
pub(crate) fn put(mill: &Mill, file: &Path, key: &str, put: Put) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = connectors::s3::S3::new(connectors::s3::S3Config {
            endpoint: Some(mill.endpoints["REELMILL_S3"].clone()),
            region: "us-east-1".to_owned(),
            access_key: Some(reelmill::cli::LOCAL_KEY.to_owned()),
            secret_key: Some(reelmill::cli::LOCAL_SECRET.to_owned()),
            force_path_style: true,
        })
        .await
        .unwrap();
        let to = ports::ObjectRef::new("reelmill", key);
        ports::Store::upload(&store, file, &to, put).await.unwrap();
    });
}

/// Waits until a video of this owner has settled.
pub(crate) fn video_of(mill: &Mill, owner: &str) -> serde_json::Value {
    for _ in 0..600 {
        let (_, page) = mill.get(&format!("/api/videos?owner={owner}"));
        if let Some(id) = page["videos"][0]["video_id"].as_str() {
            return mill.settled(id);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("no video of {owner} appeared\n{}", mill.log());
}

pub(crate) fn encode(mill: &Mill, json: &str) -> Vec<u8> {
    let mut child = program()
        .args(["event", "encode", "video-uploaded"])
        .envs(&mill.endpoints)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(json.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    output.stdout
}

fn kcat(mill: &Mill, topic: &str, message: &[u8]) {
    let file = mill.dir().join("message.bin");
    fs::write(&file, message).unwrap();
    let kafka = &mill.endpoints["REELMILL_KAFKA"];
    let status =
        Command::new("kcat").args(["-P", "-b", kafka, "-t", topic]).arg(&file).status().unwrap();
    assert!(status.success());
}

#[test]
fn kcat_produces_an_upload_and_garbage_next_to_it_harms_nobody() {
    if !present("kcat", Command::new("kcat").arg("-V")) {
        return;
    }
    let mill = Mill::start(&["--clip-seconds", "10"]);
    put(&mill, &footage("head-pose-two.mp4"), "uploads/ann/pose.mp4", Put::default());

    let mut unknown = encode(&mill, r#"{"bucket": "reelmill", "key": "k", "owner": "x"}"#);
    unknown[1..5].copy_from_slice(&424_242_u32.to_be_bytes());
    kcat(&mill, "video-uploaded", b"garbage");
    kcat(&mill, "video-uploaded", &unknown);
    kcat(
        &mill,
        "video-uploaded",
        &encode(&mill, r#"{"bucket": "elsewhere", "key": "k", "owner": "foreign"}"#),
    );
    kcat(
        &mill,
        "video-uploaded",
        &encode(&mill, r#"{"bucket": "reelmill", "key": "uploads/none.mp4", "owner": "missing"}"#),
    );
    kcat(
        &mill,
        "video-uploaded",
        &encode(&mill, r#"{"bucket": "reelmill", "key": "uploads/ann/pose.mp4", "owner": "ann"}"#),
    );

    assert_eq!(video_of(&mill, "ann")["state"], "ready");
    for (owner, reason) in [("foreign", "foreign_bucket"), ("missing", "missing_object")] {
        let row = video_of(&mill, owner);
        assert_eq!(row["state"], "failed", "{row:#}");
        assert_eq!(row["reason"], reason, "{row:#}");
    }

    // Every bad message lies on the dead letter topic, its bytes untouched and with its reason.
    let kafka = &mill.endpoints["REELMILL_KAFKA"];
    let output = Command::new("kcat")
        .args(["-C", "-b", kafka, "-t", "reelmill.dead.cut", "-e", "-q", "-f", "%h|%S\n"])
        .output()
        .unwrap();
    let letters = String::from_utf8_lossy(&output.stdout);
    for reason in ["malformed_event", "unknown_schema", "foreign_bucket", "missing_object"] {
        assert!(letters.contains(reason), "{reason} in {letters}");
    }
    assert!(letters.lines().any(|line| line.ends_with("|7")), "{letters}");
}

#[test]
fn python_produces_an_upload_with_the_registrys_schema() {
    let mut python = Command::new("python3");
    if !present(
        "confluent-kafka for python",
        python.args(["-c", "import confluent_kafka, fastavro"]),
    ) {
        return;
    }
    let mill = Mill::start(&["--clip-seconds", "10"]);
    put(&mill, &footage("head-pose-two.mp4"), "uploads/bob/pose.mp4", Put::default());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mill/produce.py");
    let output = Command::new("python3")
        .arg(script)
        .args([&mill.endpoints["REELMILL_KAFKA"], &mill.endpoints["REELMILL_REGISTRY"]])
        .args(["uploads/bob/pose.mp4", "bob"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(video_of(&mill, "bob")["state"], "ready");
}

#[test]
fn boto3_indexes_a_face_from_the_mills_store_and_finds_the_person_after_a_restart() {
    let mut python = Command::new("python3");
    if !present("boto3 for python", python.args(["-c", "import boto3"])) {
        return;
    }
    let mut mill = Mill::start(&[]);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mill/recognise.py");
    for step in ["enrol", "recognise"] {
        let output = Command::new("python3")
            .arg(&script)
            .args([step, &mill.endpoints["REELMILL_REKOGNITION"], &mill.endpoints["REELMILL_S3"]])
            .args([reelmill::cli::LOCAL_KEY, reelmill::cli::LOCAL_SECRET])
            .arg(footage("."))
            .output()
            .unwrap();
        assert!(output.status.success(), "{step}: {}", String::from_utf8_lossy(&output.stderr));
        mill.kill_and_restart();
    }
}
