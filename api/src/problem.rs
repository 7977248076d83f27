//! Every error a client sees: RFC 9457's problem details.

use axum::{
    extract::rejection::{PathRejection, QueryRejection},
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use ports::{QueryError, Refusal, Trouble};
use serde::Serialize;
use serde_json::{Map, Value};

/// What went wrong, for programs (`code`) and for people (`detail`, `next_step`).
#[derive(Debug)]
pub(crate) struct Problem(Box<Parts>);

#[derive(Debug)]
struct Parts {
    body: Body,
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
}

#[derive(Debug, Serialize)]
struct Body {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    code: &'static str,
    detail: String,
    next_step: String,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

impl Problem {
    /// `code` is one word for ever, `title` the same sentence for every problem of that code.
    pub(crate) fn new(
        status: StatusCode,
        code: &'static str,
        title: &'static str,
        detail: impl Into<String>,
        next_step: impl Into<String>,
    ) -> Self {
        let body = Body {
            kind: format!("urn:reelmill:problem:{code}"),
            title,
            status: status.as_u16(),
            code,
            detail: detail.into(),
            next_step: next_step.into(),
            extra: Map::new(),
        };
        Self(Box::new(Parts { body, status, headers: Vec::new() }))
    }

    /// One more member of the document.
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.body.extra.insert(name.to_owned(), value.into());
        self
    }

    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.push((name, value));
        self
    }

    pub(crate) fn bad_parameter(detail: impl Into<String>, next_step: impl Into<String>) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "bad_parameter",
            "a parameter is wrong",
            detail,
            next_step,
        )
    }

    pub(crate) fn no_such_video(id: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "no_such_video",
            "there is no such video",
            format!("no video has the id {id:?}"),
            "list the videos with GET /api/videos",
        )
    }

    pub(crate) fn internal(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "the mill is at fault",
            detail,
            "see the log of the mill, mend what it names, and try again",
        )
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Parts { body, status, headers } = *self.0;
        if status.is_server_error() {
            tracing::warn!(code = body.code, detail = body.detail, "a request failed");
        }
        // Strings and numbers only: there is nothing in it that could fail to serialise.
        let text = serde_json::to_vec(&body).unwrap_or_default();
        let mut response = (status, text).into_response();
        let map = response.headers_mut();
        map.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        map.extend(headers);
        response
    }
}

/// Blame decides the status: the request's fault is 4xx, the world's 503, ours 500.
impl From<Trouble> for Problem {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Refused(Refusal::Poison(poison)) => match poison.reason {
                "missing_object" => Self::new(
                    StatusCode::NOT_FOUND,
                    "missing_object",
                    "the object is gone",
                    poison.detail,
                    "upload the footage again if you still have it",
                ),
                reason => Self::new(
                    StatusCode::UNPROCESSABLE_ENTITY,
                    reason,
                    "the request can never succeed",
                    poison.detail,
                    "change what the detail names; the same request will fail again",
                ),
            },
            Trouble::Refused(Refusal::Skip(reason)) => Self::new(
                StatusCode::CONFLICT,
                "skipped",
                "there is nothing to do",
                reason,
                "look at the video's state with GET /api/videos/{id}",
            ),
            Trouble::Transient { reason, detail, after } => {
                let seconds = after.map_or(2, |wait| wait.as_secs().max(1));
                Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    reason,
                    "a service does not answer",
                    detail,
                    format!("try again in {seconds} s; GET /readyz names what is missing"),
                )
                .header(header::RETRY_AFTER, seconds.into())
            }
            Trouble::Fatal(fatal) => Self::internal(fatal.0),
        }
    }
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "bad_query",
            "the query cannot be read",
            error.to_string(),
            "words, \"phrases\", AND, OR, NOT, parentheses and field:word are understood; quote \
             anything else",
        )
        .with("position", error.at)
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self::bad_parameter(
            rejection.body_text(),
            "correct the parameter that the detail names; GET / lists the parameters",
        )
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        Self::bad_parameter(rejection.body_text(), "percent-encode the path as utf-8")
    }
}
