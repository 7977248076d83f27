//! One file of a partition's log, and the few things known of every few kilobytes of it.
//!
//! A segment is named after its first offset. Beside it lies its *checkpoint*: what reading the
//! file from the front would tell, so that a start reads only what came after the checkpoint.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    batch::{BatchHeader, PEEK_BYTES},
    log::{Aborted, Producers},
};

/// A mark is set every this many bytes (Kafka's `index.interval.bytes` is 4096): a look-up reads
/// at most this much to find its batch.
const MARK_EVERY_BYTES: u64 = 16 << 10;
/// How much of a file is read at once when looking from batch to batch.
const WINDOW_BYTES: usize = 16 << 10;

/// Where a batch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(i64, u64, i64)", into = "(i64, u64, i64)")]
pub(crate) struct Mark {
    pub(crate) offset: i64,
    /// In the file, in bytes.
    pub(crate) position: u64,
    /// The latest time of any record in front of it in this segment.
    latest_before_ms: i64,
}

impl From<(i64, u64, i64)> for Mark {
    fn from((offset, position, latest_before_ms): (i64, u64, i64)) -> Mark {
        Mark { offset, position, latest_before_ms }
    }
}

impl From<Mark> for (i64, u64, i64) {
    fn from(mark: Mark) -> (i64, u64, i64) {
        (mark.offset, mark.position, mark.latest_before_ms)
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Segment {
    pub(crate) base_offset: i64,
    /// Length of whole batches in the file.
    pub(crate) bytes: u64,
    marks: Vec<Mark>,
    /// Time of the latest record; `i64::MIN` while there is none.
    pub(crate) latest_ms: i64,
    /// How many of `bytes` the checkpoint on disk covers.
    pub(crate) covered: u64,
    /// What was known of producers at its end; kept from sealing to the last checkpoint.
    pub(crate) sealed: Option<Producers>,
}

impl Segment {
    pub(crate) fn new(base_offset: i64) -> Segment {
        Segment {
            base_offset,
            bytes: 0,
            marks: Vec::new(),
            latest_ms: i64::MIN,
            covered: 0,
            sealed: None,
        }
    }

    /// Takes note of the batch that was written behind the others.
    pub(crate) fn push(&mut self, header: &BatchHeader) {
        let due = self.marks.last().map_or(0, |mark| mark.position + MARK_EVERY_BYTES);
        if self.bytes >= due {
            self.marks.push(Mark {
                offset: header.base_offset,
                position: self.bytes,
                latest_before_ms: self.latest_ms,
            });
        }
        if header.marker.is_none() {
            self.latest_ms = self.latest_ms.max(header.max_timestamp_ms);
        }
        self.bytes += header.bytes as u64;
    }

    /// A position at or in front of the batch that holds `offset`.
    pub(crate) fn position_before(&self, offset: i64) -> u64 {
        let behind = self.marks.partition_point(|mark| mark.offset <= offset);
        self.marks.get(behind.wrapping_sub(1)).map_or(0, |mark| mark.position)
    }

    /// A position in front of the first record of `timestamp_ms` or later.
    pub(crate) fn position_before_time(&self, timestamp_ms: i64) -> u64 {
        let behind = self.marks.partition_point(|mark| mark.latest_before_ms < timestamp_ms);
        self.marks.get(behind.wrapping_sub(1)).map_or(0, |mark| mark.position)
    }

    pub(crate) fn log_path(&self, folder: &Path) -> PathBuf {
        folder.join(format!("{:020}.log", self.base_offset))
    }

    pub(crate) fn checkpoint_path(&self, folder: &Path) -> PathBuf {
        folder.join(format!("{:020}.index", self.base_offset))
    }

    pub(crate) fn checkpoint(
        &self,
        end_offset: i64,
        aborted: &[Aborted],
        producers: Producers,
    ) -> Checkpoint {
        Checkpoint {
            covered: self.bytes,
            end_offset,
            latest_ms: self.latest_ms,
            marks: self.marks.clone(),
            aborted: aborted.to_vec(),
            producers,
        }
    }
}

/// What is known of the first `covered` bytes of a segment, and of producers up to there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    pub(crate) covered: u64,
    /// The offset behind the last record covered.
    pub(crate) end_offset: i64,
    latest_ms: i64,
    marks: Vec<Mark>,
    /// Aborted transactions whose marker is among the records covered.
    pub(crate) aborted: Vec<Aborted>,
    pub(crate) producers: Producers,
}

impl Checkpoint {
    /// Writes it to `path`; a crash leaves the old one or the new one.
    pub(crate) fn save(&self, path: &Path) -> io::Result<()> {
        let json = serde_json::to_vec(self)?;
        let mut bytes = format!("{:08x} ", crc32c::crc32c(&json)).into_bytes();
        bytes.extend_from_slice(&json);
        let new = path.with_extension("index.new");
        fs::write(&new, bytes)?;
        fs::rename(&new, path)
    }

    /// `None` if there is none, or it is damaged: then the segment itself is read.
    pub(crate) fn load(path: &Path) -> Option<Checkpoint> {
        let bytes = fs::read(path).ok()?;
        let (checksum, json) = bytes.split_at_checked(9)?;
        let checksum = std::str::from_utf8(checksum.strip_suffix(b" ")?).ok()?;
        let matches = u32::from_str_radix(checksum, 16).ok()? == crc32c::crc32c(json);
        let loaded = matches.then(|| serde_json::from_slice(json).ok()).flatten();
        if loaded.is_none() {
            tracing::warn!(path = %path.display(), "a checkpoint is damaged, reading its segment");
        }
        loaded
    }

    /// The segment as it was when this was written.
    pub(crate) fn segment(&self, base_offset: i64) -> Segment {
        Segment {
            base_offset,
            bytes: self.covered,
            marks: self.marks.clone(),
            latest_ms: self.latest_ms,
            covered: self.covered,
            sealed: None,
        }
    }
}

/// Walks over the batches of a file by their headers.
#[derive(Debug)]
pub(crate) struct Headers<'a> {
    file: &'a File,
    position: u64,
    end: u64,
    window: Vec<u8>,
    window_at: u64,
}

impl<'a> Headers<'a> {
    /// From the batch that begins at `position` on; none that begins at `end` or later.
    pub(crate) fn new(file: &'a File, position: u64, end: u64) -> Headers<'a> {
        Headers { file, position, end, window: Vec::new(), window_at: position }
    }

    /// The next batch's header and position.
    pub(crate) fn next(&mut self) -> io::Result<Option<(BatchHeader, u64)>> {
        if self.position >= self.end {
            return Ok(None);
        }
        let wanted = (self.end - self.position).min(PEEK_BYTES as u64);
        let from = self.position.checked_sub(self.window_at);
        let inside = from.filter(|from| from + wanted <= self.window.len() as u64);
        let from = match inside {
            Some(from) => from as usize,
            None => {
                let length = (self.end - self.position).min(WINDOW_BYTES as u64) as usize;
                self.window.resize(length, 0);
                self.file.read_exact_at(&mut self.window, self.position)?;
                self.window_at = self.position;
                0
            }
        };
        let header = BatchHeader::peek(&self.window[from..]).map_err(io::Error::other)?;
        let position = self.position;
        self.position += header.bytes as u64;
        Ok(Some((header, position)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{example, placed};

    fn filled(batches: i64) -> Segment {
        let mut segment = Segment::new(100);
        for i in 0..batches {
            let batch = placed(&example::plain(1_000, 10 * i), 100 + 1_000 * i);
            segment.push(&BatchHeader::parse(&batch).unwrap());
        }
        segment
    }

    #[test]
    fn marks_are_sparse_and_lead_to_a_place_in_front_of_what_is_looked_for() {
        let batch = example::plain(1_000, 0).len() as u64;
        let segment = filled(1_000);
        assert!(segment.marks.len() as u64 <= segment.bytes / MARK_EVERY_BYTES + 1);
        for i in 0..1_000 {
            let exact = i * batch;
            for place in [
                segment.position_before(100 + 1_000 * i as i64 + 999),
                segment.position_before_time(10 * i as i64),
            ] {
                assert!(place <= exact && exact < place + MARK_EVERY_BYTES + 2 * batch);
            }
        }
    }

    #[test]
    fn a_checkpoint_reads_back_and_a_damaged_one_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let segment = filled(100);
        let path = segment.checkpoint_path(folder.path());
        let saved = segment.checkpoint(100_100, &[], Producers::default());
        saved.save(&path).unwrap();
        assert_eq!(Checkpoint::load(&path).as_ref(), Some(&saved));
        let again = saved.segment(100);
        assert_eq!(again, Segment { covered: segment.bytes, ..segment });
        let good = fs::read(&path).unwrap();
        for at in (0..good.len()).step_by(7) {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(&path, &bad).unwrap();
            assert_eq!(Checkpoint::load(&path), None, "byte {at}");
            fs::write(&path, &good[..at]).unwrap();
            assert_eq!(Checkpoint::load(&path), None, "cut at {at}");
        }
    }
}
