//! `reelmill search`: where was that?

use super::{
    Out,
    error::ClientError,
    http::Client,
    text::{clock, plain},
};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
struct Found {
    total: usize,
    hits: Vec<Hit>,
}

#[derive(Debug, Deserialize)]
struct Hit {
    video_id: String,
    title: String,
    recording_url: Option<String>,
    moments: Vec<Moment>,
}

#[derive(Debug, Deserialize)]
struct Moment {
    name: String,
    start_seconds: f64,
    end_seconds: f64,
    confidence: f32,
}

/// Shows the videos that match and where in them; as the mill's own JSON where asked.
pub async fn search(
    client: &Client,
    query: &str,
    json: bool,
    out: Out<'_>,
) -> Result<(), ClientError> {
    let answer = client.json(&["api", "search"], &[("q", query)]).await?;
    if json {
        writeln!(out, "{answer:#}")?;
        return Ok(());
    }
    let found: Found = client.read(answer)?;
    if found.total == 0 {
        writeln!(out, "nothing found")?;
    }
    for hit in &found.hits {
        writeln!(out, "{}  {}", plain(&hit.title), plain(&hit.video_id))?;
        for moment in &hit.moments {
            let (start, end) = (clock(ms(moment.start_seconds)), clock(ms(moment.end_seconds)));
            writeln!(out, "  {start}-{end}  {} {:.0} %", plain(&moment.name), moment.confidence)?;
        }
        if let Some(url) = &hit.recording_url {
            writeln!(out, "  {}", plain(url))?;
        }
    }
    if found.total > found.hits.len() {
        writeln!(out, "and {} more videos: narrow the search", found.total - found.hits.len())?;
    }
    Ok(())
}

#[expect(clippy::cast_possible_truncation, reason = "a cast of a float saturates")]
fn ms(seconds: f64) -> i64 {
    (seconds * 1000.0).round() as i64
}
