//! Kafka's model: partitions, groups whose members come, go and fall silent, transactions.

use crate::{bugs::Bug, ledger::Ledger, process::EPOCH_MS, process::Process, timeline::Timeline};
use ports::{Position, Record, Settled};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;

/// A topic and a partition.
pub(crate) type Lane = (String, i32);

/// How long a member that vanished is still taken for alive, ms at most.
const SESSION_MS: i64 = 10_000;

/// The broker. Everything it does is one step that nothing comes between.
#[derive(Debug)]
pub(crate) struct Broker {
    partitions: i32,
    timeline: Timeline,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) bug: Option<Bug>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) records: BTreeMap<Lane, Vec<Record>>,
    pub(crate) groups: BTreeMap<&'static str, Group>,
    members: u64,
    /// Members that have vanished, and when that is noticed.
    vanished: BTreeMap<(i64, u64), &'static str>,
}

#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(crate) reads: Vec<String>,
    /// Changes with every member that comes or goes.
    pub(crate) generation: u64,
    /// Members in order of joining, each with its process.
    members: Vec<(u64, usize)>,
    /// Members that hear nothing of the group, and until when.
    deaf: BTreeMap<u64, i64>,
    pub(crate) committed: BTreeMap<Lane, i64>,
    pub(crate) news: Arc<Notify>,
}

impl Broker {
    pub(crate) fn new(
        partitions: i32,
        timeline: &Timeline,
        ledger: Arc<Ledger>,
        bug: Option<Bug>,
    ) -> Arc<Self> {
        let (timeline, state) = (timeline.clone(), Mutex::default());
        Arc::new(Self { partitions, timeline, ledger, bug, state })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a record of a producer outside the mill.
    pub(crate) fn publish(&self, record: Record) {
        let mut state = self.lock();
        let record = self.append(&mut state, record);
        self.timeline.note(format_args!("published {}", place(&record.position)));
    }

    fn append(&self, state: &mut State, mut record: Record) -> Record {
        let key = record.key.as_deref().unwrap_or_default();
        let hash = key.iter().fold(5_381_u32, |h, b| h.wrapping_mul(33) ^ u32::from(*b));
        let partition = i32::try_from(hash % self.partitions.unsigned_abs()).unwrap();
        let lane = state.records.entry((record.topic.clone(), partition)).or_default();
        let offset = i64::try_from(lane.len()).unwrap();
        record.position = Some(Position { topic: record.topic.clone(), partition, offset });
        record.timestamp_ms.get_or_insert(EPOCH_MS + self.timeline.now());
        lane.push(record.clone());
        for group in state.groups.values().filter(|group| group.reads.contains(&record.topic)) {
            group.news.notify_waiters();
        }
        record
    }

    /// A new member of a group.
    pub(crate) fn join(&self, name: &'static str, reads: &[String], process: usize) -> u64 {
        let mut state = self.lock();
        state.members += 1;
        let id = state.members;
        let group = state.groups.entry(name).or_default();
        group.reads = reads.to_vec();
        group.members.push((id, process));
        group.regroup();
        id
    }

    pub(crate) fn leave(&self, name: &'static str, member: u64) {
        if let Some(group) = self.lock().groups.get_mut(name) {
            group.members.retain(|(id, _)| *id != member);
            group.deaf.remove(&member);
            group.regroup();
        }
    }

    /// A member has ended without a word; the group hears of it later.
    pub(crate) fn vanish(&self, name: &'static str, member: u64) {
        let at = self.timeline.now() + self.timeline.draw(0..=SESSION_MS);
        self.lock().vanished.insert((at, member), name);
    }

    /// When the next vanished member is missed.
    pub(crate) fn next_missed(&self) -> Option<i64> {
        self.lock().vanished.first_key_value().map(|((at, _), _)| *at)
    }

    pub(crate) fn miss_next(&self) {
        let missed = self.lock().vanished.pop_first();
        if let Some(((_, member), name)) = missed {
            self.leave(name, member);
        }
    }

    pub(crate) fn rebalance(&self, name: &str) {
        if let Some(group) = self.lock().groups.get_mut(name) {
            group.regroup();
        }
    }

    /// A process's members lose their partitions and do not hear of it until then.
    pub(crate) fn evict(&self, name: &str, process: usize, until: i64) {
        if let Some(group) = self.lock().groups.get_mut(name) {
            let (lost, kept) = group.members.iter().partition(|(_, p)| *p == process);
            group.members = kept;
            let lost: Vec<(u64, usize)> = lost;
            group.deaf.extend(lost.into_iter().map(|(id, _)| (id, until)));
            group.regroup();
        }
    }

    /// Whether so many groups are there, and have settled everything they read.
    pub(crate) fn idle(&self, groups: usize) -> bool {
        let state = self.lock();
        let there = state.groups.values().filter(|group| !group.reads.is_empty()).count();
        there == groups
            && state.groups.values().all(|group| {
                let read =
                    state.records.iter().filter(|((topic, _), _)| group.reads.contains(topic));
                let mut waiting = read.map(|(lane, records)| {
                    records.len() as i64 - group.committed.get(lane).copied().unwrap_or(0)
                });
                waiting.all(|waiting| waiting == 0)
            })
    }

    /// What is not settled, for a report.
    pub(crate) fn waiting(&self) -> String {
        let state = self.lock();
        let mut waiting = Vec::new();
        for (name, group) in &state.groups {
            for (lane, records) in &state.records {
                let next = group.committed.get(lane).copied().unwrap_or(0);
                if group.reads.contains(&lane.0) && next < records.len() as i64 {
                    waiting.push(format!("{name} at {}[{}]@{next}", lane.0, lane.1));
                }
            }
        }
        waiting.join(", ")
    }

    /// Offsets and outputs at once, if the member is still the one the records were given to.
    pub(crate) fn transact(
        &self,
        name: &'static str,
        member: u64,
        epoch: u64,
        settled: &[Settled],
        by: &Process,
    ) -> bool {
        if self.fenced(name, member, epoch) {
            return false;
        }
        self.write(name, settled, by);
        self.move_on(name, settled, by);
        true
    }

    pub(crate) fn fenced(&self, name: &str, member: u64, epoch: u64) -> bool {
        let state = self.lock();
        let Some(group) = state.groups.get(name) else { return true };
        let known = group.members.iter().any(|(id, _)| *id == member);
        match self.bug {
            Some(Bug::Unfenced) => false,
            Some(Bug::GenerationAtCommit) => !known,
            _ => !known || group.generation != epoch,
        }
    }

    /// The first half of a transaction.
    pub(crate) fn write(&self, name: &'static str, settled: &[Settled], by: &Process) {
        let mut state = self.lock();
        for Settled { done, outputs } in settled {
            for (index, output) in outputs.iter().enumerate() {
                let written = self.append(&mut state, output.clone());
                self.ledger.wrote(name, done, state.record(done), index, &written, by);
            }
        }
    }

    /// The second half of a transaction.
    pub(crate) fn move_on(&self, name: &'static str, settled: &[Settled], by: &Process) {
        let mut state = self.lock();
        let State { records, groups, .. } = &mut *state;
        let group = groups.entry(name).or_default();
        for Settled { done, outputs } in settled {
            let dead = outputs.iter().any(|output| output.topic.starts_with("reelmill.dead."));
            if self.bug == Some(Bug::DeadLetterWithoutOffset) && dead {
                continue;
            }
            let lane = (done.topic.clone(), done.partition);
            let offset = usize::try_from(done.offset).unwrap();
            let record = records.get(&lane).and_then(|records| records.get(offset));
            self.ledger.settled(name, done, record, outputs, by);
            group.committed.insert(lane, done.offset + 1);
        }
    }
}

impl Group {
    fn regroup(&mut self) {
        self.generation += 1;
        self.news.notify_waiters();
    }

    /// Whether a member hears of its group, and is a part of it. One that had been left out joins
    /// again as soon as it hears.
    pub(crate) fn hears(&mut self, member: u64, process: usize, now: i64) -> bool {
        match self.deaf.get(&member) {
            Some(until) if *until > now => return false,
            Some(_) => {
                self.deaf.remove(&member);
                self.members.push((member, process));
                self.regroup();
            }
            None => {}
        }
        true
    }

    /// The partitions of a member, and where to go on in each.
    pub(crate) fn assignment(&self, member: u64, partitions: i32) -> BTreeMap<Lane, i64> {
        let Some(place) = self.members.iter().position(|(id, _)| *id == member) else {
            return BTreeMap::new();
        };
        let all = self.reads.iter().flat_map(|t| (0..partitions).map(move |p| (t.clone(), p)));
        // Who gets what changes with the generation, so that partitions move.
        let turn = usize::try_from(self.generation).unwrap_or(0);
        all.enumerate()
            .filter(|(n, _)| (n + turn) % self.members.len() == place)
            .map(|(_, lane)| {
                let next = self.committed.get(&lane).copied().unwrap_or(0);
                (lane, next)
            })
            .collect()
    }
}

impl State {
    pub(crate) fn record(&self, at: &Position) -> Option<&Record> {
        let records = self.records.get(&(at.topic.clone(), at.partition))?;
        records.get(usize::try_from(at.offset).ok()?)
    }
}

/// A position as `topic[partition]@offset`.
pub(crate) fn place(position: &Option<Position>) -> String {
    position.as_ref().map(spot).unwrap_or_default()
}

pub(crate) fn spot(at: &Position) -> String {
    format!("{}[{}]@{}", at.topic, at.partition, at.offset)
}
