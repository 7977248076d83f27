//! The header of a record batch (Kafka's message format 2) and the control batches that end a
//! transaction. The records themselves stay the clients' business: they may be compressed.
//!
//! Layout: <https://kafka.apache.org/documentation/#recordbatch>

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

/// Bytes in front of the first record.
pub(crate) const HEADER_BYTES: usize = 61;
/// Base offset and length: what must be read to know how long a batch is.
pub(crate) const PREFIX_BYTES: usize = 12;
/// The checksum covers everything from here to the end of the batch.
const CHECKED_FROM: usize = 21;
const CHECKSUM_AT: usize = 17;
const LEADER_EPOCH_AT: usize = 12;
const MARKER_TYPE_AT: usize = 69;
/// Bytes that [`BatchHeader::peek`] wants to see where there are as many.
pub(crate) const PEEK_BYTES: usize = MARKER_TYPE_AT + 1;
const COMPRESSION: i16 = 0x07;
const TRANSACTIONAL: i16 = 0x10;
const CONTROL: i16 = 0x20;

/// How a transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    Abort,
    Commit,
}

/// Who wrote a batch with idempotence on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Producer {
    pub(crate) id: i64,
    pub(crate) epoch: i16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchHeader {
    pub(crate) base_offset: i64,
    pub(crate) last_offset_delta: i32,
    pub(crate) bytes: usize,
    pub(crate) records: i32,
    /// Of the first record; those of the others are told as differences to it.
    pub(crate) base_timestamp_ms: i64,
    pub(crate) max_timestamp_ms: i64,
    pub(crate) producer: Option<Producer>,
    pub(crate) base_sequence: i32,
    pub(crate) transactional: bool,
    pub(crate) compressed: bool,
    /// Set on the broker's own markers only.
    pub(crate) marker: Option<Outcome>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BatchError {
    #[error("batch says it is {said} bytes long, {given} are there")]
    Length { said: i64, given: usize },
    #[error("message format {0}, only 2 is known")]
    Format(i8),
    #[error("checksum does not match")]
    Checksum,
    #[error("{records} records span {span} offsets")]
    Count { records: i32, span: i64 },
}

/// The length in bytes of the batch that begins with `prefix`.
pub(crate) fn batch_bytes(prefix: &[u8; PREFIX_BYTES]) -> Result<usize, BatchError> {
    let mut length = &prefix[8..];
    let said = i64::from(length.get_i32()) + PREFIX_BYTES as i64;
    match usize::try_from(said) {
        Ok(bytes) if bytes >= HEADER_BYTES => Ok(bytes),
        _ => Err(BatchError::Length { said, given: PREFIX_BYTES }),
    }
}

impl BatchHeader {
    /// Reads the header of `batch`, which must be exactly one whole batch.
    pub(crate) fn parse(batch: &[u8]) -> Result<BatchHeader, BatchError> {
        let given = batch.len();
        let header = BatchHeader::peek(batch)?;
        if header.bytes != given {
            return Err(BatchError::Length { said: header.bytes as i64, given });
        }
        let mut checksum = &batch[CHECKSUM_AT..];
        if checksum.get_u32() != crc32c::crc32c(&batch[CHECKED_FROM..]) {
            return Err(BatchError::Checksum);
        }
        if i64::from(header.records) != i64::from(header.last_offset_delta) + 1 {
            let span = i64::from(header.last_offset_delta) + 1;
            return Err(BatchError::Count { records: header.records, span });
        }
        Ok(header)
    }

    /// Reads the header of the batch that `front` begins with, and believes it: for batches that
    /// were checked when they came in.
    pub(crate) fn peek(front: &[u8]) -> Result<BatchHeader, BatchError> {
        let given = front.len();
        let Some(prefix) = front.first_chunk::<PREFIX_BYTES>() else {
            return Err(BatchError::Length { said: 0, given });
        };
        let bytes = batch_bytes(prefix)?;
        if given < HEADER_BYTES {
            return Err(BatchError::Length { said: bytes as i64, given });
        }
        let mut rest = front;
        let base_offset = rest.get_i64();
        rest.advance(8);
        let format = rest.get_i8();
        if format != 2 {
            return Err(BatchError::Format(format));
        }
        rest.advance(4);
        let attributes = rest.get_i16();
        let last_offset_delta = rest.get_i32();
        let base_timestamp_ms = rest.get_i64();
        let max_timestamp_ms = rest.get_i64();
        let producer = Producer { id: rest.get_i64(), epoch: rest.get_i16() };
        let base_sequence = rest.get_i32();
        let records = rest.get_i32();
        if last_offset_delta < 0 {
            return Err(BatchError::Count { records, span: i64::from(last_offset_delta) + 1 });
        }
        let marker = (attributes & CONTROL != 0).then(|| match front.get(MARKER_TYPE_AT) {
            Some(1) => Outcome::Commit,
            _ => Outcome::Abort,
        });
        Ok(BatchHeader {
            base_offset,
            last_offset_delta,
            bytes,
            records,
            base_timestamp_ms,
            max_timestamp_ms,
            producer: (producer.id >= 0).then_some(producer),
            base_sequence,
            transactional: attributes & TRANSACTIONAL != 0,
            compressed: attributes & COMPRESSION != 0,
            marker,
        })
    }

    pub(crate) fn last_offset(&self) -> i64 {
        self.base_offset + i64::from(self.last_offset_delta)
    }

    /// The sequence number of the batch's last record.
    pub(crate) fn last_sequence(&self) -> i32 {
        advance(self.base_sequence, self.last_offset_delta)
    }
}

/// Sequence numbers wrap from `i32::MAX` to 0.
pub(crate) fn advance(sequence: i32, by: i32) -> i32 {
    let sum = i64::from(sequence) + i64::from(by);
    (sum % (i64::from(i32::MAX) + 1)) as i32
}

/// A copy of `batch` at its place in the log. Offset and leader epoch are outside the checksum.
pub(crate) fn placed(batch: &[u8], base_offset: i64) -> BytesMut {
    let mut placed = BytesMut::from(batch);
    placed[..8].copy_from_slice(&base_offset.to_be_bytes());
    placed[LEADER_EPOCH_AT..LEADER_EPOCH_AT + 4].copy_from_slice(&0i32.to_be_bytes());
    placed
}

/// The control batch that ends `producer`'s transaction on a partition.
pub(crate) fn marker(producer: Producer, outcome: Outcome) -> Bytes {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_millis() as i64);
    let mut checked = BytesMut::new();
    checked.put_i16(TRANSACTIONAL | CONTROL);
    checked.put_i32(0); // last offset delta
    checked.put_i64(now);
    checked.put_i64(now);
    checked.put_i64(producer.id);
    checked.put_i16(producer.epoch);
    checked.put_i32(-1); // base sequence
    checked.put_i32(1); // records
    checked.put_slice(&[32, 0, 0, 0]); // record of 16 bytes (zigzag); attributes; deltas
    checked.put_u8(8); // key of 4 bytes: version, type
    checked.put_i16(0);
    checked.put_i16(if outcome == Outcome::Commit { 1 } else { 0 });
    checked.put_u8(12); // value of 6 bytes: version, coordinator epoch
    checked.put_i16(0);
    checked.put_i32(0);
    checked.put_u8(0); // headers
    let mut batch = BytesMut::with_capacity(CHECKED_FROM + checked.len());
    batch.put_i64(0);
    batch.put_i32((CHECKED_FROM - PREFIX_BYTES + checked.len()) as i32);
    batch.put_i32(0);
    batch.put_i8(2);
    batch.put_u32(crc32c::crc32c(&checked));
    batch.put_slice(&checked);
    batch.freeze()
}

/// Batches as a client would send them, for this crate's tests.
#[cfg(test)]
pub(crate) mod example {
    use super::*;

    /// `records` records of one byte each, never read by the broker.
    pub(crate) fn batch(producer: Producer, base_sequence: i32, records: i32) -> Bytes {
        let attributes = if producer.id >= 0 { TRANSACTIONAL } else { 0 };
        with(producer, base_sequence, records, attributes, 1_000)
    }

    pub(crate) fn plain(records: i32, timestamp_ms: i64) -> Bytes {
        with(Producer { id: -1, epoch: -1 }, -1, records, 0, timestamp_ms)
    }

    pub(crate) fn idempotent(producer: Producer, base_sequence: i32, records: i32) -> Bytes {
        with(producer, base_sequence, records, 0, 1_000)
    }

    /// One empty record for each of `times_ms`, as the format wants them.
    pub(crate) fn timed(times_ms: &[i64]) -> Bytes {
        let mut records = BytesMut::new();
        for (i, time) in times_ms.iter().enumerate() {
            let mut record = BytesMut::new();
            record.put_u8(0);
            varint(&mut record, time - times_ms[0]);
            varint(&mut record, i as i64);
            record.put_slice(&[1, 1, 0]); // no key, no value, no headers
            varint(&mut records, record.len() as i64);
            records.put_slice(&record);
        }
        let latest = *times_ms.iter().max().unwrap();
        let nobody = Producer { id: -1, epoch: -1 };
        whole(nobody, -1, times_ms.len() as i32, 0, (times_ms[0], latest), &records)
    }

    fn varint(out: &mut BytesMut, number: i64) {
        let mut folded = (number << 1 ^ number >> 63) as u64;
        while folded >= 0x80 {
            out.put_u8(folded as u8 | 0x80);
            folded >>= 7;
        }
        out.put_u8(folded as u8);
    }

    fn with(producer: Producer, sequence: i32, records: i32, attributes: i16, ms: i64) -> Bytes {
        let bytes = vec![b'r'; records as usize];
        whole(producer, sequence, records, attributes, (ms, ms), &bytes)
    }

    fn whole(
        producer: Producer,
        sequence: i32,
        count: i32,
        attributes: i16,
        (first_ms, latest_ms): (i64, i64),
        records: &[u8],
    ) -> Bytes {
        let mut checked = BytesMut::new();
        checked.put_i16(attributes);
        checked.put_i32(count - 1);
        checked.put_i64(first_ms);
        checked.put_i64(latest_ms);
        checked.put_i64(producer.id);
        checked.put_i16(producer.epoch);
        checked.put_i32(sequence);
        checked.put_i32(count);
        checked.put_slice(records);
        let mut batch = BytesMut::new();
        batch.put_i64(0);
        batch.put_i32((CHECKED_FROM - PREFIX_BYTES + checked.len()) as i32);
        batch.put_i32(-1);
        batch.put_i8(2);
        batch.put_u32(crc32c::crc32c(&checked));
        batch.put_slice(&checked);
        batch.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRODUCER: Producer = Producer { id: 7, epoch: 3 };

    #[test]
    fn a_marker_reads_back_as_what_was_written() {
        for outcome in [Outcome::Commit, Outcome::Abort] {
            let header = BatchHeader::parse(&placed(&marker(PRODUCER, outcome), 42)).unwrap();
            assert_eq!(header.marker, Some(outcome));
            assert_eq!(header.producer, Some(PRODUCER));
            assert_eq!((header.base_offset, header.last_offset()), (42, 42));
            assert!(header.transactional);
        }
    }

    #[test]
    fn a_batch_with_one_changed_byte_or_a_missing_byte_is_refused() {
        let good = example::batch(PRODUCER, 0, 3);
        assert!(BatchHeader::parse(&good).is_ok());
        for at in CHECKED_FROM..good.len() {
            let mut bad = good.to_vec();
            bad[at] ^= 1;
            assert_eq!(BatchHeader::parse(&bad), Err(BatchError::Checksum), "byte {at}");
        }
        for length in 0..good.len() {
            assert!(BatchHeader::parse(&good[..length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn sequence_numbers_wrap_to_zero() {
        assert_eq!(advance(i32::MAX, 1), 0);
        assert_eq!(advance(i32::MAX - 1, 3), 1);
        assert_eq!(advance(5, 0), 5);
    }
}
