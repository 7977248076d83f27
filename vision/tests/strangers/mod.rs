//! Web pages of other sites, which a browser on the server's machine may show.

use crate::{memory::MemoryStore, options};
use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    sync::Arc,
};
use tempfile::TempDir;
use vision::{Server, ServerOptions};

async fn start(data: &TempDir, ip: Ipv4Addr) -> Server {
    let store = Arc::new(MemoryStore::default());
    let listen = (ip, 0).into();
    Server::start(ServerOptions { listen, ..options(data.path(), store) }).await.unwrap()
}

/// What the server answers to these words, from loopback.
fn answer(server: &Server, words: &str) -> String {
    let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, server.address().port()));
    let mut stream = TcpStream::connect(loopback).unwrap();
    stream.write_all(words.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Asks for the collections; in `up`, any signature is taken.
fn collections(server: &Server, host: &str, header: &str) -> String {
    let words = format!(
        "POST / HTTP/1.1\r\nhost: {host}\r\n{header}authorization: AWS4-HMAC-SHA256 any\r\n\
         x-amz-target: RekognitionService.ListCollections\r\ncontent-length: 2\r\n\
         connection: close\r\n\r\n{{}}"
    );
    answer(server, &words)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_site_is_told_nothing_on_loopback() {
    let data = TempDir::new().unwrap();
    let server = start(&data, Ipv4Addr::LOCALHOST).await;
    for (host, header, cause) in [
        ("evil.example:9001", "", "use http://127.0.0.1 or http://localhost"),
        ("127.0.0.1", "origin: https://evil.example\r\n", "send the request from a program"),
        ("127.0.0.1", "origin: null\r\n", "send the request from a program"),
        ("127.0.0.1", "sec-fetch-site: cross-site\r\n", "send the request from a program"),
    ] {
        let refused = collections(&server, host, header);
        assert!(refused.starts_with("HTTP/1.1 400"), "{host} {header}: {refused}");
        assert!(refused.contains(r#""__type":"AccessDeniedException""#), "{refused}");
        assert!(refused.contains(cause), "{refused}");
        assert!(!refused.contains("CollectionIds"), "{refused}");
    }
    let own = "origin: http://localhost:3000\r\nsec-fetch-site: same-site\r\n";
    for (host, header) in [("127.0.0.1:9001", ""), ("localhost", own)] {
        let told = collections(&server, host, header);
        assert!(told.starts_with("HTTP/1.1 200"), "{host} {header}: {told}");
        assert!(told.contains("CollectionIds"), "{told}");
    }
    let watched =
        answer(&server, "GET /readyz HTTP/1.1\r\nhost: detector\r\nconnection: close\r\n\r\n");
    assert!(watched.starts_with("HTTP/1.1 200") && watched.ends_with("ready\n"), "{watched}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_loopback_a_server_may_be_called_by_any_name() {
    let data = TempDir::new().unwrap();
    let server = start(&data, Ipv4Addr::UNSPECIFIED).await;
    let told = collections(&server, "vision:9001", "");
    assert!(told.starts_with("HTTP/1.1 200"), "{told}");
    server.stop().await;
}
