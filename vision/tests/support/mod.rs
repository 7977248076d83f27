//! What the tests share: footage, and a loaded runtime.

use std::path::PathBuf;
use vision::Models;

pub(crate) fn footage(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/footage").join(name)
}

/// Fails, naming the remedy, where ONNX Runtime is not installed.
pub(crate) fn models() -> Models {
    Models::find(None).unwrap()
}
