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
    metadata::{GroupOffset, Record, Transaction, TransactionState, unavailable},
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
            return self.metadata.change(|view| {
                let producer = Producer { id: view.next_producer_id, epoch: 0 };
                Ok((producer, vec![Record::NextProducerId { id: producer.id + 1 }]))
            });
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
        self.fence(id, current)?;
        self.metadata.change(|view| {
            let next = view.next_producer_id;
            let mut transaction = match view.transactions.get(id) {
                // Moves on to a new producer id before epochs run out.
                Some(known) if known.epoch < i16::MAX - 1 => known.clone(),
                _ => Transaction {
                    producer_id: next,
                    epoch: 0,
                    timeout_ms,
                    state: TransactionState::Idle,
                    partitions: Default::default(),
                    offsets: Default::default(),
                    previous: None,
                    began: None,
                },
            };
            transaction.timeout_ms = timeout_ms;
            transaction.previous = None;
            let producer = transaction.producer();
            let mut records = Vec::new();
            if producer.id == next {
                records.push(Record::NextProducerId { id: next + 1 });
            }
            records.push(record(id, transaction));
            Ok((producer, records))
        })
    }

    /// Shuts out whoever has the id's present epoch, and aborts what they left open. The caller
    /// holds the id's ending.
    fn fence(&self, id: &str, current: Option<Producer>) -> Result<(), ResponseError> {
        self.metadata.change(|view| {
            let Some(known) = view.transactions.get(id) else { return Ok(((), Vec::new())) };
            if current.is_some_and(|current| current != known.producer()) {
                return Err(ResponseError::ProducerFenced);
            }
            let mut fenced = known.clone();
            fenced.epoch += 1;
            if fenced.state == TransactionState::Ongoing {
                fenced.state = TransactionState::Ending(Outcome::Abort);
            }
            Ok(((), vec![record(id, fenced)]))
        })?;
        self.finish(id).map_err(unavailable)
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
        let view = self.metadata.view();
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
    ///
    /// Says whether any transaction is open, so that this must be asked again soon.
    pub(crate) fn abort_expired_transactions(&self) -> bool {
        let due = |transaction: &Transaction| match transaction.state {
            TransactionState::Idle => false,
            TransactionState::Ending(_) => true,
            TransactionState::Ongoing => {
                let timeout = Duration::from_millis(transaction.timeout_ms.max(0) as u64);
                transaction.began.is_some_and(|began| began.elapsed() > timeout)
            }
        };
        let (ids, any_open) = {
            let view = self.metadata.view();
            let due = view.transactions.iter().filter(|(_, transaction)| due(transaction));
            let ids: Vec<String> = due.map(|(id, _)| id.clone()).collect();
            let open = |transaction: &Transaction| transaction.state != TransactionState::Idle;
            (ids, view.transactions.values().any(open))
        };
        for id in ids {
            let ending = self.endings.of(&id);
            let _alone = lock(&ending);
            let now = self.metadata.view().transactions.get(&id).cloned();
            let Some(transaction) = now.filter(due) else { continue };
            let ended = match transaction.state {
                TransactionState::Ongoing => self.fence(&id, None).map(|()| {
                    tracing::info!(transactional_id = id, "aborted an expired transaction");
                }),
                _ => self.finish(&id).map_err(unavailable),
            };
            if let Err(error) = ended {
                tracing::warn!(transactional_id = id, %error, "cannot end a transaction yet");
            }
        }
        any_open
    }

    /// Writes what a decided transaction still lacks. Doing it twice changes nothing.
    pub(crate) fn finish(&self, id: &str) -> io::Result<()> {
        let decided = self.metadata.view().transactions.get(id).cloned();
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
        records.push(record(id, transaction));
        self.metadata.append(records)
    }

    fn change(
        &self,
        id: &str,
        producer: Producer,
        change: impl FnOnce(&mut Transaction) -> Result<(), ResponseError>,
    ) -> Result<(), ResponseError> {
        self.metadata.change(|view| {
            let Some(before) = view.transactions.get(id) else {
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
            let changed = after != *before;
            Ok(((), changed.then(|| record(id, after)).into_iter().collect()))
        })
    }
}

fn record(id: &str, transaction: Transaction) -> Record {
    Record::Transaction { id: id.to_owned(), transaction }
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
