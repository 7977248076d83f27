//! What a server tells those who watch it.

use crate::{client, faces, footage, memory::MemoryStore, options, start_faces};
use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::sleep;
use vision::{Ended, Full, Looked, Observer, Server, ServerOptions};

/// Writes down what it hears.
#[derive(Debug, Default)]
struct Notes(Mutex<Vec<String>>);

impl Notes {
    fn note(&self, note: String) {
        self.0.lock().unwrap().push(note);
    }
}

impl Observer for Notes {
    fn looked(&self, at: Looked, frames: u32, took: Duration) {
        assert!(took > Duration::ZERO);
        self.note(format!("looked {at:?} {frames}"));
    }

    fn open(&self, waiting: usize, running: usize) {
        self.note(format!("open {waiting} {running}"));
    }

    fn ended(&self, job: Looked, how: Ended) {
        self.note(format!("ended {job:?} {how:?}"));
    }

    fn turned_away(&self, full: Full) {
        self.note(format!("turned away {full:?}"));
    }

    fn page(&self) -> Option<String> {
        Some("figures 1\n".to_owned())
    }
}

fn get(server: &Server, path: &str) -> String {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    // Scrapers name us as they please.
    let words = format!("GET {path} HTTP/1.1\r\nhost: vision:9001\r\nconnection: close\r\n\r\n");
    stream.write_all(words.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn an_observer_hears_of_every_job_and_those_who_watch_see_its_page() {
    let data = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::default());
    store.put("films", "pose.mp4", std::fs::read(footage("head-pose-two.mp4")).unwrap());
    store.put("films", "notes.mp4", b"these are notes, not a film".to_vec());
    let notes = Arc::new(Notes::default());
    let observer: Arc<dyn Observer> = notes.clone();
    let options = ServerOptions { observer, ..options(data.path(), store) };
    let permits = options.permits.clone();
    let server = Server::start(options).await.unwrap();
    let client = client(&server);
    for film in ["pose.mp4", "notes.mp4"] {
        let job = start_faces(&client, film, None).await;
        faces(&client, &job).await;
    }
    let heard = notes.0.lock().unwrap().clone();
    assert!(heard[..3].starts_with(&["open 1 0".to_owned(), "open 0 1".to_owned()]), "{heard:?}");
    for note in ["looked Faces 56", "ended Faces Succeeded", "ended Faces Refused", "open 0 0"] {
        assert!(heard.iter().any(|heard| heard == note), "{note} is not in {heard:?}");
    }
    assert_eq!(heard.iter().filter(|note| note.starts_with("looked")).count(), 1, "{heard:?}");

    // As many as AWS lets an account have open, all of them waiting for a permit.
    let held = permits.acquire_many(2).await.unwrap();
    for _ in 0..20 {
        start_faces(&client, "pose.mp4", None).await;
    }
    let object = crate::film("pose.mp4");
    let refused = client.start_face_detection().video(object).send().await;
    assert_eq!(crate::refused(refused), "LimitExceededException");
    let has_heard = |note: &str| notes.0.lock().unwrap().iter().any(|heard| heard == note);
    assert!(has_heard("turned away Jobs"), "{notes:?}");
    for _ in 0..600 {
        if !has_heard("open 20 0") {
            sleep(Duration::from_millis(50)).await;
        }
    }
    assert!(has_heard("open 20 0"), "{notes:?}");

    let page = get(&server, "/metrics");
    assert!(page.starts_with("HTTP/1.1 200") && page.ends_with("figures 1\n"), "{page}");
    for path in ["/healthz", "/readyz"] {
        assert!(get(&server, path).starts_with("HTTP/1.1 200"), "{path}");
    }
    server.stop().await;
    drop(held);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_counts_there_is_no_page() {
    let data = tempfile::tempdir().unwrap();
    let options = options(data.path(), Arc::new(MemoryStore::default()));
    let server = Server::start(options).await.unwrap();
    assert!(get(&server, "/metrics").starts_with("HTTP/1.1 404"));
}
