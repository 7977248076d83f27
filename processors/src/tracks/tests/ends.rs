//! How long a face is masked before it is first seen, and after it was last seen.

use super::{Dice, SHORT, covered, seen, times, tracks};
use crate::tracks::{Rules, Sighting};
use schemas::{BoundingBox, TimeBase};

fn doubted(pts: i64, left: f32, top: f32, size: f32) -> Sighting {
    Sighting { confidence: 20.0, ..seen(pts, left, top, size) }
}

#[test]
fn a_track_ends_sooner_where_every_frame_was_looked_at() {
    let reach = |times_seen: &[i64], rules: Rules| {
        let faces = times_seen.iter().map(|pts| seen(*pts, 0.3, 0.3, 0.1)).collect();
        let tracks = tracks(faces, rules);
        let points = times(&tracks.tracks[0]);
        (points.first().copied().unwrap(), points.last().copied().unwrap())
    };
    let a_second: Vec<_> = (0..25).map(|n| 2000 + n * 40).collect();
    assert_eq!(reach(&a_second, SHORT), (1880, 3080));
    // Seen once, or with frames missed at its end, it may have been missed there, too.
    assert_eq!(reach(&[2000], SHORT), (1800, 2200));
    assert_eq!(reach(&[2000, 2040, 2160], SHORT), (1880, 2760));
    // Where nobody says so, sightings on frames that follow one another do not tell what was between others.
    let untold = Rules { is_every_frame: false, ..SHORT };
    assert_eq!(reach(&a_second, untold), (1000, 3960));
    assert_eq!(reach(&[2000], untold), (1000, 3000));
    assert_eq!(reach(&[2000, 2500, 3000], untold), (1000, 4000));
    assert_eq!(reach(&[2000, 2500, 2540], untold), (1000, 3540));
}

#[test]
fn a_face_that_was_plain_to_see_and_is_not_even_doubted_has_gone() {
    let reach = |face: &dyn Fn(i64) -> Sighting, rules: Rules| {
        let of = |frames: std::ops::Range<i64>| {
            tracks(frames.map(|n| face(n * rules.frame)).collect(), rules)
        };
        let found = of(50..75);
        let points = times(&found.tracks[0]);
        let before = 50 * rules.frame - points[0];
        assert_eq!(before, points[points.len() - 1] - 74 * rules.frame, "both ends");
        (before, 50 * rules.frame - times(&of(50..51).tracks[0])[0])
    };
    let plain = |pts, left, size| Sighting { confidence: 71.0, ..seen(pts, left, 0.3, size) };
    // Who is seen once is missed on others.
    assert_eq!(reach(&|pts| plain(pts, 0.3, 0.1), SHORT), (80, 200));
    assert_eq!(reach(&|pts| plain(pts, 0.3, 0.1), Rules { frame: 200, ..SHORT }), (400, 1000));
    // Less sure, barely what is sure at all, small, at the border, in a hurry.
    let less = |pts| Sighting { confidence: 70.0, ..seen(pts, 0.3, 0.3, 0.1) };
    assert_eq!(reach(&less, SHORT), (120, 200));
    assert_eq!(reach(&|pts| plain(pts, 0.3, 0.1), Rules { sure: 40.0, ..SHORT }), (120, 200));
    assert_eq!(reach(&|pts| plain(pts, 0.3, 0.037), SHORT), (120, 200));
    assert_eq!(reach(&|pts| plain(pts, 0.003, 0.1), SHORT), (120, 200));
    assert_eq!(reach(&|pts| plain(pts, 0.0002 * (pts - 1500) as f32, 0.04), SHORT), (120, 200));
    // Nobody says that the other frames were looked at.
    let untold = Rules { is_every_frame: false, ..SHORT };
    assert_eq!(reach(&|pts| plain(pts, 0.3, 0.1), untold), (1000, 1000));
    // Half hidden at its end, and doubted there.
    let whole = || (50..75).map(|n| plain(n * 40, 0.3, 0.1));
    let end = |more: Vec<Sighting>| {
        let found = tracks(whole().chain(more).collect(), SHORT);
        found.tracks.iter().flat_map(times).max()
    };
    let start = |more: Vec<Sighting>| {
        let found = tracks(whole().chain(more).collect(), SHORT);
        found.tracks.iter().flat_map(times).min().unwrap()
    };
    let half = |n: i64| {
        let face = plain(n * 40, 0.3, 0.1);
        Sighting { region: BoundingBox { width: 0.08, ..face.region }, ..face }
    };
    assert_eq!(end((75..80).map(half).collect()), Some(79 * 40 + 120));
    let doubts = (75..80).map(|n| doubted(n * 40, 0.3, 0.3, 0.1));
    assert_eq!(end(doubts.collect()), Some(79 * 40 + 120));
    // A doubt of a part of it, or a frame later, does not lead on; one that is elsewhere or later is not of it.
    let reached = |doubt| (end(vec![doubt]).unwrap() - 74 * 40, start(vec![doubt]));
    let (before, after) = (50 * 40, 74 * 40);
    assert_eq!(reached(doubted(after + 40, 0.37, 0.3, 0.1)), (200, before - 80));
    assert_eq!(reached(doubted(after + 80, 0.3, 0.3, 0.05)), (200, before - 80));
    assert_eq!(reached(doubted(before - 80, 0.3, 0.3, 0.05)), (80, before - 200));
    assert_eq!(reached(doubted(after + 40, 0.41, 0.3, 0.1)), (80, before - 80));
    assert_eq!(reached(doubted(after + 120, 0.37, 0.3, 0.1)), (80, before - 80));
}

#[test]
fn a_face_that_comes_and_goes_behind_another_is_masked_as_one_that_is_missed() {
    let reach = |left, confidence| {
        let face = |n: i64, left| Sighting { confidence, ..seen(n * 40, left, 0.3, 0.1) };
        let before_it = (40..85).map(|n| face(n, left));
        let found = tracks((50..75).map(|n| face(n, 0.3)).chain(before_it).collect(), SHORT);
        let points = times(&found.tracks[1]);
        (50 * 40 - points[0], points[points.len() - 1] - 74 * 40)
    };
    assert_eq!((reach(0.38, 90.0), reach(0.38, 60.0)), ((200, 200), (200, 200)));
    assert_eq!((reach(0.41, 90.0), reach(0.41, 60.0)), ((80, 80), (120, 120)));
}

#[test]
fn what_is_seen_closely_only_is_masked_where_no_face_has_to_be_surer() {
    let time_base = TimeBase { num: 1, den: 1000 };
    let rules = Rules::of(time_base, 40, 1000, 0.7, Some(0));
    let face = |confidence| Sighting { confidence, ..seen(2000, 0.3, 0.3, 0.1) };
    assert_eq!(tracks(vec![face(70.0)], rules).tracks.len(), 1);
    assert_eq!(tracks(vec![face(69.9)], rules).tracks.len(), 0);
}

#[test]
fn a_film_of_few_frames_is_masked_for_as_many_of_them() {
    for frame in [100, 200, 333, 500] {
        let rules = Rules { frame, ..SHORT };
        let tracks = tracks((10..20).map(|n| seen(n * frame, 0.3, 0.3, 0.1)).collect(), rules);
        let reach = (3 * frame).min(1000);
        let points = times(&tracks.tracks[0]);
        assert_eq!(points.first(), Some(&(10 * frame - reach)), "{frame}");
        assert_eq!(points.last(), Some(&(19 * frame + reach)), "{frame}");
    }
}

#[test]
fn who_looks_twice_a_second_or_says_nothing_does_not_look_at_every_frame() {
    let time_base = TimeBase { num: 1, den: 1000 };
    let told = [Some(0), Some(150), Some(250), Some(251), Some(500), None];
    let found = told.map(|told| Rules::of(time_base, 40, 1000, 0.3, told).is_every_frame);
    assert_eq!(found, [true, true, true, false, false, false]);
    for frame in [40, 200, 333, 400, 500] {
        let rules = Rules { frame, is_every_frame: false, ..SHORT };
        let tracks = tracks((4..8).map(|n| seen(n * 500, 0.3, 0.3, 0.1)).collect(), rules);
        let points = times(&tracks.tracks[0]);
        assert_eq!((points.first(), points.last()), (Some(&1000), Some(&4500)), "{frame}");
    }
}

#[test]
fn a_doubt_takes_no_mask_away() {
    let mut dice = Dice(11);
    for turn in 0..300 {
        let confidence = if turn % 2 == 0 { 60.0 } else { 90.0 };
        let (left, top) = (dice.roll() * 0.7, dice.roll() * 0.7);
        let drift = (dice.roll() - 0.5) * 0.02;
        let at = |n: i64| left + (n - 10) as f32 * drift;
        let sure: Vec<_> = (10..10 + 2 + (dice.roll() * 10.0) as i64)
            .map(|n| {
                let face = seen(n * 40, at(n), top, 0.1);
                Sighting { region: face.region.clamped(), confidence, ..face }
            })
            .collect();
        let doubts: Vec<_> = (0..40)
            .map(|n| {
                let (right, down) = (dice.roll() * 0.1 - 0.05, dice.roll() * 0.1 - 0.05);
                let face = doubted(n * 40, at(n) + right, top + down, 0.05 + dice.roll() * 0.1);
                Sighting { region: face.region.clamped(), ..face }
            })
            .collect();
        // That somebody looked at every frame is known without them.
        let without = tracks(sure.clone(), SHORT);
        let with = tracks(sure.into_iter().chain(doubts).collect(), SHORT);
        for pts in (-1000..3000).step_by(40) {
            for mask in without.regions_at(pts) {
                assert!(covered(&with, pts, &mask), "{pts}: {mask:?}");
            }
        }
    }
}

#[test]
fn a_doubt_that_is_confirmed_takes_no_mask_from_those_before_it() {
    let sure = (25..50).map(|n| seen(n * 40, 0.3, 0.3, 0.1));
    // The face goes away by its own width, and comes back.
    let at = |n: i64| 0.3 + 0.1 * ((n - 49) as f32 / 11.0 * std::f32::consts::PI).sin();
    let doubts = (50..60).map(|n| doubted(n * 40, at(n), 0.3, 0.1));
    let confirmed = seen(60 * 40, at(60), 0.3, 0.1);
    let mut sightings: Vec<_> = sure.chain(doubts).collect();
    for is_confirmed in [false, true] {
        sightings.extend(is_confirmed.then_some(confirmed));
        let tracks = tracks(sightings.clone(), SHORT);
        for n in 50..60 {
            let face = seen(0, at(n), 0.3, 0.1).region;
            assert!(covered(&tracks, n * 40, &face), "clear at {n}, {is_confirmed}");
        }
    }
}

#[test]
fn a_doubt_prolongs_a_track_in_both_directions_and_makes_none() {
    let sure = (25..50).map(|n| seen(n * 40, 0.3, 0.3, 0.1));
    // The face turns away while it moves on, half a second before and after.
    let at = |n: i64| 0.3 + (n - 49).max(0) as f32 * 0.004 + (25 - n).max(0) as f32 * 0.004;
    let doubts = (13..25).chain(50..62).map(|n| doubted(n * 40, at(n), 0.3, 0.1));
    let elsewhere = (0..75).map(|n| doubted(n * 40, 0.7, 0.7, 0.1));
    let tracks = tracks(sure.chain(doubts).chain(elsewhere).collect(), SHORT);
    assert_eq!(tracks.tracks.len(), 3, "{tracks:?}");
    let times: Vec<i64> = tracks.tracks.iter().flat_map(times).collect();
    assert_eq!(times.iter().min(), Some(&(13 * 40 - 120)));
    assert_eq!(times.iter().max(), Some(&(61 * 40 + 120)));
    for n in 13..62 {
        let face = seen(0, at(n), 0.3, 0.1).region;
        assert!(covered(&tracks, n * 40, &face), "clear at {n}");
    }
}

#[test]
fn doubts_lead_a_track_a_second_further_at_most_and_not_over_a_gap() {
    let sure = || (0..5).map(|n| seen(n * 40, 0.3, 0.3, 0.1)).collect::<Vec<_>>();
    let end = |doubts: &mut dyn Iterator<Item = i64>| {
        let faces = sure().into_iter().chain(doubts.map(|pts| doubted(pts, 0.3, 0.3, 0.1)));
        tracks(faces.collect(), SHORT).tracks.iter().flat_map(times).max()
    };
    assert_eq!(end(&mut (5..100).map(|n| n * 40)), Some(160 + 1000 + 200));
    assert_eq!(end(&mut [560].into_iter()), Some(560 + 1000));
    assert_eq!(end(&mut [600].into_iter()), Some(160 + 120));
}
