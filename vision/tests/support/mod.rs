//! What the tests share: footage, and a loaded runtime.

use image::ImageReader;
use std::path::PathBuf;
use vision::{Models, RgbImage};

pub fn footage(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/footage").join(name)
}

pub fn photo(name: &str) -> RgbImage {
    let picture = ImageReader::open(footage(name)).unwrap().decode().unwrap().into_rgb8();
    let (width, height) = picture.dimensions();
    RgbImage { width, height, data: picture.into_raw() }
}

/// Fails, naming the remedy, where ONNX Runtime is not installed.
pub fn models() -> Models {
    Models::find(None).unwrap()
}
