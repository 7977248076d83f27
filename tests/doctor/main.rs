//! `reelmill doctor`: what is wrong is found by its check and told with its remedy, and what is right
//! is left alone.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first surprise")]

mod fake;
mod healthy;
mod kernel;
mod planted;
mod secured;
mod support;
mod tables;
mod words;

use planted::PLANTED;
use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};
use support::{Patient, World};

/// Looks at once: most wait for a time limit or for the disk.
const AT_ONCE: usize = 4;

#[test]
fn every_misconfiguration_that_is_planted_is_found_by_its_check_with_its_remedy() {
    let world = World::new();
    // Whatever fails below has been planted.
    let sound = Patient::deployment(&world).looked_at();
    sound.has_no_failure();
    let sound = &sound;
    let next = AtomicUsize::new(0);
    let missed = thread::scope(|scope| {
        let looking = || {
            let mut missed = Vec::new();
            while let Some(plant) = PLANTED.get(next.fetch_add(1, Ordering::Relaxed)) {
                let mut patient = Patient::deployment(&world);
                (plant.plant)(&world, &mut patient);
                let report = patient.looked_at();
                let told = &report.findings[plant.check];
                let mut failed: BTreeSet<_> = plant.also.iter().copied().collect();
                if plant.state == "failed" {
                    failed.insert(plant.check);
                }
                let is_found = told.state == plant.state
                    && sound.findings[plant.check].state != plant.state
                    && told.found.contains(plant.found)
                    && told.remedy.contains(plant.remedy)
                    && report.of_state("failed") == failed
                    && report.code == Some(i32::from(!failed.is_empty()));
                if !is_found || report.text.contains("hush") {
                    missed.push(format!("{}: {}", plant.name, report.text));
                }
            }
            missed
        };
        let threads: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(looking)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(missed.is_empty(), "{} missed:\n{}", missed.len(), missed.join("\n"));
    let names: BTreeSet<_> = PLANTED.iter().map(|plant| plant.name).collect();
    assert_eq!(names.len(), PLANTED.len(), "each is another");
    assert!(names.len() >= 20);
    let planted: BTreeSet<_> = PLANTED.iter().map(|plant| plant.check).collect();
    // Their faults are planted where their code is: they want another FFmpeg and another broker.
    let elsewhere = BTreeSet::from(["codecs", "transactions"]);
    let all: BTreeSet<_> = reelmill::doctor::Check::ALL.map(|check| check.name()).into();
    let looked_for: BTreeSet<_> =
        planted.union(&elsewhere).map(|check| (*check).to_owned()).collect();
    assert_eq!(all, looked_for, "a check that finds nothing is none");
}
