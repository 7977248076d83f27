//! What is in hand, per partition: records finish in any order, and leave in theirs.

use ports::Position;
use std::collections::{BTreeMap, VecDeque};

/// The records in hand. A lane is a partition; its settled prefix is what may be committed.
#[derive(Debug)]
pub(crate) struct Lanes<R, S> {
    lanes: BTreeMap<(String, i32), VecDeque<Slot<R, S>>>,
    arrivals: u64,
}

#[derive(Debug)]
struct Slot<R, S> {
    position: Position,
    /// Orders starts across lanes.
    arrival: u64,
    state: State<R, S>,
}

#[derive(Debug)]
enum State<R, S> {
    Waiting { record: R, not_before_ms: i64 },
    Running,
    Settled(S),
}

impl<R, S> Lanes<R, S> {
    pub(crate) fn new() -> Self {
        Self { lanes: BTreeMap::new(), arrivals: 0 }
    }

    /// Records of a partition come in the order of their offsets.
    pub(crate) fn push(&mut self, position: Position, record: R, not_before_ms: i64) {
        let lane = self.lanes.entry((position.topic.clone(), position.partition)).or_default();
        let state = State::Waiting { record, not_before_ms };
        lane.push_back(Slot { position, arrival: self.arrivals, state });
        self.arrivals += 1;
    }

    /// The record waiting longest of those whose time has come; it counts as running from now on.
    pub(crate) fn start_next(&mut self, now_ms: i64) -> Option<(Position, R)> {
        let slot = self
            .lanes
            .values_mut()
            .flatten()
            .filter(|slot| slot.due().is_some_and(|due| due <= now_ms))
            .min_by_key(|slot| slot.arrival)?;
        match std::mem::replace(&mut slot.state, State::Running) {
            State::Waiting { record, .. } => Some((slot.position.clone(), record)),
            State::Running | State::Settled(_) => None,
        }
    }

    /// When the next waiting record's time comes, ms since 1970.
    pub(crate) fn next_due(&self) -> Option<i64> {
        self.lanes.values().flatten().filter_map(Slot::due).min()
    }

    /// A running record has its verdict.
    pub(crate) fn settle(&mut self, position: &Position, settled: S) {
        let lane = self.lanes.get_mut(&(position.topic.clone(), position.partition));
        let slot = lane.into_iter().flatten().find(|slot| slot.position == *position);
        if let Some(slot) = slot {
            slot.state = State::Settled(settled);
        }
    }

    /// Lets what is settled pass by what only waits for its time: turns each such record with a
    /// settled one behind it into a settled one.
    pub(crate) fn overtake(&mut self, now_ms: i64, postpone: impl Fn(R) -> S) {
        for lane in self.lanes.values_mut() {
            let passable = lane.iter().take_while(|slot| slot.may_be_overtaken(now_ms)).count();
            let settled = |slot: &Slot<R, S>| matches!(slot.state, State::Settled(_));
            let Some(last) = lane.iter().take(passable).rposition(settled) else { continue };
            for slot in lane.iter_mut().take(last) {
                slot.state = match std::mem::replace(&mut slot.state, State::Running) {
                    State::Waiting { record, .. } => State::Settled(postpone(record)),
                    other => other,
                };
            }
        }
    }

    /// Takes out of every lane what is settled up to the first record that is not.
    pub(crate) fn take_heads(&mut self) -> Vec<(Position, S)> {
        let mut heads = Vec::new();
        for lane in self.lanes.values_mut() {
            while let Some(slot) = lane.pop_front() {
                match slot.state {
                    State::Settled(settled) => heads.push((slot.position, settled)),
                    state => {
                        lane.push_front(Slot { state, ..slot });
                        break;
                    }
                }
            }
        }
        heads
    }

    /// The lanes with at least `window` records in hand.
    pub(crate) fn full(&self, window: usize) -> Vec<(String, i32)> {
        let full = self.lanes.iter().filter(|(_, lane)| lane.len() >= window);
        full.map(|(name, _)| name.clone()).collect()
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

    fn due(&self) -> Option<i64> {
        match self.state {
            State::Waiting { not_before_ms, .. } => Some(not_before_ms),
            State::Running | State::Settled(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(partition: i32, offset: i64) -> Position {
        Position { topic: "t".to_owned(), partition, offset }
    }

    fn offsets(heads: &[(Position, ())]) -> Vec<(i32, i64)> {
        heads.iter().map(|(p, ())| (p.partition, p.offset)).collect()
    }

    #[test]
    fn only_the_contiguous_settled_prefix_leaves() {
        let mut lanes = Lanes::new();
        for offset in 0..4 {
            lanes.push(at(0, offset), offset, 0);
            assert!(lanes.start_next(0).is_some());
        }
        lanes.settle(&at(0, 1), ());
        lanes.settle(&at(0, 3), ());
        assert!(lanes.take_heads().is_empty());
        lanes.settle(&at(0, 0), ());
        assert_eq!(offsets(&lanes.take_heads()), [(0, 0), (0, 1)]);
        lanes.settle(&at(0, 2), ());
        assert_eq!(offsets(&lanes.take_heads()), [(0, 2), (0, 3)]);
    }

    #[test]
    fn a_record_whose_time_has_not_come_lets_others_go_first() {
        let mut lanes: Lanes<_, ()> = Lanes::new();
        lanes.push(at(0, 0), "later", 100);
        lanes.push(at(1, 0), "now", 0);
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
            lanes.push(at(0, i64::try_from(offset).unwrap()), due, due);
        }
        assert!(lanes.start_next(0).is_some() && lanes.start_next(0).is_some());
        lanes.settle(&at(0, 3), "done");
        lanes.overtake(0, |_| "postponed");
        assert!(lanes.take_heads().is_empty(), "offset 1 still runs");
        lanes.settle(&at(0, 1), "done");
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
        lanes.push(at(2, 0), 'a', 0);
        lanes.push(at(0, 0), 'b', 0);
        lanes.push(at(2, 1), 'c', 0);
        let started: String = std::iter::from_fn(|| lanes.start_next(0)).map(|(_, r)| r).collect();
        assert_eq!(started, "abc");
        assert_eq!(lanes.full(2), [("t".to_owned(), 2)]);
    }
}
