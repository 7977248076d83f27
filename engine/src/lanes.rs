//! What is in hand, per partition: records finish in any order, and leave in theirs.

use ports::Position;
use std::collections::{BTreeSet, VecDeque};

/// The records in hand. A lane is a partition; its settled prefix is what may be committed.
///
/// Nothing that happens to one record looks at all the others.
#[derive(Debug)]
pub(crate) struct Lanes<R, S> {
    lanes: Vec<Lane<R, S>>,
    arrivals: u64,
    /// Those whose time has come, in their order: arrival, lane and offset.
    ready: VecDeque<(u64, usize, i64)>,
    /// Those that wait for their time, the next first: by it, arrival, lane and offset.
    later: BTreeSet<(i64, u64, usize, i64)>,
}

#[derive(Debug)]
struct Lane<R, S> {
    topic: String,
    partition: i32,
    /// By offset.
    slots: VecDeque<Slot<R, S>>,
    /// Of the records in the slots.
    bytes: usize,
}

#[derive(Debug)]
struct Slot<R, S> {
    offset: i64,
    /// Orders starts across lanes.
    arrival: u64,
    bytes: usize,
    state: State<R, S>,
}

#[derive(Debug)]
enum State<R, S> {
    Waiting { record: R, not_before_ms: i64 },
    Running,
    Settled(S),
}

/// Where a record in hand is. Good until it has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    lane: usize,
    offset: i64,
}

impl<R, S> Lanes<R, S> {
    pub(crate) fn new() -> Self {
        Self { lanes: Vec::new(), arrivals: 0, ready: VecDeque::new(), later: BTreeSet::new() }
    }

    /// Records of a partition come in the order of their offsets. `bytes` is what this one takes.
    pub(crate) fn push(
        &mut self,
        position: &Position,
        record: R,
        bytes: usize,
        not_before_ms: i64,
    ) {
        let is_its = |lane: &Lane<R, S>| {
            lane.partition == position.partition && lane.topic == position.topic
        };
        let lane = self.lanes.iter().position(is_its).unwrap_or_else(|| {
            let (topic, partition) = (position.topic.clone(), position.partition);
            self.lanes.push(Lane { topic, partition, slots: VecDeque::new(), bytes: 0 });
            self.lanes.len() - 1
        });
        let (offset, arrival) = (position.offset, self.arrivals);
        self.arrivals += 1;
        self.wait(lane, offset, arrival, not_before_ms);
        let state = State::Waiting { record, not_before_ms };
        self.lanes[lane].bytes += bytes;
        self.lanes[lane].slots.push_back(Slot { offset, arrival, bytes, state });
    }

    fn wait(&mut self, lane: usize, offset: i64, arrival: u64, not_before_ms: i64) {
        if not_before_ms <= 0 {
            self.line_up((arrival, lane, offset));
        } else {
            self.later.insert((not_before_ms, arrival, lane, offset));
        }
    }

    /// Mostly at the end; what waited or was given back goes where it belongs.
    fn line_up(&mut self, place: (u64, usize, i64)) {
        if self.ready.back().is_none_or(|last| *last < place) {
            self.ready.push_back(place);
        } else {
            let index = self.ready.partition_point(|other| *other < place);
            self.ready.insert(index, place);
        }
    }

    /// The record waiting longest of those whose time has come; it counts as running from now on.
    pub(crate) fn start_next(&mut self, now_ms: i64) -> Option<(Place, R)> {
        while let Some((due, arrival, lane, offset)) = self.later.first().copied() {
            if due > now_ms {
                break;
            }
            self.later.pop_first();
            self.line_up((arrival, lane, offset));
        }
        let (_, lane, offset) = self.ready.pop_front()?;
        let place = Place { lane, offset };
        let slot = self.slot(place)?;
        match std::mem::replace(&mut slot.state, State::Running) {
            State::Waiting { record, .. } => Some((place, record)),
            State::Running | State::Settled(_) => None,
        }
    }

    /// A record that was started after all waits again.
    pub(crate) fn give_back(&mut self, place: Place, record: R) {
        let Some(slot) = self.slot(place) else { return };
        slot.state = State::Waiting { record, not_before_ms: 0 };
        let arrival = slot.arrival;
        self.wait(place.lane, place.offset, arrival, 0);
    }

    /// Whether a record could be started now.
    pub(crate) fn any_ready(&self, now_ms: i64) -> bool {
        self.next_due().is_some_and(|due| due <= now_ms)
    }

    /// When the next waiting record's time comes, ms since 1970.
    pub(crate) fn next_due(&self) -> Option<i64> {
        if !self.ready.is_empty() {
            return Some(0);
        }
        self.later.first().map(|(due, ..)| *due)
    }

    /// A running record has its verdict.
    pub(crate) fn settle(&mut self, place: Place, settled: S) {
        if let Some(slot) = self.slot(place) {
            slot.state = State::Settled(settled);
        }
    }

    fn slot(&mut self, place: Place) -> Option<&mut Slot<R, S>> {
        let slots = &mut self.lanes.get_mut(place.lane)?.slots;
        // Offsets mostly follow one another.
        let guess = usize::try_from(place.offset - slots.front()?.offset).ok()?;
        let index = match slots.get(guess) {
            Some(slot) if slot.offset == place.offset => guess,
            _ => slots.binary_search_by_key(&place.offset, |slot| slot.offset).ok()?,
        };
        slots.get_mut(index)
    }

    /// Lets what is settled pass by what only waits for its time: turns each such record with a
    /// settled one behind it into a settled one.
    pub(crate) fn overtake(&mut self, now_ms: i64, postpone: impl Fn(R) -> S) {
        if self.later.is_empty() {
            return;
        }
        for (number, lane) in self.lanes.iter_mut().enumerate() {
            let slots = &mut lane.slots;
            let passable = slots.iter().take_while(|slot| slot.may_be_overtaken(now_ms)).count();
            let settled = |slot: &Slot<R, S>| matches!(slot.state, State::Settled(_));
            let Some(last) = slots.iter().take(passable).rposition(settled) else { continue };
            for slot in slots.iter_mut().take(last) {
                slot.state = match std::mem::replace(&mut slot.state, State::Running) {
                    State::Waiting { record, not_before_ms } => {
                        self.later.remove(&(not_before_ms, slot.arrival, number, slot.offset));
                        State::Settled(postpone(record))
                    }
                    other => other,
                };
            }
        }
    }

    /// Takes out of every lane what is settled up to the first record that is not.
    pub(crate) fn take_heads(&mut self) -> Vec<(Position, S)> {
        let mut heads = Vec::new();
        for Lane { topic, partition, slots, bytes } in &mut self.lanes {
            while let Some(slot) = slots.pop_front() {
                match slot.state {
                    State::Settled(settled) => {
                        *bytes -= slot.bytes;
                        let (topic, partition, offset) = (topic.clone(), *partition, slot.offset);
                        heads.push((Position { topic, partition, offset }, settled));
                    }
                    state => {
                        slots.push_front(Slot { state, ..slot });
                        break;
                    }
                }
            }
        }
        heads
    }

    /// Whether there is something to commit.
    pub(crate) fn any_settled_head(&self) -> bool {
        let is_settled = |slot: &Slot<R, S>| matches!(slot.state, State::Settled(_));
        self.lanes.iter().any(|lane| lane.slots.front().is_some_and(is_settled))
    }

    /// How many records could be started, those aside that wait for their time.
    pub(crate) fn ready(&self) -> usize {
        self.ready.len()
    }

    /// The lanes with at least so many records in hand, or with at least so many of at least so
    /// many bytes.
    pub(crate) fn full(&self, records: usize, (some, bytes): (usize, usize)) -> Vec<(String, i32)> {
        let full = self.lanes.iter().filter(|lane| {
            let held = lane.slots.len();
            held >= records || (held >= some && lane.bytes >= bytes)
        });
        full.map(|lane| (lane.topic.clone(), lane.partition)).collect()
    }
}

impl<R, S> Slot<R, S> {
    fn may_be_overtaken(&self, now_ms: i64) -> bool {
        match self.state {
            State::Waiting { not_before_ms, .. } => not_before_ms > now_ms,
            State::Running => false,
            State::Settled(_) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(partition: i32, offset: i64) -> Position {
        Position { topic: "t".to_owned(), partition, offset }
    }

    /// Of the first lane.
    fn place(offset: i64) -> Place {
        Place { lane: 0, offset }
    }

    fn offsets(heads: &[(Position, ())]) -> Vec<(i32, i64)> {
        heads.iter().map(|(p, ())| (p.partition, p.offset)).collect()
    }

    #[test]
    fn only_the_contiguous_settled_prefix_leaves() {
        let mut lanes = Lanes::new();
        for offset in 0..4 {
            lanes.push(&at(0, offset), offset, 1, 0);
            assert!(lanes.start_next(0).is_some());
        }
        lanes.settle(place(1), ());
        lanes.settle(place(3), ());
        assert!(lanes.take_heads().is_empty());
        lanes.settle(place(0), ());
        assert_eq!(offsets(&lanes.take_heads()), [(0, 0), (0, 1)]);
        lanes.settle(place(2), ());
        assert_eq!(offsets(&lanes.take_heads()), [(0, 2), (0, 3)]);
    }

    #[test]
    fn a_record_whose_time_has_not_come_lets_others_go_first() {
        let mut lanes: Lanes<_, ()> = Lanes::new();
        lanes.push(&at(0, 0), "later", 1, 100);
        lanes.push(&at(1, 0), "now", 1, 0);
        assert_eq!(lanes.start_next(99).map(|(_, r)| r), Some("now"));
        assert!(lanes.start_next(99).is_none());
        assert_eq!(lanes.next_due(), Some(100));
        assert_eq!(lanes.start_next(100).map(|(_, r)| r), Some("later"));
        assert_eq!(lanes.next_due(), None);
    }

    #[test]
    fn what_is_settled_passes_by_what_waits_but_not_by_what_runs() {
        let mut lanes = Lanes::new();
        // Due at 100, at once, at 200, at once, at 300.
        for (offset, due) in [100, 0, 200, 0, 300].into_iter().enumerate() {
            lanes.push(&at(0, i64::try_from(offset).unwrap()), due, 1, due);
        }
        assert!(lanes.start_next(0).is_some() && lanes.start_next(0).is_some());
        lanes.settle(place(3), "done");
        lanes.overtake(0, |_| "postponed");
        assert!(lanes.take_heads().is_empty(), "offset 1 still runs");
        lanes.settle(place(1), "done");
        lanes.overtake(100, |_| "postponed");
        assert!(lanes.take_heads().is_empty(), "offset 0 is due now");
        lanes.overtake(99, |_| "postponed");
        let heads: Vec<_> = lanes.take_heads().into_iter().map(|(_, state)| state).collect();
        assert_eq!(heads, ["postponed", "done", "postponed", "done"]);
        assert_eq!(lanes.next_due(), Some(300));
    }

    #[test]
    fn lanes_start_in_the_order_of_arrival() {
        let mut lanes: Lanes<_, ()> = Lanes::new();
        lanes.push(&at(2, 0), 'a', 1, 0);
        lanes.push(&at(0, 0), 'b', 1, 0);
        lanes.push(&at(2, 1), 'c', 1, 0);
        let started: String = std::iter::from_fn(|| lanes.start_next(0)).map(|(_, r)| r).collect();
        assert_eq!(started, "abc");
        assert_eq!(lanes.full(2, (2, 0)), [("t".to_owned(), 2)]);
    }

    #[test]
    fn a_lane_is_full_of_records_or_of_bytes() {
        let mut lanes: Lanes<_, ()> = Lanes::new();
        let (small, large) = (("t".to_owned(), 0), ("t".to_owned(), 1));
        (0..4).for_each(|offset| lanes.push(&at(0, offset), (), 1, 0));
        lanes.push(&at(1, 0), (), 100, 0);
        assert!(lanes.full(5, (2, 100)).is_empty());
        lanes.push(&at(1, 1), (), 1, 0);
        assert_eq!(lanes.full(5, (2, 100)), std::slice::from_ref(&large));
        lanes.push(&at(0, 4), (), 1, 0);
        assert_eq!(lanes.full(5, (2, 100)), [small, large]);
        while let Some((place, ())) = lanes.start_next(0) {
            lanes.settle(place, ());
        }
        assert_eq!(lanes.take_heads().len(), 7);
        assert!(lanes.full(1, (0, 1)).is_empty());
    }

    #[test]
    fn what_is_given_back_starts_again_in_its_turn() {
        let mut lanes: Lanes<_, ()> = Lanes::new();
        for (offset, record) in ['a', 'b', 'c'].into_iter().enumerate() {
            lanes.push(&at(0, i64::try_from(offset).unwrap()), record, 1, 0);
        }
        let (first, a) = lanes.start_next(0).unwrap();
        let (_, b) = lanes.start_next(0).unwrap();
        lanes.give_back(first, a);
        assert_eq!(lanes.start_next(0), Some((first, a)));
        assert_eq!((b, lanes.start_next(0).map(|(_, r)| r)), ('b', Some('c')));
        assert!(!lanes.any_ready(0));
    }
}
