//! AWS's default chain: what a role is given is used, signed for the region, and asked for again before
//! it ends. STS, the endpoint of Pod Identity and the services are scripts on loopback.
//!
//! What the chain finds is said by variables, and those belong to a process: each test starts this
//! program again, with [`within`] as the only test.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use connectors::{
    opensearch::{OpenSearch, OpenSearchConfig},
    rekognition::{Rekognition, RekognitionConfig},
    s3::{S3, S3Config},
};
use ports::{Store, Trouble};
use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::Command,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, SystemTime},
};

const TASK: &str = "REELMILL_TEST_CHAIN";
const REGION: &str = "eu-central-1";

/// What was asked: the first line and the head, in lower case but for values, and the body.
type Asked = Arc<Mutex<Vec<String>>>;

/// Answers every request over HTTP with what `answer` makes of it; says where, and what was asked.
fn serve(answer: impl Fn(usize, &str) -> (u16, String) + Send + Sync + 'static) -> (String, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (asked, answer) = (Asked::default(), Arc::new(answer));
    let noted = Arc::clone(&asked);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (noted, answer) = (Arc::clone(&noted), Arc::clone(&answer));
            thread::spawn(move || one(stream, &noted, &*answer));
        }
    });
    (url, asked)
}

fn one(mut stream: TcpStream, noted: &Asked, answer: &dyn Fn(usize, &str) -> (u16, String)) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut text, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        if let Some(bytes) = line.to_lowercase().strip_prefix("content-length:") {
            length = bytes.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
        text += &line;
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    text += &String::from_utf8_lossy(&body);
    let number = {
        let mut noted = noted.lock().unwrap();
        noted.push(text.clone());
        noted.len()
    };
    let (status, body) = answer(number, &text);
    let length = body.len();
    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close");
    drop(write!(stream, "{head}\r\n\r\n{body}"));
}

fn in_seconds(seconds: u64) -> String {
    let ends =
        aws_sdk_s3::primitives::DateTime::from(SystemTime::now() + Duration::from_secs(seconds));
    ends.fmt(aws_sdk_s3::primitives::DateTimeFormat::DateTime).unwrap()
}

/// STS, whose sessions are good for so many seconds, each under a name of its own.
fn sts(seconds: u64) -> (String, Asked) {
    serve(move |number, _| {
        let ends = in_seconds(seconds);
        let body = format!(
            "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
             <AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>AKID{number}</AccessKeyId>\
             <SecretAccessKey>hush</SecretAccessKey><SessionToken>session-{number}</SessionToken>\
             <Expiration>{ends}</Expiration></Credentials></AssumeRoleWithWebIdentityResult>\
             </AssumeRoleWithWebIdentityResponse>"
        );
        (200, body)
    })
}

/// S3, Rekognition and OpenSearch at once, as far as they are asked.
fn services() -> (String, Asked) {
    serve(|_, asked| match asked {
        asked if asked.contains("x-amz-target") => {
            (400, "{\"__type\": \"ResourceNotFoundException\", \"message\": \"no job\"}".to_owned())
        }
        asked if asked.contains("/es/aws4_request") => (503, "{}".to_owned()),
        asked if asked.starts_with("PUT /new") => (200, String::new()),
        asked if asked.starts_with("HEAD /new") => (404, String::new()),
        _ => (200, "<ListBucketResult><KeyCount>0</KeyCount></ListBucketResult>".to_owned()),
    })
}

/// Runs a task in a process with these variables and none of AWS's others; its answer.
fn run(task: &str, services: &str, variables: &[(&str, &str)]) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "within", "--nocapture"]).env_clear();
    command.env("PATH", "/usr/bin:/bin").env("HOME", "/nonexistent");
    command.env("AWS_EC2_METADATA_DISABLED", "true").env(TASK, format!("{task} {services}"));
    let output = command.envs(variables.iter().copied()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let answer = text.lines().find_map(|line| line.split_once("answer: "));
    answer.unwrap_or_else(|| unreachable!("{text}{said}")).1.to_owned()
}

async fn store(endpoint: &str) -> Result<S3, Trouble> {
    let (endpoint, region) = (Some(endpoint.to_owned()), REGION.to_owned());
    S3::new(S3Config { endpoint, region, force_path_style: true, ..S3Config::default() }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn within() {
    let Ok(task) = std::env::var(TASK) else { return };
    let (task, endpoint) = task.split_once(' ').unwrap();
    let done = match task {
        "all" => all(endpoint).await,
        "again" => again(endpoint).await,
        _ => store(endpoint).await.map(drop),
    };
    match done {
        Ok(()) => println!("\nanswer: done"),
        Err(trouble) => println!("\nanswer: {trouble:?}"),
    }
}

/// Each service is asked once.
async fn all(endpoint: &str) -> Result<(), Trouble> {
    let store = store(endpoint).await?;
    store.list("mill", "").await?;
    store.ensure_bucket("new").await?;
    let rekognition = RekognitionConfig {
        endpoint: Some(endpoint.to_owned()),
        region: REGION.to_owned(),
        ..RekognitionConfig::default()
    };
    drop(Rekognition::new(rekognition).await?.look().await);
    let index = OpenSearchConfig {
        url: endpoint.to_owned(),
        signed_for: Some(REGION.to_owned()),
        ..OpenSearchConfig::default()
    };
    drop(OpenSearch::open(&index).await);
    Ok(())
}

/// One client is asked for longer than a session is good.
async fn again(endpoint: &str) -> Result<(), Trouble> {
    let store = store(endpoint).await?;
    for _ in 0..12 {
        store.list("mill", "").await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}

/// The values of a header in what was asked.
fn header(asked: &Asked, name: &str) -> Vec<String> {
    let asked = asked.lock().unwrap();
    let lines = asked.iter().flat_map(|text| text.lines());
    let named = lines
        .filter_map(|line| line.split_once(": ").filter(|(n, _)| n.eq_ignore_ascii_case(name)));
    named.map(|(_, value)| value.trim().to_owned()).collect()
}

/// A token of a service account, as Kubernetes mounts it.
fn identity() -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"identity-of-the-account").unwrap();
    file
}

/// What Kubernetes sets for a service account with a role, and where its token is exchanged.
fn of_role<'a>(
    identity: &'a tempfile::NamedTempFile,
    sts: &'a str,
) -> [(&'static str, &'a str); 3] {
    [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", identity.path().to_str().unwrap()),
        ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/mill"),
        ("AWS_ENDPOINT_URL_STS", sts),
    ]
}

#[test]
fn a_role_of_a_service_account_signs_for_every_service_and_for_the_region() {
    let (sts, exchanged) = sts(3600);
    let (at, asked) = services();
    let identity = identity();
    let mut variables = of_role(&identity, &sts).to_vec();
    // A region of the environment does not win over ours.
    variables.push(("AWS_REGION", "ap-south-1"));
    assert_eq!(run("all", &at, &variables), "done");
    let exchanged = exchanged.lock().unwrap().join("\n");
    assert!(exchanged.contains("Action=AssumeRoleWithWebIdentity"), "{exchanged}");
    assert!(exchanged.contains("WebIdentityToken=identity-of-the-account"), "{exchanged}");
    let signed = header(&asked, "authorization");
    for service in ["s3", "rekognition", "es"] {
        let scope = format!("/{REGION}/{service}/aws4_request");
        assert!(signed.iter().any(|signed| signed.contains(&scope)), "{service}: {signed:#?}");
    }
    assert!(signed.iter().all(|signed| signed.contains(&format!("/{REGION}/"))), "{signed:#?}");
    let sessions = header(&asked, "x-amz-security-token");
    assert_eq!(sessions.len(), signed.len(), "each is of a session");
    assert!(sessions.iter().all(|session| session.starts_with("session-")), "{sessions:?}");
    let made = asked.lock().unwrap().iter().find(|text| text.starts_with("PUT /new")).cloned();
    let constraint = format!("<LocationConstraint>{REGION}</LocationConstraint>");
    assert!(made.unwrap().contains(&constraint), "the bucket is made in the region");
}

#[test]
fn credentials_are_asked_for_again_before_they_end() {
    let (sts, _) = sts(15);
    let (at, asked) = services();
    let identity = identity();
    assert_eq!(run("again", &at, &of_role(&identity, &sts)), "done");
    let sessions: BTreeSet<_> = header(&asked, "x-amz-security-token").into_iter().collect();
    assert!(sessions.len() >= 2, "{sessions:?}");
}

#[test]
fn credentials_of_pod_identity_and_of_the_environment_are_found() {
    let (endpoint, handed) = serve(|_, _| {
        let ends = in_seconds(3600);
        let keys =
            "\"AccessKeyId\": \"AKID\", \"SecretAccessKey\": \"hush\", \"Token\": \"of-pod\"";
        (200, format!("{{{keys}, \"Expiration\": \"{ends}\"}}"))
    });
    let (at, asked) = services();
    let mut token = tempfile::NamedTempFile::new().unwrap();
    token.write_all(b"pod").unwrap();
    let pod = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", endpoint.as_str()),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token.path().to_str().unwrap()),
    ];
    assert_eq!(run("all", &at, &pod), "done");
    assert_eq!(header(&handed, "authorization")[0], "pod");
    assert!(header(&asked, "x-amz-security-token").iter().all(|token| token == "of-pod"));

    let (at, asked) = services();
    let variables = [
        ("AWS_ACCESS_KEY_ID", "AKID"),
        ("AWS_SECRET_ACCESS_KEY", "hush"),
        ("AWS_SESSION_TOKEN", "of-environment"),
    ];
    assert_eq!(run("all", &at, &variables), "done");
    let sessions = header(&asked, "x-amz-security-token");
    assert!(!sessions.is_empty() && sessions.iter().all(|token| token == "of-environment"));
}

#[test]
fn no_credentials_and_an_sts_that_refuses_or_is_away_are_told_apart() {
    let (at, asked) = services();
    let none = run("open", &at, &[]);
    assert!(none.starts_with("Fatal") && none.contains("has no credentials"), "{none}");
    assert!(
        none.contains("IRSA or Pod Identity") && none.contains("REELMILL_ACCESS_KEY"),
        "{none}"
    );
    let identity = identity();
    let (refusing, _) = serve(|_, _| {
        let body = "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code>\
                    <Message>Not authorized to perform sts:AssumeRoleWithWebIdentity</Message>\
                    </Error></ErrorResponse>";
        (403, body.to_owned())
    });
    for (sts, said) in [(refusing.as_str(), "Not authorized"), ("http://127.0.0.1:1", "")] {
        let variables = [
            ("AWS_WEB_IDENTITY_TOKEN_FILE", identity.path().to_str().unwrap()),
            ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/mill"),
            ("AWS_ENDPOINT_URL_STS", sts),
        ];
        let told = run("open", &at, &variables);
        assert!(told.contains("credentials_unavailable") && told.contains(said), "{told}");
        assert!(told.contains("trust policy") && !told.contains("identity-of"), "{told}");
    }
    assert!(asked.lock().unwrap().is_empty(), "nobody is asked without credentials");
}
