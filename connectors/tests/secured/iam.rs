//! Tokens of Amazon MSK's IAM, shown to a Kafka that checks them as MSK does (`MskIam.java`).
//!
//! What credentials there are is said by variables, and those belong to a process: each test starts
//! this program again, with [`within`] as the only test.

use crate::{
    numbers::{ask, copy_all, spec, topics},
    world::kafka,
};
use connectors::kafka::{Kafka, Protocol, Security};
use engine::LogOpener;
use ports::Log;
use services::{REGION, Secured};
use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::TcpListener,
    process::Command,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant, SystemTime},
};

/// What to do within, where Kafka is and its authority, the region.
const TASK: &str = "REELMILL_TEST_IAM";
/// How long numbers are copied.
const FOR: Duration = Duration::from_secs(50);

/// Serves credentials as ECS and Pod Identity do, each under a key of its own that is good for so many
/// seconds; says where, and what was handed out.
fn endpoint(
    name: &'static str,
    seconds: u64,
    secret: &'static str,
) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/credentials", listener.local_addr().unwrap());
    let handed = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&handed);
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut keys = told.lock().unwrap();
            let key = format!("{name}-{seconds}-{secret}{}", keys.len());
            keys.push(key.clone());
            let ends = SystemTime::now() + Duration::from_secs(seconds);
            let ends = aws_sdk_s3::primitives::DateTime::from(ends);
            let ends = ends.fmt(aws_sdk_s3::primitives::DateTimeFormat::DateTime).unwrap();
            let body = format!(
                "{{\"AccessKeyId\": \"{key}\", \"SecretAccessKey\": \"{secret}/of+{key}\", \
                 \"Token\": \"session/of+{key}\", \"Expiration\": \"{ends}\"}}"
            );
            let mut asked = [0; 4096];
            drop(stream.read(&mut asked));
            let length = body.len();
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close";
            drop(write!(stream, "{head}\r\ncontent-length: {length}\r\n\r\n{body}"));
        }
    });
    (url, handed)
}

/// Runs a task with these credentials and no others; its answer.
fn run(world: &Secured, task: &str, region: &str, variables: &[(&str, &str)]) -> String {
    let task = format!("{task} {} {} {region}", world.iam, world.ca.display());
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "iam::within", "--nocapture"]);
    command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", "/nonexistent");
    command.env("AWS_EC2_METADATA_DISABLED", "true").env(TASK, task);
    let output = command.envs(variables.iter().copied()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let answer = text.lines().find_map(|line| line.split_once("answer: "));
    answer.unwrap_or_else(|| unreachable!("{text}{said}")).1.to_owned()
}

/// The tasks.
#[tokio::test(flavor = "multi_thread")]
async fn within() {
    let Ok(task) = std::env::var(TASK) else { return };
    let words: Vec<_> = task.split(' ').collect();
    let [task, at, ca, region] = words[..] else { unreachable!("{task}") };
    let security = Security {
        protocol: Protocol::AwsMskIam,
        ca: Some(ca.into()),
        region: region.to_owned(),
        ..Security::default()
    };
    let client = |instance: &str| kafka(at, security.clone(), instance);
    let answer = match task {
        "list" => match client("a").list_topics().await {
            Ok(_) => "let in".to_owned(),
            Err(trouble) => format!("{trouble:?}"),
        },
        _ => {
            let first = task.trim_start_matches("copy-").parse().unwrap();
            copied(&client("admin"), &client("a"), first).await
        }
    };
    println!("\nanswer: {answer}");
}

/// Copies numbers for a while, with sessions that end within it unless they go on with a new token, and
/// counts those that were done once.
async fn copied(admin: &Kafka, worker: &Kafka, first: u32) -> String {
    admin.create_topics(&topics()).await.unwrap();
    let began = Instant::now();
    let mut log = worker.open(&spec()).await.unwrap();
    let mut next = first;
    while began.elapsed() < FOR {
        ask(admin, next..next + 5).await;
        copy_all(&mut log, 5).await;
        next += 5;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    log.close().await;
    let answered = crate::numbers::answered(admin).await;
    let ours: Vec<_> = answered.into_iter().filter(|number| *number >= first).collect();
    match ours == (first..next).collect::<Vec<_>>() {
        true => format!("{} once", ours.len()),
        false => format!("not once: {ours:?}"),
    }
}

#[test]
fn the_loop_is_exactly_once_over_tokens_that_are_renewed_before_they_end() {
    let Some(world) = Secured::get() else { return };
    let _turn = crate::doors::TURN.blocking_lock();
    // Sessions of a role keep their name where that is set, and else have a new one each.
    for (name, first) in [("AKID", 1000), ("MOVING", 2000)] {
        let (url, handed) = endpoint(name, 20, "secret");
        let task = format!("copy-{first}");
        let answer = run(world, &task, REGION, &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url)]);
        assert!(answer.ends_with(" once") && !answer.starts_with('0'), "{name}: {answer}");
        let handed: BTreeSet<_> = handed.lock().unwrap().iter().cloned().collect();
        let log = world.log();
        let accepted = log.lines().filter_map(|line| line.split_once("msk-iam accepted "));
        let accepted: BTreeSet<_> = accepted.map(|(_, key)| key.to_owned()).collect();
        let renewed: Vec<_> = accepted.intersection(&handed).collect();
        assert!(renewed.len() >= 3, "{name}: {renewed:?} of {handed:?}");
        assert!(!log.contains("msk-iam refused: expired"), "{name}: {log}");
    }
}

#[test]
fn a_token_of_wrong_keys_or_for_another_region_is_refused_and_told() {
    let Some(world) = Secured::get() else { return };
    let (right, _) = endpoint("AKID", 900, "secret");
    let (wrong, _) = endpoint("AKID", 900, "wrong");
    let list = |region: &str, url: &str| {
        run(world, "list", region, &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", url)])
    };
    assert_eq!(list(REGION, &right), "let in");
    for (region, url) in [(REGION, &wrong), ("us-east-1", &right)] {
        let told = list(region, url);
        assert!(told.starts_with("Fatal"), "{told}");
        assert!(told.contains("does not take our IAM token"), "{told}");
        assert!(
            told.contains("kafka-cluster:Connect") && told.contains("REELMILL_REGION"),
            "{told}"
        );
        assert!(!told.contains("wrong/of") && !told.contains("session/of"), "{told}");
    }
    let log = world.log();
    assert!(log.contains("msk-iam refused: signature"), "{log}");
    assert!(log.contains("msk-iam refused: host kafka.us-east-1.amazonaws.com"), "{log}");
}

#[test]
fn credentials_that_nobody_has_and_those_that_cannot_be_had_now_are_told_apart() {
    let Some(world) = Secured::get() else { return };
    let none = run(world, "list", REGION, &[]);
    assert!(none.starts_with("Fatal") && none.contains("has no credentials"), "{none}");
    assert!(none.contains("IRSA or Pod Identity"), "{none}");
    let away = [("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/credentials")];
    let away = run(world, "list", REGION, &away);
    assert!(away.starts_with("Transient") && away.contains("credentials_unavailable"), "{away}");
}
