//! A server that was given keys takes what was signed with them, and nothing else.

use crate::{memory::MemoryStore, options};
use aws_sdk_rekognition::{
    Client,
    config::{BehaviorVersion, Credentials, Region, retry::RetryConfig},
    error::ProvideErrorMetadata,
};
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tempfile::TempDir;
use vision::{Clock, Keys, Server, ServerOptions};

const LIST: &str = "RekognitionService.ListCollections";

async fn start(data: &TempDir, clock: Clock) -> Server {
    let keys = Keys { access_key: "school".to_owned(), secret_key: "chalk".to_owned() };
    let store = Arc::new(MemoryStore::default());
    let options = ServerOptions { keys: Some(keys), clock, ..options(data.path(), store) };
    Server::start(options).await.unwrap()
}

/// The code with which a client that has these keys is refused.
async fn refused(server: &Server, access_key: &str, secret_key: &str) -> Option<String> {
    let config = aws_sdk_rekognition::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-central-1"))
        .endpoint_url(server.url())
        .credentials_provider(Credentials::new(access_key, secret_key, None, None, "static"))
        .retry_config(RetryConfig::disabled())
        .build();
    let listed = Client::from_conf(config).list_collections().send().await;
    listed.err().map(|error| error.code().unwrap().to_owned())
}

#[tokio::test]
async fn a_client_is_known_by_its_keys() {
    let data = TempDir::new().unwrap();
    let server = start(&data, Clock::default()).await;
    assert_eq!(refused(&server, "school", "chalk").await, None);
    let wrong = refused(&server, "school", "Chalk").await;
    assert_eq!(wrong.as_deref(), Some("InvalidSignatureException"));
    let unknown = refused(&server, "pupil", "chalk").await;
    assert_eq!(unknown.as_deref(), Some("UnrecognizedClientException"));
    server.stop().await;
}

#[tokio::test]
async fn a_signature_is_good_for_a_quarter_of_an_hour() {
    for (minutes, answer) in [(14, None), (16, Some("InvalidSignatureException"))] {
        let data = TempDir::new().unwrap();
        let late = Duration::from_secs(minutes * 60);
        let server = start(&data, Clock::new(move || SystemTime::now() + late)).await;
        assert_eq!(refused(&server, "school", "chalk").await.as_deref(), answer, "{minutes}");
        server.stop().await;
    }
}

/// A request for the collections, signed for `signed`, sent with `sent`: its answer's first line.
fn answer(server: &Server, signed: (&str, &str), sent: (&str, &str)) -> String {
    let host = server.address().to_string();
    let identity = Credentials::new("school", "chalk", None, None, "own").into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region("us-east-1")
        .name("rekognition")
        .time(SystemTime::now())
        .settings(SigningSettings::default())
        .build()
        .unwrap()
        .into();
    let headers = [("host", host.as_str()), ("x-amz-target", signed.0)].into_iter();
    let body = SignableBody::Bytes(signed.1.as_bytes());
    let request = SignableRequest::new("POST", format!("http://{host}/"), headers, body).unwrap();
    let (instructions, _) = sign(request, &params).unwrap().into_parts();
    let mut text = format!("POST / HTTP/1.1\r\nhost: {host}\r\nx-amz-target: {}\r\n", sent.0);
    for (name, value) in instructions.headers() {
        text += &format!("{name}: {value}\r\n");
    }
    text += &format!("content-length: {}\r\nconnection: close\r\n\r\n{}", sent.1.len(), sent.1);
    let mut stream = TcpStream::connect(&host).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_changed_on_the_way_is_refused() {
    let data = TempDir::new().unwrap();
    let server = start(&data, Clock::default()).await;
    let (asked, other) = ((LIST, "{}"), "RekognitionService.DeleteCollection");
    assert!(answer(&server, asked, asked).starts_with("HTTP/1.1 200"));
    for changed in [(LIST, "{\"MaxResults\":1}"), (other, "{}")] {
        let answer = answer(&server, asked, changed);
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        assert!(answer.contains("InvalidSignatureException"), "{answer}");
    }
    server.stop().await;
}
