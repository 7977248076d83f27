//! The verified recording, whole or a range of it, streamed from the store.

use crate::{
    Services,
    extract::Variable,
    printable::can_mislead,
    problem::Problem,
    range::{self, Wanted},
    videos::{no_recording, recording_object, row},
};
use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    response::Response,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use ports::{ObjectRef, VideoRow};
use std::sync::Arc;

/// RFC 8187's attr-char: what need not be encoded in `filename*`.
const NOT_ATTR_CHAR: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// Answers 200, 206, 304 or 416; 409 while there is no recording, with the state and the reason.
pub(crate) async fn recording(
    State(services): State<Arc<Services>>,
    Variable(id): Variable<String>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let row = row(&services, &id).await?;
    let object = recording_object(&row).ok_or_else(|| no_recording(&row))?;
    let info = services.store.head(&object).await?.ok_or_else(|| gone(&object))?;
    let etag = format!("\"{}\"", info.etag.trim_matches('"'));

    let mut response = Response::new(Body::empty());
    insert(&mut response, header::ETAG, &etag)?;
    insert(&mut response, header::ACCEPT_RANGES, "bytes")?;
    insert(&mut response, header::CACHE_CONTROL, "private, no-cache")?;
    if header_list(&headers, header::IF_NONE_MATCH).any(|tag| tag == "*" || tag == etag) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return Ok(response);
    }
    insert(&mut response, header::CONTENT_TYPE, "video/mp4")?;
    insert(&mut response, header::CONTENT_DISPOSITION, &disposition(&row, &object))?;

    let part = match wanted(&headers, &etag, info.bytes) {
        Wanted::All => None,
        Wanted::Part(range) => Some(range),
        Wanted::Unsatisfiable => return Err(unsatisfiable(info.bytes)),
    };
    let range = part.clone().unwrap_or(0..info.bytes);
    insert(&mut response, header::CONTENT_LENGTH, &(range.end - range.start).to_string())?;
    if part.is_some() {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let content_range = format!("bytes {}-{}/{}", range.start, range.end - 1, info.bytes);
        insert(&mut response, header::CONTENT_RANGE, &content_range)?;
    }
    if method != Method::HEAD {
        let stream = services.store.stream(&object, part).await?;
        if stream.info.etag != info.etag || stream.range != range {
            return Err(replaced(&object));
        }
        *response.body_mut() = Body::from_stream(stream.body);
    }
    Ok(response)
}

/// A range counts only where the client's copy is of this very object.
fn wanted(headers: &HeaderMap, etag: &str, length: u64) -> Wanted {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    match (text(header::RANGE), headers.contains_key(header::IF_RANGE)) {
        (Some(range), false) => range::wanted(range, length),
        (Some(range), true) if text(header::IF_RANGE) == Some(etag) => range::wanted(range, length),
        _ => Wanted::All,
    }
}

fn header_list(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|tag| tag.trim().trim_start_matches("W/"))
}

/// The name to save under: the title, or the last part of the key.
fn disposition(row: &VideoRow, object: &ObjectRef) -> String {
    let key_name = object.key.rsplit('/').next().unwrap_or("recording.mp4");
    let title = if row.title.is_empty() { key_name.trim_end_matches(".mp4") } else { &row.title };
    let name: String =
        title.chars().map(|c| if can_mislead(c) || "/\\".contains(c) { '_' } else { c }).collect();
    let plain: String = name
        .chars()
        .map(|c| if c.is_ascii_graphic() && c != '"' && c != '%' || c == ' ' { c } else { '_' })
        .collect();
    let full = utf8_percent_encode(&name, NOT_ATTR_CHAR);
    format!("inline; filename=\"{plain}.mp4\"; filename*=UTF-8''{full}.mp4")
}

fn insert(response: &mut Response, name: HeaderName, value: &str) -> Result<(), Problem> {
    let value = HeaderValue::from_str(value)
        .map_err(|_| Problem::internal(format!("the store gave an unusable {name}: {value:?}")))?;
    response.headers_mut().insert(name, value);
    Ok(())
}

fn gone(object: &ObjectRef) -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "missing_object",
        "the object is gone",
        format!("the recording was published, but {object} is not in the store"),
        "upload the footage again if you still have it",
    )
}

fn replaced(object: &ObjectRef) -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "replaced",
        "the recording was just replaced",
        format!("a newer run replaced {object} while it was being opened"),
        "ask again",
    )
    .header(header::RETRY_AFTER, HeaderValue::from_static("1"))
}

fn unsatisfiable(length: u64) -> Problem {
    let problem = Problem::new(
        StatusCode::RANGE_NOT_SATISFIABLE,
        "range_not_satisfiable",
        "the range is outside the recording",
        format!("the recording has {length} bytes"),
        "ask for a range that starts before its end",
    );
    match HeaderValue::from_str(&format!("bytes */{length}")) {
        Ok(value) => problem.header(header::CONTENT_RANGE, value),
        Err(_) => problem,
    }
}
