//! `reelmill status`: how far videos are.

use super::{
    Out,
    error::ClientError,
    http::{Client, State, Video},
    progress::describe,
    text::{clock, plain},
};
use serde::Deserialize;
use std::io;

#[derive(Debug, Deserialize)]
struct List {
    total: usize,
    videos: Vec<Video>,
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
        one(&client.read(answer)?, out)?;
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
        State::Processing => "processing",
        State::Ready if video.searchable => "ready",
        State::Ready => "indexing",
        State::Failed => "failed",
    }
}

fn one(video: &Video, out: Out<'_>) -> io::Result<()> {
    writeln!(out, "{}  {}", video.video_id, plain(&video.title))?;
    if !video.assessment.is_empty() {
        writeln!(out, "assessment  {}", plain(&video.assessment))?;
    }
    writeln!(out, "state       {}", word(video))?;
    if let Some(reason) = &video.reason {
        let detail = video.detail.as_deref().unwrap_or_default();
        writeln!(out, "reason      {}: {}", plain(reason), plain(detail))?;
    }
    if let Some(duration_ms) = video.duration_ms {
        writeln!(out, "duration    {}", clock(duration_ms))?;
    }
    for stage in &video.stages {
        writeln!(out, "  {:8}  {}", plain(&stage.stage), describe(stage))?;
    }
    let links = [("recording", &video.links.recording), ("receipt", &video.links.receipt)];
    for (name, link) in links {
        if let Some(link) = link {
            writeln!(out, "{name:10}  {}", plain(link))?;
        }
    }
    Ok(())
}
