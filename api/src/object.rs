//! Answering with an object of the store, or with word that the client's copy is still the same.

use crate::{codes::Code, problem::Problem};
use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::Response,
};
use ports::{ObjectInfo, ObjectRef};
use utoipa::IntoParams;

/// What a browser asks for beside the object.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "only its description is used: headers are read one by one")]
pub(crate) struct CacheHeaders {
    /// `ETag`s of copies at hand, with commas between them, or `*`.
    #[param(
        rename = "If-None-Match",
        nullable = false,
        example = "\"9b2cf535f27731c974343645a3985328\""
    )]
    if_none_match: Option<String>,
}

/// The name of this very object, as it is sent.
pub(crate) fn etag(info: &ObjectInfo) -> String {
    format!("\"{}\"", info.etag.trim_matches('"'))
}

/// The beginning of an answer with an object. Complete, as 304, where the client has it already.
pub(crate) fn named(headers: &HeaderMap, etag: &str) -> Result<Response, Problem> {
    let mut response = Response::new(Body::empty());
    insert(&mut response, header::ETAG, etag)?;
    insert(&mut response, header::CACHE_CONTROL, "private, no-cache")?;
    if header_list(headers, header::IF_NONE_MATCH).any(|tag| tag == "*" || tag == etag) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    Ok(response)
}

fn header_list(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|tag| tag.trim().trim_start_matches("W/"))
}

pub(crate) fn insert(
    response: &mut Response,
    name: HeaderName,
    value: &str,
) -> Result<(), Problem> {
    let value = HeaderValue::from_str(value)
        .map_err(|_| Problem::internal(format!("the store gave an unusable {name}: {value:?}")))?;
    response.headers_mut().insert(name, value);
    Ok(())
}

pub(crate) fn gone(object: &ObjectRef) -> Problem {
    let detail = format!("the recording was published, but {object} is not in the store");
    Problem::new(Code::MissingObject, detail)
}

pub(crate) fn replaced(object: &ObjectRef) -> Problem {
    let detail = format!("a newer run replaced {object} while it was being opened");
    Problem::new(Code::Replaced, detail).retry_after(1)
}
