//! A failed video is tried again: its dead letters go back to where they failed.

use crate::{
    Services,
    codes::{BROKER, Code, DATABASE},
    extract::{Parameters, Variable, VideoId, filter},
    problem::{Members, Problem},
    source::now_ms,
    videos::row,
};
use axum::{Json, extract::State, http::StatusCode};
use ports::{Fact, Position, VideoState};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use utoipa::{IntoParams, ToSchema};

/// A video with more dead letters than this is retried in several requests.
const MOST_LETTERS: u32 = 10_000;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RetryParameters {
    /// Only what failed in this stage, or in another processor of the mill.
    #[param(example = "detect")]
    stage: Option<String>,
}

/// What was sent back.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Retried {
    video_id: String,
    state: VideoState,
    /// Dead letters sent back, by stage.
    stages: BTreeMap<String, usize>,
    /// Dead letters sent back, of all stages.
    redriven: usize,
    /// Dead letters that somebody had sent back in the meantime.
    already_redriven: usize,
}

/// Try a failed video again
///
/// Its dead letters go back to where they failed, each once however often it is asked for. 202
/// means: they are on their way. `state` is the video's from now on: one that had failed is
/// `processing` again, one that had its recording stays `ready`.
#[utoipa::path(
    post,
    path = "/api/videos/{id}/retry",
    operation_id = "retry_video",
    tag = "videos",
    params(VideoId, RetryParameters),
    responses((status = 202, description = "What was sent back.", body = Retried)),
    extensions(("x-problem-codes" = json!([
        [Code::BadParameter, Code::NoSuchVideo, Code::NothingToRetry],
        DATABASE,
        BROKER
    ])))
)]
pub(crate) async fn retry(
    State(services): State<Arc<Services>>,
    Variable(VideoId { id }): Variable<VideoId>,
    Parameters(parameters): Parameters<RetryParameters>,
) -> Result<(StatusCode, Json<Retried>), Problem> {
    let stage = filter(parameters.stage);
    if let Some(stage) = &stage {
        check_stage(stage, services.letters.processors())?;
    }
    let row = row(&services, &id).await?;
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
        state: match row.state {
            VideoState::Ready => VideoState::Ready,
            VideoState::Processing | VideoState::Failed => VideoState::Processing,
        },
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

pub(crate) fn check_stage(stage: &str, known: &[&'static str]) -> Result<(), Problem> {
    if known.contains(&stage) {
        return Ok(());
    }
    let nearest = schemas::nearest(stage, known.iter().copied());
    Err(Problem::bad_parameter(
        format!("there is no stage `{stage}`"),
        format!("did you mean `{nearest}`? there are {}", known.join(", ")),
    ))
}

fn nothing_to_retry(id: &str, stage: Option<&str>, state: VideoState) -> Problem {
    let place = stage.map(|stage| format!(" in {stage}")).unwrap_or_default();
    let detail = format!("no event of {id} has failed{place} that was not sent back already");
    Problem::new(Code::NothingToRetry, detail)
        .with(Members { state: Some(state), ..Members::default() })
}
