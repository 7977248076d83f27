//! What a helper does for a photograph: it turns a stranger's file into pixels.
//!
//! Looking at the pixels needs detectors, which take longer to load than a picture takes; they stay
//! in the server, and see nothing but numbers.

use super::fault::Fault;
use crate::{PhotoError, RgbImage, decode_photo};
use axum::body::Bytes;
use confine::{Allowance, Helper, Work};
use media::{Limits, MediaError};
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};
use tempfile::TempDir;
use tokio::task::spawn_blocking;

/// One photograph to be decoded.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct DecodePhoto {
    photo: PathBuf,
    /// Where its pixels go: packed RGB, row by row.
    pixels: PathBuf,
}

/// Width and height as displayed, px.
type Size = (u32, u32);

impl Work for DecodePhoto {
    const NAME: &'static str = "decode-photo";
    type Output = Result<Size, PhotoError>;

    fn run(self, _: &Limits) -> Result<Self::Output, MediaError> {
        let picture = match decode_photo(&fs::read(&self.photo)?) {
            Ok(picture) => picture,
            Err(error) => return Ok(Err(error)),
        };
        fs::write(&self.pixels, &picture.data)?;
        Ok(Ok((picture.width, picture.height)))
    }
}

/// The pixels of a photograph, decoded by `helper` in a folder of its own below `scratch`.
pub(super) async fn decoded(
    helper: &Helper,
    scratch: &Path,
    file: Bytes,
) -> Result<RgbImage, Fault> {
    let (bytes, scratch) = (file.len() as u64, scratch.to_owned());
    let folder = blocking(move || {
        let folder = tempfile::Builder::new().prefix("photo-").tempdir_in(scratch)?;
        fs::write(photo(&folder), &file)?;
        Ok(Arc::new(folder))
    })
    .await?;
    let work = DecodePhoto { photo: photo(&folder), pixels: pixels(&folder) };
    let allowance = Allowance::reading(folder.path().to_owned(), bytes);
    // The helper may outlive this call by a moment, and its folder with it.
    let (width, height) =
        helper.run(work, allowance, Arc::clone(&folder)).await.map_err(blamed)??;
    let data = blocking(move || fs::read(pixels(&folder))).await?;
    if data.len() as u64 != u64::from(width) * u64::from(height) * 3 {
        return Err(Fault::server("the picture came out incomplete: send it again"));
    }
    Ok(RgbImage { width, height, data })
}

fn photo(folder: &TempDir) -> PathBuf {
    folder.path().join("photo")
}

fn pixels(folder: &TempDir) -> PathBuf {
    folder.path().join("pixels")
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Fault> {
    let done = spawn_blocking(work).await.map_err(io::Error::other).flatten();
    done.map_err(|e| Fault::server(format!("the picture was not decoded: {e}; check the disk")))
}

fn blamed(failure: confine::Failure) -> Fault {
    if failure.blames_input() {
        let detail = format!("the decoder was stopped, {}", failure.reason());
        return PhotoError::Unreadable { detail }.into();
    }
    tracing::error!(%failure, "a picture could not be decoded");
    Fault::server(failure.to_string())
}
