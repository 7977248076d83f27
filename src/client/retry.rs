//! `reelmill retry`: what failed is tried again.

use super::{Out, error::ClientError, http::Client, text::plain};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Debug, Deserialize)]
struct Retried {
    stages: BTreeMap<String, usize>,
    already_redriven: usize,
}

/// Sends a video's dead letters back, of one stage or of all.
pub async fn retry(
    client: &Client,
    video: &str,
    stage: Option<&str>,
    out: Out<'_>,
) -> Result<(), ClientError> {
    let query: Vec<_> = stage.map(|stage| ("stage", stage)).into_iter().collect();
    let answer = client.send(client.post(&["api", "videos", video, "retry"], &query)).await?;
    let done: Retried = client.read(client.value(answer).await?)?;
    for (stage, sent) in &done.stages {
        writeln!(out, "{}: {sent} tried again", plain(stage))?;
    }
    if done.already_redriven > 0 {
        writeln!(out, "{} had been sent back already", done.already_redriven)?;
    }
    writeln!(out, "watch it with `reelmill status {}`", plain(video))?;
    Ok(())
}
