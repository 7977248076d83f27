//! Which faults come, and when: drawn from the seed alone, so that a seed names a schedule.

use std::{fmt, ops::RangeInclusive, time::Duration};

/// What is hit. Faults of one target follow each other; those of different targets overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Target {
    Processes,
    Kafka,
    Store,
    Index,
    Database,
    Registry,
    Eyes,
}

impl Target {
    pub(crate) const ALL: [Self; 7] = [
        Self::Processes,
        Self::Kafka,
        Self::Store,
        Self::Index,
        Self::Database,
        Self::Registry,
        Self::Eyes,
    ];
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Processes => "a process",
            Self::Kafka => "Kafka",
            Self::Store => "the store",
            Self::Index => "OpenSearch",
            Self::Database => "PostgreSQL",
            Self::Registry => "the registry",
            Self::Eyes => "the detector",
        })
    }
}

/// What is done to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Blow {
    /// kill -9; it stays away for the fault's time.
    Kill,
    /// SIGTERM; it stays away for the fault's time.
    Stop,
    /// SIGSTOP, and SIGCONT after the fault's time.
    Freeze,
    /// These answer all or some of the requests wrongly for the fault's time.
    Busy,
    Failing,
    Hangs,
    CutBefore,
    CutRequest,
    CutAnswer,
}

impl fmt::Display for Blow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "kill -9",
            Self::Stop => "SIGTERM",
            Self::Freeze => "SIGSTOP",
            Self::Busy => "answers 503",
            Self::Failing => "answers 500",
            Self::Hangs => "hangs",
            Self::CutBefore => "cuts connections",
            Self::CutRequest => "cuts requests",
            Self::CutAnswer => "does it and cuts the answer",
        })
    }
}

/// One fault of a target, some time after the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Planned {
    pub(crate) after: Duration,
    pub(crate) blow: Blow,
    pub(crate) lasts: Duration,
    /// Of a hundred requests so many are hit.
    pub(crate) percent: usize,
    /// Which of several processes.
    pub(crate) which: usize,
}

/// The faults of one target, without end.
#[derive(Debug, Clone)]
pub(crate) struct Lane {
    target: Target,
    pause_ms: RangeInclusive<u64>,
    chance: fastrand::Rng,
}

impl Lane {
    /// `pause_ms` lies between the end of a fault and the next.
    pub(crate) fn new(seed: u64, target: Target, pause_ms: RangeInclusive<u64>) -> Self {
        let number = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (target as u64 + 1);
        Self { target, pause_ms, chance: fastrand::Rng::with_seed(number) }
    }

    fn one_of(&mut self, weighed: &[(usize, Blow)]) -> Blow {
        let mut at = self.chance.usize(0..weighed.iter().map(|(weight, _)| weight).sum());
        for (weight, blow) in weighed {
            match at.checked_sub(*weight) {
                Some(rest) => at = rest,
                None => return *blow,
            }
        }
        weighed[0].1
    }
}

impl Iterator for Lane {
    type Item = Planned;

    fn next(&mut self) -> Option<Planned> {
        use Blow::{Busy, CutAnswer, CutBefore, CutRequest, Failing, Freeze, Hangs, Kill, Stop};
        let after = Duration::from_millis(self.chance.u64(self.pause_ms.clone()));
        let http =
            [(3, Busy), (2, Failing), (2, Hangs), (2, CutBefore), (1, CutRequest), (3, CutAnswer)];
        let blow = match self.target {
            Target::Processes => self.one_of(&[(13, Kill), (4, Freeze), (3, Stop)]),
            Target::Kafka | Target::Database => self.one_of(&[(2, Kill), (1, Stop)]),
            Target::Store | Target::Index | Target::Registry | Target::Eyes => self.one_of(&http),
        };
        let lasts_ms = match (self.target, blow) {
            // Members are thrown out of their groups after ten seconds of silence.
            (_, Freeze) => self.chance.u64(2_000..22_000),
            (Target::Processes, _) => self.chance.u64(0..1_500),
            (Target::Kafka, _) => self.chance.u64(0..8_000),
            (Target::Database, _) => self.chance.u64(0..4_000),
            _ => self.chance.u64(500..6_000),
        };
        let percent = [100, 100, 50, 20][self.chance.usize(0..4)];
        let which = self.chance.usize(0..1_000);
        Some(Planned { after, blow, lasts: Duration::from_millis(lasts_ms), percent, which })
    }
}

#[test]
fn a_seed_names_a_schedule() {
    let planned = |seed| -> Vec<_> {
        Target::ALL.iter().flat_map(|t| Lane::new(seed, *t, 1..=9).take(50)).collect()
    };
    assert_eq!(planned(7), planned(7));
    assert_ne!(planned(7), planned(8));
}
