//! `reelmill replay`: videos are worked on again, from a stage on.

use super::{
    Out,
    error::ClientError,
    http::{Client, Video},
    text::plain,
};
use serde::Deserialize;

/// Entries of a page of the list.
const PAGE: usize = 100;

/// Which videos.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chosen {
    These(Vec<String>),
    /// All that were uploaded from then on, in ms since 1970.
    Since(i64),
}

#[derive(Debug, Deserialize)]
struct List {
    videos: Vec<Video>,
}

#[derive(Debug, Deserialize)]
struct Replayed {
    replay: u32,
    faces_of: Option<String>,
    labels_of: Option<String>,
}

/// Begins a new run of each chosen video. One that cannot be worked on again is told of, and the
/// others begin all the same.
///
/// # Errors
/// The refusals, after all were asked for.
pub async fn replay(
    client: &Client,
    chosen: &Chosen,
    from: &str,
    out: Out<'_>,
) -> Result<(), ClientError> {
    let videos = match chosen {
        Chosen::These(videos) => videos.clone(),
        Chosen::Since(ms) => uploaded_since(client, *ms).await?,
    };
    if videos.is_empty() {
        writeln!(out, "no video was uploaded since then")?;
    }
    let mut refused = Vec::new();
    for video in &videos {
        let path = ["api", "videos", video, "replay"];
        let answer = client.send(client.post(&path, &[("from", from)])).await;
        match answer {
            Ok(answer) => {
                let begun: Replayed = client.read(client.value(answer).await?)?;
                let taken = match (begun.faces_of, begun.labels_of) {
                    (Some(_), Some(_)) => ", with the faces and labels found before",
                    (Some(_), None) => ", with the faces found before",
                    _ => "",
                };
                writeln!(out, "{}: replay {} begins{taken}", plain(video), begun.replay)?;
            }
            Err(error) => {
                // A single one is told by the caller.
                if videos.len() > 1 {
                    writeln!(out, "{}: {}", plain(video), plain(&error.to_string()))?;
                }
                refused.push(error);
            }
        }
    }
    ClientError::of_several(videos.len(), refused)
}

async fn uploaded_since(client: &Client, ms: i64) -> Result<Vec<String>, ClientError> {
    let mut found = Vec::new();
    for page in 0.. {
        let (page, size) = (page.to_string(), PAGE.to_string());
        let query = [("page", page.as_str()), ("page_size", size.as_str())];
        let list: List = client.read(client.json(&["api", "videos"], &query).await?)?;
        // The newest come first.
        let is_last = list.videos.len() < PAGE || list.videos.iter().any(|v| v.uploaded_at_ms < ms);
        let newer = list.videos.into_iter().filter(|video| video.uploaded_at_ms >= ms);
        for video in newer {
            // What was uploaded meanwhile moves the others to later pages.
            if !found.contains(&video.video_id) {
                found.push(video.video_id);
            }
        }
        if is_last {
            break;
        }
    }
    Ok(found)
}
