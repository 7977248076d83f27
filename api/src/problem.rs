//! Every error a client sees: RFC 9457's problem details.

use crate::{Unready, codes::Code};
use axum::{
    extract::rejection::{PathRejection, QueryRejection},
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use ports::{QueryError, Refusal, Trouble, VideoState};
use serde::Serialize;
use utoipa::ToSchema;

/// Seconds after which it is worth asking again what the world is to blame for.
const RETRY_AFTER: u64 = 2;

/// What went wrong, for programs (`code`) and for people (`detail`, `next_step`).
#[derive(Debug)]
pub(crate) struct Problem(Box<Parts>);

#[derive(Debug)]
struct Parts {
    body: Body,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// Why a request failed, and what to do: problem details of RFC 9457.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct Body {
    /// `urn:reelmill:problem:` and the code.
    #[serde(rename = "type")]
    #[schema(pattern = "^urn:reelmill:problem:[a-z_]+$")]
    kind: String,
    /// The same sentence for every problem of the code.
    #[schema(min_length = 1)]
    title: &'static str,
    /// The status of the answer.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    code: Code,
    /// The cause, for people.
    #[schema(min_length = 1)]
    detail: String,
    /// What to do now, for people.
    #[schema(min_length = 1)]
    next_step: String,
    #[serde(flatten)]
    members: Members,
}

/// What only some problems tell.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = ProblemMembers)]
pub(crate) struct Members {
    /// `bad_query`: the character of `q`, from 0, at which it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) position: Option<usize>,
    /// `too_large`: what an upload may have.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) max_bytes: Option<u64>,
    /// `not_ready`, `failed`, `nothing_to_retry`, `nothing_to_replay`: the state of the video.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) state: Option<VideoState>,
    /// `failed`, `refused`, `unavailable`: the word of the part that gave up.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) reason: Option<String>,
    /// `part_not_ready`: the parts that are not, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) parts: Option<Vec<Unready>>,
}

impl Problem {
    /// A problem of a code; `detail` is the cause.
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        let kind = code.kind();
        let word = serde_json::to_value(code).unwrap_or_default();
        let body = Body {
            kind: format!("urn:reelmill:problem:{}", word.as_str().unwrap_or_default()),
            title: kind.title,
            status: kind.status,
            code,
            detail: detail.into(),
            next_step: kind.next_step.to_owned(),
            members: Members::default(),
        };
        let problem = Self(Box::new(Parts { body, headers: Vec::new() }));
        if kind.status == 503 { problem.retry_after(RETRY_AFTER) } else { problem }
    }

    /// What to do, where there is something better to say than what holds for every problem of
    /// the code.
    pub(crate) fn next_step(mut self, next_step: impl Into<String>) -> Self {
        self.0.body.next_step = next_step.into();
        self
    }

    pub(crate) fn with(mut self, members: Members) -> Self {
        self.0.body.members = members;
        self
    }

    pub(crate) fn reason(mut self, reason: impl Into<String>) -> Self {
        self.0.body.members.reason = Some(reason.into());
        self
    }

    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.push((name, value));
        self
    }

    pub(crate) fn retry_after(self, seconds: u64) -> Self {
        self.header(header::RETRY_AFTER, seconds.into())
    }

    pub(crate) fn bad_parameter(detail: impl Into<String>, next_step: impl Into<String>) -> Self {
        Self::new(Code::BadParameter, detail).next_step(next_step)
    }

    pub(crate) fn no_such_video(id: &str) -> Self {
        Self::new(Code::NoSuchVideo, format!("no video has the id {id:?}"))
    }

    pub(crate) fn internal(detail: impl Into<String>) -> Self {
        Self::new(Code::Internal, detail)
    }

    /// The document as it is sent.
    pub(crate) fn document(&self) -> &Body {
        &self.0.body
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Parts { body, headers } = *self.0;
        let status = StatusCode::from_u16(body.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if status.is_server_error() {
            tracing::warn!(code = ?body.code, detail = body.detail, "a request failed");
        }
        // Strings and numbers only: there is nothing in it that could fail to serialise.
        let text = serde_json::to_vec(&body).unwrap_or_default();
        let mut response = (status, text).into_response();
        let map = response.headers_mut();
        map.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        for (name, value) in headers {
            map.insert(name, value);
        }
        response
    }
}

/// Blame decides the status: the request's fault is 4xx, the world's 503, ours 500.
impl From<Trouble> for Problem {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Refused(Refusal::Poison(poison)) => match poison.reason {
                "invalid_query" => Self::new(Code::BadQuery, poison.detail),
                "missing_object" => Self::new(Code::MissingObject, poison.detail),
                reason => Self::new(Code::Refused, poison.detail).reason(reason),
            },
            Trouble::Refused(Refusal::Skip(reason)) => {
                Self::new(Code::Refused, format!("there is nothing to do: {reason}")).reason(reason)
            }
            Trouble::Transient { reason, detail, after, .. } => {
                let seconds = after.map_or(RETRY_AFTER, |wait| wait.as_secs().max(1));
                let problem = match Code::of_reason(reason, &[503]) {
                    Some(code) => Self::new(code, detail),
                    None => Self::new(Code::Unavailable, detail).reason(reason),
                };
                problem.retry_after(seconds)
            }
            Trouble::Fatal(fatal) => Self::internal(fatal.0),
        }
    }
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Self {
        let position = Some(error.at);
        Self::new(Code::BadQuery, error.to_string())
            .with(Members { position, ..Members::default() })
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(Code::BadParameter, rejection.body_text())
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        Self::bad_parameter(rejection.body_text(), "percent-encode the path as utf-8")
    }
}
