//! What is known of a partition's log without reading it: its segments, who may see what of it,
//! and what its producers did last.

use std::{
    collections::{HashMap, VecDeque},
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use kafka_protocol::ResponseError;
use serde::{Deserialize, Serialize};

use crate::{
    batch::{BatchHeader, Outcome},
    config::LogConfig,
    segment::{Checkpoint, Segment},
    sequences::Sequences,
};

/// The exact places of this many batches at the end are kept, where most consumers read.
const RECENT_BATCHES: usize = 256;
/// A crash costs the next start reading at most about this much of a partition.
const CHECKPOINT_EVERY_BYTES: u64 = 8 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Isolation {
    Uncommitted,
    /// Nothing from the first record of the oldest open transaction on.
    Committed,
}

/// What must be known of the past to judge a producer's next batch.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Producers {
    pub(crate) sequences: Sequences,
    /// First offset of each open transaction, by producer id.
    pub(crate) open: HashMap<i64, i64>,
}

impl Producers {
    /// Takes note of a batch; an abort marker ends a transaction whose records are to be skipped.
    fn record(&mut self, header: &BatchHeader) -> Option<Aborted> {
        self.sequences.record(header);
        let producer = header.producer?;
        match header.marker {
            None if header.transactional => {
                self.open.entry(producer.id).or_insert(header.base_offset);
                None
            }
            None => None,
            Some(outcome) => {
                let first_offset = self.open.remove(&producer.id)?;
                let (producer_id, marker_offset) = (producer.id, header.base_offset);
                let aborted = Aborted { producer_id, first_offset, marker_offset };
                (outcome == Outcome::Abort).then_some(aborted)
            }
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Aborted {
    producer_id: i64,
    first_offset: i64,
    marker_offset: i64,
}

#[derive(Debug)]
pub(crate) struct Log {
    folder: PathBuf,
    /// Oldest first, without gaps; nothing is written to them again.
    sealed: Vec<Segment>,
    active: Segment,
    file: Arc<File>,
    start_offset: i64,
    end_offset: i64,
    pub(crate) producers: Producers,
    /// In the order of their markers.
    aborted: Vec<Aborted>,
    /// Offset and position of the last batches of the active segment.
    recent: VecDeque<(i64, u64)>,
}

/// A stretch of a segment, and how to get at it.
#[derive(Debug)]
pub(crate) struct Span {
    pub(crate) source: Source,
    /// At or in front of the first batch wanted.
    pub(crate) position: u64,
    /// Behind the last one in this segment.
    pub(crate) end: u64,
    /// Batches from this offset on are not to be seen.
    pub(crate) limit: i64,
    /// Aborted transactions that may reach into it.
    pub(crate) aborted: Vec<Aborted>,
}

#[derive(Debug)]
pub(crate) enum Source {
    Active(Arc<File>),
    /// Opened when it is read: a long log would use up the open files a process may have.
    Sealed(PathBuf),
}

impl Source {
    /// # Errors
    /// `NotFound` if retention was faster.
    pub(crate) fn open(&self) -> io::Result<Arc<File>> {
        match self {
            Source::Active(file) => Ok(file.clone()),
            Source::Sealed(path) => File::open(path).map(Arc::new),
        }
    }
}

impl Span {
    /// Aborted transactions (producer id, first offset) for a reader of `from` to `last`.
    pub(crate) fn aborted_to(&self, last: i64) -> Vec<(i64, i64)> {
        self.aborted
            .iter()
            .filter(|aborted| aborted.first_offset <= last)
            .map(|aborted| (aborted.producer_id, aborted.first_offset))
            .collect()
    }
}

impl Log {
    /// A log whose next batch goes into a new segment; `file` is that segment.
    pub(crate) fn new(folder: &Path, file: File, base_offset: i64) -> Log {
        Log {
            folder: folder.to_owned(),
            sealed: Vec::new(),
            active: Segment::new(base_offset),
            file: Arc::new(file),
            start_offset: base_offset,
            end_offset: base_offset,
            producers: Producers::default(),
            aborted: Vec::new(),
            recent: VecDeque::new(),
        }
    }

    /// Believes `checkpoint` for the front of the active segment, which must still be empty.
    pub(crate) fn resume(&mut self, checkpoint: Checkpoint) {
        self.active = checkpoint.segment(self.active.base_offset);
        self.end_offset = checkpoint.end_offset;
        self.aborted.extend(checkpoint.aborted);
        self.producers = checkpoint.producers;
    }

    /// Takes note of the batch that was written at the end of the active segment.
    pub(crate) fn push(&mut self, header: &BatchHeader) {
        if self.recent.len() == RECENT_BATCHES {
            self.recent.pop_front();
        }
        self.recent.push_back((header.base_offset, self.active.bytes));
        self.aborted.extend(self.producers.record(header));
        self.active.push(header);
        self.end_offset = header.last_offset() + 1;
    }

    /// Seals the active segment and goes on in `file`, which is empty.
    pub(crate) fn roll(&mut self, file: File) {
        let mut sealed = std::mem::replace(&mut self.active, Segment::new(self.end_offset));
        if sealed.covered < sealed.bytes {
            sealed.sealed = Some(self.producers.clone());
        }
        self.sealed.push(sealed);
        self.file = Arc::new(file);
        self.recent.clear();
    }

    pub(crate) fn file(&self) -> Arc<File> {
        self.file.clone()
    }

    /// Length of the active segment, in bytes.
    pub(crate) fn position(&self) -> u64 {
        self.active.bytes
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.sealed.iter().map(|segment| segment.bytes).sum::<u64>() + self.active.bytes
    }

    pub(crate) fn start_offset(&self) -> i64 {
        self.start_offset
    }

    /// The offset the next record gets, which is also the high watermark.
    pub(crate) fn end_offset(&self) -> i64 {
        self.end_offset
    }

    /// Up to here (exclusive) a consumer of that isolation may read.
    pub(crate) fn readable_to(&self, isolation: Isolation) -> i64 {
        match isolation {
            Isolation::Uncommitted => self.end_offset,
            Isolation::Committed => {
                self.producers.open.values().copied().min().unwrap_or(self.end_offset)
            }
        }
    }

    /// About how many bytes a consumer of that isolation can read from offset `from` on: exact at
    /// the end of the log, never zero when there is something.
    pub(crate) fn available(&self, from: i64, isolation: Isolation) -> Result<u64, ResponseError> {
        if !(self.start_offset..=self.end_offset).contains(&from) {
            return Err(ResponseError::OffsetOutOfRange);
        }
        let limit = self.readable_to(isolation);
        if from >= limit {
            return Ok(0);
        }
        let segment = self.segment_of(from);
        let end = if segment.base_offset < self.active.base_offset {
            segment.bytes
        } else if limit == self.end_offset {
            self.active.bytes
        } else {
            self.position_before(limit)
        };
        let begin = if segment.base_offset < self.active.base_offset {
            segment.position_before(from)
        } else {
            self.position_before(from)
        };
        Ok(end.saturating_sub(begin).max(1))
    }

    /// Where to read offset `from` and what follows in the same segment; `None` if there is
    /// nothing a consumer of that isolation may see.
    pub(crate) fn span(&self, from: i64, isolation: Isolation) -> Option<Span> {
        let limit = self.readable_to(isolation);
        if from < self.start_offset || from >= limit {
            return None;
        }
        let segment = self.segment_of(from);
        let position = if segment.base_offset == self.active.base_offset {
            self.position_before(from)
        } else {
            segment.position_before(from)
        };
        let aborted = match isolation {
            Isolation::Uncommitted => Vec::new(),
            Isolation::Committed => {
                let first = self.aborted.partition_point(|aborted| aborted.marker_offset < from);
                self.aborted[first..].to_vec()
            }
        };
        Some(Span { position, limit, aborted, ..self.whole(segment) })
    }

    /// Stretches that may hold a record of `timestamp_ms` or later, oldest first.
    pub(crate) fn spans_from_time(&self, timestamp_ms: i64, isolation: Isolation) -> Vec<Span> {
        let limit = self.readable_to(isolation);
        self.segments()
            .filter(|segment| segment.latest_ms >= timestamp_ms && segment.base_offset < limit)
            .map(|segment| {
                let position = segment.position_before_time(timestamp_ms);
                Span { position, limit, ..self.whole(segment) }
            })
            .collect()
    }

    /// The latest time of any record; none if there is none.
    pub(crate) fn latest_ms(&self) -> Option<i64> {
        self.segments().map(|segment| segment.latest_ms).max().filter(|latest| *latest > i64::MIN)
    }

    fn whole(&self, segment: &Segment) -> Span {
        let source = if segment.base_offset == self.active.base_offset {
            Source::Active(self.file.clone())
        } else {
            Source::Sealed(segment.log_path(&self.folder))
        };
        let (limit, aborted) = (self.end_offset, Vec::new());
        Span { source, position: 0, end: segment.bytes, limit, aborted }
    }

    fn segments(&self) -> impl DoubleEndedIterator<Item = &Segment> {
        self.sealed.iter().chain([&self.active])
    }

    fn segment_of(&self, offset: i64) -> &Segment {
        if offset >= self.active.base_offset {
            return &self.active;
        }
        let behind = self.sealed.partition_point(|segment| segment.base_offset <= offset);
        self.sealed.get(behind.wrapping_sub(1)).unwrap_or(&self.active)
    }

    /// A position in the active segment at or in front of the batch that holds `offset`.
    fn position_before(&self, offset: i64) -> u64 {
        let behind = self.recent.partition_point(|(first, _)| *first <= offset);
        match self.recent.get(behind.wrapping_sub(1)) {
            Some((_, position)) => *position,
            None => self.active.position_before(offset),
        }
    }

    /// Lets nobody see records in front of `offset` again; their segments go with the next
    /// [`Log::expire`].
    pub(crate) fn advance_start(&mut self, offset: i64) {
        self.start_offset = self.start_offset.max(offset.min(self.end_offset));
    }

    /// May anything have to go, now or later?
    pub(crate) fn is_bounded(&self, config: &LogConfig) -> bool {
        let first = self.sealed.first().unwrap_or(&self.active).base_offset;
        config.retention.is_some() || config.retention_bytes.is_some() || self.start_offset > first
    }

    /// Takes out the sealed segments that `config` does not keep and that hold nothing of an open
    /// transaction; the caller removes their files.
    pub(crate) fn expire(&mut self, config: &LogConfig, now_ms: i64) -> Vec<Segment> {
        let stable = self.readable_to(Isolation::Committed);
        let mut bytes = self.bytes();
        let mut gone = 0;
        for (i, segment) in self.sealed.iter().enumerate() {
            let end = self.sealed.get(i + 1).map_or(self.active.base_offset, |s| s.base_offset);
            let deleted = end <= self.start_offset;
            let old = config.retention.is_some_and(|age| is_older(segment, age, now_ms));
            let many = config.retention_bytes.is_some_and(|keep| bytes - segment.bytes >= keep);
            if end > stable || !(deleted || old || many) {
                break;
            }
            bytes -= segment.bytes;
            gone = i + 1;
        }
        let gone: Vec<Segment> = self.sealed.drain(..gone).collect();
        if !gone.is_empty() {
            let first = self.sealed.first().unwrap_or(&self.active).base_offset;
            self.start_offset = self.start_offset.max(first);
            self.aborted.retain(|aborted| aborted.marker_offset >= self.start_offset);
        }
        gone
    }

    /// Would the active segment go if it were sealed, because of its age or by request?
    pub(crate) fn is_active_due(&self, config: &LogConfig, now_ms: i64) -> bool {
        let old = config.retention.is_some_and(|age| is_older(&self.active, age, now_ms));
        let deleted = self.start_offset == self.end_offset;
        let stable = self.readable_to(Isolation::Committed) == self.end_offset;
        self.active.bytes > 0 && stable && (old || deleted)
    }

    /// Checkpoints that are due, or all that are not up to date: where to, and of which file.
    pub(crate) fn checkpoints(&self, all: bool) -> Vec<(Source, PathBuf, i64, Checkpoint)> {
        let due = |segment: &&Segment| {
            let lacking = segment.bytes - segment.covered;
            let every = if all || segment.sealed.is_some() { 1 } else { CHECKPOINT_EVERY_BYTES };
            lacking >= every
        };
        let mut end = self.end_offset;
        let mut due: Vec<_> = self
            .segments()
            .rev()
            .map(|segment| {
                let of = (segment, end);
                end = segment.base_offset;
                of
            })
            .filter(|(segment, _)| due(segment))
            .map(|(segment, end)| {
                let between = |aborted: &&Aborted| {
                    (segment.base_offset..end).contains(&aborted.marker_offset)
                };
                let aborted: Vec<Aborted> = self.aborted.iter().filter(between).cloned().collect();
                let producers = segment.sealed.as_ref().unwrap_or(&self.producers).clone();
                let checkpoint = segment.checkpoint(end, &aborted, producers);
                let path = segment.checkpoint_path(&self.folder);
                (self.whole(segment).source, path, segment.base_offset, checkpoint)
            })
            .collect();
        due.reverse();
        due
    }

    /// A checkpoint of the active segment, also if it is empty.
    pub(crate) fn active_checkpoint(&self) -> (Source, PathBuf, i64, Checkpoint) {
        let (base, end) = (self.active.base_offset, self.end_offset);
        let aborted: Vec<Aborted> =
            self.aborted.iter().filter(|aborted| aborted.marker_offset >= base).cloned().collect();
        let checkpoint = self.active.checkpoint(end, &aborted, self.producers.clone());
        let path = self.active.checkpoint_path(&self.folder);
        (Source::Active(self.file.clone()), path, base, checkpoint)
    }

    /// Takes note of a checkpoint that lies on the disk now.
    pub(crate) fn covered(&mut self, base_offset: i64, bytes: u64) {
        let mut segments = self.sealed.iter_mut().chain([&mut self.active]);
        if let Some(segment) = segments.find(|segment| segment.base_offset == base_offset) {
            segment.covered = bytes;
            if segment.covered == segment.bytes {
                segment.sealed = None;
            }
        }
    }
}

fn is_older(segment: &Segment, age: Duration, now_ms: i64) -> bool {
    // A segment of markers alone has no time and no records anybody could miss.
    let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
    segment.latest_ms < now_ms.saturating_sub(age)
}
