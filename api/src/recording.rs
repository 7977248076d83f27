//! The verified recording, whole or a range of it, streamed from the store.

use crate::{
    Services,
    codes::{Code, DATABASE, STORE},
    extract::{Variable, VideoId},
    object::{CacheHeaders, etag, gone, insert, named, replaced},
    printable::can_mislead,
    problem::Problem,
    range::{self, Wanted},
    videos::{no_recording, recording_object, row},
};
use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::Response,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use ports::{ObjectRef, VideoRow};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

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

/// What a player asks for beside the video.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "only its description is used: headers are read one by one")]
pub(crate) struct RangeHeaders {
    /// One range of bytes, from 0, both ends included. Anything else, several ranges too, is
    /// answered with the whole recording.
    #[param(rename = "Range", nullable = false, example = "bytes=0-1023")]
    range: Option<String>,
    /// The `ETag` of the copy to go on with: a range is answered only while it is the same.
    #[param(
        rename = "If-Range",
        nullable = false,
        example = "\"9b2cf535f27731c974343645a3985328\""
    )]
    if_range: Option<String>,
}

/// The film itself.
#[derive(Debug, ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "only its schema is used: the body is a stream")]
struct Film(Vec<u8>);

/// The recording
///
/// The verified recording, whole or a range of it, to play or to keep. Also answers HEAD. While
/// there is none, 409 tells the state and the reason.
#[utoipa::path(
    get,
    path = "/api/videos/{id}/recording",
    operation_id = "get_recording",
    tag = "videos",
    params(VideoId, RangeHeaders, CacheHeaders),
    responses(
        (
            status = 200,
            description = "The whole recording.",
            content_type = "video/mp4",
            body = inline(Film),
            headers(
                ("ETag" = String, description = "Names this very object."),
                ("Accept-Ranges" = String, description = "`bytes`"),
                ("Content-Length" = u64, description = "In bytes."),
                ("Content-Disposition" = String, description = "The name to save it under.")
            )
        ),
        (
            status = 206,
            description = "The range that was asked for, cut to the recording.",
            content_type = "video/mp4",
            body = inline(Film),
            headers(
                ("ETag" = String, description = "Names this very object."),
                ("Accept-Ranges" = String, description = "`bytes`"),
                ("Content-Length" = u64, description = "Of the range, in bytes."),
                ("Content-Range" = String, description = "`bytes first-last/length`"),
                ("Content-Disposition" = String, description = "The name to save it under.")
            )
        ),
        (
            status = 304,
            description = "The copy at hand is this very object.",
            headers(("ETag" = String, description = "Names this very object."))
        )
    ),
    extensions(("x-problem-codes" = json!([
        [Code::BadParameter, Code::NoSuchVideo, Code::NotReady, Code::Failed],
        [Code::RangeNotSatisfiable, Code::Replaced],
        DATABASE,
        STORE
    ])))
)]
pub(crate) async fn recording(
    State(services): State<Arc<Services>>,
    Variable(VideoId { id }): Variable<VideoId>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let row = row(&services, &id).await?;
    let object = recording_object(&row).ok_or_else(|| no_recording(&row))?;
    let info = services.store.head(&object).await?.ok_or_else(|| gone(&object))?;
    let etag = etag(&info);

    let mut response = named(&headers, &etag)?;
    insert(&mut response, header::ACCEPT_RANGES, "bytes")?;
    if response.status() == StatusCode::NOT_MODIFIED {
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

fn unsatisfiable(length: u64) -> Problem {
    let problem =
        Problem::new(Code::RangeNotSatisfiable, format!("the recording has {length} bytes"));
    match HeaderValue::from_str(&format!("bytes */{length}")) {
        Ok(value) => problem.header(header::CONTENT_RANGE, value),
        Err(_) => problem,
    }
}
