//! Where a partition's batches lie in its file, and which of them a consumer may see.

use std::collections::HashMap;

use crate::batch::{BatchHeader, Outcome};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Isolation {
    Uncommitted,
    /// Nothing from the first record of the oldest open transaction on.
    Committed,
}

#[derive(Debug, Default)]
pub(crate) struct Index {
    /// In the order of offsets and, without gaps, of positions.
    entries: Vec<Entry>,
    /// First offset of each open transaction, by producer id.
    open: HashMap<i64, i64>,
    /// In the order of their markers.
    aborted: Vec<Aborted>,
}

#[derive(Debug)]
struct Entry {
    base_offset: i64,
    last_offset: i64,
    position: u64,
    bytes: u32,
    /// `None` for markers.
    max_timestamp_ms: Option<i64>,
}

impl Entry {
    fn end(&self) -> u64 {
        self.position + u64::from(self.bytes)
    }
}

#[derive(Debug)]
struct Aborted {
    producer_id: i64,
    first_offset: i64,
    marker_offset: i64,
}

/// A run of whole batches in the file.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) position: u64,
    pub(crate) bytes: u64,
    /// Aborted transactions (producer id, first offset) among them; empty if uncommitted is fine.
    pub(crate) aborted: Vec<(i64, i64)>,
}

impl Index {
    pub(crate) fn push(&mut self, header: &BatchHeader, position: u64) {
        if let Some(producer) = header.producer {
            match header.marker {
                None if header.transactional => {
                    self.open.entry(producer.id).or_insert(header.base_offset);
                }
                None => {}
                Some(outcome) => {
                    if let Some(first_offset) = self.open.remove(&producer.id)
                        && outcome == Outcome::Abort
                    {
                        let (producer_id, marker_offset) = (producer.id, header.base_offset);
                        self.aborted.push(Aborted { producer_id, first_offset, marker_offset });
                    }
                }
            }
        }
        self.entries.push(Entry {
            base_offset: header.base_offset,
            last_offset: header.last_offset(),
            position,
            bytes: header.bytes as u32,
            max_timestamp_ms: header.marker.is_none().then_some(header.max_timestamp_ms),
        });
    }

    pub(crate) fn end_offset(&self) -> i64 {
        self.entries.last().map_or(0, |entry| entry.last_offset + 1)
    }

    pub(crate) fn is_open(&self, producer_id: i64) -> bool {
        self.open.contains_key(&producer_id)
    }

    pub(crate) fn readable_to(&self, isolation: Isolation) -> i64 {
        match isolation {
            Isolation::Uncommitted => self.end_offset(),
            Isolation::Committed => {
                self.open.values().copied().min().unwrap_or_else(|| self.end_offset())
            }
        }
    }

    /// The batches from the one that holds offset `from` on, at least one if there is any, at
    /// most `max_bytes` together otherwise.
    pub(crate) fn find(&self, from: i64, max_bytes: u64, isolation: Isolation) -> Option<Found> {
        let limit = self.readable_to(isolation);
        let readable = self.entries.partition_point(|entry| entry.base_offset < limit);
        let first = self.entries.partition_point(|entry| entry.last_offset < from);
        let entries = self.entries.get(first..readable)?;
        let position = entries.first()?.position;
        let fitting = entries.partition_point(|entry| entry.end() - position <= max_bytes);
        let last = entries.get(fitting.max(1) - 1)?;
        let aborted = match isolation {
            Isolation::Uncommitted => Vec::new(),
            Isolation::Committed => self.aborted_between(from, last.last_offset),
        };
        Some(Found { position, bytes: last.end() - position, aborted })
    }

    fn aborted_between(&self, from: i64, to: i64) -> Vec<(i64, i64)> {
        let first = self.aborted.partition_point(|aborted| aborted.marker_offset < from);
        self.aborted[first..]
            .iter()
            .filter(|aborted| aborted.first_offset <= to)
            .map(|aborted| (aborted.producer_id, aborted.first_offset))
            .collect()
    }

    pub(crate) fn offset_at(&self, timestamp_ms: i64) -> Option<(i64, i64)> {
        self.entries.iter().find_map(|entry| {
            let latest = entry.max_timestamp_ms.filter(|latest| *latest >= timestamp_ms)?;
            Some((latest, entry.base_offset))
        })
    }
}
