//! An object's bytes, read from its file in large pieces: s3s-fs reads 4 KiB at a time, each on
//! another thread.

use s3s::dto::{Range, StreamingBlob};
use std::{
    io::{self, SeekFrom},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};
use tokio::{
    fs::{self, File},
    io::{AsyncReadExt, AsyncSeekExt},
};
use tokio_util::io::ReaderStream;

const PIECE: usize = 256 << 10;

/// A file that was opened before s3s-fs is asked for it.
pub(super) struct Opened {
    file: File,
    path: PathBuf,
}

impl Opened {
    pub(super) async fn at(path: &Path) -> io::Result<Self> {
        Ok(Self { file: File::open(path).await?, path: path.to_owned() })
    }

    /// The bytes of s3s-fs's answer to a request for `range`; `None` where these are not in this file:
    /// another was put in its place meanwhile, or it is shorter.
    pub(super) async fn bytes(mut self, range: Option<Range>) -> io::Result<Option<StreamingBlob>> {
        let own = self.file.metadata().await?;
        // While it is open, no other file has its number: s3s-fs, in between, opened this one.
        if fs::metadata(&self.path).await?.ino() != own.ino() {
            return Ok(None);
        }
        let Some(range) = range.map_or(Some(0..own.len()), |range| range.check(own.len()).ok())
        else {
            return Ok(None);
        };
        self.file.seek(SeekFrom::Start(range.start)).await?;
        let length = range.end - range.start;
        let piece = usize::try_from(length).map_or(PIECE, |length| length.clamp(1, PIECE));
        let bytes = ReaderStream::with_capacity(self.file.take(length), piece);
        Ok(Some(StreamingBlob::wrap(bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::TryStreamExt;

    async fn given(file: &Path, range: Option<&str>) -> Option<Vec<u8>> {
        let range = range.map(|range| Range::parse(range).unwrap());
        let bytes = Opened::at(file).await.unwrap().bytes(range).await.unwrap()?;
        let pieces: Vec<bytes::Bytes> = bytes.try_collect().await.unwrap();
        Some(pieces.concat())
    }

    #[tokio::test]
    async fn a_range_is_that_part_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("film");
        let film: Vec<u8> = (0..2 * PIECE + 7).map(|at| (at % 251) as u8).collect();
        std::fs::write(&path, &film).unwrap();
        for (range, expected) in [
            (None, 0..film.len()),
            (Some("bytes=3-9"), 3..10),
            (Some("bytes=300000-"), 300_000..film.len()),
            (Some("bytes=500000-9999999"), 500_000..film.len()),
            (Some("bytes=-5"), film.len() - 5..film.len()),
            (Some("bytes=-9999999"), 0..film.len()),
        ] {
            assert!(given(&path, range).await.unwrap() == film[expected], "{range:?}");
        }
        assert_eq!(given(&path, Some("bytes=9999999-")).await, None);
        std::fs::write(&path, b"").unwrap();
        assert_eq!(given(&path, None).await, Some(Vec::new()));
        assert_eq!(given(&path, Some("bytes=0-")).await, None);
    }

    #[tokio::test]
    async fn a_file_that_was_replaced_meanwhile_is_left_to_the_store() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("a"), folder.path().join("b"));
        std::fs::write(&path, b"a film").unwrap();
        let opened = Opened::at(&path).await.unwrap();
        std::fs::write(&other, b"another film").unwrap();
        std::fs::rename(&other, &path).unwrap();
        assert!(opened.bytes(None).await.unwrap().is_none());
    }
}
