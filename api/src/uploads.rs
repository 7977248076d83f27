//! Footage comes in: the object first, then the event, then the answer.

use crate::{
    Cause, Services,
    codes::{Code, STORE_WRITE},
    extract::{Parameters, base_url, filter},
    footage::{self, Fault, Footage, Terms},
    printable::printable,
    problem::{Members, Problem},
    source::{Source, now_ms},
};
use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use ports::{ObjectRef, Trouble, VideoState};
use schemas::{Blur, keys};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

/// S3 takes 2 KB of metadata for an object, and percent-encoding may triple a text.
const MAX_TITLE_BYTES: usize = 300;
const MAX_ASSESSMENT_BYTES: usize = 100;
/// A clock that is a little ahead is no reason to refuse.
const MAX_AHEAD_MS: i64 = 24 * 3600 * 1000;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct UploadParameters {
    /// What the recording belongs to, at most 100 bytes of utf-8. Recordings are listed and found
    /// by it.
    #[param(max_length = 100, example = "geography")]
    assessment: Option<String>,
    /// At most 300 bytes of utf-8; where it is left out, the stem of `filename`.
    #[param(max_length = 300, example = "My talk")]
    title: Option<String>,
    /// The name of the file. Its extension is kept where `GET /api/uploads/config` lists it; what
    /// the file is, its content decides.
    #[param(example = "talk.mp4")]
    filename: Option<String>,
    /// Whether faces are blurred: `all` where it is left out.
    #[param(inline, example = "all")]
    blur: Option<Blur>,
    /// Who may find the video once accounts exist: `private` where it is left out.
    #[param(inline, example = "private")]
    visibility: Option<Visibility>,
    /// Milliseconds since 1970, at most a day to come; now where it is left out.
    #[param(minimum = 0, example = 1_700_000_000_000_i64)]
    recorded_at_ms: Option<i64>,
}

/// Who may find a video.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Visibility {
    Private,
    Listed,
}

/// The file itself.
#[derive(Debug, ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "only its schema is used: the body is a stream")]
pub(crate) struct File(Vec<u8>);

/// What an upload may be.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UploadConfig {
    /// The most bytes a body may have.
    #[schema(example = 10_737_418_240_u64)]
    max_bytes: u64,
    /// Extensions that are kept. The content decides what a file is, whatever its name.
    types: Vec<String>,
    /// The values of `blur`, the default first.
    blur: [Blur; 2],
    /// The values of `visibility`, the default first.
    visibility: [Visibility; 2],
    /// A client that sends nothing for so many seconds is given up.
    max_silence_seconds: u64,
}

/// What an upload may be
///
/// The limits that `POST /api/videos` enforces.
#[utoipa::path(
    get,
    path = "/api/uploads/config",
    operation_id = "upload_config",
    tag = "uploads",
    responses((status = 200, description = "The limits.", body = UploadConfig))
)]
pub(crate) async fn config(State(services): State<Arc<Services>>) -> Json<UploadConfig> {
    Json(UploadConfig {
        max_bytes: services.limits.max_bytes,
        types: services.limits.types.clone(),
        blur: [Blur::All, Blur::None],
        visibility: [Visibility::Private, Visibility::Listed],
        max_silence_seconds: services.limits.max_silence.as_secs(),
    })
}

/// An upload that is stored and announced.
#[derive(Debug, Serialize, ToSchema)]
struct Accepted {
    /// A UUID, new for every upload.
    video_id: String,
    state: VideoState,
    title: String,
    assessment: String,
    /// `all` or `none`.
    blur: String,
    bytes: u64,
    /// Where the video's state is.
    #[schema(format = "uri")]
    url: String,
    /// Where its recording will be.
    #[schema(format = "uri")]
    recording_url: String,
}

/// Upload a film
///
/// The body is the file itself, with or without a declared length; its `Content-Type` does not
/// matter, except that a form (`multipart/…`) is refused. 201 means: the file is stored and
/// announced, and both will survive a crash. After a 4xx nothing was kept; after a 5xx the file may
/// be there, and is then announced later by itself: look at GET /api/videos before sending it again.
#[utoipa::path(
    post,
    path = "/api/videos",
    operation_id = "upload_video",
    tag = "uploads",
    params(UploadParameters),
    request_body(
        content = inline(File),
        content_type = "application/octet-stream",
        description = "The file: mp4, mov, mkv, webm, avi, ts, … At least one byte, at most \
                       `max_bytes`."
    ),
    responses((
        status = 201,
        description = "Stored and announced.",
        body = Accepted,
        headers(("Location" = String, description = "The path of the new video."))
    )),
    extensions(("x-problem-codes" = json!([
        [Code::BadParameter, Code::EmptyBody, Code::CutOff, Code::Silent, Code::TooLarge],
        [Code::RawBodyWanted, Code::Stopping, Code::NotAnnounced],
        STORE_WRITE
    ])))
)]
pub(crate) async fn create(
    State(services): State<Arc<Services>>,
    Parameters(parameters): Parameters<UploadParameters>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let cause = Cause::request(&headers);
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
        accept(source, &services, footage, &cause).await
    });
    let (upload, bytes) =
        task.await.map_err(|error| Problem::internal(format!("the upload broke: {error}")))??;

    let path = format!("/api/videos/{}", upload.video_id);
    let base = base_url(&headers);
    let answer = Accepted {
        state: VideoState::Processing,
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
            Code::RawBodyWanted,
            "the body is a form, and its boundaries would become part of the film",
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
        blur: match parameters.blur.unwrap_or(Blur::All) {
            Blur::All => "all".to_owned(),
            Blur::None => "none".to_owned(),
        },
        visibility: match parameters.visibility.unwrap_or(Visibility::Private) {
            Visibility::Private => "private".to_owned(),
            Visibility::Listed => "listed".to_owned(),
        },
        recorded_at_ms,
    })
}

/// The object first, then the event: a crash in between leaves an object without an event, never
/// an event without its object.
async fn accept(
    source: Source,
    services: &Services,
    footage: Footage,
    cause: &Cause,
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
    if let Err(trouble) = source.announce(services, info.bytes, cause).await {
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

fn reason(trouble: &Trouble) -> &'static str {
    match trouble {
        Trouble::Refused(ports::Refusal::Poison(poison)) => poison.reason,
        _ => "",
    }
}

fn too_large(max_bytes: u64) -> Problem {
    let detail = format!("an upload may have {max_bytes} bytes; nothing was kept");
    Problem::new(Code::TooLarge, detail)
        .with(Members { max_bytes: Some(max_bytes), ..Members::default() })
}

fn fault(fault: Fault) -> Problem {
    match fault {
        Fault::Empty => Problem::new(Code::EmptyBody, "the body has no bytes"),
        Fault::CutOff(detail) => Problem::new(Code::CutOff, format!("{detail}; nothing was kept")),
        Fault::Silent(silence) => Problem::new(
            Code::Silent,
            format!("no byte came for {} s; nothing was kept", silence.as_secs_f32()),
        ),
        Fault::Stopping => Problem::new(
            Code::Stopping,
            "the mill is shutting down; nothing of the upload was kept",
        ),
    }
}

fn unannounced(trouble: &Trouble) -> Problem {
    let detail = format!("the broker did not take the event: {trouble}; nothing was kept");
    Problem::new(Code::NotAnnounced, detail).retry_after(5)
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
