//! `reelmill status`: how far videos are.

use super::{
    Out,
    error::ClientError,
    http::{Client, Links, Overdue, Stage, State, Video},
    progress::describe,
    text::{clock, plain, seconds},
};
use serde::Deserialize;
use std::{
    io,
    time::{SystemTime, UNIX_EPOCH},
};

#[derive(Debug, Deserialize)]
struct List {
    total: usize,
    videos: Vec<Video>,
}

/// What verify found, of a recording's receipt.
#[derive(Debug, Deserialize)]
struct Receipt {
    statement: String,
    checks: Checks,
}

#[derive(Debug, Deserialize)]
struct Checks {
    frames_source: i64,
    frames_output: i64,
    /// Absent where there is no sound.
    sound: Option<String>,
    tracks: i64,
    boxes: i64,
    boxes_masked: i64,
    detections_under_mask: i64,
    /// Absent in receipts of earlier mills.
    detections_unconfirmed: Option<i64>,
    leaks: i64,
}

/// Shows one video with its stages, or the newest videos; as the mill's own JSON where asked.
pub async fn status(
    client: &Client,
    video: Option<&str>,
    json: bool,
    out: Out<'_>,
) -> Result<(), ClientError> {
    let answer = match video {
        Some(id) => client.json(&["api", "videos", id], &[]).await?,
        None => client.json(&["api", "videos"], &[]).await?,
    };
    if json {
        writeln!(out, "{answer:#}")?;
    } else if video.is_some() {
        let video: Video = client.read(answer)?;
        let receipt = match (video.state, &video.links.receipt) {
            (State::Ready, Some(_)) => Some(receipt(client, &video.video_id).await),
            _ => None,
        };
        one(&video, receipt, out)?;
    } else {
        let list: List = client.read(answer)?;
        if list.videos.is_empty() {
            writeln!(out, "no videos yet: send one with `reelmill upload FILE`")?;
        }
        for video in &list.videos {
            let (id, title) = (&video.video_id, plain(&video.title));
            let word = word(video);
            let reason = video.reason.as_deref().map(plain).unwrap_or_default();
            writeln!(out, "{}", format!("{id}  {word:10}  {title}  {reason}").trim_end())?;
        }
        if list.total > list.videos.len() {
            writeln!(out, "and {} older ones", list.total - list.videos.len())?;
        }
    }
    Ok(())
}

fn word(video: &Video) -> &'static str {
    match video.state {
        State::Processing | State::Ready if video.overdue.is_some() => "overdue",
        State::Processing => "processing",
        State::Ready if video.searchable => "ready",
        State::Ready => "indexing",
        State::Failed => "failed",
    }
}

/// What waits, how long, and what to look at.
fn late(overdue: &Overdue, now_ms: i64) -> String {
    let minutes = (now_ms - overdue.waiting_since_ms).max(0) / 60_000;
    format!(
        "{} has not moved for {minutes} min: see in the mill's log and /readyz whether it runs",
        plain(&overdue.stage)
    )
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

async fn receipt(client: &Client, video_id: &str) -> Result<Receipt, ClientError> {
    client.read(client.json(&["api", "videos", video_id, "receipt"], &[]).await?)
}

fn one(
    video: &Video,
    receipt: Option<Result<Receipt, ClientError>>,
    out: Out<'_>,
) -> io::Result<()> {
    writeln!(out, "{}  {}", video.video_id, plain(&video.title))?;
    if !video.assessment.is_empty() {
        writeln!(out, "assessment  {}", plain(&video.assessment))?;
    }
    match failed_in(video) {
        Some(stage) => writeln!(out, "state       failed in {}", plain(stage))?,
        None => writeln!(out, "state       {}", word(video))?,
    }
    if let Some(reason) = &video.reason {
        let detail = video.detail.as_deref().unwrap_or_default();
        writeln!(out, "reason      {}: {}", plain(reason), plain(detail))?;
    }
    if let Some(overdue) = &video.overdue {
        writeln!(out, "overdue     {}", late(overdue, now_ms()))?;
    }
    if let Some(duration_ms) = video.duration_ms {
        writeln!(out, "duration    {}", clock(duration_ms))?;
    }
    for (index, stage) in video.stages.iter().enumerate() {
        if let Some(mut line) = progress(video.state, stage) {
            if let Some(took) = took(video, index) {
                line = format!("{line}, {}", seconds(took));
            }
            writeln!(out, "  {:8}  {line}", plain(&stage.stage))?;
        }
    }
    if let Some(next) = &video.next_run {
        let how = if next.state == State::Failed { "failed" } else { "under way" };
        writeln!(out, "next run    {}, {how}; what is shown stays as it is", plain(&next.run_id))?;
        for stage in &next.stages {
            if let Some(line) = progress(next.state, stage) {
                writeln!(out, "  {:8}  {line}", plain(&stage.stage))?;
            }
        }
    }
    match receipt {
        Some(Ok(receipt)) => checked(&receipt, &mut *out)?,
        // The rest is worth showing all the same.
        Some(Err(error)) => writeln!(out, "checked     unknown: {}", plain(&error.to_string()))?,
        None => {}
    }
    let Links { recording, receipt, thumbnail } = &video.links;
    let links = [("recording", recording), ("receipt", receipt), ("thumbnail", thumbnail)];
    for (name, link) in links {
        if let Some(link) = link {
            writeln!(out, "{name:10}  {}", plain(link))?;
        }
    }
    if video.state == State::Failed {
        writeln!(out, "next        {}", next_step(video))?;
    }
    Ok(())
}

/// The processor whose dead letter keeps a failed video from its recording.
fn failed_in(video: &Video) -> Option<&str> {
    let waiting = || video.dead_letters.iter().filter(|dead| dead.redriven_at_ms.is_none());
    let told = waiting().find(|dead| {
        video.reason.as_ref() == Some(&dead.reason) && video.detail.as_ref() == Some(&dead.detail)
    });
    let dead = told.or_else(|| waiting().next()).filter(|_| video.state == State::Failed);
    dead.map(|dead| dead.processor.as_str())
}

/// How far a stage is. Of a video that failed, only what was done: nothing else is under way.
fn progress(state: State, stage: &Stage) -> Option<String> {
    match state {
        State::Processing | State::Ready => Some(describe(stage)),
        State::Failed if stage.done == 0 => None,
        State::Failed if stage.total == Some(stage.done) => Some(describe(stage)),
        State::Failed => {
            let total = stage.total.map(|total| format!(" of {total}")).unwrap_or_default();
            Some(format!("stopped after {}{total} clips", stage.done))
        }
    }
}

/// Reasons of failures that each try would meet again: the film itself is at fault, or what was made
/// of it. What `verify` refuses belongs to them, see [`is_of_the_film`].
const OF_THE_FILM: [&str; 15] = [
    // Of the decoder and its confinement.
    "empty",
    "not_media",
    "playlist",
    "truncated",
    "no_video",
    "unsupported",
    "too_large",
    "broken",
    "media_memory",
    "media_crashed",
    "media_timeout",
    "media_space",
    // Of `cut` and of Rekognition.
    "too_long",
    "source_changed",
    "undetectable_media",
];

fn is_of_the_film(reason: &str) -> bool {
    OF_THE_FILM.contains(&reason) || processors::verify::REASONS.contains(&reason)
}

fn next_step(video: &Video) -> String {
    match video.reason.as_deref() {
        Some(reason) if is_of_the_film(reason) => {
            "upload another file, as the reason says: this one would fail in the same way again"
                .to_owned()
        }
        _ => {
            format!("mend what the reason names, then `reelmill retry {}`", plain(&video.video_id))
        }
    }
}

/// Milliseconds a stage of one part took. Its one event tells no beginning: that is the end of
/// the latest stage before it (which need not be its neighbour, as `index` waits for no `verify`),
/// or the upload.
fn took(video: &Video, index: usize) -> Option<i64> {
    let (before, stage) = (video.stages.get(..index)?, video.stages.get(index)?);
    let ended = stage.last_at_ms.filter(|_| (stage.done, stage.total) == (1, Some(1)))?;
    let ends = before.iter().filter_map(|stage| stage.last_at_ms);
    let began = ends.filter(|&end| end <= ended).max().unwrap_or(video.uploaded_at_ms);
    Some((ended - began).max(0))
}

fn checked(receipt: &Receipt, out: Out<'_>) -> io::Result<()> {
    let checks = &receipt.checks;
    let sound = checks.sound.as_deref().unwrap_or("none");
    let mut detected = format!("{} under masks", checks.detections_under_mask);
    if let Some(unconfirmed) = checks.detections_unconfirmed {
        detected = format!("{detected}, {unconfirmed} unconfirmed");
    }
    writeln!(out, "checked     {}", plain(&receipt.statement))?;
    writeln!(out, "  tracks    {}", checks.tracks)?;
    writeln!(out, "  boxes     {}, {} masked", checks.boxes, checks.boxes_masked)?;
    writeln!(out, "  frames    {} source, {} output", checks.frames_source, checks.frames_output)?;
    writeln!(out, "  sound     {}", plain(sound))?;
    writeln!(out, "  detected  {detected}")?;
    writeln!(out, "  leaks     {}", checks.leaks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_decoder_blames_on_the_film_is_not_tried_again() {
        let of_the_world = ["io", "internal", "cancelled"];
        for reason in media::MediaError::REASONS {
            let blamed = is_of_the_film(reason);
            assert_ne!(blamed, of_the_world.contains(&reason), "{reason}");
        }
        for reason in processors::verify::REASONS {
            assert!(is_of_the_film(reason), "{reason}");
        }
        for failure in [
            confine::Failure::Crashed { how: String::new() },
            confine::Failure::Memory { mebibytes: 0 },
            confine::Failure::Time { allowed: std::time::Duration::ZERO },
            confine::Failure::Space { allowed: 0 },
            confine::Failure::Stalled { waited: std::time::Duration::ZERO },
            confine::Failure::Killed,
        ] {
            let reason = failure.reason();
            assert_eq!(is_of_the_film(reason), failure.blames_input(), "{reason}");
        }
    }
}
