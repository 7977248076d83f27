//! The meaning: one pure file per step of the mill.
//!
//! A processor says what must be asked of the world ([`engine::Processor::plan`]) and what the
//! answer means ([`engine::Processor::conclude`]). No clock, no network, no environment, no
//! chance: `clippy.toml` beside this crate forbids them.

pub mod blur;
pub mod catalog;
pub mod cut;
pub mod detect;
pub mod index;
pub mod label;
pub mod stitch;
pub mod sweep;
pub mod thumbnail;
pub mod tracks;
pub mod verify;

#[cfg(test)]
mod tests;

use engine::Processor;
use ports::{Poison, Refusal};
use schemas::{ClipsReady, TimeBase};

/// The name of every processor, in the order of the mill.
pub const NAMES: &[&str] = &[
    cut::Cut::NAME,
    detect::Detect::NAME,
    label::Label::NAME,
    blur::Blur::NAME,
    stitch::Stitch::NAME,
    verify::Verify::NAME,
    thumbnail::Thumbnail::NAME,
    index::Index::NAME,
    catalog::Catalog::NAME,
    sweep::Sweep::NAME,
];

/// More clips than this are a broken event, not a long recording: 11 weeks of one-minute clips.
const MOST_CLIPS: u32 = 111_111;

/// A clip's index as an event has it, checked.
fn clip_index(index: i32) -> Result<u32, Refusal> {
    match u32::try_from(index) {
        Ok(index) if index < MOST_CLIPS => Ok(index),
        _ => Err(Poison::new(
            "malformed_event",
            format!("clip index {index} is out of range: the producer must count clips from 0"),
        )
        .into()),
    }
}

/// The number of clips of a finished recording; a live one is passed over until its last clip.
fn clip_count(count: Option<i32>) -> Result<u32, Refusal> {
    let count = count.ok_or(Refusal::Skip("still_recording"))?;
    match u32::try_from(count) {
        Ok(count) if (1..=MOST_CLIPS).contains(&count) => Ok(count),
        _ => Err(Poison::new(
            "malformed_event",
            format!("clip count {count} is out of range: a run has at least one clip"),
        )
        .into()),
    }
}

/// The unit of a clip's times, once they are known to make sense.
fn clip_times(event: &ClipsReady) -> Result<TimeBase, Refusal> {
    // Far beyond any recording, and far enough from the end of the numbers to add and subtract.
    const FURTHEST: i64 = 1 << 56;
    let times =
        [event.margin_start_pts, event.core_start_pts, event.core_end_pts, event.margin_end_pts];
    let near = |pts: &i64| (-FURTHEST..=FURTHEST).contains(pts);
    let sound = event.time_base_num > 0
        && event.time_base_den > 0
        && times.is_sorted()
        && times.iter().chain([&event.start_pts]).all(near)
        && (1..=FURTHEST).contains(&event.frame_ticks);
    if sound {
        Ok(TimeBase { num: event.time_base_num, den: event.time_base_den })
    } else {
        Err(Poison::new(
            "malformed_event",
            format!("the times of clip {} make no sense: cut the video again", event.index),
        )
        .into())
    }
}

/// What is not clearly meant for all is for its owner only.
fn visibility(word: &str) -> String {
    if word == "listed" { "listed" } else { "private" }.to_owned()
}
