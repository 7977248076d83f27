//! Kafka's model in memory: topics, partitions, groups that rebalance, transactions that abort.

use super::lock;
use crate::{LogOpener, Spec};
use ports::{Committed, Log, Polled, Position, Record, Settled, Trouble};
use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::sync::Notify;

type Lane = (String, i32);

/// A broker. Cloning shares.
#[derive(Debug, Clone)]
pub struct MemoryBroker(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    partitions: i32,
    state: Mutex<State>,
    /// Rung whenever a log may have something new to hand out.
    news: Notify,
}

#[derive(Debug, Default)]
struct State {
    records: BTreeMap<Lane, Vec<Record>>,
    groups: BTreeMap<&'static str, Group>,
    /// So many of the next transactions are aborted.
    aborts: u32,
    transactions: u64,
    polls: u64,
}

#[derive(Debug, Default)]
struct Group {
    /// Changes with every join, leave, abort and rebalance.
    generation: u64,
    members: Vec<u64>,
    joined: u64,
    committed: BTreeMap<Lane, i64>,
}

impl MemoryBroker {
    /// Every topic has this many partitions.
    #[must_use]
    pub fn new(partitions: i32) -> Self {
        let state = Mutex::default();
        Self(Arc::new(Shared { partitions: partitions.max(1), state, news: Notify::new() }))
    }

    /// Appends a record: to its position's partition, else to its key's.
    pub fn publish(&self, record: Record) -> Position {
        let position = lock(&self.0.state).append(record, self.0.partitions);
        self.0.news.notify_waiters();
        position
    }

    /// All records of a topic, by partition and offset.
    #[must_use]
    pub fn on(&self, topic: &str) -> Vec<Record> {
        let state = lock(&self.0.state);
        state
            .records
            .iter()
            .filter(|((t, _), _)| t == topic)
            .flat_map(|(_, r)| r)
            .cloned()
            .collect()
    }

    /// What a group has committed, per partition: the offset after the last one done.
    #[must_use]
    pub fn committed(&self, group: &str) -> BTreeMap<(String, i32), i64> {
        lock(&self.0.state).groups.get(group).map(|g| g.committed.clone()).unwrap_or_default()
    }

    /// Records of the group's topics not yet committed by it.
    #[must_use]
    pub fn lag(&self, spec: &Spec) -> i64 {
        let committed = self.committed(spec.name);
        let state = lock(&self.0.state);
        let read = state.records.iter().filter(|((topic, _), _)| spec.reads.contains(topic));
        read.map(|(lane, r)| r.len() as i64 - committed.get(lane).unwrap_or(&0)).sum()
    }

    /// So many of the next transactions are aborted.
    pub fn abort_next(&self, transactions: u32) {
        lock(&self.0.state).aborts = transactions;
    }

    /// Every member of the group gets its partitions anew.
    pub fn rebalance(&self, group: &str) {
        if let Some(group) = lock(&self.0.state).groups.get_mut(group) {
            group.generation += 1;
        }
        self.0.news.notify_waiters();
    }

    /// Transactions committed so far.
    #[must_use]
    pub fn transactions(&self) -> u64 {
        lock(&self.0.state).transactions
    }

    /// Polls so far, of all logs.
    #[must_use]
    pub fn polls(&self) -> u64 {
        lock(&self.0.state).polls
    }
}

impl LogOpener for MemoryBroker {
    type Log = MemoryLog;

    async fn open(&self, spec: &Spec) -> Result<MemoryLog, Trouble> {
        let member = {
            let mut state = lock(&self.0.state);
            let group = state.groups.entry(spec.name).or_default();
            group.generation += 1;
            group.joined += 1;
            group.members.push(group.joined);
            group.joined
        };
        self.0.news.notify_waiters();
        Ok(MemoryLog {
            broker: self.clone(),
            group: spec.name,
            reads: spec.reads.clone(),
            member,
            epoch: 0,
            next: BTreeMap::new(),
            held: BTreeSet::new(),
        })
    }
}

/// One member of a group.
#[derive(Debug)]
pub struct MemoryLog {
    broker: MemoryBroker,
    group: &'static str,
    reads: Vec<String>,
    member: u64,
    /// The generation whose assignment `next` is.
    epoch: u64,
    next: BTreeMap<Lane, i64>,
    held: BTreeSet<Lane>,
}

impl MemoryLog {
    fn look(&mut self, want: usize) -> Polled {
        let mut state = lock(&self.broker.0.state);
        state.polls += 1;
        let State { records, groups, .. } = &mut *state;
        let group = groups.entry(self.group).or_default();
        if group.generation != self.epoch {
            self.epoch = group.generation;
            self.held.clear();
            self.next = group.assignment(self.member, &self.reads, self.broker.0.partitions);
            return Polled::Rebalanced { epoch: self.epoch };
        }
        let mut found = Vec::new();
        for (lane, next) in self.next.iter_mut().filter(|(lane, _)| !self.held.contains(*lane)) {
            let from = usize::try_from(*next).unwrap_or(usize::MAX);
            let waiting = records.get(lane).and_then(|r| r.get(from..)).unwrap_or_default();
            let taken = &waiting[..waiting.len().min(want - found.len())];
            *next += taken.len() as i64;
            found.extend_from_slice(taken);
        }
        if found.is_empty() {
            return Polled::Idle;
        }
        Polled::Records { epoch: self.epoch, records: found }
    }
}

impl Log for MemoryLog {
    async fn poll(&mut self, want: usize) -> Result<Polled, Trouble> {
        let broker = self.broker.clone();
        let news = broker.0.news.notified();
        let mut news = std::pin::pin!(news);
        news.as_mut().enable();
        let polled = self.look(want);
        if polled != Polled::Idle {
            return Ok(polled);
        }
        if tokio::time::timeout(Duration::from_millis(100), news).await.is_err() {
            return Ok(Polled::Idle);
        }
        Ok(self.look(want))
    }

    fn hold(&mut self, held: Vec<(String, i32)>) {
        self.held = held.into_iter().collect();
    }

    async fn commit(&mut self, epoch: u64, settled: Vec<Settled>) -> Result<Committed, Trouble> {
        let mut state = lock(&self.broker.0.state);
        let aborted = state.aborts > 0;
        state.aborts = state.aborts.saturating_sub(1);
        let group = state.groups.entry(self.group).or_default();
        group.generation += u64::from(aborted);
        if aborted || epoch != group.generation {
            return Ok(Committed::Rewound);
        }
        for Settled { done, .. } in &settled {
            let lane = (done.topic.clone(), done.partition);
            let committed = group.committed.entry(lane).or_default();
            if done.offset != *committed {
                let detail = format!("committed {done:?} where {committed} was next");
                return Err(Trouble::fatal(detail));
            }
            *committed += 1;
        }
        state.transactions += 1;
        for record in settled.into_iter().flat_map(|s| s.outputs) {
            state.append(record, self.broker.0.partitions);
        }
        drop(state);
        self.broker.0.news.notify_waiters();
        Ok(Committed::Yes)
    }

    async fn close(self) {}
}

impl Drop for MemoryLog {
    fn drop(&mut self) {
        if let Some(group) = lock(&self.broker.0.state).groups.get_mut(self.group) {
            group.members.retain(|member| *member != self.member);
            group.generation += 1;
        }
        self.broker.0.news.notify_waiters();
    }
}

impl State {
    fn append(&mut self, mut record: Record, partitions: i32) -> Position {
        let partition = match &record.position {
            Some(position) => position.partition,
            None => {
                let mut hasher = DefaultHasher::new();
                record.key.hash(&mut hasher);
                i32::try_from(hasher.finish() % u64::from(partitions.unsigned_abs())).unwrap_or(0)
            }
        };
        let lane = self.records.entry((record.topic.clone(), partition)).or_default();
        let position =
            Position { topic: record.topic.clone(), partition, offset: lane.len() as i64 };
        record.position = Some(position.clone());
        lane.push(record);
        position
    }
}

impl Group {
    /// The partitions of a member, and where to go on in each.
    fn assignment(&self, member: u64, topics: &[String], partitions: i32) -> BTreeMap<Lane, i64> {
        let Some(place) = self.members.iter().position(|m| *m == member) else {
            return BTreeMap::new();
        };
        let all = topics.iter().flat_map(|t| (0..partitions).map(move |p| (t.clone(), p)));
        all.enumerate()
            .filter(|(n, _)| n % self.members.len() == place)
            .map(|(_, lane)| {
                let next = self.committed.get(&lane).copied().unwrap_or(0);
                (lane, next)
            })
            .collect()
    }
}
