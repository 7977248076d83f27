//! What a world is made of, drawn from its seed before anything happens.

use crate::timeline::Timeline;
use engine::Policy;
use std::time::Duration;

/// How bad the world is, and until when. Frequencies are per mille of the calls.
#[derive(Debug, Clone)]
pub(crate) struct Weather {
    /// From then on nothing fails, ms since the world began.
    pub(crate) until: i64,
    /// The longest an ordinary call takes, ms.
    pub(crate) call_ms: i64,
    /// The longest an effect takes, ms.
    pub(crate) effect_ms: i64,
    /// A call to the store fails, undone or done.
    pub(crate) store: i64,
    /// A call to the registry fails.
    pub(crate) registry: i64,
    /// A poll fails.
    pub(crate) poll: i64,
    /// A transaction is aborted.
    pub(crate) abort: i64,
    /// A transaction is committed, and the member hears that it was not.
    pub(crate) unknown: i64,
    /// An effect panics.
    pub(crate) panic: i64,
}

/// What is special about a video.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Ordinary,
    /// The same record twice, with the same id.
    Doubled,
    /// The source is no video.
    Corrupt,
    /// There is no source.
    Missing,
    /// The event's bytes are no event.
    Malformed,
    /// Uploaded again to be worked on again: another run.
    Replayed,
    /// Deleted at some moment.
    Deleted,
}

#[derive(Debug, Clone)]
pub(crate) struct Video {
    pub(crate) name: String,
    pub(crate) clips: u32,
    pub(crate) kind: Kind,
    /// When its event is published, and the second one, ms since the world began.
    pub(crate) at: i64,
    pub(crate) again_at: i64,
}

/// Something that happens to a process or to a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Ends at once, with whatever it was doing.
    Crash(usize),
    /// Is asked to stop, and is started again.
    Stop(usize),
    /// Nothing of it goes on for so long; its partitions may be given away meanwhile.
    Freeze { process: usize, ms: i64, evicted: bool },
    /// Loses its place in a group and does not hear of it for so long.
    Deaf { process: usize, group: usize, ms: i64 },
    /// Everybody in the group gets partitions anew.
    Rebalance(usize),
    /// Its clock jumps to so far from true time.
    Skew { process: usize, ms: i64 },
}

/// All that is known of a world before it begins.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) weather: Weather,
    pub(crate) videos: Vec<Video>,
    pub(crate) processes: usize,
    pub(crate) partitions: i32,
    pub(crate) concurrency: usize,
    pub(crate) policy: Policy,
    /// In order of time.
    pub(crate) faults: Vec<(i64, Fault)>,
}

impl Plan {
    pub(crate) fn draw(chance: &Timeline, groups: usize) -> Self {
        let processes = *pick(chance, &[1, 2, 2, 2, 3]);
        let until = *pick(chance, &[20_000, 60_000, 120_000]);
        let foul = |most: i64| if chance.chance(500) { chance.draw(0..=most) } else { 0 };
        let weather = Weather {
            until,
            call_ms: *pick(chance, &[5, 50, 400, 2_000]),
            effect_ms: *pick(chance, &[50, 2_000, 20_000]),
            store: if chance.chance(50) { 400 } else { foul(60) },
            registry: foul(20),
            poll: foul(40),
            abort: foul(150),
            unknown: foul(150),
            panic: if chance.chance(100) { 30 } else { 0 },
        };
        let videos = (0..chance.draw(1..=3)).map(|n| video(chance, n, until)).collect();
        let mut faults: Vec<_> = (0..chance.draw(0..=8))
            .map(|_| (chance.draw(0..=until), fault(chance, processes, groups)))
            .collect();
        faults.sort_by_key(|(at, _)| *at);
        // Clocks are set right in the end.
        faults.extend((0..processes).map(|process| (until, Fault::Skew { process, ms: 0 })));
        let policy = Policy {
            tries: *pick(chance, &[1, 2, 3]),
            attempts: *pick(chance, &[1, 3, 8, 8]),
            fuse: *pick(chance, &[2, 5]),
            first_delay: Duration::from_millis(*pick(chance, &[500, 5_000])),
            longest_delay: Duration::from_secs(*pick(chance, &[20, 300])),
            // Longer than any fault, and than the retries of what a sweep waits for.
            outage: Duration::from_secs(3_600),
            ..Policy::default()
        };
        Self {
            weather,
            videos,
            processes,
            partitions: *pick(chance, &[1, 2, 3]),
            concurrency: *pick(chance, &[1, 2, 4]),
            policy,
            faults,
        }
    }
}

fn video(chance: &Timeline, number: i64, until: i64) -> Video {
    let kind = match chance.draw(0..=99) {
        0..=59 => Kind::Ordinary,
        60..=71 => Kind::Doubled,
        72..=76 => Kind::Corrupt,
        77..=79 => Kind::Missing,
        80..=83 => Kind::Malformed,
        84..=91 => Kind::Replayed,
        _ => Kind::Deleted,
    };
    let at = chance.draw(0..=until / 2);
    Video {
        name: format!("v{number}"),
        clips: u32::try_from(chance.draw(1..=4)).unwrap(),
        kind,
        at,
        again_at: at + chance.draw(0..=until),
    }
}

fn fault(chance: &Timeline, processes: usize, groups: usize) -> Fault {
    let process = chance.index(processes);
    let group = chance.index(groups);
    match chance.draw(0..=99) {
        0..=24 => Fault::Crash(process),
        25..=39 => Fault::Stop(process),
        40..=54 => {
            Fault::Freeze { process, ms: chance.draw(100..=40_000), evicted: chance.chance(700) }
        }
        55..=74 => Fault::Deaf { process, group, ms: chance.draw(100..=30_000) },
        75..=89 => Fault::Rebalance(group),
        _ => Fault::Skew { process, ms: chance.draw(-60_000..=60_000) },
    }
}

fn pick<'a, T>(chance: &Timeline, from: &'a [T]) -> &'a T {
    &from[chance.index(from.len())]
}
