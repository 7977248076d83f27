//! One partition: an append-only file of record batches, and what can be known from reading it.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufReader, Read},
    os::unix::fs::FileExt,
    path::Path,
    sync::{Mutex, RwLock},
};

use bytes::Bytes;
use kafka_protocol::ResponseError;

use crate::{
    Sync,
    batch::{self, BatchHeader, Outcome, PREFIX_BYTES, Producer},
    index::{Index, Isolation},
    locks::{lock, read, write},
    sequences::Sequences,
};

/// A partition's file and its two locks. `writer` is held while bytes reach the disk, `index` for
/// moments only, so that nobody who reads waits for a sync.
#[derive(Debug)]
pub(crate) struct Partition {
    file: File,
    sync: Sync,
    writer: Mutex<Writer>,
    index: RwLock<Index>,
}

#[derive(Debug, Default)]
struct Writer {
    /// Where the next batch goes, in bytes. Anything behind it was never acknowledged.
    end: u64,
    sequences: Sequences,
}

/// Batches for a consumer.
#[derive(Debug)]
pub(crate) struct Slice {
    pub(crate) records: Bytes,
    /// Aborted transactions (producer id, first offset) the consumer has to skip.
    pub(crate) aborted: Vec<(i64, i64)>,
}

impl Partition {
    /// A new, empty partition; whatever was left at `path` is gone.
    pub(crate) fn create(path: &Path, sync: Sync) -> io::Result<Partition> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
        Ok(Partition { file, sync, writer: Mutex::default(), index: RwLock::default() })
    }

    /// Reads the log at `path`, or begins one. What a crash left behind the last whole batch is
    /// cut off: its producer was never told that it is safe.
    pub(crate) fn open(path: &Path, sync: Sync) -> io::Result<Partition> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let length = file.metadata()?.len();
        let (mut writer, mut index) = (Writer::default(), Index::default());
        let mut reader = BufReader::with_capacity(1 << 20, &file);
        while let Some(header) = next_batch(&mut reader, length - writer.end)? {
            writer.sequences.record(&header);
            index.push(&header, writer.end);
            writer.end += header.bytes as u64;
        }
        if writer.end < length {
            let lost = length - writer.end;
            tracing::warn!(path = %path.display(), lost, "cut off the torn end of a log");
            file.set_len(writer.end)?;
        }
        Ok(Partition { file, sync, writer: Mutex::new(writer), index: RwLock::new(index) })
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
        let mut writer = lock(&self.writer);
        admit(&header)?;
        if let Some(already_at) = writer.sequences.check(&header)? {
            return Ok(already_at);
        }
        self.write(&mut writer, records).map_err(|error| {
            tracing::error!(%error, "cannot write to a log, check the disk");
            ResponseError::KafkaStorageError
        })
    }

    /// Ends what `producer`'s id has open here; nothing happens when nothing is open.
    pub(crate) fn end_transaction(&self, producer: Producer, outcome: Outcome) -> io::Result<()> {
        let mut writer = lock(&self.writer);
        if read(&self.index).is_open(producer.id) {
            self.write(&mut writer, &batch::marker(producer, outcome))?;
        }
        Ok(())
    }

    fn write(&self, writer: &mut Writer, records: &[u8]) -> io::Result<i64> {
        let base_offset = self.end_offset();
        let bytes = batch::placed(records, base_offset);
        let header = BatchHeader::parse(&bytes).map_err(io::Error::other)?;
        self.file.write_all_at(&bytes, writer.end)?;
        if self.sync == Sync::Always {
            self.file.sync_data()?;
        }
        writer.sequences.record(&header);
        write(&self.index).push(&header, writer.end);
        writer.end += header.bytes as u64;
        Ok(base_offset)
    }

    /// The offset the next record gets, which is also the high watermark.
    pub(crate) fn end_offset(&self) -> i64 {
        read(&self.index).end_offset()
    }

    /// Up to here (exclusive) a consumer of that isolation may read.
    pub(crate) fn readable_to(&self, isolation: Isolation) -> i64 {
        read(&self.index).readable_to(isolation)
    }

    /// Bytes a consumer of that isolation can read from offset `from` on.
    pub(crate) fn available(&self, from: i64, isolation: Isolation) -> Result<u64, ResponseError> {
        let index = read(&self.index);
        if !(0..=index.end_offset()).contains(&from) {
            return Err(ResponseError::OffsetOutOfRange);
        }
        Ok(index.find(from, u64::MAX, isolation).map_or(0, |found| found.bytes))
    }

    /// Whole batches from offset `from` on: the first one whatever its size, further ones while
    /// all fit into `max_bytes`.
    pub(crate) fn read(&self, from: i64, max_bytes: u64, iso: Isolation) -> io::Result<Slice> {
        let Some(found) = read(&self.index).find(from, max_bytes, iso) else {
            return Ok(Slice { records: Bytes::new(), aborted: Vec::new() });
        };
        let mut records = vec![0; found.bytes as usize];
        self.file.read_exact_at(&mut records, found.position)?;
        Ok(Slice { records: records.into(), aborted: found.aborted })
    }

    /// The first batch that holds a record of `timestamp_ms` or later: its time and base offset.
    pub(crate) fn offset_at(&self, timestamp_ms: i64) -> Option<(i64, i64)> {
        read(&self.index).offset_at(timestamp_ms)
    }
}

/// The next whole, undamaged batch of a log with `left` bytes to go.
fn next_batch(reader: &mut impl Read, left: u64) -> io::Result<Option<BatchHeader>> {
    let mut prefix = [0; PREFIX_BYTES];
    if left < prefix.len() as u64 {
        return Ok(None);
    }
    reader.read_exact(&mut prefix)?;
    let Ok(bytes) = batch::batch_bytes(&prefix) else { return Ok(None) };
    if bytes as u64 > left {
        return Ok(None);
    }
    let mut batch = vec![0; bytes];
    batch[..PREFIX_BYTES].copy_from_slice(&prefix);
    reader.read_exact(&mut batch[PREFIX_BYTES..])?;
    Ok(BatchHeader::parse(&batch).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::example;

    const PRODUCER: Producer = Producer { id: 7, epoch: 0 };

    fn append(partition: &Partition, batch: &[u8]) -> Result<i64, ResponseError> {
        partition.append(batch, |_| Ok(()))
    }

    #[test]
    fn a_log_cut_at_any_byte_keeps_every_whole_batch_and_goes_on_behind_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0.log");
        let whole = Partition::create(&path, Sync::Never).unwrap();
        for _ in 0..3 {
            append(&whole, &example::plain(2, 1_000)).unwrap();
        }
        let bytes = std::fs::read(&path).unwrap();
        let batch = bytes.len() / 3;
        for cut in 0..bytes.len() {
            std::fs::write(&path, &bytes[..cut]).unwrap();
            let reopened = Partition::open(&path, Sync::Never).unwrap();
            let kept = (cut / batch) as i64;
            assert_eq!(reopened.end_offset(), 2 * kept, "cut at {cut}");
            assert_eq!(append(&reopened, &example::plain(1, 1_000)), Ok(2 * kept));
            drop(reopened);
            assert_eq!(Partition::open(&path, Sync::Never).unwrap().end_offset(), 2 * kept + 1);
        }
    }

    #[test]
    fn garbage_behind_the_last_batch_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0.log");
        append(&Partition::create(&path, Sync::Always).unwrap(), &example::plain(1, 1)).unwrap();
        let good = std::fs::read(&path).unwrap();
        for garbage in [vec![0; 500], vec![0xff; 500], b"GET / HTTP/1.1\r\n".repeat(9)] {
            std::fs::write(&path, [good.clone(), garbage].concat()).unwrap();
            assert_eq!(Partition::open(&path, Sync::Never).unwrap().end_offset(), 1);
            assert_eq!(std::fs::read(&path).unwrap(), good);
        }
    }

    #[test]
    fn open_transactions_and_aborted_ones_are_known_again_after_reopening() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0.log");
        let partition = Partition::create(&path, Sync::Never).unwrap();
        append(&partition, &example::batch(PRODUCER, 0, 2)).unwrap();
        partition.end_transaction(PRODUCER, Outcome::Abort).unwrap();
        append(&partition, &example::batch(PRODUCER, 2, 2)).unwrap();
        for partition in [partition, Partition::open(&path, Sync::Never).unwrap()] {
            assert_eq!(partition.readable_to(Isolation::Committed), 3);
            assert_eq!(partition.readable_to(Isolation::Uncommitted), 5);
            let slice = partition.read(0, u64::MAX, Isolation::Committed).unwrap();
            assert_eq!(slice.aborted, [(PRODUCER.id, 0)]);
            // A repeated batch is answered with its place, not written again.
            assert_eq!(append(&partition, &example::batch(PRODUCER, 2, 2)), Ok(3));
            assert_eq!(partition.end_offset(), 5);
        }
    }

    #[test]
    fn a_slice_ends_at_the_limit_but_always_holds_one_batch() {
        let folder = tempfile::tempdir().unwrap();
        let partition = Partition::create(&folder.path().join("0.log"), Sync::Never).unwrap();
        for _ in 0..4 {
            append(&partition, &example::plain(1, 1_000)).unwrap();
        }
        let batch = example::plain(1, 1_000).len();
        let length = |from, max: usize| {
            partition.read(from, max as u64, Isolation::Uncommitted).unwrap().records.len()
        };
        assert_eq!(length(0, 1), batch);
        assert_eq!(length(0, 3 * batch - 1), 2 * batch);
        assert_eq!(length(1, 100 * batch), 3 * batch);
        assert_eq!(length(4, 100 * batch), 0);
        assert_eq!(partition.available(5, Isolation::Uncommitted).ok(), None);
    }

    #[test]
    fn clients_cannot_write_markers_or_trailing_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let partition = Partition::create(&folder.path().join("0.log"), Sync::Never).unwrap();
        let marker = batch::marker(PRODUCER, Outcome::Commit);
        assert_eq!(append(&partition, &marker), Err(ResponseError::InvalidRecord));
        let trailing = [&example::plain(1, 1)[..], b"x"].concat();
        assert_eq!(append(&partition, &trailing), Err(ResponseError::CorruptMessage));
        assert_eq!(partition.end_offset(), 0);
    }
}
