//! The transaction coordinator.
//!
//! A transaction ends in two steps: the decision goes to the journal (`Ending`), then a marker to
//! every partition and the offsets to their groups. A crash in between is finished at the next
//! start. A record is let into a log only while its transaction is `Ongoing`, asked under that
//! log's lock, and markers take the same lock: no record can follow its own marker.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use kafka_protocol::ResponseError;

use crate::{
    batch::{BatchHeader, Outcome, Producer},
    locks::lock,
    metadata::{GroupOffset, Metadata, Record, Transaction, TransactionState},
    node::Node,
};

/// Kafka's `transaction.max.timeout.ms`.
const LONGEST_TIMEOUT_MS: i32 = 15 * 60 * 1_000;

/// One lock per transactional id: only its holder may begin, change or finish an ending.
#[derive(Debug, Default)]
pub(crate) struct Endings(Mutex<HashMap<String, Arc<Mutex<()>>>>);

impl Endings {
    fn of(&self, id: &str) -> Arc<Mutex<()>> {
        lock(&self.0).entry(id.to_owned()).or_default().clone()
    }
}

impl Node {
    /// A new producer id, or for a transactional id its next epoch, which fences whoever had the
    /// last one and aborts what they left open.
    pub(crate) fn init_producer(
        &self,
        id: Option<&str>,
        timeout_ms: i32,
        current: Option<Producer>,
    ) -> Result<Producer, ResponseError> {
        let Some(id) = id else {
            let mut metadata = lock(&self.metadata);
            let id = new_producer_id(&mut metadata)?;
            return Ok(Producer { id, epoch: 0 });
        };
        if id.is_empty() {
            return Err(ResponseError::InvalidRequest);
        }
        if !(1..=LONGEST_TIMEOUT_MS).contains(&timeout_ms) {
            return Err(ResponseError::InvalidTransactionTimeout);
        }
        let ending = self.endings.of(id);
        let _alone = lock(&ending);
        self.finish(id).map_err(unavailable)?;
        let known = lock(&self.metadata).view().transactions.get(id).cloned();
        let mut transaction = match known {
            Some(known) => {
                if current.is_some_and(|current| current != known.producer()) {
                    return Err(ResponseError::ProducerFenced);
                }
                self.fence(id, known)?
            }
            None => {
                let producer_id = new_producer_id(&mut lock(&self.metadata))?;
                Transaction {
                    producer_id,
                    epoch: 0,
                    timeout_ms,
                    state: TransactionState::Idle,
                    partitions: Default::default(),
                    offsets: Default::default(),
                    previous: None,
                    began: None,
                }
            }
        };
        transaction.timeout_ms = timeout_ms;
        transaction.previous = None;
        let producer = transaction.producer();
        self.save(&mut lock(&self.metadata), id, transaction)?;
        Ok(producer)
    }

    /// Aborts what is open under the next epoch, and moves on to a new producer id before epochs
    /// run out.
    fn fence(&self, id: &str, mut known: Transaction) -> Result<Transaction, ResponseError> {
        known.epoch += 1;
        if known.state == TransactionState::Ongoing {
            known.state = TransactionState::Ending(Outcome::Abort);
            self.save(&mut lock(&self.metadata), id, known.clone())?;
            self.finish(id).map_err(unavailable)?;
            let metadata = lock(&self.metadata);
            known = metadata.view().transactions.get(id).cloned().unwrap_or(known);
        }
        if known.epoch >= i16::MAX - 1 {
            known.producer_id = new_producer_id(&mut lock(&self.metadata))?;
            known.epoch = 0;
        }
        Ok(known)
    }

    pub(crate) fn add_partitions(
        &self,
        id: &str,
        producer: Producer,
        partitions: impl IntoIterator<Item = (String, i32)>,
    ) -> Result<(), ResponseError> {
        self.change(id, producer, |transaction| {
            begin(transaction)?;
            transaction.partitions.extend(partitions);
            Ok(())
        })
    }

    /// Announces that the transaction will carry offsets of `group`.
    pub(crate) fn add_group(
        &self,
        id: &str,
        producer: Producer,
        group: &str,
    ) -> Result<(), ResponseError> {
        self.change(id, producer, |transaction| {
            begin(transaction)?;
            transaction.offsets.entry(group.to_owned()).or_default();
            Ok(())
        })
    }

    pub(crate) fn add_offsets(
        &self,
        id: &str,
        producer: Producer,
        group: &str,
        offsets: Vec<GroupOffset>,
    ) -> Result<(), ResponseError> {
        self.change(id, producer, |transaction| {
            if transaction.state != TransactionState::Ongoing {
                return Err(ResponseError::InvalidTxnState);
            }
            let Some(pending) = transaction.offsets.get_mut(group) else {
                return Err(ResponseError::InvalidTxnState);
            };
            for new in offsets {
                pending.retain(|old| (&old.topic, old.partition) != (&new.topic, new.partition));
                pending.push(new);
            }
            Ok(())
        })
    }

    pub(crate) fn end_transaction(
        &self,
        id: &str,
        producer: Producer,
        outcome: Outcome,
    ) -> Result<(), ResponseError> {
        let ending = self.endings.of(id);
        let _alone = lock(&ending);
        let mut repeated = false;
        self.change(id, producer, |transaction| match transaction.state {
            TransactionState::Ongoing => {
                transaction.state = TransactionState::Ending(outcome);
                Ok(())
            }
            TransactionState::Ending(decided) if decided == outcome => Ok(()),
            TransactionState::Idle if transaction.previous == Some(outcome) => {
                repeated = true;
                Ok(())
            }
            _ => Err(ResponseError::InvalidTxnState),
        })?;
        if repeated { Ok(()) } else { self.finish(id).map_err(unavailable) }
    }

    /// May this batch enter that partition now?
    pub(crate) fn admit(
        &self,
        header: &BatchHeader,
        topic: &str,
        partition: i32,
    ) -> Result<(), ResponseError> {
        let Some(producer) = header.producer else { return Ok(()) };
        let metadata = lock(&self.metadata);
        let view = metadata.view();
        let id = view.transactional_ids.get(&producer.id);
        let Some(transaction) = id.and_then(|id| view.transactions.get(id)) else {
            let unknown = header.transactional;
            return if unknown { Err(ResponseError::InvalidProducerIdMapping) } else { Ok(()) };
        };
        if producer != transaction.producer() {
            return Err(ResponseError::InvalidProducerEpoch);
        }
        let enlisted = transaction.state == TransactionState::Ongoing
            && transaction.partitions.iter().any(|(t, p)| t == topic && *p == partition);
        if header.transactional && enlisted { Ok(()) } else { Err(ResponseError::InvalidTxnState) }
    }

    /// Aborts what has been open for longer than its producer asked for, and finishes endings
    /// that a full disk held up.
    pub(crate) fn abort_expired_transactions(&self) {
        let due = |transaction: &Transaction| match transaction.state {
            TransactionState::Idle => false,
            TransactionState::Ending(_) => true,
            TransactionState::Ongoing => {
                let timeout = Duration::from_millis(transaction.timeout_ms.max(0) as u64);
                transaction.began.is_some_and(|began| began.elapsed() > timeout)
            }
        };
        let ids: Vec<String> = lock(&self.metadata)
            .view()
            .transactions
            .iter()
            .filter(|(_, transaction)| due(transaction))
            .map(|(id, _)| id.clone())
            .collect();
        for id in ids {
            let ending = self.endings.of(&id);
            let _alone = lock(&ending);
            let now = lock(&self.metadata).view().transactions.get(&id).cloned();
            let Some(transaction) = now.filter(due) else { continue };
            let ended = match transaction.state {
                TransactionState::Ongoing => self.fence(&id, transaction).and_then(|fenced| {
                    tracing::info!(transactional_id = id, "aborted an expired transaction");
                    self.save(&mut lock(&self.metadata), &id, fenced)
                }),
                _ => self.finish(&id).map_err(unavailable),
            };
            if let Err(error) = ended {
                tracing::warn!(transactional_id = id, %error, "cannot end a transaction yet");
            }
        }
    }

    /// Writes what a decided transaction still lacks. Doing it twice changes nothing.
    pub(crate) fn finish(&self, id: &str) -> io::Result<()> {
        let decided = lock(&self.metadata).view().transactions.get(id).cloned();
        let Some(mut transaction) = decided else { return Ok(()) };
        let TransactionState::Ending(outcome) = transaction.state else { return Ok(()) };
        for (topic, partition) in &transaction.partitions {
            // The topic may have been deleted in the meantime.
            if let Ok(partition) = self.topics.get(topic, *partition) {
                partition.end_transaction(transaction.producer(), outcome)?;
            }
        }
        let mut records = Vec::new();
        for (group, offsets) in std::mem::take(&mut transaction.offsets) {
            if outcome == Outcome::Commit {
                let offset = |offset| Record::Offset { group: group.clone(), offset };
                records.extend(offsets.into_iter().map(offset));
            }
        }
        transaction.state = TransactionState::Idle;
        transaction.partitions.clear();
        transaction.previous = Some(outcome);
        transaction.began = None;
        records.push(Record::Transaction { id: id.to_owned(), transaction });
        lock(&self.metadata).append(records)?;
        self.announce();
        Ok(())
    }

    fn change(
        &self,
        id: &str,
        producer: Producer,
        change: impl FnOnce(&mut Transaction) -> Result<(), ResponseError>,
    ) -> Result<(), ResponseError> {
        let mut metadata = lock(&self.metadata);
        let Some(before) = metadata.view().transactions.get(id) else {
            return Err(ResponseError::InvalidProducerIdMapping);
        };
        if before.producer_id != producer.id {
            return Err(ResponseError::InvalidProducerIdMapping);
        }
        if before.epoch != producer.epoch {
            return Err(ResponseError::ProducerFenced);
        }
        let mut after = before.clone();
        change(&mut after)?;
        if after == *before { Ok(()) } else { self.save(&mut metadata, id, after) }
    }

    fn save(
        &self,
        metadata: &mut Metadata,
        id: &str,
        transaction: Transaction,
    ) -> Result<(), ResponseError> {
        let record = Record::Transaction { id: id.to_owned(), transaction };
        metadata.append(vec![record]).map_err(unavailable)
    }
}

fn begin(transaction: &mut Transaction) -> Result<(), ResponseError> {
    match transaction.state {
        TransactionState::Ending(_) => return Err(ResponseError::ConcurrentTransactions),
        TransactionState::Ongoing => {}
        TransactionState::Idle => {
            transaction.state = TransactionState::Ongoing;
            transaction.began = Some(Instant::now());
        }
    }
    Ok(())
}

fn new_producer_id(metadata: &mut Metadata) -> Result<i64, ResponseError> {
    let id = metadata.view().next_producer_id;
    metadata.append(vec![Record::NextProducerId { id: id + 1 }]).map_err(unavailable)?;
    Ok(id)
}

/// Clients repeat a request answered like this, and nothing of it has happened yet.
fn unavailable(error: io::Error) -> ResponseError {
    tracing::error!(%error, "cannot write to the data directory, check the disk");
    ResponseError::CoordinatorNotAvailable
}
