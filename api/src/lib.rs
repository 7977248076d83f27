//! HTTP over the ports: uploads, videos, search.
//!
//! [`router`] is everything a client can ask; [`serve`] listens, on loopback only: there are no
//! accounts yet, and whoever reaches the listener is [`ports::Viewer::Local`] and may see all.
//! Every error is `application/problem+json` with a `code` for programs, a `detail` for people
//! and a `next_step`.

mod extract;
mod footage;
mod guard;
mod operations;
mod orphans;
mod printable;
mod problem;
mod range;
mod recording;
mod retry;
mod search;
mod serve;
mod services;
mod source;
mod uploads;
mod videos;

pub use orphans::announce_orphans;
pub use printable::can_mislead;
pub use serve::{ServeError, serve};
pub use services::{DeadLetters, MEDIA_TYPES, Redriven, Services, Unready, UploadLimits, Uploads};

use axum::{
    Router, middleware,
    routing::{get, post},
};
use std::sync::Arc;

/// Every route, behind the guard against foreign web pages.
pub fn router(services: Arc<Services>) -> Router {
    Router::new()
        .route("/", get(operations::index))
        .route("/healthz", get(operations::healthz))
        .route("/readyz", get(operations::readyz))
        .route("/metrics", get(operations::metrics))
        .route("/api/uploads/config", get(uploads::config))
        .route("/api/videos", post(uploads::create).get(videos::list))
        .route("/api/videos/{id}", get(videos::one))
        .route("/api/videos/{id}/recording", get(recording::recording))
        .route("/api/videos/{id}/receipt", get(videos::receipt))
        .route("/api/videos/{id}/retry", post(retry::retry))
        .route("/api/search", get(search::search))
        .fallback(operations::unknown_route)
        .method_not_allowed_fallback(operations::wrong_method)
        .layer(middleware::from_fn(guard::guard))
        .with_state(services)
}
