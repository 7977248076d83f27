//! The catalogue in PostgreSQL, through the doors a user has; and what is said where it cannot be.

use crate::{
    foreign_clients::{encode, put, video_of},
    places::up,
    support::{Mill, PATIENCE, footage, program},
};
use ports::Put;
use serde_json::Value;
use services::{Own, Service};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    path::{Path, PathBuf},
    process::Output,
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// As it is, and as an address has it.
const PASSWORD: &str = "hush/hush@1";
const ENCODED: &str = "hush%2Fhush%401";

/// A server with the user `ann`, who must give a password, her database `anns`, and `guest`, who may
/// do nothing.
struct Server(Own);

impl Server {
    fn start() -> Option<Self> {
        let server = Self(Own::start(&[Service::Postgres])?);
        let rules = server.0.folder().join("postgres/data/pg_hba.conf");
        let others = fs::read_to_string(&rules).unwrap();
        let ann = "host all ann 127.0.0.1/32 scram-sha-256";
        fs::write(&rules, format!("{ann}\n{others}")).unwrap();
        server
            .says(&format!("CREATE ROLE ann LOGIN PASSWORD '{PASSWORD}'; CREATE ROLE guest LOGIN"));
        server.says("CREATE DATABASE anns OWNER ann");
        server.says("SELECT pg_reload_conf()");
        Some(server)
    }

    fn says(&self, statement: &str) {
        let url = self.0.variable("REELMILL_DATABASE");
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let mut admin = PgConnection::connect(&url).await.unwrap();
            admin.execute(AssertSqlSafe(statement.to_owned())).await.unwrap();
            admin.close().await.unwrap();
        });
    }

    /// `host:port`
    fn place(&self) -> String {
        let url = self.0.variable("REELMILL_DATABASE");
        let after_user = url.split('@').nth(1).unwrap();
        after_user.split('/').next().unwrap().to_owned()
    }

    fn anns(&self) -> String {
        format!("postgres://ann:{ENCODED}@{}/anns", self.place())
    }
}

/// A configuration file that names a database.
fn configuration(dir: &Path, database: &str) -> PathBuf {
    let file = dir.join("reelmill.toml");
    fs::write(&file, format!("database = \"{database}\"\n")).unwrap();
    file
}

fn holds_no_password(what: &str, text: &str) {
    for secret in ["hush", PASSWORD, ENCODED] {
        assert!(!text.contains(secret), "{what} tells the password:\n{text}");
    }
}

const UPLOAD: &str = r#"{"bucket": "reelmill", "key": "uploads/eve/pose.mp4", "owner": "eve",
    "assessment": "geography", "title": "pose", "recorded_at_ms": 1700000000000}"#;
const MISSING: &str = r#"{"bucket": "reelmill", "key": "uploads/none.mp4", "owner": "nobody",
    "recorded_at_ms": 1700000000000}"#;
const LATE: &str = r#"{"bucket": "reelmill", "key": "uploads/late.mp4", "owner": "late"}"#;

/// A film and an upload without a film; `meanwhile` is done once the film is being worked on.
fn work(mill: &Mill, meanwhile: impl FnOnce(&str)) {
    put(mill, &footage("head-pose-two.mp4"), "uploads/eve/pose.mp4", Put::default());
    mill.produce("video-uploaded", &encode(mill, UPLOAD));
    mill.produce("video-uploaded", &encode(mill, MISSING));
    let started = Instant::now();
    loop {
        let page = mill.get("/api/videos?owner=eve").1;
        let video = &page["videos"][0];
        let stages = video["stages"].as_array().into_iter().flatten();
        if stages.filter(|stage| stage["stage"] == "cut").any(|stage| stage["done"] != 0) {
            meanwhile(text(&video["video_id"]));
            break;
        }
        assert!(started.elapsed() < PATIENCE, "{page:#}\n{}", mill.log());
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(video_of(mill, "eve")["state"], "ready", "{}", mill.log());
    assert_eq!(video_of(mill, "nobody")["state"], "failed");
    mill.at_rest(text(&video_of(mill, "eve")["video_id"]));
}

/// All that the catalogue answers, but for what differs from one time to the next.
fn answers(mill: &Mill) -> Value {
    let mut page = mill.get("/api/videos").1;
    let videos = page["videos"].as_array().unwrap().clone();
    let row = |video: &Value| mill.get(&format!("/api/videos/{}", text(&video["video_id"]))).1;
    let rows: Vec<_> = videos.iter().map(row).collect();
    page["rows"] = rows.into();
    // Newest first, and both were uploaded at about the same time.
    for list in ["videos", "rows"] {
        page[list].as_array_mut().unwrap().sort_by_key(|video| video["owner"].to_string());
    }
    keep_what_lasts(&mut page);
    page
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn keep_what_lasts(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for chance in ["links", "partition"] {
                members.remove(chance);
            }
            for (name, member) in members {
                let is_time = name.ends_with("at_ms") && name != "recorded_at_ms";
                if is_time && !member.is_null() {
                    *member = "some time".into();
                }
                keep_what_lasts(member);
            }
        }
        Value::Array(members) => members.iter_mut().for_each(keep_what_lasts),
        _ => {}
    }
}

#[test]
fn the_whole_job_with_a_server_gives_the_answers_of_a_file_even_when_the_server_dies_meanwhile() {
    let Some(server) = Server::start() else { return };
    let dir = TempDir::new().unwrap();
    let config = configuration(dir.path(), &server.anns());
    let arguments = ["--clip-seconds", "1", "--config", config.to_str().unwrap()];

    let file = Mill::start(&arguments[..2]);
    work(&file, |_| {});
    let expected = answers(&file);
    assert!(file.data().join("catalog.sqlite").exists());
    drop(file);

    let mut mill = Mill::start(&arguments);
    work(&mill, |video| {
        server.0.kill(Service::Postgres);
        let (status, problem) = mill.get(&format!("/api/videos/{video}"));
        assert_eq!((status, &problem["code"]), (503, &"database_gone".into()), "{problem:#}");
        assert!(text(&problem["detail"]).contains("see that the server runs"), "{problem:#}");
        assert_eq!(mill.get("/healthz").0, 200);
        server.0.restart(Service::Postgres);
    });
    assert_eq!(answers(&mill), expected);
    assert!(!mill.data().join("catalog.sqlite").exists());

    mill.kill_and_restart();
    assert_eq!(answers(&mill), expected);

    // What could not be told before a stop is told after the next start.
    server.0.kill(Service::Postgres);
    mill.produce("video-uploaded", &encode(&mill, LATE));
    thread::sleep(Duration::from_secs(1));
    let stopping = Instant::now();
    assert!(mill.stop().success(), "{}", mill.log());
    assert!(stopping.elapsed() < Duration::from_secs(12), "{:?}", stopping.elapsed());
    server.0.restart(Service::Postgres);
    mill.start_again();
    assert_eq!(video_of(&mill, "late")["reason"], "missing_object");
    assert!(mill.log().contains("see that the server runs"), "{}", mill.log());
    holds_no_password("the log", &mill.log());
}

#[test]
fn two_that_start_at_once_on_one_empty_database_both_come_up_and_see_the_same() {
    let Some(server) = Server::start() else { return };
    let dir = TempDir::new().unwrap();
    let config = configuration(dir.path(), &server.anns());
    let mills = thread::scope(|scope| {
        let start = || Mill::start(&["--config", config.to_str().unwrap()]);
        let both = [scope.spawn(start), scope.spawn(start)];
        both.map(|mill| mill.join().unwrap())
    });
    mills[0].produce("video-uploaded", &encode(&mills[0], MISSING));
    for mill in &mills {
        assert_eq!(video_of(mill, "nobody")["reason"], "missing_object");
    }
}

/// How `up` ends and what it says last, with its database named in the configuration file and everything
/// logged.
fn refused(database: &str) -> (Option<i32>, String) {
    let dir = TempDir::new().unwrap();
    let mut command = program();
    command.arg("--config").arg(configuration(dir.path(), database)).env("REELMILL_LOG", "trace");
    let output: Output = up(command, &dir.path().join("data"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    holds_no_password(database, &said);
    holds_no_password(database, &String::from_utf8_lossy(&output.stdout));
    let last = said.lines().rev().find(|line| line.starts_with("reelmill: ")).unwrap_or(&said);
    (output.status.code(), last.to_owned())
}

/// Answers one caller as a web server does.
fn web_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        let (mut caller, _) = listener.accept().unwrap();
        drop(caller.read(&mut [0; 1000]));
        drop(caller.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
    });
    place
}

#[test]
fn a_database_that_cannot_be_is_refused_with_cause_and_remedy_and_without_its_password() {
    let Some(server) = Server::start() else { return };
    let place = server.place();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    // 64 is for what a person must correct; a server that is away may come back.
    let table = [
        (format!("ann:{ENCODED}@{nobody}/anns"), 1, ["refused", "see that the server runs"]),
        (
            format!("ann:{ENCODED}@{}/anns", web_server()),
            1,
            ["unexpected", "names its host and port"],
        ),
        (
            format!("ann:{ENCODED}0@{place}/anns"),
            64,
            [
                "password authentication failed for user \"ann\"",
                "correct the user and the password",
            ],
        ),
        (format!("ann@{place}/anns"), 64, ["password", "correct the user and the password"]),
        (
            format!("ann:{ENCODED}@{place}/nowhere"),
            64,
            ["database \"nowhere\" does not exist", "CREATE DATABASE"],
        ),
        (
            format!("guest:{ENCODED}@{place}/reelmill"),
            64,
            ["permission denied for schema public", "the user needs CREATE on the schema"],
        ),
        (
            format!("ann:{ENCODED}@{place}/anns?options[search_path]=nowhere"),
            64,
            ["no schema has been selected", "create the schema"],
        ),
        (format!("ann:{ENCODED}@{place}/anns?sslmode=require"), 64, ["TLS", "sslmode"]),
        (format!("ann:{ENCODED}@{place}/anns?sslmode=perhaps"), 64, ["perhaps", "address"]),
        (
            format!("ann:{ENCODED}@{place}/anns?passwrod=hush"),
            64,
            ["no parameter \"passwrod\"", "did you mean \"password\""],
        ),
    ];
    for (rest, code, expected) in table {
        let (ended, said) = refused(&format!("postgres://{rest}"));
        assert_eq!(ended, Some(code), "{rest}: {said}");
        assert!(said.contains("--database: ") || code == 1, "{rest}: {said}");
        for words in expected {
            assert!(said.contains(words), "{rest}: {said}");
        }
    }
    let (ended, said) = refused(&format!("mysql://ann:{ENCODED}@{place}/anns"));
    assert_eq!(ended, Some(64), "{said}");
    assert!(
        said.contains("no database engine \"mysql\"") && said.contains("postgres://"),
        "{said}"
    );
}
