//! `get`.

use super::{Mill, names, text};
use crate::ports_in_memory::video_row;
use reelmill::client::{self, ClientError};
use std::{fs, sync::atomic::Ordering};

#[tokio::test]
async fn get_writes_the_recording_under_its_title_and_over_nothing() {
    let mill = Mill::start().await;
    let film: Vec<u8> = (0..100_000_u32).map(|n| (n % 251) as u8).collect();
    mill.publish("v", "a/b größe", &film);
    let (folder, mut out) = (mill.folder.path().to_owned(), Vec::new());
    let path = client::get(&mill.client, "v", Some(folder.clone()), &mut out).await.unwrap();
    assert_eq!(path, folder.join("a_b größe.mp4"));
    assert_eq!(fs::read(&path).unwrap(), film);
    assert_eq!(text(out), format!("{}\n", path.display()));

    let again = client::get(&mill.client, "v", Some(folder.clone()), &mut Vec::new()).await;
    assert!(matches!(again, Err(ClientError::AlreadyThere(_))));
    fs::write(&path, "old").unwrap();
    client::get(&mill.client, "v", Some(path.clone()), &mut Vec::new()).await.unwrap();
    assert_eq!(fs::read(&path).unwrap(), film, "a file named by the user is replaced");
    assert_eq!(names(&folder), ["a_b größe.mp4"]);
}

#[tokio::test]
async fn a_download_that_breaks_off_leaves_no_file() {
    let mill = Mill::start().await;
    mill.publish("v", "talk", &[7; 100_000]);
    mill.store.breaks.store(true, Ordering::SeqCst);
    let folder = mill.folder.path().to_owned();
    let error = client::get(&mill.client, "v", Some(folder.clone()), &mut Vec::new()).await;
    assert!(matches!(error, Err(ClientError::Broken(_))));
    assert!(names(&folder).is_empty());
}

#[tokio::test]
async fn get_before_the_recording_is_ready_says_so_and_writes_nothing() {
    let mill = Mill::start().await;
    mill.catalog.add(video_row("v"));
    let folder = mill.folder.path().to_owned();
    let error = client::get(&mill.client, "v", Some(folder.clone()), &mut Vec::new()).await;
    let error = error.unwrap_err().to_string();
    assert!(error.starts_with("not_ready: the video is still being processed"), "{error}");
    assert!(error.contains("watch its stages"), "{error}");
    assert!(names(&folder).is_empty());
}
