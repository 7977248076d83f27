//! The forms of the run.

use crate::{
    planted::every_plant_is_found,
    run::{Form, Report, run},
    schedule::Target,
};
use std::{ops::RangeInclusive, time::Duration};

/// The seed where none is asked for with `REELMILL_SEED`.
const SEED: u64 = 1;
/// SIGTERM with a dead broker is to take 5 s; this machine may be busy with other tests.
const STOPPED_WITHIN: Duration = Duration::from_secs(8);

fn number(variable: &str) -> Option<usize> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}: {text} is no number")))
}

fn often(target: Target) -> RangeInclusive<u64> {
    match target {
        Target::Processes => 300..=2_000,
        Target::Kafka => 12_000..=25_000,
        Target::Database => 5_000..=12_000,
        Target::Registry => 8_000..=16_000,
        Target::Store | Target::Index | Target::Eyes => 4_000..=10_000,
    }
}

fn less_often(target: Target) -> RangeInclusive<u64> {
    match target {
        // A group whose member was killed stands still until its session is over: ten seconds.
        Target::Processes => 4_000..=10_000,
        Target::Kafka => 70_000..=110_000,
        Target::Database => 30_000..=50_000,
        Target::Registry => 40_000..=60_000,
        Target::Store | Target::Index | Target::Eyes => 8_000..=16_000,
    }
}

/// A minute of the test's time; with `REELMILL_LONG` ten minutes, 5,000 events and 200 faults.
/// `REELMILL_CHAOS_EVENTS` and `REELMILL_CHAOS_FAULTS` ask for more, however long it takes.
fn form() -> Form {
    let seed = number("REELMILL_SEED").map_or(SEED, |seed| seed as u64);
    let (events, faults) = (number("REELMILL_CHAOS_EVENTS"), number("REELMILL_CHAOS_FAULTS"));
    let minutes = |n: u64| Duration::from_secs(60 * n);
    if events.is_some() || faults.is_some() {
        let hours = number("REELMILL_CHAOS_HOURS").unwrap_or(6) as u64;
        return Form {
            seed,
            at_least: Duration::ZERO,
            events: events.unwrap_or(0),
            faults: faults.unwrap_or(0),
            at_most: minutes(60 * hours),
            in_hand: 40,
            pauses: less_often,
        };
    }
    if std::env::var_os("REELMILL_LONG").is_some() {
        let (at_least, at_most) = (minutes(10), minutes(10));
        let (events, faults) = (5_000, 200);
        return Form { seed, at_least, events, faults, at_most, in_hand: 40, pauses: less_often };
    }
    let time = Duration::from_secs(30);
    Form { seed, at_least: time, events: 0, faults: 15, at_most: time, in_hand: 8, pauses: often }
}

#[test]
fn nothing_is_lost_doubled_torn_or_left_behind_whatever_dies() {
    let form = form();
    let Some(report) = run(&form) else { return };
    let Report { model, observed, findings, events, faults, stopped } = report;
    for finding in findings.iter().take(50) {
        println!("{finding}");
    }
    assert!(findings.is_empty(), "{} findings", findings.len());
    every_plant_is_found(&model, &observed);
    assert!(events >= form.events && faults >= form.faults, "{events} events, {faults} faults");
    for (name, took, well) in stopped {
        assert!(well && took < STOPPED_WITHIN, "{name} took {took:?} without Kafka, well: {well}");
    }
}
