//! What routes take from a request, with our errors.

use crate::problem::Problem;
use axum::{
    extract::{FromRequestParts, Path, Query},
    http::{HeaderMap, header},
};
use serde::Deserialize;
use utoipa::IntoParams;

/// Query parameters; unknown names are the business of the type.
#[derive(Debug, FromRequestParts)]
#[from_request(via(Query), rejection(Problem))]
pub(crate) struct Parameters<T>(pub(crate) T);

/// The variable part of a path.
#[derive(Debug, FromRequestParts)]
#[from_request(via(Path), rejection(Problem))]
pub(crate) struct Variable<T>(pub(crate) T);

/// The video of a path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct VideoId {
    /// The id that the upload answered.
    #[param(example = "5f0c7f3e-6f0e-4a57-9d5c-0b1f7a4c2d11")]
    pub(crate) id: String,
}

/// A page of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Paging {
    /// From 0.
    pub(crate) page: u32,
    pub(crate) page_size: u32,
}

impl Paging {
    /// As OpenSearch's `max_result_window`: an engine that must rank everything before a far page
    /// spends memory in proportion.
    const WINDOW: u32 = 10_000;

    pub(crate) fn check(
        page: Option<u32>,
        page_size: Option<u32>,
        default_size: u32,
    ) -> Result<Self, Problem> {
        let (page, page_size) = (page.unwrap_or(0), page_size.unwrap_or(default_size));
        if !(1..=100).contains(&page_size) {
            return Err(Problem::bad_parameter(
                format!("page_size is {page_size}"),
                "ask for 1 to 100 on a page",
            ));
        }
        if page.saturating_add(1).saturating_mul(page_size) > Self::WINDOW {
            return Err(Problem::bad_parameter(
                format!("page {page} of {page_size} ends beyond the first {}", Self::WINDOW),
                "narrow the list with owner=, assessment= or more words",
            ));
        }
        Ok(Self { page, page_size })
    }
}

/// An empty filter is none.
pub(crate) fn filter(value: Option<String>) -> Option<String> {
    value.filter(|text| !text.is_empty())
}

/// Where the client reached us, e.g. `http://127.0.0.1:8080`. The guard has checked the name.
pub(crate) fn base_url(headers: &HeaderMap) -> String {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    host.map(|host| format!("http://{host}")).unwrap_or_default()
}
