//! A failed video is tried again: its dead letters go back to where they failed.

use crate::{
    Services,
    extract::{Parameters, Variable, filter},
    problem::Problem,
    source::now_ms,
    videos::row,
};
use axum::{Json, extract::State, http::StatusCode};
use ports::{Fact, Position};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// A video with more dead letters than this is retried in several requests.
const MOST_LETTERS: u32 = 10_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RetryParameters {
    /// Only what failed in this stage.
    stage: Option<String>,
}

/// What was sent back.
#[derive(Debug, Serialize)]
pub(crate) struct Retried {
    video_id: String,
    state: &'static str,
    /// Dead letters sent back, by stage.
    stages: BTreeMap<String, usize>,
    redriven: usize,
    /// Dead letters that somebody had sent back in the meantime.
    already_redriven: usize,
}

pub(crate) async fn retry(
    State(services): State<Arc<Services>>,
    Variable(id): Variable<String>,
    Parameters(parameters): Parameters<RetryParameters>,
) -> Result<(StatusCode, Json<Retried>), Problem> {
    let row = row(&services, &id).await?;
    let stage = filter(parameters.stage);
    let letters = services.catalog.dead_letters(Some(&id), MOST_LETTERS).await?;
    let mut wanted: BTreeMap<String, BTreeSet<Position>> = BTreeMap::new();
    for letter in letters {
        let chosen = stage.as_ref().is_none_or(|stage| *stage == letter.processor);
        if chosen && letter.redriven_at_ms.is_none() {
            let position = Position {
                topic: letter.topic,
                partition: letter.partition,
                offset: letter.offset,
            };
            wanted.entry(letter.processor).or_default().insert(position);
        }
    }
    if wanted.is_empty() {
        return Err(nothing_to_retry(&id, stage.as_deref(), row.state));
    }
    let mut done = Retried {
        video_id: id,
        state: "processing",
        stages: BTreeMap::new(),
        redriven: 0,
        already_redriven: 0,
    };
    for (processor, positions) in wanted {
        let sent = services.letters.redrive(&processor, &positions).await?;
        done.redriven += sent.sent;
        done.already_redriven += sent.before;
        done.stages.insert(processor, sent.sent);
        // What the marks will tell the catalogue, told now: the video is under way again.
        let at_ms = now_ms();
        let facts: Vec<Fact> = positions
            .into_iter()
            .map(|Position { topic, partition, offset }| Fact::Redriven {
                topic,
                partition,
                offset,
                at_ms,
            })
            .collect();
        if let Err(error) = services.catalog.record(&facts).await {
            tracing::warn!(video = done.video_id, %error, "the row waits for the marks");
        }
    }
    Ok((StatusCode::ACCEPTED, Json(done)))
}

fn nothing_to_retry(id: &str, stage: Option<&str>, state: ports::VideoState) -> Problem {
    let place = stage.map(|stage| format!(" in {stage}")).unwrap_or_default();
    Problem::new(
        StatusCode::CONFLICT,
        "nothing_to_retry",
        "nothing of the video waits for a retry",
        format!("no event of {id} has failed{place} that was not sent back already"),
        "see its state and its dead letters with GET /api/videos/{id}",
    )
    .with("state", serde_json::to_value(state).unwrap_or_default())
}
