//! `--wait`: stays until every video can be found, or never will.

use super::{
    Out,
    error::ClientError,
    http::{Client, DeadLetter, State, Video},
    progress::Progress,
    text::{plain, seconds},
    upload::Uploaded,
};
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

const EVERY: Duration = Duration::from_millis(100);
/// A mill that is started again within this time finds us still waiting.
const PATIENCE: Duration = Duration::from_secs(60);
/// Where the catalogue lost an event, it may have been the last: so much silence, and it was.
const SILENCE: Duration = Duration::from_secs(600);

/// Returns what failed. Errors only where nothing more can be learned.
pub(crate) async fn wait(
    client: &Client,
    uploaded: &[Uploaded],
    mut progress: Progress,
    out: Out<'_>,
) -> Result<Vec<ClientError>, ClientError> {
    let began = Instant::now();
    let mut away_since: Option<Instant> = None;
    let mut pending: Vec<&Uploaded> = uploaded.iter().collect();
    let mut heard: HashMap<String, (Video, Instant)> = HashMap::new();
    let mut failures = Vec::new();
    while let Some(upload) = pending.first().copied() {
        let video = match client.video(&upload.video_id).await {
            Ok(video) => video,
            Err(error) if error.may_pass() => {
                if away_since.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
                    return Err(error);
                }
                tokio::time::sleep(EVERY).await;
                continue;
            }
            Err(error) => return Err(error),
        };
        away_since = None;
        progress.video(&mut *out, &video)?;
        let silence = match heard.get(&video.video_id) {
            Some((before, since)) if *before == video => since.elapsed(),
            _ => {
                heard.insert(video.video_id.clone(), (video.clone(), Instant::now()));
                Duration::ZERO
            }
        };
        match finished(&video, silence) {
            None => {
                pending.rotate_left(1);
                tokio::time::sleep(EVERY / u32::try_from(pending.len()).unwrap_or(1)).await;
            }
            Some(end) => {
                pending.remove(0);
                progress.finish(&video.video_id);
                let line = end_line(&video, &end, upload, began.elapsed());
                progress.say(&mut *out, &line)?;
                failures.extend(end.err());
            }
        }
    }
    Ok(failures)
}

/// `None` while there is work left: a recording that cannot be found yet is not all a user wants.
/// `silence` is the time since the video last changed.
fn finished(video: &Video, silence: Duration) -> Option<Result<(), ClientError>> {
    let video_id = video.video_id.clone();
    let dead = |of: &[&str]| -> Option<&DeadLetter> {
        video.dead_letters.iter().find(|dead| of.contains(&dead.processor.as_str()))
    };
    match video.state {
        State::Failed => {
            return Some(Err(ClientError::Failed {
                video_id,
                reason: plain(video.reason.as_deref().unwrap_or("unknown")),
                detail: plain(video.detail.as_deref().unwrap_or("the mill gave no detail")),
            }));
        }
        State::Ready if video.searchable => return Some(Ok(())),
        State::Ready => {
            if let Some(dead) = dead(&["label", "index"]) {
                let (reason, detail) = (plain(&dead.reason), plain(&dead.detail));
                return Some(Err(ClientError::NotSearchable { video_id, reason, detail }));
            }
        }
        State::Processing => {}
    }
    let dead = dead(&["catalog"]).filter(|_| silence >= SILENCE)?;
    let (reason, detail) = (plain(&dead.reason), plain(&dead.detail));
    Some(Err(ClientError::Unseen { video_id, reason, detail }))
}

fn end_line(
    video: &Video,
    end: &Result<(), ClientError>,
    upload: &Uploaded,
    took: Duration,
) -> String {
    match end {
        Ok(()) => {
            let took = seconds(i64::try_from(took.as_millis()).unwrap_or(i64::MAX));
            format!("ready {} after {took}: {}", plain(&video.title), upload.recording_url)
        }
        Err(error) => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::http::Links;

    fn video(state: State, searchable: bool, dead: &[&str]) -> Video {
        let dead = dead.iter().map(|processor| DeadLetter {
            processor: (*processor).to_owned(),
            reason: format!("{processor}_failed"),
            detail: "no space".to_owned(),
            redriven_at_ms: None,
        });
        Video {
            video_id: "v".to_owned(),
            title: "talk".to_owned(),
            assessment: String::new(),
            state,
            reason: None,
            detail: None,
            uploaded_at_ms: 0,
            duration_ms: None,
            searchable,
            overdue: None,
            stages: Vec::new(),
            next_run: None,
            links: Links { recording: None, receipt: None, thumbnail: None },
            dead_letters: dead.collect(),
        }
    }

    fn end(video: &Video, silence: Duration) -> Option<String> {
        finished(video, silence).map(|end| end.map_or_else(|e| e.to_string(), |()| "found".into()))
    }

    #[test]
    fn only_what_stops_the_search_ends_the_wait_for_it() {
        let ready = |dead: &[&str]| end(&video(State::Ready, false, dead), Duration::ZERO);
        for processor in ["label", "index"] {
            let said = format!("video v is ready but not searchable: {processor}_failed: no space");
            assert_eq!(ready(&["sweep", processor]), Some(said));
        }
        assert_eq!(ready(&["sweep", "catalog", "cut"]), None);
        let processing = video(State::Processing, false, &["index", "label"]);
        assert_eq!(end(&processing, SILENCE * 9), None, "the recording may still come");
        let found = video(State::Ready, true, &["index"]);
        assert_eq!(end(&found, Duration::ZERO).as_deref(), Some("found"));
    }

    #[test]
    fn a_lost_event_and_long_silence_end_the_wait() {
        for state in [State::Processing, State::Ready] {
            let lost = video(state, false, &["catalog"]);
            assert_eq!(end(&lost, SILENCE / 2), None);
            assert!(end(&lost, SILENCE).is_some_and(|said| said.contains("catalog_failed")));
            assert_eq!(end(&video(state, false, &[]), SILENCE), None);
        }
    }
}
