//! Errors in words.

use std::error::Error;

/// An error and its causes: reqwest's own words end before the cause that helps.
#[must_use]
pub fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
