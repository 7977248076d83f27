//! Errors as AWS words them.

use crate::{PhotoError, VisionError};
use axum::http::StatusCode;
use ports::{ObjectRef, Refusal, Trouble};
use serde_json::{Value, json};

/// An error by its name in Rekognition's model.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) status: StatusCode,
    kind: &'static str,
    message: String,
}

impl Fault {
    pub(super) fn new(kind: &'static str, message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, kind, message: message.into() }
    }

    pub(super) fn parameter(message: impl Into<String>) -> Self {
        Self::new("InvalidParameterException", message)
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new("ResourceNotFoundException", message)
    }

    pub(super) fn page(message: impl Into<String>) -> Self {
        Self::new("InvalidPaginationTokenException", message)
    }

    /// Clients try these again.
    pub(super) fn server(message: impl Into<String>) -> Self {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Self { status, kind: "InternalServerError", message: message.into() }
    }

    /// An object that is not to be had.
    pub(super) fn object(object: &ObjectRef, trouble: &Trouble) -> Self {
        match trouble {
            Trouble::Refused(Refusal::Poison(_) | Refusal::Skip(_)) => Self::no_object(object),
            Trouble::Transient { .. } => Self::server(trouble.to_string()),
            Trouble::Fatal(fatal) => Self::new("AccessDeniedException", fatal.to_string()),
        }
    }

    pub(super) fn no_object(object: &ObjectRef) -> Self {
        let message = format!("{object} is not there or cannot be read");
        Self::new("InvalidS3ObjectException", message)
    }

    pub(super) fn body(&self, request_id: &str) -> Value {
        json!({
            "__type": self.kind,
            "Message": self.message,
            "Code": self.kind,
            "Logref": request_id,
        })
    }
}

impl From<PhotoError> for Fault {
    fn from(error: PhotoError) -> Self {
        let kind = match error {
            PhotoError::Unreadable { .. } => "InvalidImageFormatException",
            PhotoError::TooLarge { .. } => "ImageTooLargeException",
        };
        Self::new(kind, error.to_string())
    }
}

impl From<VisionError> for Fault {
    fn from(error: VisionError) -> Self {
        tracing::error!(%error, "a picture could not be looked at");
        Self::server(error.to_string())
    }
}
