//! Every kind of input goes the whole way, and the table in `docs/inputs.md` says how it ends.
//!
//! The films are made by the ffmpeg command line when the tests run. `REELMILL_WRITE_TABLES=1`
//! writes the table anew; without it the tests compare their rows with those in the table.

mod damage;
mod edits;
mod eye;
mod menu;
mod table;
mod way;

use std::panic::{AssertUnwindSafe, catch_unwind};

use menu::Input;
use table::Row;

use crate::support::Studio;

/// Sends all inputs of a group through, tells all that fail, then compares the group's rows with the table.
fn all_of(group: &str, inputs: &[Input]) {
    let studio = Studio::new();
    let mut rows: Vec<Row> = Vec::new();
    let mut failed = Vec::new();
    for input in inputs {
        match catch_unwind(AssertUnwindSafe(|| way::go(&studio, input))) {
            Ok(row) => rows.push(row),
            Err(_) => failed.push(input.what),
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
    table::check(group, &rows);
}

#[test]
fn every_container_comes_out_whole() {
    all_of("containers", &menu::containers());
}

#[test]
fn every_codec_and_picture_comes_out_whole() {
    all_of("pictures", &menu::pictures());
}

#[test]
fn every_rate_and_order_of_frames_comes_out_whole() {
    all_of("times", &menu::times());
}

#[test]
fn every_odd_start_and_gap_comes_out_whole() {
    all_of("starts", &menu::starts());
}

#[test]
fn every_sound_and_mix_of_tracks_comes_out_whole() {
    all_of("sound", &menu::sound());
}

#[test]
fn films_that_change_inside_come_out_masked_or_are_refused() {
    all_of("changes", &menu::changes());
}
