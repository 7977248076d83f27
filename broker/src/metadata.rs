//! What the broker knows besides the records: topics, committed offsets, transactions. Every
//! change is a [`Record`] in the journal first; [`View`] is what all records add up to.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io,
    path::Path,
    sync::{Mutex, RwLock, RwLockReadGuard},
    time::Instant,
};

use kafka_protocol::ResponseError;

use serde::{Deserialize, Serialize};

use crate::{
    BrokerError, Sync,
    batch::{Outcome, Producer},
    config::Overrides,
    journal::Journal,
    locks::{lock, read, write},
};

/// A journal shorter than this many bytes is not worth rewriting.
const COMPACT_FROM_BYTES: u64 = 4 << 20;
/// Producer ids below are left free, so that they stand out in a log.
const FIRST_PRODUCER_ID: i64 = 1_000;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub(crate) enum Record {
    Topic {
        name: String,
        spec: TopicSpec,
    },
    TopicDeleted {
        name: String,
    },
    /// Nobody reads what lies in front of `offset` again.
    LogStart {
        topic: String,
        partition: i32,
        offset: i64,
    },
    Offset {
        group: String,
        offset: GroupOffset,
    },
    OffsetDeleted {
        group: String,
        topic: String,
        partition: i32,
    },
    Transaction {
        id: String,
        transaction: Transaction,
    },
    NextProducerId {
        id: i64,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TopicSpec {
    pub(crate) partitions: i32,
    pub(crate) config: Overrides,
}

/// The offset of the next record a group wants from a partition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct GroupOffset {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    /// Whatever the client wants to remember with it.
    pub(crate) note: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TransactionState {
    Idle,
    Ongoing,
    /// Decided, but not every marker and offset is written yet. Survives a restart.
    Ending(Outcome),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Transaction {
    pub(crate) producer_id: i64,
    pub(crate) epoch: i16,
    pub(crate) timeout_ms: i32,
    pub(crate) state: TransactionState,
    pub(crate) partitions: BTreeSet<(String, i32)>,
    /// By consumer group: they count once the transaction is committed.
    pub(crate) offsets: BTreeMap<String, Vec<GroupOffset>>,
    /// How this epoch's previous transaction ended, so that a repeated EndTxn can be answered.
    pub(crate) previous: Option<Outcome>,
    /// When the ongoing one began. A restart gives it its whole time again.
    #[serde(skip)]
    pub(crate) began: Option<Instant>,
}

impl Transaction {
    pub(crate) fn producer(&self) -> Producer {
        Producer { id: self.producer_id, epoch: self.epoch }
    }
}

#[derive(Debug, Default, PartialEq)]
pub(crate) struct View {
    pub(crate) topics: BTreeMap<String, TopicSpec>,
    /// Where logs begin because a client said so.
    pub(crate) starts: BTreeMap<(String, i32), i64>,
    pub(crate) offsets: BTreeMap<String, BTreeMap<(String, i32), GroupOffset>>,
    pub(crate) transactions: BTreeMap<String, Transaction>,
    /// Transactional id of every producer id that has one.
    pub(crate) transactional_ids: HashMap<i64, String>,
    pub(crate) next_producer_id: i64,
}

impl View {
    fn apply(&mut self, record: Record) {
        match record {
            Record::Topic { name, spec } => {
                self.topics.insert(name, spec);
            }
            Record::TopicDeleted { name } => {
                for offsets in self.offsets.values_mut() {
                    offsets.retain(|(topic, _), _| *topic != name);
                }
                self.offsets.retain(|_, offsets| !offsets.is_empty());
                self.starts.retain(|(topic, _), _| *topic != name);
                self.topics.remove(&name);
            }
            Record::LogStart { topic, partition, offset } => {
                self.starts.insert((topic, partition), offset);
            }
            Record::Offset { group, offset } => {
                let key = (offset.topic.clone(), offset.partition);
                self.offsets.entry(group).or_default().insert(key, offset);
            }
            Record::OffsetDeleted { group, topic, partition } => {
                if let Some(offsets) = self.offsets.get_mut(&group) {
                    offsets.remove(&(topic, partition));
                }
                self.offsets.retain(|_, offsets| !offsets.is_empty());
            }
            Record::Transaction { id, transaction } => {
                self.transactional_ids.insert(transaction.producer_id, id.clone());
                self.transactions.insert(id, transaction);
            }
            Record::NextProducerId { id } => self.next_producer_id = id,
        }
    }

    /// The fewest records that add up to this view.
    fn records(&self) -> Vec<Record> {
        let topics = self
            .topics
            .iter()
            .map(|(name, spec)| Record::Topic { name: name.clone(), spec: spec.clone() });
        let offsets = self.offsets.iter().flat_map(|(group, offsets)| {
            offsets
                .values()
                .map(|offset| Record::Offset { group: group.clone(), offset: offset.clone() })
        });
        let transactions = self.transactions.iter().map(|(id, transaction)| Record::Transaction {
            id: id.clone(),
            transaction: transaction.clone(),
        });
        let starts = self.starts.iter().map(|((topic, partition), offset)| Record::LogStart {
            topic: topic.clone(),
            partition: *partition,
            offset: *offset,
        });
        let next = Record::NextProducerId { id: self.next_producer_id };
        topics.chain(starts).chain(offsets).chain(transactions).chain([next]).collect()
    }
}

/// The journal's lock is held while a record reaches the disk; the view's for moments only, so
/// that nobody who looks something up waits for a sync.
#[derive(Debug)]
pub(crate) struct Metadata {
    writing: Mutex<Writing>,
    view: RwLock<View>,
}

#[derive(Debug)]
struct Writing {
    journal: Journal,
    compact_at_bytes: u64,
}

impl Metadata {
    /// Reads the journal at `path`, or begins one, and rewrites it without what is outdated.
    pub(crate) fn open(path: &Path, sync: Sync) -> Result<Metadata, BrokerError> {
        let (journal, records) = Journal::open(path, sync)?;
        let mut view = View { next_producer_id: FIRST_PRODUCER_ID, ..View::default() };
        for record in records {
            view.apply(record);
        }
        for transaction in view.transactions.values_mut() {
            if transaction.state == TransactionState::Ongoing {
                transaction.began = Some(Instant::now());
            }
        }
        let mut writing = Writing { journal, compact_at_bytes: 0 };
        writing.compact(&view).map_err(|source| BrokerError::Io { path: path.into(), source })?;
        Ok(Metadata { writing: Mutex::new(writing), view: RwLock::new(view) })
    }

    /// Never ask for it twice at once: a writer that waits in between would block both.
    pub(crate) fn view(&self) -> RwLockReadGuard<'_, View> {
        read(&self.view)
    }

    /// Writes `records` to the journal, then makes them count.
    pub(crate) fn append(&self, records: Vec<Record>) -> io::Result<()> {
        self.write(&mut lock(&self.writing), records)
    }

    /// Makes what `change` wants count, while nobody else changes anything.
    ///
    /// # Errors
    /// Those of `change`; `CoordinatorNotAvailable` when the disk fails, and nothing has changed.
    pub(crate) fn change<T>(
        &self,
        change: impl FnOnce(&View) -> Result<(T, Vec<Record>), ResponseError>,
    ) -> Result<T, ResponseError> {
        let mut writing = lock(&self.writing);
        let (answer, records) = change(&read(&self.view))?;
        if !records.is_empty() {
            self.write(&mut writing, records).map_err(unavailable)?;
        }
        Ok(answer)
    }

    /// Brings what was written to the disk.
    pub(crate) fn flush(&self) -> io::Result<()> {
        lock(&self.writing).journal.flush()
    }

    fn write(&self, writing: &mut Writing, records: Vec<Record>) -> io::Result<()> {
        writing.journal.append(&records)?;
        {
            let mut view = write(&self.view);
            for record in records {
                view.apply(record);
            }
        }
        if writing.journal.bytes() > writing.compact_at_bytes
            && let Err(error) = writing.compact(&read(&self.view))
        {
            // The journal is only longer than it need be; try again when it has doubled.
            tracing::warn!(%error, "cannot compact the journal, check the disk");
            writing.compact_at_bytes = 2 * writing.journal.bytes();
        }
        Ok(())
    }
}

impl Writing {
    fn compact(&mut self, view: &View) -> io::Result<()> {
        self.journal.replace(&view.records())?;
        self.compact_at_bytes = COMPACT_FROM_BYTES.max(4 * self.journal.bytes());
        Ok(())
    }
}

/// Clients repeat a request answered like this, and nothing of it has happened yet.
pub(crate) fn unavailable(error: io::Error) -> ResponseError {
    tracing::error!(%error, "cannot write to the data directory, check the disk");
    ResponseError::CoordinatorNotAvailable
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(name: &str) -> Record {
        let spec = TopicSpec { partitions: 3, config: BTreeMap::new() };
        Record::Topic { name: name.to_owned(), spec }
    }

    fn offset(topic: &str, offset: i64) -> Record {
        let (topic, note) = (topic.to_owned(), String::new());
        let offset = GroupOffset { topic, partition: 1, offset, note };
        Record::Offset { group: "readers".to_owned(), offset }
    }

    #[test]
    fn everything_is_there_again_after_reopening_and_the_last_offset_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let transaction = Transaction {
            producer_id: 1_000,
            epoch: 2,
            timeout_ms: 10_000,
            state: TransactionState::Ending(Outcome::Commit),
            partitions: [("kept".to_owned(), 0)].into(),
            offsets: BTreeMap::new(),
            previous: None,
            began: None,
        };
        let metadata = Metadata::open(&path, Sync::Never).unwrap();
        let transaction = Record::Transaction { id: "cut.0".to_owned(), transaction };
        metadata.append(vec![topic("kept"), topic("gone"), offset("gone", 1)]).unwrap();
        metadata.append(vec![offset("kept", 1), transaction, offset("kept", 2)]).unwrap();
        let name = "gone".to_owned();
        metadata.append(vec![Record::TopicDeleted { name }]).unwrap();

        let reopened = Metadata::open(&path, Sync::Never).unwrap();
        assert_eq!(*reopened.view(), *metadata.view());
        let view = reopened.view();
        let offsets = &view.offsets["readers"];
        assert_eq!(offsets.len(), 1);
        assert_eq!(offsets[&("kept".to_owned(), 1)].offset, 2);
    }

    #[test]
    fn a_journal_of_repeated_commits_stays_small_while_the_broker_runs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let metadata = Metadata::open(&path, Sync::Never).unwrap();
        for round in 0..100 {
            metadata
                .append((0..1_000).map(|i| offset("kept", round * 1_000 + i)).collect())
                .unwrap();
        }
        assert!(std::fs::metadata(&path).unwrap().len() <= COMPACT_FROM_BYTES + 200_000);
        let reopened = Metadata::open(&path, Sync::Never).unwrap();
        assert_eq!(reopened.view().offsets["readers"][&("kept".to_owned(), 1)].offset, 99_999);
    }

    #[test]
    fn who_looks_something_up_does_not_wait_for_who_writes() {
        let folder = tempfile::tempdir().unwrap();
        let metadata = Metadata::open(&folder.path().join("journal"), Sync::Never).unwrap();
        metadata.append(vec![topic("kept")]).unwrap();
        let writing = lock(&metadata.writing);
        std::thread::scope(|scope| {
            let looked = scope.spawn(|| metadata.view().topics.len());
            assert_eq!(looked.join().unwrap(), 1);
        });
        drop(writing);
    }
}
