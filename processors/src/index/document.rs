//! What a run's tracks and labels come to: the document of a video and its moments.

use ports::{Document, Moment, MomentKind};
use schemas::{BoundingBox, Label, Labels, Manifest, Track, Tracks};
use std::collections::{BTreeMap, BTreeSet};

/// Labels are looked for once in this time; each sample stands for so much.
const SAMPLE_MS: i64 = 1000;
/// A label not seen for longer is a new moment.
const LONGEST_GAP_MS: i64 = 2000;
/// Overlap from which on boxes on both sides of a clip's border are the same face.
const SAME_FACE: f32 = 0.3;

/// All that is to be found of a video. The order of `tracks` and `labels` does not matter.
#[must_use]
pub fn document(manifest: &Manifest, tracks: &[Tracks], labels: &[Labels]) -> Document {
    let labels: Vec<&Label> = labels.iter().flat_map(|clip| &clip.labels).collect();
    let mut moments = label_moments(manifest, &labels);
    moments.extend(face_moments(manifest, tracks));
    moments.sort_by(|a, b| {
        a.start_ms
            .cmp(&b.start_ms)
            .then(a.end_ms.cmp(&b.end_ms))
            .then_with(|| a.name.cmp(&b.name))
            .then(b.confidence.total_cmp(&a.confidence))
    });
    let words: BTreeSet<_> = labels.iter().flat_map(|label| &label.parents).cloned().collect();
    Document {
        video_id: manifest.video_id.clone(),
        run_id: manifest.run_id.clone(),
        version: manifest.run_order,
        owner: manifest.owner.clone(),
        assessment: manifest.assessment.clone(),
        title: manifest.title.clone(),
        visibility: manifest.visibility.clone(),
        recorded_at_ms: manifest.recorded_at_ms,
        duration_ms: manifest.duration_ms,
        words: words.into_iter().collect(),
        moments,
    }
}

/// Samples of the same name become intervals.
fn label_moments(manifest: &Manifest, labels: &[&Label]) -> Vec<Moment> {
    let mut by_name: BTreeMap<&str, Vec<&Label>> = BTreeMap::new();
    for label in labels {
        by_name.entry(&label.name).or_default().push(label);
    }
    let mut moments = Vec::new();
    for (name, mut samples) in by_name {
        samples.sort_by(|a, b| a.at_ms.cmp(&b.at_ms).then(b.confidence.total_cmp(&a.confidence)));
        for interval in samples.chunk_by(|a, b| b.at_ms - a.at_ms <= LONGEST_GAP_MS) {
            let (Some(first), Some(last)) = (interval.first(), interval.last()) else { continue };
            let best = interval.iter().max_by(|a, b| a.confidence.total_cmp(&b.confidence));
            moments.push(moment(
                manifest,
                name,
                (first.at_ms, last.at_ms.saturating_add(SAMPLE_MS)),
                best.map_or(0.0, |best| best.confidence),
                best.and_then(|best| best.regions.first()),
            ));
        }
    }
    moments
}

/// A face as it was seen in one or several clips in a row.
struct Appearance {
    /// Ticks of the source: first sighting, and the end of the last one's frame.
    start: i64,
    end: i64,
    confidence: f32,
    region: BoundingBox,
}

/// One moment a face and appearance, its clips' borders unseen.
fn face_moments(manifest: &Manifest, tracks: &[Tracks]) -> Vec<Moment> {
    let by_clip: BTreeMap<u32, &Tracks> =
        tracks.iter().filter_map(|clip| Some((u32::try_from(clip.index).ok()?, clip))).collect();
    let mut done: Vec<Appearance> = Vec::new();
    // Faces that cross the border between the clip before and this one, and where they stand.
    let mut crossing: Vec<(Appearance, BoundingBox)> = Vec::new();
    for clip in &manifest.clips {
        let arriving = std::mem::take(&mut crossing);
        let mut arriving: Vec<_> = arriving.into_iter().map(Some).collect();
        let Some(found) = by_clip.get(&clip.index) else {
            done.extend(arriving.into_iter().flatten().map(|(face, _)| face));
            continue;
        };
        for track in &found.tracks {
            let core = (clip.core_start, clip.core_end);
            let Some(mut face) = appearance(track, core, found.frame_ticks) else { continue };
            if let Some(here) = across(track, clip.core_start) {
                // The same face in the clip before: it goes on.
                let before = arriving
                    .iter_mut()
                    .filter(|a| a.as_ref().is_some_and(|(_, there)| there.iou(&here) >= SAME_FACE))
                    .max_by(|a, b| {
                        let close = |a: &Option<(Appearance, BoundingBox)>| {
                            a.as_ref().map_or(0.0, |(_, there)| there.iou(&here))
                        };
                        close(a).total_cmp(&close(b))
                    })
                    .and_then(Option::take);
                if let Some((before, _)) = before {
                    face.start = before.start;
                    if before.confidence > face.confidence {
                        face.confidence = before.confidence;
                        face.region = before.region;
                    }
                }
            }
            match across(track, clip.core_end) {
                Some(there) => crossing.push((face, there)),
                None => done.push(face),
            }
        }
        done.extend(arriving.into_iter().flatten().map(|(face, _)| face));
    }
    done.extend(crossing.into_iter().map(|(face, _)| face));
    let ms = |pts: i64| manifest.time_base.to_ms(pts.saturating_sub(manifest.start_pts));
    done.into_iter()
        .map(|face| {
            let interval = (ms(face.start), ms(face.end));
            moment(manifest, "Face", interval, face.confidence, Some(&face.region))
        })
        .collect()
}

/// When a track's face was seen in a clip's core; not where its mask was only held.
fn appearance(track: &Track, core: (i64, i64), frame_ticks: i64) -> Option<Appearance> {
    let seen =
        || track.points.iter().filter(|p| p.confidence > 0.0 && (core.0..core.1).contains(&p.pts));
    let best = seen().max_by(|a, b| a.confidence.total_cmp(&b.confidence))?;
    Some(Appearance {
        start: seen().next()?.pts,
        end: seen().next_back()?.pts.saturating_add(frame_ticks.max(1)).min(core.1),
        confidence: best.confidence,
        region: best.region,
    })
}

/// Where a track stands at a clip's border, if it was seen on both sides of it.
fn across(track: &Track, border: i64) -> Option<BoundingBox> {
    let seen = |p: &&schemas::TrackPoint| p.confidence > 0.0;
    let first = track.points.iter().find(seen)?;
    let last = track.points.iter().rev().find(seen)?;
    if first.pts < border && last.pts >= border { track.region_at(border, 0) } else { None }
}

fn moment(
    manifest: &Manifest,
    name: &str,
    (start_ms, end_ms): (i64, i64),
    confidence: f32,
    region: Option<&BoundingBox>,
) -> Moment {
    let start_ms = start_ms.clamp(0, manifest.duration_ms.max(0));
    Moment {
        kind: MomentKind::Label,
        name: name.to_owned(),
        start_ms,
        end_ms: end_ms.min(manifest.duration_ms).max(start_ms),
        confidence,
        region: region.map(|r| [r.left, r.top, r.width, r.height]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::manifest;
    use schemas::{TimeBase, TrackPoint};

    /// Seconds of the recording in ticks of the test manifest, which starts at tick 100.
    fn tick(seconds: f64) -> i64 {
        100 + (seconds * 12_800.0).round() as i64
    }

    fn label(at_ms: i64, name: &str, confidence: f32) -> Label {
        let region = BoundingBox { left: confidence / 1000.0, ..BoundingBox::WHOLE };
        Label {
            at_ms,
            name: name.into(),
            parents: vec!["Thing".into()],
            confidence,
            regions: vec![region],
        }
    }

    fn labels(index: i32, labels: Vec<Label>) -> Labels {
        Labels { video_id: "v".into(), run_id: "r".into(), index, labels }
    }

    /// A face that stands still, seen on every frame; the outer two points are extensions.
    fn face(id: i32, from: f64, to: f64, left: f32, confidence: f32) -> Track {
        let region = BoundingBox { left, top: 0.4, width: 0.1, height: 0.1 };
        let point = |seconds, confidence| TrackPoint { pts: tick(seconds), region, confidence };
        let frames = (from * 25.0).round() as i64..=(to * 25.0).round() as i64;
        let mut points = vec![point(from - 1.0, 0.0)];
        points.extend(frames.map(|frame| point(frame as f64 / 25.0, confidence)));
        points.push(point(to + 1.0, 0.0));
        Track { id, points }
    }

    fn tracks(index: i32, tracks: Vec<Track>) -> Tracks {
        Tracks {
            video_id: "v".into(),
            run_id: "r".into(),
            index,
            time_base: TimeBase { num: 1, den: 12_800 },
            frame_ticks: 512,
            looked_every_ms: None,
            tracks,
        }
    }

    fn moments(tracks: &[Tracks], labels: &[Labels]) -> Vec<(String, i64, i64, f32)> {
        let document = document(&manifest(), tracks, labels);
        let plain = |m: Moment| (m.name, m.start_ms, m.end_ms, m.confidence);
        document.moments.into_iter().map(plain).collect()
    }

    #[test]
    fn samples_of_a_label_become_intervals() {
        let seen = [0, 1000, 2000, 4000, 6001].map(|at_ms| label(at_ms, "Car", 50.0)).to_vec();
        assert_eq!(
            moments(&[], &[labels(0, seen)]),
            [("Car".into(), 0, 5000, 50.0), ("Car".into(), 6001, 7001, 50.0)]
        );
    }

    #[test]
    fn an_interval_crosses_the_border_of_clips_in_whatever_order_they_come() {
        let clips = [
            labels(1, vec![label(10_000, "Car", 90.0), label(29_900, "Dog", 60.0)]),
            labels(0, vec![label(9000, "Car", 70.0)]),
        ];
        // The recording ends at 30 s, and so does what is seen in it.
        assert_eq!(
            moments(&[], &clips),
            [("Car".into(), 9000, 11_000, 90.0), ("Dog".into(), 29_900, 30_000, 60.0)]
        );
    }

    #[test]
    fn a_moment_shows_the_box_of_its_surest_sample() {
        let seen = vec![label(0, "Car", 50.0), label(1000, "Car", 90.0), label(2000, "Car", 70.0)];
        let document = document(&manifest(), &[], &[labels(0, seen)]);
        assert_eq!(document.moments[0].region, Some([0.09, 0.0, 1.0, 1.0]));
    }

    #[test]
    fn a_face_is_a_moment_while_it_is_seen_not_while_it_is_masked() {
        let found = moments(&[tracks(0, vec![face(0, 2.0, 5.0, 0.3, 80.0)])], &[]);
        assert_eq!(found, [("Face".into(), 2000, 5040, 80.0)]);
    }

    #[test]
    fn a_face_that_stays_over_borders_is_one_moment() {
        // Clips of 10 s with margins: each clip sees the face in its margins too.
        let found = moments(
            &[
                tracks(0, vec![face(0, 8.0, 12.0, 0.3, 70.0)]),
                tracks(1, vec![face(0, 8.0, 21.0, 0.3, 90.0)]),
                tracks(2, vec![face(0, 19.0, 25.0, 0.3, 80.0)]),
            ],
            &[],
        );
        assert_eq!(found, [("Face".into(), 8000, 25_040, 90.0)]);
    }

    #[test]
    fn two_faces_at_a_border_stay_two() {
        let found = moments(
            &[
                tracks(0, vec![face(0, 8.0, 12.0, 0.1, 70.0), face(1, 8.0, 12.0, 0.6, 75.0)]),
                tracks(1, vec![face(0, 8.0, 14.0, 0.6, 80.0), face(1, 8.0, 15.0, 0.1, 85.0)]),
            ],
            &[],
        );
        assert_eq!(
            found,
            [("Face".into(), 8000, 14_040, 80.0), ("Face".into(), 8000, 15_040, 85.0)]
        );
    }

    #[test]
    fn a_face_that_ends_at_a_border_is_not_the_one_that_begins_there() {
        let found = moments(
            &[
                tracks(0, vec![face(0, 8.0, 12.0, 0.1, 70.0)]),
                tracks(1, vec![face(0, 8.0, 14.0, 0.6, 80.0)]),
            ],
            &[],
        );
        assert_eq!(
            found,
            [("Face".into(), 8000, 10_000, 70.0), ("Face".into(), 10_000, 14_040, 80.0)]
        );
    }

    #[test]
    fn a_face_that_was_away_at_the_border_is_two_moments_though_its_masks_meet() {
        let found = moments(
            &[
                tracks(0, vec![face(0, 8.0, 9.2, 0.3, 70.0), face(1, 10.6, 11.6, 0.3, 80.0)]),
                tracks(1, vec![face(0, 8.0, 9.2, 0.3, 70.0), face(1, 10.6, 11.6, 0.3, 80.0)]),
            ],
            &[],
        );
        assert_eq!(
            found,
            [("Face".into(), 8000, 9240, 70.0), ("Face".into(), 10_600, 11_640, 80.0)]
        );
    }

    #[test]
    fn a_face_in_a_margin_only_is_its_neighbours() {
        let found = moments(
            &[
                tracks(0, vec![face(0, 10.6, 11.6, 0.3, 70.0)]),
                tracks(1, vec![face(0, 10.6, 12.0, 0.3, 70.0)]),
            ],
            &[],
        );
        assert_eq!(found, [("Face".into(), 10_600, 12_040, 70.0)]);
    }

    #[test]
    fn the_document_says_whose_video_it_is_and_what_its_words_are() {
        let document = document(&manifest(), &[], &[labels(0, vec![label(0, "Car", 50.0)])]);
        assert_eq!((document.owner.as_str(), document.version), ("ada", 5));
        assert_eq!(document.words, ["Thing"]);
        assert_eq!(document.duration_ms, 30_000);
    }

    #[test]
    fn an_empty_film_is_a_document_without_moments() {
        let nothing = Manifest { clips: Vec::new(), ..manifest() };
        assert_eq!(document(&nothing, &[], &[]).moments, []);
    }
}
