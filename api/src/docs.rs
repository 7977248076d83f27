//! The API's description, for programs and for people.

use crate::{codes::Code, extract::Variable, openapi, problem::Problem};
use axum::{
    http::{HeaderName, HeaderValue, header},
    response::{IntoResponse, Redirect, Response},
};
use bytes::Bytes;
use serde::Deserialize;
use std::{
    borrow::Cow,
    sync::{Arc, LazyLock},
};
use utoipa::IntoParams;
use utoipa_swagger_ui::Config;

/// Scripts, styles and data of this server only, and no page of anybody's around it.
const POLICY: (HeaderName, HeaderValue) = (
    header::CONTENT_SECURITY_POLICY,
    HeaderValue::from_static(
        "default-src 'none'; script-src 'self'; style-src 'self'; \
         img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'",
    ),
);

/// Nothing is asked of a validator on the internet, which is what Swagger UI does by itself; and
/// there is no bar to load other descriptions with.
static SETTINGS: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| {
    let config = Config::new(["/api/openapi.json"])
        .validator_url("none")
        .use_base_layout()
        .deep_linking(true)
        .display_request_duration(true)
        .try_it_out_enabled(true);
    Arc::new(config)
});

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct DocsFile {
    /// Its name.
    #[param(example = "swagger-ui.css")]
    file: String,
}

/// This description
///
/// OpenAPI 3.1, generated from the routes.
#[utoipa::path(
    get,
    path = "/api/openapi.json",
    operation_id = "openapi",
    tag = "documentation",
    responses((
        status = 200,
        description = "An OpenAPI document.",
        content_type = "application/json",
        body = utoipa::openapi::Object
    ))
)]
pub(crate) async fn document() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], openapi::text()).into_response()
}

/// The way to the pages
///
/// Their address ends with a slash.
#[utoipa::path(
    get,
    path = "/docs",
    operation_id = "docs_redirect",
    tag = "documentation",
    responses((
        status = 308,
        description = "The pages are at `/docs/`.",
        headers(("Location" = String, description = "`/docs/`"))
    ))
)]
pub(crate) async fn redirect() -> Redirect {
    Redirect::permanent("/docs/")
}

/// Pages for people
///
/// Swagger UI, served from this program: nothing is fetched from elsewhere.
#[utoipa::path(
    get,
    path = "/docs/",
    operation_id = "docs",
    tag = "documentation",
    responses((
        status = 200,
        description = "The page.",
        content_type = "text/html",
        body = String,
        headers(("Content-Security-Policy" = String, description = "This server only."))
    ))
)]
pub(crate) async fn page() -> Result<Response, Problem> {
    file(Variable(DocsFile { file: "index.html".to_owned() })).await
}

/// What the pages consist of
///
/// Scripts, styles and icons.
#[utoipa::path(
    get,
    path = "/docs/{file}",
    operation_id = "docs_file",
    tag = "documentation",
    params(DocsFile),
    responses((
        status = 200,
        description = "The file.",
        content_type = "*/*",
        body = String,
        headers(("Content-Security-Policy" = String, description = "This server only."))
    )),
    extensions(("x-problem-codes" = json!([Code::BadParameter, Code::NoSuchRoute])))
)]
pub(crate) async fn file(
    Variable(DocsFile { file }): Variable<DocsFile>,
) -> Result<Response, Problem> {
    let found = utoipa_swagger_ui::serve(&file, Arc::clone(&SETTINGS))
        .map_err(|error| Problem::internal(error.to_string()))?
        .ok_or_else(|| Problem::new(Code::NoSuchRoute, format!("nothing is at /docs/{file}")))?;
    let bytes = match found.bytes {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => bytes.into(),
    };
    let content_type = [(header::CONTENT_TYPE, found.content_type)];
    Ok(([POLICY], content_type, bytes).into_response())
}
