//! HTTP over the ports: uploads, videos, search.
//!
//! [`router`] is everything a client can ask; [`serve`] listens, on loopback unless told otherwise:
//! there are no accounts yet, and whoever reaches the listener is [`ports::Viewer::Local`] and may
//! see all. [`watching`] is what machines that watch may ask from anywhere.
//! Every error is `application/problem+json` with a `code` for programs, a `detail` for people
//! and a `next_step`; the codes are a closed list, `docs/problems.md`. The API describes itself:
//! `GET /api/openapi.json` and `GET /docs/`.

mod codes;
mod counted;
mod docs;
mod extract;
mod footage;
mod guard;
mod object;
mod openapi;
mod operations;
mod orphans;
mod printable;
mod problem;
mod range;
mod recording;
mod replay;
mod retry;
mod search;
mod serve;
mod services;
mod source;
mod thumbnail;
mod uploads;
mod videos;

pub use orphans::announce_orphans;
pub use printable::can_mislead;
pub use serve::{Reach, ServeError, serve};
pub use services::{
    Answered, Cause, DeadLetters, Health, MEDIA_TYPES, Redriven, Services, Unready, UploadLimits,
    Uploads,
};

use axum::{Router, extract::FromRef, middleware};
use std::sync::Arc;
use utoipa_axum::{router::OpenApiRouter, routes};

/// Everything a client can ask, behind the guard against foreign web pages.
pub fn router(services: Arc<Services>) -> Router {
    Router::from(routes())
        .fallback(operations::unknown_route)
        .method_not_allowed_fallback(operations::wrong_method)
        .layer(middleware::from_fn(guard::guard))
        .layer(middleware::from_fn_with_state(services.health.clone(), counted::counted))
        .with_state(services)
}

/// Health and metrics alone: nothing about anybody's videos.
pub fn watching(health: Health) -> Router {
    Router::from(watching_routes())
        .fallback(operations::unknown_route)
        .method_not_allowed_fallback(operations::wrong_method)
        .layer(middleware::from_fn(guard::guard))
        .with_state(health)
}

fn watching_routes<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    Health: FromRef<S>,
{
    OpenApiRouter::new()
        .routes(routes!(operations::healthz))
        .routes(routes!(operations::readyz))
        .routes(routes!(operations::metrics))
}

/// Every route with its description: there is no other way to add one (`clippy.toml`).
fn routes() -> OpenApiRouter<Arc<Services>> {
    OpenApiRouter::with_openapi(openapi::outline())
        .routes(routes!(operations::index))
        .merge(watching_routes())
        .routes(routes!(uploads::config))
        .routes(routes!(videos::list, uploads::create))
        .routes(routes!(videos::one))
        .routes(routes!(recording::recording))
        .routes(routes!(thumbnail::thumbnail))
        .routes(routes!(videos::receipt))
        .routes(routes!(retry::retry))
        .routes(routes!(replay::replay))
        .routes(routes!(search::search))
        .routes(routes!(docs::document))
        .routes(routes!(docs::redirect))
        .routes(routes!(docs::page))
        .routes(routes!(docs::file))
}
