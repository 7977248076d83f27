//! What makes producers idempotent: the sequence numbers last seen from each, per partition.

use std::collections::{HashMap, VecDeque};

use kafka_protocol::ResponseError;
use serde::{Deserialize, Serialize};

use crate::batch::{BatchHeader, advance};

/// A client has at most this many requests in flight, so nothing older can be a repetition.
const REMEMBERED: usize = 5;
/// Producers remembered per partition: every run of a client without a transactional id is a new
/// one. Whoever has been silent for this many others is forgotten, as Kafka forgets after a day.
const MOST_PRODUCERS: usize = 4_096;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sequences(HashMap<i64, Recent>);

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Recent {
    pub(crate) epoch: i16,
    /// Offset and time of what this producer wrote last, markers included.
    pub(crate) last_offset: i64,
    pub(crate) last_timestamp_ms: i64,
    batches: VecDeque<Written>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Written {
    first: i32,
    last: i32,
    base_offset: i64,
}

impl Recent {
    /// The sequence number of the last record; -1 where none is known.
    pub(crate) fn last_sequence(&self) -> i32 {
        self.batches.back().map_or(-1, |written| written.last)
    }
}

impl Sequences {
    /// The offset of the same batch, if it was written before.
    ///
    /// # Errors
    /// `InvalidProducerEpoch` for a producer that was replaced, `OutOfOrderSequenceNumber` when
    /// batches in front of this one are missing.
    pub(crate) fn check(&self, header: &BatchHeader) -> Result<Option<i64>, ResponseError> {
        let Some(producer) = header.producer else { return Ok(None) };
        let Some(recent) = self.0.get(&producer.id) else { return Ok(None) };
        if producer.epoch < recent.epoch {
            return Err(ResponseError::InvalidProducerEpoch);
        }
        let (first, last) = (header.base_sequence, header.last_sequence());
        let expected = if producer.epoch > recent.epoch {
            0
        } else {
            let same = |written: &&Written| (written.first, written.last) == (first, last);
            if let Some(written) = recent.batches.iter().find(same) {
                return Ok(Some(written.base_offset));
            }
            match recent.batches.back() {
                Some(written) => advance(written.last, 1),
                None => return Ok(None),
            }
        };
        if first == expected { Ok(None) } else { Err(ResponseError::OutOfOrderSequenceNumber) }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (i64, &Recent)> {
        self.0.iter().map(|(id, recent)| (*id, recent))
    }

    /// Remembers a batch of the log.
    pub(crate) fn record(&mut self, header: &BatchHeader) {
        let Some(producer) = header.producer else { return };
        if self.0.len() >= MOST_PRODUCERS && !self.0.contains_key(&producer.id) {
            let silent = self.0.iter().min_by_key(|(_, recent)| recent.last_offset);
            if let Some(id) = silent.map(|(id, _)| *id) {
                self.0.remove(&id);
            }
        }
        let recent = self.0.entry(producer.id).or_default();
        if recent.epoch != producer.epoch {
            *recent = Recent { epoch: producer.epoch, ..Recent::default() };
        }
        recent.last_offset = header.last_offset();
        recent.last_timestamp_ms = header.max_timestamp_ms;
        if header.marker.is_none() {
            recent.batches.push_back(Written {
                first: header.base_sequence,
                last: header.last_sequence(),
                base_offset: header.base_offset,
            });
            if recent.batches.len() > REMEMBERED {
                recent.batches.pop_front();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Producer, example, placed};

    fn header(epoch: i16, base_sequence: i32, base_offset: i64) -> BatchHeader {
        let batch = example::idempotent(Producer { id: 1, epoch }, base_sequence, 2);
        BatchHeader::parse(&placed(&batch, base_offset)).unwrap()
    }

    #[test]
    fn a_repeated_batch_is_found_a_gap_and_an_old_epoch_are_refused() {
        let mut sequences = Sequences::default();
        sequences.record(&header(1, 0, 10));
        sequences.record(&header(1, 2, 12));
        assert_eq!(sequences.check(&header(1, 0, 0)), Ok(Some(10)));
        assert_eq!(sequences.check(&header(1, 4, 0)), Ok(None));
        let gap = Err(ResponseError::OutOfOrderSequenceNumber);
        assert_eq!(sequences.check(&header(1, 6, 0)), gap);
        assert_eq!(sequences.check(&header(0, 4, 0)), Err(ResponseError::InvalidProducerEpoch));
        assert_eq!(sequences.check(&header(2, 0, 0)), Ok(None));
        assert_eq!(sequences.check(&header(2, 4, 0)), gap);
    }

    #[test]
    fn of_very_many_producers_the_longest_silent_ones_are_forgotten() {
        let mut sequences = Sequences::default();
        let write = |sequences: &mut Sequences, id, base_sequence, base_offset| {
            let batch = example::idempotent(Producer { id, epoch: 0 }, base_sequence, 1);
            sequences.record(&BatchHeader::parse(&placed(&batch, base_offset)).unwrap());
        };
        for id in 0..MOST_PRODUCERS as i64 {
            write(&mut sequences, id, 0, id);
        }
        write(&mut sequences, 0, 1, 10_000);
        write(&mut sequences, 99_999, 0, 10_001);
        assert_eq!(sequences.iter().count(), MOST_PRODUCERS);
        let known = |id| sequences.iter().any(|(known, _)| known == id);
        assert!(known(0) && known(99_999) && !known(1));
    }
}
