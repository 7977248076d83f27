//! Confluent's REST API.

use super::{
    book::{Book, Refused, Which},
    level::Level,
};
use axum::{
    Router,
    body::Bytes,
    extract::{Path, Query, Request, State},
    http::{HeaderValue, Method, StatusCode, header::CONTENT_TYPE},
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use doors::Stranger;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";

#[derive(Clone)]
struct Registry(Arc<Mutex<Book>>);

impl Registry {
    fn book(&self) -> MutexGuard<'_, Book> {
        // Pages are replaced as a whole, so a panic cannot leave half a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An error as clients expect it.
struct Rest {
    status: StatusCode,
    code: u32,
    message: String,
}

impl Rest {
    fn new(status: StatusCode, code: u32, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }
}

impl From<Refused> for Rest {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::NoSubject => Self::new(StatusCode::NOT_FOUND, 40401, "subject not found"),
            Refused::NoVersion => Self::new(StatusCode::NOT_FOUND, 40402, "version not found"),
            Refused::NoSchema => Self::new(StatusCode::NOT_FOUND, 40403, "schema not found"),
            Refused::NotASchema(why) => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, 42201, format!("invalid schema: {why}"))
            }
            Refused::Incompatible(why) => Self::new(
                StatusCode::CONFLICT,
                409,
                format!("schema being registered is incompatible with an earlier schema: {why}"),
            ),
            Refused::Unsaved(why) => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, 50001, why.to_string())
            }
        }
    }
}

impl IntoResponse for Rest {
    fn into_response(self) -> Response {
        let body = json!({ "error_code": self.code, "message": self.message });
        (self.status, Answer(body)).into_response()
    }
}

struct Answer<T>(T);

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(body) => ([(CONTENT_TYPE, MEDIA_TYPE)], body).into_response(),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
        }
    }
}

type Answered<T> = Result<Answer<T>, Rest>;

pub(super) fn router(book: Book) -> Router {
    Router::new()
        .route("/", get(async || Answer(json!({}))))
        .route("/schemas/types", get(async || Answer(["AVRO"])))
        .route("/schemas/ids/{id}", get(schema_by_id))
        .route("/subjects", get(subjects))
        .route("/subjects/{subject}", post(look_up))
        .route("/subjects/{subject}/versions", get(versions).post(register))
        .route("/subjects/{subject}/versions/{version}", get(version))
        .route("/compatibility/subjects/{subject}/versions", post(check))
        .route("/compatibility/subjects/{subject}/versions/{version}", post(check_against))
        .route("/config", get(level).put(set_level))
        .route("/config/{subject}", get(subject_level).put(set_subject_level))
        .route_layer(from_fn(wants_json))
        .fallback(async || Rest::new(StatusCode::NOT_FOUND, 404, "HTTP 404 Not Found"))
        .with_state(Registry(Arc::new(Mutex::new(book))))
}

/// The answer to a web page of another site.
pub(super) fn turned_away(stranger: Stranger) -> Response {
    Rest::new(StatusCode::FORBIDDEN, 40301, stranger.to_string()).into_response()
}

/// Web pages may send other kinds of bodies to other sites without asking first.
async fn wants_json(request: Request, next: Next) -> Response {
    let has_body = matches!(*request.method(), Method::POST | Method::PUT);
    if !has_body || request.headers().get(CONTENT_TYPE).is_some_and(is_json) {
        return next.run(request).await;
    }
    let wanted = "HTTP 415 Unsupported Media Type: send content-type \
                  application/vnd.schemaregistry.v1+json or application/json";
    Rest::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, 415, wanted).into_response()
}

/// `application/json` and `application/vnd.schemaregistry*+json`, with parameters or without.
fn is_json(content_type: &HeaderValue) -> bool {
    let text = content_type.to_str().unwrap_or_default();
    let kind = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let of_the_registry = kind.strip_prefix("application/vnd.schemaregistry");
    kind == "application/json" || of_the_registry.is_some_and(|rest| rest.ends_with("+json"))
}

async fn schema_by_id(State(registry): State<Registry>, Path(id): Path<String>) -> Answered<Value> {
    let id = id.parse().map_err(|_| Refused::NoSchema)?;
    Ok(Answer(json!({ "schema": registry.book().schema(id)? })))
}

async fn subjects(State(registry): State<Registry>) -> Answer<Value> {
    Answer(json!(registry.book().subjects()))
}

async fn versions(
    State(registry): State<Registry>,
    Path(subject): Path<String>,
) -> Answered<Vec<usize>> {
    Ok(Answer((1..=registry.book().versions(&subject)?.len()).collect()))
}

async fn version(
    State(registry): State<Registry>,
    Path((subject, version)): Path<(String, String)>,
) -> Answered<Value> {
    let found = registry.book().version(&subject, which(&version)?)?;
    Ok(Answer(json!(found)))
}

async fn look_up(
    State(registry): State<Registry>,
    Path(subject): Path<String>,
    body: Bytes,
) -> Answered<Value> {
    let schema = posted_schema(&body)?;
    let found = registry.book().look_up(&subject, &schema)?;
    Ok(Answer(json!(found)))
}

async fn register(
    State(registry): State<Registry>,
    Path(subject): Path<String>,
    body: Bytes,
) -> Answered<Value> {
    let schema = posted_schema(&body)?;
    let id = registry.book().register(&subject, &schema)?;
    Ok(Answer(json!({ "id": id })))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Options {
    verbose: bool,
    #[serde(rename = "defaultToGlobal")]
    default_to_global: bool,
}

async fn check(
    State(registry): State<Registry>,
    Path(subject): Path<String>,
    Query(options): Query<Options>,
    body: Bytes,
) -> Answered<Value> {
    let objections = registry.book().check(&subject, &posted_schema(&body)?)?;
    Ok(Answer(compatible(objections, options.verbose)))
}

async fn check_against(
    State(registry): State<Registry>,
    Path((subject, version)): Path<(String, String)>,
    Query(options): Query<Options>,
    body: Bytes,
) -> Answered<Value> {
    let schema = posted_schema(&body)?;
    let objections = registry.book().check_against(&subject, which(&version)?, &schema)?;
    Ok(Answer(compatible(objections, options.verbose)))
}

fn compatible(objections: Vec<String>, verbose: bool) -> Value {
    let is_compatible = objections.is_empty();
    if verbose {
        json!({ "is_compatible": is_compatible, "messages": objections })
    } else {
        json!({ "is_compatible": is_compatible })
    }
}

async fn level(State(registry): State<Registry>) -> Answer<Value> {
    Answer(json!({ "compatibilityLevel": registry.book().level() }))
}

async fn set_level(State(registry): State<Registry>, body: Bytes) -> Answered<Value> {
    let level = posted_level(&body)?;
    registry.book().set_level(None, level)?;
    Ok(Answer(json!({ "compatibility": level })))
}

async fn subject_level(
    State(registry): State<Registry>,
    Path(subject): Path<String>,
    Query(options): Query<Options>,
) -> Answered<Value> {
    let book = registry.book();
    let global = options.default_to_global.then(|| book.level());
    match book.own_level(&subject).or(global) {
        Some(level) => Ok(Answer(json!({ "compatibilityLevel": level }))),
        None => Err(Rest::new(
            StatusCode::NOT_FOUND,
            40408,
            format!("subject '{subject}' does not have subject-level compatibility configured"),
        )),
    }
}

async fn set_subject_level(
    State(registry): State<Registry>,
    Path(subject): Path<String>,
    body: Bytes,
) -> Answered<Value> {
    let level = posted_level(&body)?;
    registry.book().set_level(Some(&subject), level)?;
    Ok(Answer(json!({ "compatibility": level })))
}

fn which(version: &str) -> Result<Which, Rest> {
    match version {
        "latest" | "-1" => Ok(Which::Latest),
        number => match number.parse() {
            Ok(number) if number > 0 => Ok(Which::Number(number)),
            _ => Err(Rest::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                42202,
                format!("`{version}` is no version: use 1 and up, or latest"),
            )),
        },
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Posted {
    schema: String,
    schema_type: Option<String>,
    #[serde(default)]
    references: Option<Vec<Value>>,
}

fn posted_schema(body: &[u8]) -> Result<String, Rest> {
    let not_a_schema = |why: String| {
        Rest::new(StatusCode::UNPROCESSABLE_ENTITY, 42201, format!("invalid schema: {why}"))
    };
    let posted: Posted = serde_json::from_slice(body).map_err(|e| not_a_schema(e.to_string()))?;
    if posted.schema_type.is_some_and(|kind| kind != "AVRO") {
        return Err(not_a_schema("only AVRO is supported".to_owned()));
    }
    if posted.references.is_some_and(|references| !references.is_empty()) {
        return Err(not_a_schema("references are not supported: write the types in".to_owned()));
    }
    Ok(posted.schema)
}

fn posted_level(body: &[u8]) -> Result<Level, Rest> {
    #[derive(Deserialize)]
    struct Posted {
        compatibility: Level,
    }
    let posted: Result<Posted, _> = serde_json::from_slice(body);
    posted.map(|posted| posted.compatibility).map_err(|e| {
        Rest::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            42203,
            format!("invalid compatibility level: {e}"),
        )
    })
}
