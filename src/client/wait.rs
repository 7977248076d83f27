//! `--wait`: stays until every video is ready, or has failed.

use super::{
    Out,
    error::ClientError,
    http::{Client, State, Video},
    progress::Progress,
    text::{plain, seconds},
    upload::Uploaded,
};
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_millis(300);
/// A mill that is started again within this time finds us still waiting.
const PATIENCE: Duration = Duration::from_secs(60);

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
        match finished(&video) {
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
fn finished(video: &Video) -> Option<Result<(), ClientError>> {
    match video.state {
        State::Failed => Some(Err(ClientError::Failed {
            video_id: video.video_id.clone(),
            reason: plain(video.reason.as_deref().unwrap_or("unknown")),
            detail: plain(video.detail.as_deref().unwrap_or("the mill gave no detail")),
        })),
        State::Ready if video.searchable => Some(Ok(())),
        State::Ready | State::Processing => None,
    }
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
