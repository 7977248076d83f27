//! Footage comes in: the object first, then the event, then the answer.

use crate::{
    Services,
    extract::{Parameters, base_url, filter},
    footage::{self, Fault, Footage, Terms},
    printable::printable,
    problem::Problem,
    source::{Source, now_ms},
};
use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use ports::{ObjectRef, Trouble};
use schemas::keys;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use uuid::Uuid;

/// S3 takes 2 KB of metadata for an object, and percent-encoding may triple a text.
const MAX_TITLE_BYTES: usize = 300;
const MAX_ASSESSMENT_BYTES: usize = 100;
/// A clock that is a little ahead is no reason to refuse.
const MAX_AHEAD_MS: i64 = 24 * 3600 * 1000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UploadParameters {
    assessment: Option<String>,
    title: Option<String>,
    filename: Option<String>,
    blur: Option<String>,
    visibility: Option<String>,
    recorded_at_ms: Option<i64>,
}

#[derive(Debug, Serialize)]
pub(crate) struct UploadConfig {
    max_bytes: u64,
    /// Extensions that are kept. The content decides what a file is, whatever its name.
    types: Vec<String>,
    blur: [&'static str; 2],
    visibility: [&'static str; 2],
    /// A client that sends nothing for so long is given up.
    max_silence_seconds: u64,
}

/// What an upload may be.
pub(crate) async fn config(State(services): State<Arc<Services>>) -> Json<UploadConfig> {
    Json(UploadConfig {
        max_bytes: services.limits.max_bytes,
        types: services.limits.types.clone(),
        blur: ["all", "none"],
        visibility: ["private", "listed"],
        max_silence_seconds: services.limits.max_silence.as_secs(),
    })
}

#[derive(Debug, Serialize)]
struct Accepted {
    video_id: String,
    state: &'static str,
    title: String,
    assessment: String,
    blur: String,
    bytes: u64,
    url: String,
    recording_url: String,
}

/// Stores the body and announces it. 201 means: both are done, and will survive a crash.
pub(crate) async fn create(
    State(services): State<Arc<Services>>,
    Parameters(parameters): Parameters<UploadParameters>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    check_headers(&headers, services.limits.max_bytes)?;
    let source = checked(&services, parameters)?;
    let terms = Terms {
        declared: content_length(&headers),
        max_silence: services.limits.max_silence,
        stopping: services.stopping.clone(),
    };
    // A client that goes away drops this future. The task goes on: it sees the body end early
    // and aborts what is half written, or announces what is wholly written.
    let task = tokio::spawn(async move {
        let footage = footage::open(body, terms).await.map_err(fault)?;
        accept(source, &services, footage).await
    });
    let (upload, bytes) =
        task.await.map_err(|error| Problem::internal(format!("the upload broke: {error}")))??;

    let path = format!("/api/videos/{}", upload.video_id);
    let base = base_url(&headers);
    let answer = Accepted {
        state: "processing",
        title: upload.title,
        assessment: upload.assessment,
        blur: upload.blur,
        bytes,
        url: format!("{base}{path}"),
        recording_url: format!("{base}{path}/recording"),
        video_id: upload.video_id,
    };
    let location = HeaderValue::from_str(&path).map_err(|e| Problem::internal(e.to_string()))?;
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(answer)).into_response())
}

/// What can be told before a byte of the body is read.
fn check_headers(headers: &HeaderMap, max_bytes: u64) -> Result<(), Problem> {
    let content_type = headers.get(header::CONTENT_TYPE).map_or(&[][..], HeaderValue::as_bytes);
    if content_type.to_ascii_lowercase().starts_with(b"multipart/") {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "raw_body_wanted",
            "the body must be the file itself",
            "the body is a form, and its boundaries would become part of the film",
            "send the file as the raw body, e.g. curl --data-binary @film.mp4",
        ));
    }
    match content_length(headers) {
        Some(0) => Err(fault(Fault::Empty)),
        Some(bytes) if bytes > max_bytes => Err(too_large(max_bytes)),
        _ => Ok(()),
    }
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// An upload with its parameters checked, on its way.
fn checked(services: &Services, parameters: UploadParameters) -> Result<Source, Problem> {
    let file = parameters.filename.unwrap_or_default();
    let (stem, extension) = file_name(&file, &services.limits.types);
    let title = match filter(parameters.title) {
        Some(title) => line("title", &title, MAX_TITLE_BYTES)?,
        None => cut(&printable(stem), MAX_TITLE_BYTES).to_owned(),
    };
    let assessment = parameters.assessment.unwrap_or_default();
    let now = now_ms();
    let recorded_at_ms = parameters.recorded_at_ms.unwrap_or(now);
    if !(0..=now.saturating_add(MAX_AHEAD_MS)).contains(&recorded_at_ms) {
        return Err(Problem::bad_parameter(
            format!("recorded_at_ms is {recorded_at_ms}, which is before 1970 or to come"),
            "give milliseconds since 1970, or leave it out for now",
        ));
    }
    let video_id = Uuid::new_v4().to_string();
    let key = keys::source(&services.owner, &video_id, extension.as_deref());
    Ok(Source {
        object: ObjectRef::new(&services.bucket, key),
        video_id,
        owner: services.owner.clone(),
        assessment: line("assessment", &assessment, MAX_ASSESSMENT_BYTES)?,
        title,
        blur: one_of("blur", parameters.blur, &["all", "none"])?,
        visibility: one_of("visibility", parameters.visibility, &["private", "listed"])?,
        recorded_at_ms,
    })
}

/// The object first, then the event: a crash in between leaves an object without an event, never
/// an event without its object.
async fn accept(
    source: Source,
    services: &Services,
    footage: Footage,
) -> Result<(Source, u64), Problem> {
    let max_bytes = services.limits.max_bytes;
    let Footage { stream, fault: seen } = footage;
    let written =
        services.store.write_stream(&source.object, stream, max_bytes, source.put()).await;
    let info = written.map_err(|trouble| match (seen.get(), &trouble) {
        (Some(cause), _) => fault(cause.clone()),
        (None, Trouble::Refused(_)) if reason(&trouble) == "object_too_large" => {
            too_large(max_bytes)
        }
        _ => trouble.into(),
    })?;
    if let Err(trouble) = source.announce(services, info.bytes).await {
        discard(&source.object, services).await;
        return Err(unannounced(&trouble));
    }
    tracing::info!(video = source.video_id, bytes = info.bytes, "upload accepted");
    Ok((source, info.bytes))
}

async fn discard(object: &ObjectRef, services: &Services) {
    let ObjectRef { bucket, key } = object;
    if let Err(error) = services.store.delete(bucket, std::slice::from_ref(key)).await {
        tracing::warn!(%object, %error, "an unannounced upload stays behind");
    }
}

/// The stem and the extension of a file name; only an extension of the closed list is kept, and
/// of a path only the last part.
fn file_name<'a>(name: &'a str, types: &[String]) -> (&'a str, Option<String>) {
    let name = name.rsplit(['/', '\\']).next().unwrap_or(name);
    let Some((stem, extension)) = name.rsplit_once('.') else { return (name, None) };
    let extension = extension.to_ascii_lowercase();
    if types.contains(&extension) { (stem, Some(extension)) } else { (name, None) }
}

/// One line of text within a limit; what can mislead becomes spaces.
fn line(name: &str, text: &str, max_bytes: usize) -> Result<String, Problem> {
    if text.len() > max_bytes {
        return Err(Problem::bad_parameter(
            format!("{name} has {} bytes", text.len()),
            format!("shorten it to at most {max_bytes} bytes of utf-8"),
        ));
    }
    Ok(printable(text))
}

/// The longest start of `text` that fits.
fn cut(text: &str, max_bytes: usize) -> &str {
    &text[..text.floor_char_boundary(max_bytes)]
}

/// One word of a closed list, the first where none is given.
fn one_of(name: &str, word: Option<String>, words: &[&str]) -> Result<String, Problem> {
    let word = filter(word).unwrap_or_else(|| words[0].to_owned());
    if words.contains(&word.as_str()) {
        return Ok(word);
    }
    Err(Problem::bad_parameter(
        format!("{name} is {word:?}"),
        format!("give one of: {}", words.join(", ")),
    ))
}

fn reason(trouble: &Trouble) -> &'static str {
    match trouble {
        Trouble::Refused(ports::Refusal::Poison(poison)) => poison.reason,
        _ => "",
    }
}

fn too_large(max_bytes: u64) -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "too_large",
        "the upload is too large",
        format!("an upload may have {max_bytes} bytes; nothing was kept"),
        "cut the film into parts, or start the mill with a higher limit",
    )
    .with("max_bytes", max_bytes)
}

fn fault(fault: Fault) -> Problem {
    match fault {
        Fault::Empty => Problem::new(
            StatusCode::BAD_REQUEST,
            "empty_body",
            "the upload is empty",
            "the body has no bytes",
            "send the file as the raw body, e.g. curl --data-binary @film.mp4",
        ),
        Fault::CutOff(detail) => Problem::new(
            StatusCode::BAD_REQUEST,
            "cut_off",
            "the upload was cut off",
            format!("{detail}; nothing was kept"),
            "send the whole file again",
        ),
        Fault::Silent(silence) => Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "silent",
            "the upload stood still",
            format!("no byte came for {} s; nothing was kept", silence.as_secs_f32()),
            "send the whole file again",
        ),
        Fault::Stopping => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "stopping",
            "the mill is stopping",
            "the mill is shutting down; nothing of the upload was kept",
            "send the whole file again when the mill is up",
        ),
    }
}

fn unannounced(trouble: &Trouble) -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "not_announced",
        "the upload could not be announced",
        format!("the broker did not take the event: {trouble}; nothing was kept"),
        "send the whole file again when GET /readyz says ready",
    )
    .header(header::RETRY_AFTER, HeaderValue::from_static("5"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn types() -> Vec<String> {
        crate::UploadLimits::default().types
    }

    #[test]
    fn only_the_last_part_of_a_name_counts_and_only_known_extensions_are_kept() {
        let named = |name| file_name(name, &types());
        assert_eq!(named("film.MP4"), ("film", Some("mp4".to_owned())));
        assert_eq!(named("../../etc/pass wd.mov"), ("pass wd", Some("mov".to_owned())));
        assert_eq!(named("C:\\films\\größe.mkv"), ("größe", Some("mkv".to_owned())));
        assert_eq!(named("film.mp4.exe"), ("film.mp4.exe", None));
        assert_eq!(named(".mp4"), ("", Some("mp4".to_owned())));
        assert_eq!(named(""), ("", None));
    }

    #[test]
    fn a_long_name_is_cut_between_characters() {
        assert_eq!(cut("größe", 4), "grö");
        assert_eq!(cut("größe", 3), "gr");
    }
}
