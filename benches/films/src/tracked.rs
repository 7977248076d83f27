//! What tracks alone cover: nothing is rendered, and nothing looked at again.

use crate::{
    count::{Count, Leaks},
    truth::Truth,
};
use media::{Limits, Region, RgbImage};
use processors::tracks::{DOUBTFUL, LONGEST_EXTENSION_MS, Rules, Sighting, track};
use schemas::{BoundingBox, TimeBase, Tracks};
use std::{error::Error, path::Path};
use vision::{FaceSample, Models, Profile, faces_in_video};

/// As a mill has it.
const THRESHOLD: f32 = 0.3;
/// Ticks are milliseconds.
const TIME_BASE: TimeBase = TimeBase { num: 1, den: 1000 };
/// Brighter than a mask.
const CLEAR: u8 = 255;

/// Tracks a film's faces and counts those that no mask of a track covers.
pub(crate) fn count(film: &Path, truth: &Truth, sample_ms: i64) -> Result<Leaks, Box<dyn Error>> {
    let samples = samples(film)?;
    let [first, .., last] = &samples[..] else { return Err("the film has no frames".into()) };
    let frame_ms = (last.at_ms - first.at_ms) / (samples.len() as i64 - 1);
    let mut next = first.at_ms;
    let mut sightings = Vec::new();
    for sample in &samples {
        if sample.at_ms < next {
            continue;
        }
        next += sample_ms;
        sightings.extend(sample.faces.iter().map(|face| Sighting {
            pts: sample.at_ms,
            region: face.region.clamped(),
            confidence: face.confidence,
        }));
    }
    let rules = Rules::of(TIME_BASE, frame_ms, LONGEST_EXTENSION_MS, THRESHOLD, Some(sample_ms));
    let tracks = Tracks {
        time_base: TIME_BASE,
        frame_ticks: frame_ms,
        looked_every_ms: Some(sample_ms),
        tracks: track(sightings, rules),
        video_id: String::new(),
        run_id: String::new(),
        index: 0,
    };
    let mut count = Count::default();
    for (frame, sample) in samples.iter().enumerate() {
        let masks: Vec<_> = tracks.regions_at(sample.at_ms).iter().map(region).collect();
        count.frame(truth, frame, &masked(truth, &masks));
    }
    Ok(count.finish(truth))
}

/// The faces and doubts of every frame.
fn samples(film: &Path) -> Result<Vec<FaceSample>, Box<dyn Error>> {
    let models = Models::find(None)?;
    let least = THRESHOLD * DOUBTFUL;
    let found =
        faces_in_video(film, &models, least, Profile::Careful, &Limits::default(), &mut |_| {})?;
    Ok(found.samples)
}

/// A bright picture, black where it is masked.
fn masked(truth: &Truth, masks: &[Region]) -> RgbImage {
    let (width, height) = (truth.width, truth.height);
    let is_masked = media::is_masked(masks, (width as f32, height as f32));
    let places = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    let data = places
        .flat_map(|(x, y)| {
            let level = if is_masked(x as f32 + 0.5, y as f32 + 0.5) { 0 } else { CLEAR };
            [level; 3]
        })
        .collect();
    RgbImage { width, height, data }
}

fn region(of: &BoundingBox) -> Region {
    Region { left: of.left, top: of.top, width: of.width, height: of.height }
}
