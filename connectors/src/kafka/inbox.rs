//! What the reader's thread has read and the log has not handed out yet.

use ports::{Record, Trouble};
use rdkafka::consumer::ConsumerGroupMetadata;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::Notify;

/// A partition with so many unread records is paused, ...
const HIGH: usize = 4096;
/// ... or with records so large, ...
const HIGH_BYTES: usize = 4 << 20;
/// ... and read on once it has so few. They are work for the time the fetch under way may take.
const LOW: usize = 2048;

/// A topic and a partition.
pub(super) type Lane = (String, i32);

/// Shared by the reader's thread, which fills it, and the log, which empties it.
pub(super) struct Inbox {
    state: Mutex<State>,
    /// Rung when there is something to take.
    news: Notify,
    /// Rung when something was taken.
    room: Condvar,
    /// Gives every assignment of a log its number, over all its sessions.
    epochs: Arc<AtomicU64>,
}

struct State {
    /// The assignment the records were read under.
    epoch: u64,
    /// The consumer's place in its group when the assignment came: hands out of it what a later
    /// generation would wrongly vouch for.
    member: Option<Arc<ConsumerGroupMetadata>>,
    lanes: BTreeMap<Lane, Unread>,
    failure: Option<Trouble>,
}

/// What is left of a partition.
#[derive(Default)]
struct Unread {
    records: VecDeque<Record>,
    bytes: usize,
}

impl Unread {
    fn push(&mut self, record: Record) {
        self.bytes += record.bytes();
        self.records.push_back(record);
    }

    fn pop(&mut self) -> Option<Record> {
        let record = self.records.pop_front()?;
        self.bytes -= record.bytes();
        Some(record)
    }

    fn is_full(&self) -> bool {
        self.records.len() >= HIGH || self.bytes >= HIGH_BYTES
    }

    fn is_low(&self) -> bool {
        self.records.len() <= LOW && self.bytes <= HIGH_BYTES / 2
    }
}

/// What the inbox has for the log.
pub(super) enum Taken {
    /// The assignment changed.
    Epoch(u64),
    Records(Vec<Record>),
    /// The reader has ended.
    Failure(Trouble),
    Nothing,
}

impl Inbox {
    pub(super) fn new(epochs: Arc<AtomicU64>) -> Self {
        let epoch = epochs.fetch_add(1, Ordering::SeqCst) + 1;
        let state = State { epoch, member: None, lanes: BTreeMap::new(), failure: None };
        Self { state: Mutex::new(state), news: Notify::new(), room: Condvar::new(), epochs }
    }

    /// A new assignment, or none: what was read under the old one is forgotten.
    pub(super) fn reassigned(&self, member: Option<ConsumerGroupMetadata>) {
        let mut state = self.lock();
        state.epoch = self.epochs.fetch_add(1, Ordering::SeqCst) + 1;
        state.member = member.map(Arc::new);
        state.lanes.clear();
        drop(state);
        self.news.notify_one();
    }

    /// Records of any partitions, each partition's in their order.
    pub(super) fn push(&self, records: Vec<Record>) {
        let mut state = self.lock();
        let mut records = records.into_iter().peekable();
        while let Some(record) = records.next() {
            let Some(position) = &record.position else { continue };
            let lane = (position.topic.clone(), position.partition);
            let unread = state.lanes.entry(lane.clone()).or_default();
            unread.push(record);
            let is_next = |record: &Record| {
                record
                    .position
                    .as_ref()
                    .is_some_and(|at| at.partition == lane.1 && at.topic == lane.0)
            };
            while let Some(record) = records.next_if(is_next) {
                unread.push(record);
            }
        }
        drop(state);
        self.news.notify_one();
    }

    pub(super) fn fail(&self, trouble: Trouble) {
        self.lock().failure = Some(trouble);
        self.news.notify_one();
    }

    /// The epoch, and which of its partitions to pause and which to read on, given the paused.
    pub(super) fn pressure(&self, paused: &BTreeSet<Lane>) -> (u64, Vec<Lane>, Vec<Lane>) {
        let state = self.lock();
        let full = state.lanes.iter().filter(|(lane, r)| r.is_full() && !paused.contains(*lane));
        let pause = full.map(|(lane, _)| lane.clone()).collect();
        let is_low = |lane: &&Lane| state.lanes.get(*lane).is_none_or(Unread::is_low);
        let resume = paused.iter().filter(is_low).cloned().collect();
        (state.epoch, pause, resume)
    }

    /// Takes up to `want` records, evenly from all partitions but the held ones. What the log
    /// must know first comes first.
    pub(super) fn take(&self, known_epoch: u64, want: usize, held: &BTreeSet<Lane>) -> Taken {
        let mut state = self.lock();
        if let Some(failure) = &state.failure {
            return Taken::Failure(failure.clone());
        }
        if state.epoch != known_epoch {
            return Taken::Epoch(state.epoch);
        }
        let mut records = Vec::new();
        let mut lanes: Vec<_> =
            state.lanes.iter_mut().filter(|(lane, _)| !held.contains(*lane)).collect();
        while records.len() < want && !lanes.is_empty() {
            lanes.retain_mut(|(_, unread)| {
                if records.len() == want {
                    return true;
                }
                let next = unread.pop();
                records.extend(next);
                !unread.records.is_empty()
            });
        }
        drop(state);
        self.room.notify_one();
        if records.is_empty() { Taken::Nothing } else { Taken::Records(records) }
    }

    pub(super) fn epoch(&self) -> u64 {
        self.lock().epoch
    }

    /// The consumer's place in its group, if `epoch` is still the assignment.
    pub(super) fn member(&self, epoch: u64) -> Option<Arc<ConsumerGroupMetadata>> {
        let state = self.lock();
        state.member.clone().filter(|_| state.epoch == epoch)
    }

    /// Waits until there may be something to take, or for `at_most`.
    pub(super) async fn wait(&self, at_most: Duration) {
        // Either way it is time to look.
        drop(tokio::time::timeout(at_most, self.news.notified()).await);
    }

    /// Waits until no partition is full but paused ones, at most so long. Blocks.
    pub(super) fn wait_for_room(&self, paused: &BTreeSet<Lane>, at_most: Duration) {
        let is_full = |state: &mut State| {
            state.lanes.iter().any(|(lane, unread)| unread.is_full() && !paused.contains(lane))
        };
        drop(self.room.wait_timeout_while(self.lock(), at_most, is_full));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        let unread: usize = state.lanes.values().map(|unread| unread.records.len()).sum();
        f.debug_struct("Inbox").field("epoch", &state.epoch).field("unread", &unread).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ports::{Headers, Position};

    fn record(partition: i32, offset: i64) -> Record {
        Record {
            topic: "t".to_owned(),
            key: None,
            value: None,
            headers: Headers::default(),
            timestamp_ms: None,
            position: Some(Position { topic: "t".to_owned(), partition, offset }),
        }
    }

    fn inbox(partitions: &[(i32, i64)]) -> Inbox {
        let inbox = Inbox::new(Arc::default());
        for (partition, records) in partitions {
            inbox.push((0..*records).map(|offset| record(*partition, offset)).collect());
        }
        inbox
    }

    fn taken(taken: Taken) -> Vec<(i32, i64)> {
        let Taken::Records(records) = taken else { return Vec::new() };
        let positions = records.into_iter().map(|r| r.position.unwrap());
        positions.map(|p| (p.partition, p.offset)).collect()
    }

    #[test]
    fn records_are_taken_evenly_and_in_their_partitions_order() {
        let inbox = inbox(&[(0, 3), (1, 1)]);
        let none = BTreeSet::new();
        assert_eq!(taken(inbox.take(1, 3, &none)), [(0, 0), (1, 0), (0, 1)]);
        assert_eq!(taken(inbox.take(1, 3, &none)), [(0, 2)]);
        assert!(matches!(inbox.take(1, 3, &none), Taken::Nothing));
    }

    #[test]
    fn held_partitions_keep_their_records() {
        let inbox = inbox(&[(0, 2), (1, 2)]);
        let held = BTreeSet::from([("t".to_owned(), 0)]);
        assert_eq!(taken(inbox.take(1, 9, &held)), [(1, 0), (1, 1)]);
        assert_eq!(taken(inbox.take(1, 9, &BTreeSet::new())), [(0, 0), (0, 1)]);
    }

    #[test]
    fn a_full_partition_is_paused_until_it_is_nearly_empty() {
        let (full, nearly_empty) = (i64::try_from(HIGH).unwrap(), i64::try_from(LOW).unwrap());
        let lane = |n| ("t".to_owned(), n);
        let inbox = inbox(&[(0, full), (1, full - 1), (2, nearly_empty), (3, nearly_empty + 1)]);
        let paused = BTreeSet::from([lane(2), lane(3), lane(4)]);
        assert_eq!(inbox.pressure(&paused), (1, vec![lane(0)], vec![lane(2), lane(4)]));
    }

    #[test]
    fn large_records_fill_a_partition_sooner() {
        let inbox = Inbox::new(Arc::default());
        let large = |offset| Record { value: Some(vec![0; 1 << 20].into()), ..record(0, offset) };
        let none = BTreeSet::new();
        (0..3).for_each(|offset| inbox.push(vec![large(offset)]));
        assert_eq!(inbox.pressure(&none), (1, vec![], vec![]));
        inbox.push(vec![large(3)]);
        let paused = BTreeSet::from([("t".to_owned(), 0)]);
        assert_eq!(inbox.pressure(&none).1, [("t".to_owned(), 0)]);
        assert_eq!(inbox.pressure(&paused).2, []);
        assert_eq!(taken(inbox.take(1, 2, &none)), [(0, 0), (0, 1)]);
        assert_eq!(inbox.pressure(&paused).2, [("t".to_owned(), 0)]);
    }

    #[test]
    fn a_reader_waits_for_room_and_no_longer_than_told() {
        let inbox = Arc::new(inbox(&[(0, HIGH as i64)]));
        let (none, since) = (BTreeSet::new(), std::time::Instant::now());
        inbox.wait_for_room(&none, Duration::from_millis(20));
        assert!(since.elapsed() >= Duration::from_millis(20));
        inbox.wait_for_room(&BTreeSet::from([("t".to_owned(), 0)]), Duration::from_secs(60));
        let taker = inbox.clone();
        let taking = std::thread::spawn(move || taken(taker.take(1, 1, &BTreeSet::new())));
        inbox.wait_for_room(&none, Duration::from_secs(60));
        assert_eq!(taking.join().unwrap(), [(0, 0)]);
        assert!(since.elapsed() < Duration::from_secs(60));
    }

    #[test]
    fn a_new_assignment_forgets_what_was_read_and_comes_first() {
        let inbox = inbox(&[(0, 2)]);
        inbox.reassigned(None);
        inbox.push(vec![record(0, 7)]);
        assert!(matches!(inbox.take(1, 9, &BTreeSet::new()), Taken::Epoch(2)));
        assert_eq!(taken(inbox.take(2, 9, &BTreeSet::new())), [(0, 7)]);
        assert!(inbox.member(1).is_none() && inbox.member(2).is_none());
    }
}
