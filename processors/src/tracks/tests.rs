//! What a viewer would notice: which frames are masked, and where.

mod ends;

use super::{
    EXTENSION_OF_EVERY_FRAME_MS, EXTENSION_OF_GONE_MS, EXTENSION_OF_ONE_FRAME_MS, FOLLOW_MS,
    LONGEST_GAP_MS, Rules, Sighting, track,
};
use schemas::{BoundingBox, TimeBase, Track, Tracks};

/// One tick is a millisecond, one frame 40 of them.
const RULES: Rules = Rules {
    longest_gap: LONGEST_GAP_MS,
    frame: 40,
    extend: 1000,
    extend_every_frame: 1000,
    extend_one_frame: 1000,
    extend_gone: 1000,
    is_every_frame: false,
    follow: FOLLOW_MS,
    sure: 30.0,
};
/// As the mill has it where the detector looks at every frame.
const SHORT: Rules = Rules {
    extend_every_frame: EXTENSION_OF_EVERY_FRAME_MS,
    extend_one_frame: EXTENSION_OF_ONE_FRAME_MS,
    extend_gone: EXTENSION_OF_GONE_MS,
    is_every_frame: true,
    ..RULES
};

fn seen(pts: i64, left: f32, top: f32, size: f32) -> Sighting {
    let region = BoundingBox { left, top, width: size, height: size };
    Sighting { pts, region, confidence: 60.0 }
}

fn tracks(sightings: Vec<Sighting>, rules: Rules) -> Tracks {
    Tracks {
        video_id: "v".into(),
        run_id: "r".into(),
        index: 0,
        time_base: TimeBase { num: 1, den: 1000 },
        frame_ticks: rules.frame,
        looked_every_ms: None,
        tracks: track(sightings, rules),
    }
}

/// Whether masks cover a box, as the check of a recording means it: 95 % of it.
fn covered(tracks: &Tracks, pts: i64, face: &BoundingBox) -> bool {
    tracks.regions_at(pts).iter().any(|mask| mask.overlap(face) >= 0.95 * face.area())
}

fn times(track: &Track) -> Vec<i64> {
    track.points.iter().map(|point| point.pts).collect()
}

/// Numbers that look like chance and are always the same: a linear congruential generator
/// (Knuth's MMIX constants).
struct Dice(u64);

impl Dice {
    /// 0 to 1.
    fn roll(&mut self) -> f32 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1 << 24) as f32
    }
}

#[test]
fn a_face_in_every_frame_is_one_track_with_its_extensions() {
    let faces: Vec<_> = (0..25).map(|n| seen(2000 + n * 40, 0.3, 0.3, 0.1)).collect();
    let tracks = tracks(faces, RULES);
    assert_eq!(tracks.tracks.len(), 1);
    let points = times(&tracks.tracks[0]);
    assert_eq!(points.first(), Some(&1000));
    assert_eq!(points.last(), Some(&3960));
    assert!(points.windows(2).all(|pair| pair[0] < pair[1]), "{points:?}");
}

#[test]
fn a_face_half_hidden_for_a_while_keeps_its_size() {
    // For 20 frames another passes before it, and the detector sees the left part.
    let face = seen(0, 0.3, 0.3, 0.2).region;
    let part = |n: i64| if (20..40).contains(&n) { 0.12 } else { 0.2 };
    let faces = (0..60).map(|n| Sighting {
        region: BoundingBox { width: part(n), ..face },
        ..seen(n * 40, 0.0, 0.0, 0.0)
    });
    let tracks = tracks(faces.collect(), SHORT);
    assert_eq!(tracks.tracks.len(), 1);
    for n in 0..60 {
        let [mask] = tracks.regions_at(n * 40)[..] else { panic!("one mask at {n}") };
        assert!(mask.width >= 0.2 - 1e-6, "{n}: {mask:?}");
        assert!(mask.overlap(&face) >= 0.75 * face.area(), "{n}: {mask:?}");
    }
    // What leaves the picture is cut by its border, and no larger for that.
    let leaving = (0..25).map(|n| seen(n * 40, 0.6 + n as f32 * 0.02, 0.3, 0.2));
    let leaving = leaving.map(|face| Sighting { region: face.region.clamped(), ..face });
    let tracks = self::tracks(leaving.collect(), Rules { extend: 0, ..SHORT });
    let [mask] = tracks.regions_at(24 * 40)[..] else { panic!("one mask") };
    assert!((mask.left - 0.999).abs() < 0.002, "{mask:?}");
}

#[test]
fn without_extension_a_track_ends_with_its_sightings() {
    let rules = Rules { extend: 0, ..RULES };
    let one = tracks(vec![seen(2000, 0.3, 0.3, 0.1)], rules);
    assert_eq!(times(&one.tracks[0]), [2000]);
}

#[test]
fn two_faces_side_by_side_are_two_tracks_even_when_they_cross() {
    // One goes right, the other left, below it by half a face.
    let right = |n: i64| seen(n * 40, 0.1 + n as f32 * 0.01, 0.3, 0.1);
    let left = |n: i64| seen(n * 40, 0.6 - n as f32 * 0.01, 0.36, 0.1);
    let tracks = tracks((0..50).flat_map(|n| [right(n), left(n)]).collect(), RULES);
    assert_eq!(tracks.tracks.len(), 2);
    for n in 0..50 {
        assert!(covered(&tracks, n * 40, &right(n).region), "right at {n}");
        assert!(covered(&tracks, n * 40, &left(n).region), "left at {n}");
    }
}

#[test]
fn a_gap_of_up_to_a_second_is_filled_and_a_longer_one_is_two_tracks() {
    let pair = |gap| vec![seen(0, 0.3, 0.3, 0.1), seen(gap, 0.3, 0.3, 0.1)];
    assert_eq!(tracks(pair(1000), RULES).tracks.len(), 1);
    assert_eq!(tracks(pair(1001), RULES).tracks.len(), 2);
}

#[test]
fn a_face_elsewhere_after_a_gap_is_another_one_where_both_are_plain_to_see() {
    let plain = |pts, left, confidence| Sighting { confidence, ..seen(pts, left, 0.3, 0.1) };
    let count = |gap, left, sure, rules| {
        tracks(vec![plain(0, 0.3, 90.0), plain(gap, left, sure)], rules).tracks.len()
    };
    assert_eq!([600, 1000].map(|gap| count(gap, 0.45, 90.0, SHORT)), [2, 2]);
    // Nobody looked, or the face is hard to see.
    assert_eq!([600, 1000].map(|gap| count(gap, 0.45, 90.0, RULES)), [1, 1]);
    assert_eq!([600, 1000].map(|gap| count(gap, 0.45, 60.0, SHORT)), [1, 1]);
    // What moves fast does so within 0.4 s, and what is where it was is the same.
    assert_eq!((count(400, 0.41, 90.0, SHORT), count(1000, 0.35, 90.0, SHORT)), (1, 1));
    // Who walks on evenly is where he was going to.
    let walking =
        |pts| Sighting { confidence: 90.0, ..seen(pts, 0.1 + 0.0002 * pts as f32, 0.3, 0.04) };
    let behind_a_tree = |then| {
        let seen =
            (0..=10).map(|n| walking(n * 40)).chain([Sighting { pts: 1200, ..walking(then) }]);
        tracks(seen.collect(), SHORT).tracks.len()
    };
    assert_eq!([1200, 1250, 600].map(behind_a_tree), [1, 1, 2]);
}

#[test]
fn a_face_in_a_gap_is_covered_however_unevenly_it_moved() {
    // Seen on every fifth frame; between, it dawdles and then hurries, or the other way round.
    for bend in [0.5, 1.0, 2.0] {
        let at = |pts: i64| {
            let (step, part) = (pts / 200, (pts % 200) as f32 / 200.0);
            seen(pts, 0.1 + (step as f32 + part.powf(bend)) * 0.03, 0.3, 0.12).region
        };
        let faces =
            (0..20).map(|n| Sighting { region: at(n * 200), ..seen(n * 200, 0.0, 0.0, 0.0) });
        let tracks = tracks(faces.collect(), RULES);
        assert_eq!(tracks.tracks.len(), 1);
        for pts in (0..=3800).step_by(40) {
            assert!(covered(&tracks, pts, &at(pts)), "bend {bend}: clear at {pts} ms");
        }
    }
}

#[test]
fn a_moving_face_stays_covered_after_it_is_last_found_and_before_it_is_first_found() {
    let at = |pts: i64| seen(pts, 0.2 + pts as f32 * 0.0001, 0.3, 0.1);
    let tracks = tracks((50..75).map(|n| at(n * 40)).collect(), RULES);
    for pts in (1600..=3360).step_by(40) {
        assert!(covered(&tracks, pts, &at(pts).region), "clear at {pts} ms");
    }
}

#[test]
fn masks_beyond_the_sightings_are_never_smaller_than_the_last_sighting() {
    let tracks = tracks(vec![seen(2000, 0.3, 0.3, 0.1)], RULES);
    let face = seen(0, 0.3, 0.3, 0.1).region;
    for pts in (1000..=3000).step_by(40) {
        let [mask] = tracks.regions_at(pts)[..] else { panic!("one mask at {pts}") };
        assert!(mask.hull(&face).area() <= mask.area() + 1e-6, "{pts}: {mask:?}");
    }
    assert_eq!(tracks.regions_at(960), []);
    assert_eq!(tracks.regions_at(3040), []);
}

#[test]
fn a_face_leaving_the_picture_is_masked_up_to_the_border() {
    let face = |n: i64| Sighting {
        region: seen(0, 0.8 + n as f32 * 0.02, 0.3, 0.1).region.clamped(),
        ..seen(n * 40, 0.0, 0.0, 0.0)
    };
    let tracks = tracks((0..10).map(face).collect(), RULES);
    for pts in (0..=1360).step_by(40) {
        let regions = tracks.regions_at(pts);
        assert!(!regions.is_empty(), "clear at {pts}");
        for region in regions {
            assert!(region.left >= 0.0 && region.right() <= 1.0 + 1e-6, "{pts}: {region:?}");
        }
    }
    assert!(tracks.regions_at(600).iter().any(|region| region.right() > 0.99));
}

#[test]
fn a_second_detection_of_the_same_face_is_kept_as_a_track_of_its_own() {
    let twice = |n: i64| [seen(n * 40, 0.3, 0.3, 0.1), seen(n * 40, 0.31, 0.3, 0.1)];
    let tracks = tracks((0..10).flat_map(twice).collect(), RULES);
    assert_eq!(tracks.tracks.len(), 2);
    for n in 0..10 {
        for face in twice(n) {
            assert!(covered(&tracks, n * 40, &face.region));
        }
    }
}

#[test]
fn sparse_samples_of_a_walking_person_are_one_track() {
    let at = |pts: i64| seen(pts, 0.1 + pts as f32 * 0.000_12, 0.3, 0.1);
    let tracks = tracks((0..12).map(|n| at(n * 500)).collect(), RULES);
    assert_eq!(tracks.tracks.len(), 1);
    for pts in (0..=5500).step_by(40) {
        assert!(covered(&tracks, pts, &at(pts).region), "clear at {pts} ms");
    }
}

#[test]
fn a_coarse_clock_fills_a_gap_of_a_single_frame() {
    let rules = Rules { longest_gap: 25, frame: 1, extend: 0, follow: 10, ..RULES };
    let tracks = tracks(vec![seen(0, 0.30, 0.3, 0.1), seen(2, 0.36, 0.3, 0.1)], rules);
    assert_eq!(times(&tracks.tracks[0]), [0, 1, 2]);
    let [mask] = tracks.regions_at(1)[..] else { panic!("{tracks:?}") };
    assert!(mask.left <= 0.3 && mask.right() >= 0.46 - 1e-6);
}

#[test]
fn no_sighting_is_ever_lost_and_the_order_does_not_matter() {
    let mut dice = Dice(7);
    let rules = Rules { sure: 0.0, ..RULES };
    for _ in 0..200 {
        let count = (dice.roll() * 60.0) as usize;
        let mut crowd: Vec<_> = (0..count)
            .map(|_| {
                let pts = (dice.roll() * 50.0) as i64 * 40;
                let region = BoundingBox {
                    left: dice.roll() * 1.4 - 0.2,
                    top: dice.roll() * 1.4 - 0.2,
                    width: dice.roll() * 0.5,
                    height: dice.roll() * 0.5,
                };
                Sighting { pts, region: region.clamped(), confidence: 1.0 + dice.roll() * 99.0 }
            })
            .collect();
        let found = tracks(crowd.clone(), rules);
        let points: Vec<_> = found.tracks.iter().flat_map(|track| &track.points).collect();
        for sighting in &crowd {
            let same = |p: &&&schemas::TrackPoint| {
                let is_whole = p.region.hull(&sighting.region).area() <= p.region.area() + 1e-6;
                p.pts == sighting.pts && p.confidence == sighting.confidence && is_whole
            };
            assert_eq!(points.iter().filter(same).count(), 1, "{sighting:?}");
            assert!(covered(&found, sighting.pts, &sighting.region), "{sighting:?}");
        }
        for track in &found.tracks {
            assert!(times(track).windows(2).all(|pair| pair[0] < pair[1]), "{track:?}");
            for point in &track.points {
                let r = point.region;
                assert!(r.left >= 0.0 && r.top >= 0.0 && r.area() > 0.0, "{r:?}");
                assert!(r.right() <= 1.0 + 1e-6 && r.bottom() <= 1.0 + 1e-6, "{r:?}");
            }
        }
        crowd.reverse();
        assert_eq!(tracks(crowd, rules), found);
    }
}

#[test]
fn a_face_that_hurries_is_followed_where_its_motion_leads() {
    // Ever faster, in the end by more than its own size from sample to sample.
    let at = |n: i64| seen(n * 200, 0.1 + (n * n) as f32 * 0.01, 0.3, 0.06);
    let tracks = tracks((0..8).map(at).collect(), RULES);
    assert_eq!(tracks.tracks.len(), 1);
}

#[test]
fn a_small_face_is_followed_from_its_first_step_between_sparse_samples() {
    let at = |pts: i64| seen(pts, 0.2 + pts as f32 * 0.000_12, 0.3, 0.05);
    let tracks = tracks(vec![at(0), at(500)], RULES);
    assert_eq!(tracks.tracks.len(), 1);
    for pts in (0..=500).step_by(40) {
        assert!(covered(&tracks, pts, &at(pts).region), "clear at {pts} ms");
    }
}

#[test]
fn a_lost_face_stays_masked_when_another_appears_beside_it() {
    let lost = |n: i64| seen(n * 40, 0.3, 0.3, 0.1);
    let new = |n: i64| seen(n * 40, 0.41, 0.3, 0.1);
    let tracks = tracks((0..25).map(lost).chain((25..50).map(new)).collect(), RULES);
    assert_eq!(tracks.tracks.len(), 2);
    for n in 0..50 {
        assert!(covered(&tracks, n * 40, &lost(0).region), "clear at {n}");
    }
}
