//! The mill in a simulated world: the real engine and the real processors over ports in memory,
//! with time and chance in one hand. Whatever can go wrong does, in every order that a seed draws,
//! and afterwards every event and every run is judged.
//!
//! `REELMILL_SEED=7 cargo test -p processors --test simulation` lives one world through and
//! prints its whole course.

#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a world has state and tests have time; only this crate's processors have neither"
)]
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod broker;
mod bugs;
mod counting;
mod ledger;
mod log;
mod mill;
mod plan;
mod process;
mod store;
mod studio;
mod table;
mod timeline;
mod verdicts;
mod world;

use bugs::{BUGS, Bug};
use ledger::Broken;
use std::{
    collections::BTreeMap,
    env,
    sync::{
        Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};
use timeline::Trace;
use world::{Story, live};

const WORLDS: u64 = 10_000;

fn workers() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Lives worlds on all cores; the stories that broke a rule, in order of their seeds.
fn live_all(seeds: u64, each: impl Fn(u64, &Story) + Sync) -> Vec<(u64, Story)> {
    let next = AtomicU64::new(0);
    let broken = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..workers() {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds {
                        return;
                    }
                    let story = live(seed, None, Trace::Nothing);
                    each(seed, &story);
                    if story.broken.is_some() {
                        broken.lock().unwrap().push((seed, story));
                    }
                }
            });
        }
    });
    let mut broken = broken.into_inner().unwrap();
    broken.sort_by_key(|(seed, _)| *seed);
    broken
}

/// The whole course of one world.
fn tell(seed: u64) -> String {
    let story = live(seed, None, Trace::Lines(Vec::new()));
    let Trace::Lines(lines) = story.trace else { unreachable!() };
    format!("{}\nseed {seed}: {:?}", lines.join("\n"), story.broken)
}

#[test]
fn ten_thousand_worlds_keep_every_rule() {
    if let Some(seed) = env::var("REELMILL_SEED").ok().and_then(|seed| seed.parse().ok()) {
        let story = live(seed, None, Trace::Lines(Vec::new()));
        println!("{}", tell(seed));
        assert_eq!(story.broken, None, "seed {seed}");
        return;
    }
    let worlds = env::var("REELMILL_WORLDS").ok().and_then(|n| n.parse().ok()).unwrap_or(WORLDS);
    let started = Instant::now();
    let (settled, lives, lasted) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let broken = live_all(worlds, |_, story| {
        settled.fetch_add(story.settled, Ordering::Relaxed);
        lives.fetch_add(u64::from(story.lives), Ordering::Relaxed);
        lasted.fetch_add(story.lasted.unsigned_abs() / 1000, Ordering::Relaxed);
    });
    println!(
        "{worlds} worlds in {:.1} s: {} events settled in {} lives of processes over {} simulated \
         hours; {} worlds broke a rule",
        started.elapsed().as_secs_f64(),
        settled.into_inner(),
        lives.into_inner(),
        lasted.into_inner() / 3_600,
        broken.len(),
    );
    for (seed, story) in broken.iter().take(40) {
        println!("seed {seed}: {:?}", story.broken);
    }
    if let Some((seed, story)) = broken.first() {
        panic!(
            "{}\nseed {seed}: {:?}\nREELMILL_SEED={seed} cargo test -p processors --test \
             simulation ten_thousand -- --nocapture lives it again",
            tell(*seed),
            story.broken
        );
    }
}

/// A planted bug is found within so many worlds.
const FOUND_WITHIN: u64 = 1_000;

/// The first world that a bug breaks.
fn find(bug: Bug) -> Option<(u64, Broken)> {
    (0..FOUND_WITHIN).find_map(|seed| Some((seed, live(seed, Some(bug), Trace::Nothing).broken?)))
}

#[test]
fn every_planted_bug_is_found() {
    let next = AtomicUsize::new(0);
    let found = Mutex::new(BTreeMap::new());
    thread::scope(|scope| {
        for _ in 0..workers() {
            scope.spawn(|| {
                while let Some((bug, _)) = BUGS.get(next.fetch_add(1, Ordering::Relaxed)) {
                    found.lock().unwrap().insert(format!("{bug:?}"), find(*bug));
                }
            });
        }
    });
    let found = found.into_inner().unwrap();
    let of = |bug: &Bug| found[&format!("{bug:?}")].clone();
    let missed: Vec<_> = BUGS.iter().filter(|(bug, _)| of(bug).is_none()).collect();
    for (bug, what) in BUGS {
        println!("{what}: {:?}", of(bug));
    }
    assert!(missed.is_empty(), "not found within {FOUND_WITHIN} worlds: {missed:?}");
    let rows = BUGS.iter().map(|(bug, what)| {
        let (seed, Broken { rule, .. }) = of(bug).unwrap();
        (*what, rule, seed)
    });
    table::check(WORLDS, FOUND_WITHIN, &rows.collect::<Vec<_>>());
}

#[test]
fn the_same_seed_is_the_same_course_of_events() {
    for seed in 0..40 {
        let first = live(seed, None, Trace::hash()).trace;
        assert_eq!(first, live(seed, None, Trace::hash()).trace, "seed {seed}");
        assert_ne!(first, live(seed + 1, None, Trace::hash()).trace, "seed {seed}");
    }
}
