//! One partition: an append-only log in segments, and its locks.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        Mutex, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use kafka_protocol::ResponseError;

use crate::{
    BrokerError, Sync,
    batch::{self, BatchHeader, Outcome, Producer},
    config::LogConfig,
    journal::sync_folder,
    locks::{lock, read, write},
    log::{Isolation, Log, Source, Span},
    records, recovery,
    segment::{Headers, Segment},
    sequences::Sequences,
    waiters::Waiters,
};

/// A partition's files and its two locks. `writing` is held while bytes reach the disk, `log` for
/// moments only, so that nobody who reads waits for a sync, and nobody waits for another partition.
#[derive(Debug)]
pub(crate) struct Partition {
    folder: PathBuf,
    sync: Sync,
    config: RwLock<LogConfig>,
    writing: Mutex<()>,
    log: RwLock<Log>,
    /// Was anything written since the last sync?
    dirty: AtomicBool,
    /// Held while files are synced, deleted or given checkpoints.
    tidying: Mutex<()>,
    /// The topic was deleted: its folder may be another one's by now.
    gone: AtomicBool,
    pub(crate) waiters: Waiters,
}

/// Batches for a consumer.
#[derive(Debug, Default)]
pub(crate) struct Slice {
    pub(crate) records: Bytes,
    /// Aborted transactions (producer id, first offset) the consumer has to skip.
    pub(crate) aborted: Vec<(i64, i64)>,
}

impl Partition {
    /// A new, empty partition; whatever was left in `folder` is gone.
    pub(crate) fn create(folder: &Path, sync: Sync, config: LogConfig) -> io::Result<Partition> {
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        // Of a time when a partition was one file.
        let old = folder.with_extension("log");
        if old.exists() {
            fs::remove_file(old)?;
        }
        fs::create_dir_all(folder)?;
        let log = Log::new(folder, begin(&Segment::new(0).log_path(folder), sync)?, 0);
        Ok(Partition::new(folder, sync, config, log))
    }

    /// Reads the log in `folder`, or begins one; also returns how many bytes had to be read.
    pub(crate) fn open(
        folder: &Path,
        sync: Sync,
        config: LogConfig,
    ) -> Result<(Partition, u64), BrokerError> {
        let recovered = recovery::open(folder)?;
        Ok((Partition::new(folder, sync, config, recovered.log), recovered.scanned_bytes))
    }

    fn new(folder: &Path, sync: Sync, config: LogConfig, log: Log) -> Partition {
        Partition {
            folder: folder.to_owned(),
            sync,
            config: RwLock::new(config),
            writing: Mutex::default(),
            log: RwLock::new(log),
            dirty: AtomicBool::new(false),
            tidying: Mutex::default(),
            gone: AtomicBool::new(false),
            waiters: Waiters::default(),
        }
    }

    pub(crate) fn configure(&self, config: LogConfig) {
        *write(&self.config) = config;
    }

    /// Appends a client's batch and returns its offset; a batch that is already there is not
    /// written again. `admit` is asked while no marker can be written in between.
    pub(crate) fn append(
        &self,
        records: &[u8],
        admit: impl FnOnce(&BatchHeader) -> Result<(), ResponseError>,
    ) -> Result<i64, ResponseError> {
        let header = BatchHeader::parse(records).map_err(|error| {
            tracing::debug!(%error, "refused a batch");
            ResponseError::CorruptMessage
        })?;
        if header.marker.is_some() || header.producer.is_none() && header.transactional {
            return Err(ResponseError::InvalidRecord);
        }
        let config = *read(&self.config);
        if header.bytes > config.max_message_bytes {
            return Err(ResponseError::MessageTooLarge);
        }
        let _alone = lock(&self.writing);
        if self.gone.load(Ordering::Acquire) {
            return Err(ResponseError::UnknownTopicOrPartition);
        }
        admit(&header)?;
        if let Some(already_at) = read(&self.log).producers.sequences.check(&header)? {
            return Ok(already_at);
        }
        self.write(records, &config).map_err(|error| {
            tracing::error!(%error, "cannot write to a log, check the disk");
            ResponseError::KafkaStorageError
        })
    }

    /// Ends what `producer`'s id has open here; nothing happens when nothing is open.
    pub(crate) fn end_transaction(&self, producer: Producer, outcome: Outcome) -> io::Result<()> {
        let config = *read(&self.config);
        let _alone = lock(&self.writing);
        let open = read(&self.log).producers.open.contains_key(&producer.id);
        if open && !self.gone.load(Ordering::Acquire) {
            self.write(&batch::marker(producer, outcome), &config)?;
        }
        Ok(())
    }

    /// Writes a batch; the caller holds `writing`.
    fn write(&self, records: &[u8], config: &LogConfig) -> io::Result<i64> {
        let (base_offset, mut position, mut file) = {
            let log = read(&self.log);
            (log.end_offset(), log.position(), log.file())
        };
        let bytes = batch::placed(records, base_offset);
        let header = BatchHeader::parse(&bytes).map_err(io::Error::other)?;
        if position > 0 && position + header.bytes as u64 > config.segment_bytes {
            self.roll()?;
            (position, file) = (0, read(&self.log).file());
        }
        file.write_all_at(&bytes, position)?;
        match self.sync {
            Sync::Always => file.sync_data()?,
            Sync::Never | Sync::Every(_) => self.dirty.store(true, Ordering::Release),
        }
        write(&self.log).push(&header);
        self.waiters.wake();
        Ok(base_offset)
    }

    /// Seals the active segment and begins the next; the caller holds `writing`.
    fn roll(&self) -> io::Result<()> {
        let (file, position, next) = {
            let log = read(&self.log);
            (log.file(), log.position(), log.end_offset())
        };
        // A write that failed halfway left something behind the last batch.
        file.set_len(position)?;
        if self.sync != Sync::Never {
            file.sync_data()?;
        }
        let new = begin(&Segment::new(next).log_path(&self.folder), self.sync)?;
        write(&self.log).roll(new);
        Ok(())
    }

    pub(crate) fn start_offset(&self) -> i64 {
        read(&self.log).start_offset()
    }

    /// The offset the next record gets, which is also the high watermark.
    pub(crate) fn end_offset(&self) -> i64 {
        read(&self.log).end_offset()
    }

    /// Up to here (exclusive) a consumer of that isolation may read.
    pub(crate) fn readable_to(&self, isolation: Isolation) -> i64 {
        read(&self.log).readable_to(isolation)
    }

    pub(crate) fn bytes(&self) -> u64 {
        read(&self.log).bytes()
    }

    /// Bytes a consumer of that isolation can read from offset `from` on, see [`Log::available`].
    pub(crate) fn available(&self, from: i64, isolation: Isolation) -> Result<u64, ResponseError> {
        read(&self.log).available(from, isolation)
    }

    /// What is known of the producers that wrote here.
    pub(crate) fn producers<T>(
        &self,
        look: impl FnOnce(&Sequences, &std::collections::HashMap<i64, i64>) -> T,
    ) -> T {
        let log = read(&self.log);
        look(&log.producers.sequences, &log.producers.open)
    }

    /// Whole batches from offset `from` on, of one segment: the first one whatever its size,
    /// further ones while all fit into `max_bytes`.
    pub(crate) fn read(
        &self,
        from: i64,
        max_bytes: u64,
        isolation: Isolation,
    ) -> io::Result<Slice> {
        let Some(span) = read(&self.log).span(from, isolation) else {
            return Ok(Slice::default());
        };
        let file = span.source.open()?;
        let mut headers = Headers::new(&file, span.position, span.end);
        let (first, position) = loop {
            match headers.next()? {
                None => return Ok(Slice::default()),
                Some((header, _)) if header.last_offset() < from => {}
                Some(found) => break found,
            }
        };
        let length = max_bytes.max(first.bytes as u64).min(span.end - position) as usize;
        let mut records = vec![0; length];
        file.read_exact_at(&mut records, position)?;
        let (mut whole, mut last) = (0, first.last_offset());
        while let Ok(header) = BatchHeader::peek(&records[whole..])
            && whole + header.bytes <= length
            && header.base_offset < span.limit
        {
            whole += header.bytes;
            last = header.last_offset();
        }
        records.truncate(whole);
        Ok(Slice { records: records.into(), aborted: span.aborted_to(last) })
    }

    /// Offset and time of the first record of `timestamp_ms` or later that a consumer may see.
    pub(crate) fn offset_at(
        &self,
        timestamp_ms: i64,
        isolation: Isolation,
    ) -> io::Result<Option<(i64, i64)>> {
        self.search(timestamp_ms, isolation, |time| time >= timestamp_ms)
    }

    /// Offset and time of the latest record, which need not be the last.
    pub(crate) fn latest(&self) -> io::Result<Option<(i64, i64)>> {
        let Some(latest) = read(&self.log).latest_ms() else { return Ok(None) };
        self.search(latest, Isolation::Uncommitted, |time| time == latest)
    }

    fn search(
        &self,
        timestamp_ms: i64,
        isolation: Isolation,
        accepts: impl Fn(i64) -> bool + Copy,
    ) -> io::Result<Option<(i64, i64)>> {
        let (start, spans) = {
            let log = read(&self.log);
            (log.start_offset(), log.spans_from_time(timestamp_ms, isolation))
        };
        for span in spans {
            if let Some(found) = search_span(&span, start, timestamp_ms, accepts)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Lets nobody see records in front of `offset` again; the files go with the next [`tidy`].
    ///
    /// [`tidy`]: Partition::tidy
    pub(crate) fn advance_start(&self, offset: i64) {
        write(&self.log).advance_start(offset);
    }

    /// What can wait: syncs if `Sync::Every` says so, deletes what retention gives up, and writes
    /// checkpoints where much has come in, or of everything if this is the end.
    pub(crate) fn tidy(&self, sync_due: bool, last: bool) -> io::Result<()> {
        let _alone = lock(&self.tidying);
        if self.gone.load(Ordering::Acquire) {
            return Ok(());
        }
        if (sync_due || last) && self.sync != Sync::Never {
            self.flush()?;
        }
        self.expire()?;
        let due = read(&self.log).checkpoints(last);
        for (source, path, base_offset, checkpoint) in due {
            self.save(&source, &path, base_offset, &checkpoint)?;
        }
        Ok(())
    }

    /// Ends all work on the files, so that the folder can be removed and used again.
    pub(crate) fn close(&self) {
        let _no_tidying = lock(&self.tidying);
        let _no_writing = lock(&self.writing);
        self.gone.store(true, Ordering::Release);
        self.waiters.wake();
    }

    fn flush(&self) -> io::Result<()> {
        if self.dirty.swap(false, Ordering::AcqRel) {
            let file = read(&self.log).file();
            file.sync_data().inspect_err(|_| self.dirty.store(true, Ordering::Release))?;
        }
        Ok(())
    }

    /// A checkpoint must not promise what a power loss could take from its segment.
    fn save(
        &self,
        source: &Source,
        path: &Path,
        base_offset: i64,
        checkpoint: &crate::segment::Checkpoint,
    ) -> io::Result<()> {
        source.open()?.sync_data()?;
        checkpoint.save(path)?;
        write(&self.log).covered(base_offset, checkpoint.covered);
        Ok(())
    }

    fn expire(&self) -> io::Result<()> {
        let config = *read(&self.config);
        if !read(&self.log).is_bounded(&config) {
            return Ok(());
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_millis() as i64);
        if read(&self.log).is_active_due(&config, now) {
            let _alone = lock(&self.writing);
            // Somebody may have written in between.
            if read(&self.log).is_active_due(&config, now) {
                self.roll()?;
            }
        }
        let gone = write(&self.log).expire(&config, now);
        if gone.is_empty() {
            return Ok(());
        }
        // What was known of producers at the end of those segments is known here only, now.
        let (source, path, base_offset, checkpoint) = read(&self.log).active_checkpoint();
        self.save(&source, &path, base_offset, &checkpoint)?;
        for segment in gone {
            let path = segment.log_path(&self.folder);
            tracing::info!(path = %path.display(), "deleted a segment, as its topic's settings say");
            fs::remove_file(path)?;
            match fs::remove_file(segment.checkpoint_path(&self.folder)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Walks over a stretch of a segment to the first record that is accepted.
fn search_span(
    span: &Span,
    start: i64,
    timestamp_ms: i64,
    accepts: impl Fn(i64) -> bool + Copy,
) -> io::Result<Option<(i64, i64)>> {
    let file = span.source.open()?;
    let mut headers = Headers::new(&file, span.position, span.end);
    while let Some((header, position)) = headers.next()? {
        if header.base_offset >= span.limit {
            break;
        }
        let late = header.marker.is_none() && header.max_timestamp_ms >= timestamp_ms;
        if late && header.last_offset() >= start {
            let mut batch = vec![0; (header.bytes as u64).min(span.end - position) as usize];
            file.read_exact_at(&mut batch, position)?;
            if let Some(found) = records::find(&header, &batch, start, accepts) {
                return Ok(Some(found));
            }
        }
    }
    Ok(None)
}

/// A new file, in whose place nothing may be left.
fn begin(path: &Path, sync: Sync) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
    if sync != Sync::Never {
        sync_folder(path)?;
    }
    Ok(file)
}

#[cfg(test)]
mod tests;
