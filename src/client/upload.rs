//! `reelmill upload`: footage goes in.

use super::{Out, error::ClientError, http::Client, progress::Progress, text::plain, wait::wait};
use futures::StreamExt;
use reqwest::{Body, header::CONTENT_LENGTH};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use tokio::{fs::File, io::AsyncReadExt};
use tokio_util::io::ReaderStream;

const PIECE_BYTES: usize = 256 << 10;

/// How to upload.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UploadOptions {
    /// Empty where the footage belongs to none.
    pub assessment: String,
    /// The file's name where absent.
    pub title: Option<String>,
    /// `all` or `none`; empty leaves it to the mill.
    pub blur: String,
    /// Stay until every video is ready and can be found, or has failed.
    pub wait: bool,
    /// Show no progress.
    pub quiet: bool,
}

/// An accepted upload: stored, and announced to the mill.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Uploaded {
    pub video_id: String,
    pub title: String,
    pub bytes: u64,
    pub url: String,
    pub recording_url: String,
}

#[derive(Debug, Deserialize)]
struct Limits {
    max_bytes: u64,
}

/// Uploads files one after another. A file that fails does not keep the others; the result is
/// then an error that says how many failed.
pub async fn upload(
    client: &Client,
    files: &[PathBuf],
    options: UploadOptions,
    out: Out<'_>,
) -> Result<Vec<Uploaded>, ClientError> {
    let progress = Progress::new(options.quiet);
    let mut uploaded = Vec::new();
    let mut failures = Vec::new();
    // A mill need not be asked about a file that cannot be read.
    let mut limits: Option<Limits> = None;
    for file in files {
        let sent = async {
            check(file).await?;
            let max_bytes = match &limits {
                Some(limits) => limits.max_bytes,
                None => {
                    let answer = client.json(&["api", "uploads", "config"], &[]).await?;
                    limits.insert(client.read(answer)?).max_bytes
                }
            };
            send(client, file, &options, max_bytes, &progress).await
        };
        match sent.await {
            Ok(video) => {
                let line = format!("uploaded {} as {}", plain(&video.title), video.video_id);
                progress.say(&mut *out, &line)?;
                uploaded.push(video);
            }
            // It is away for all files alike.
            Err(failure @ ClientError::NoMill(_)) if uploaded.is_empty() => return Err(failure),
            Err(failure) => {
                if files.len() > 1 {
                    let line = format!("{} was not uploaded: {failure}", file.display());
                    progress.say(&mut *out, &plain(&line))?;
                }
                failures.push(failure);
            }
        }
    }
    if options.wait {
        failures.extend(wait(client, &uploaded, progress, out).await?);
    }
    ClientError::of_several(files.len(), failures)?;
    Ok(uploaded)
}

/// Whether there is a file that can be read. A pipe is only read once, and so not opened here.
async fn check(path: &Path) -> Result<(), ClientError> {
    let about = tokio::fs::metadata(path).await.map_err(ClientError::file(path))?;
    if about.is_dir() {
        return Err(ClientError::Directory(path.to_owned()));
    }
    if about.is_file() {
        File::open(path).await.map_err(ClientError::file(path))?;
    }
    Ok(())
}

async fn send(
    client: &Client,
    path: &Path,
    options: &UploadOptions,
    max_bytes: u64,
    progress: &Progress,
) -> Result<Uploaded, ClientError> {
    let file = File::open(path).await.map_err(ClientError::file(path))?;
    let about = file.metadata().await.map_err(ClientError::file(path))?;
    // A pipe has no length; its end is the end of the film.
    let length = about.is_file().then_some(about.len());
    if let Some(bytes) = length.filter(|&bytes| bytes > max_bytes) {
        return Err(ClientError::TooLarge { path: path.to_owned(), bytes, max_bytes });
    }
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let mut query = vec![("filename", name.as_ref())];
    let title = options.title.as_deref().unwrap_or_default();
    let given = [("assessment", &*options.assessment), ("title", title), ("blur", &*options.blur)];
    query.extend(given.into_iter().filter(|(_, value)| !value.is_empty()));

    let bar = progress.bytes(&name, length);
    let sent = bar.clone();
    let pieces = ReaderStream::with_capacity(file.take(length.unwrap_or(u64::MAX)), PIECE_BYTES);
    let pieces = pieces.inspect(move |piece| {
        sent.inc(piece.as_ref().map_or(0, |piece| piece.len() as u64));
    });
    let mut request = client.post(&["api", "videos"], &query).body(Body::wrap_stream(pieces));
    if let Some(length) = length {
        request = request.header(CONTENT_LENGTH, length);
    }
    let answer = client.send(request).await;
    bar.finish_and_clear();
    client.read(client.value(answer?).await?)
}
