//! The objects events point to: their bytes, and the boxes in them.

use schemas::{BoundingBox, Label, Labels, Manifest, Receipt, TimeBase, Track, TrackPoint, Tracks};

fn region(left: f32, top: f32, width: f32, height: f32) -> BoundingBox {
    BoundingBox { left, top, width, height }
}

fn point(pts: i64, left: f32) -> TrackPoint {
    TrackPoint { pts, region: region(left, 0.2, 0.1, 0.1), confidence: 90.0 }
}

/// One face from tick 100 to 300, one at tick 250 only; 10 ticks a frame.
fn tracks() -> Tracks {
    Tracks {
        video_id: "v".into(),
        run_id: "r".into(),
        index: 3,
        time_base: TimeBase { num: 1, den: 12_800 },
        frame_ticks: 10,
        looked_every_ms: Some(150),
        tracks: vec![
            Track { id: 0, points: vec![point(100, 0.1), point(200, 0.3), point(300, 0.3)] },
            Track { id: 1, points: vec![point(250, 0.8)] },
        ],
    }
}

fn lefts(tracks: &Tracks, pts: i64) -> Vec<f32> {
    let regions = tracks.regions_at(pts);
    regions.iter().map(|region| (region.left * 1000.0).round() / 1000.0).collect()
}

#[test]
fn tracks_and_labels_survive_their_files_and_are_always_the_same_bytes() {
    let tracks = tracks();
    let bytes = tracks.to_avro().unwrap();
    assert_eq!(Tracks::from_avro(&bytes).unwrap(), tracks);
    assert_eq!(tracks.to_avro().unwrap(), bytes);
    let labels = Labels {
        video_id: "v".into(),
        run_id: "r".into(),
        index: 0,
        labels: vec![Label {
            at_ms: 1000,
            name: "Car".into(),
            parents: vec!["Vehicle".into()],
            confidence: 88.5,
            regions: vec![region(0.0, 0.0, 0.5, 0.5), region(0.5, 0.5, 0.5, 0.5)],
        }],
    };
    let bytes = labels.to_avro().unwrap();
    assert_eq!(Labels::from_avro(&bytes).unwrap(), labels);
    assert_eq!(labels.to_avro().unwrap(), bytes);
    let none = Labels { labels: Vec::new(), ..labels };
    assert_eq!(Labels::from_avro(&none.to_avro().unwrap()).unwrap(), none);
}

#[test]
fn damaged_and_foreign_files_are_malformed() {
    let bytes = tracks().to_avro().unwrap();
    for cut in 0..bytes.len() {
        assert!(Tracks::from_avro(&bytes[..cut]).is_err(), "{cut} of {} bytes", bytes.len());
    }
    assert!(Labels::from_avro(&bytes).is_err());
    assert!(Tracks::from_avro(b"not Avro").is_err());
    let said = Manifest::from_json(b"{\"version\": 1}").unwrap_err().to_string();
    assert!(said.contains("no manifest"), "{said}");
    let said = Receipt::from_json(b"").unwrap_err().to_string();
    assert!(said.contains("no receipt"), "{said}");
}

#[test]
fn a_track_covers_its_first_to_its_last_point_and_half_a_frame_beyond() {
    let tracks = tracks();
    for (pts, expected) in [
        (94, vec![]),
        (95, vec![0.1]),
        (100, vec![0.1]),
        (150, vec![0.2]),
        (200, vec![0.3]),
        (245, vec![0.3, 0.8]),
        (255, vec![0.3, 0.8]),
        (256, vec![0.3]),
        (305, vec![0.3]),
        (306, vec![]),
        (i64::MIN, vec![]),
        (i64::MAX, vec![]),
    ] {
        assert_eq!(lefts(&tracks, pts), expected, "at {pts}");
    }
}

#[test]
fn boxes_are_cut_to_the_picture_and_never_lost() {
    let cases = [
        (region(0.2, 0.2, 0.1, 0.1), (0.2, 0.2, 0.3, 0.3)),
        (region(-0.1, -0.1, 0.3, 0.3), (0.0, 0.0, 0.2, 0.2)),
        (region(0.9, 0.9, 0.3, 0.3), (0.9, 0.9, 1.0, 1.0)),
        (region(-1.0, -1.0, 9.0, 9.0), (0.0, 0.0, 1.0, 1.0)),
        (region(f32::NAN, 0.0, 0.1, 0.1), (0.0, 0.0, 1.0, 1.0)),
        (region(0.0, 0.0, f32::INFINITY, 0.1), (0.0, 0.0, 1.0, 1.0)),
    ];
    for (given, (left, top, right, bottom)) in cases {
        let cut = given.clamped();
        let sides = [cut.left - left, cut.top - top, cut.right() - right, cut.bottom() - bottom];
        assert!(sides.iter().all(|off| off.abs() < 1e-6), "{given:?} became {cut:?}");
    }
    for given in [region(1.5, -3.0, 0.1, 0.1), region(0.5, 0.5, 0.0, -1.0)] {
        let cut = given.clamped();
        assert!(cut.area() > 0.0, "{given:?} was lost: {cut:?}");
        assert!(cut.left >= 0.0 && cut.top >= 0.0 && cut.right() <= 1.0 && cut.bottom() <= 1.0);
    }
}

#[test]
fn overlap_is_measured_as_intersection_over_union() {
    let one = region(0.0, 0.0, 0.2, 0.2);
    assert!((one.iou(&one) - 1.0).abs() < 1e-6);
    assert!((one.iou(&region(0.1, 0.0, 0.2, 0.2)) - 1.0 / 3.0).abs() < 1e-6);
    assert_eq!(one.iou(&region(0.5, 0.5, 0.1, 0.1)), 0.0);
    assert_eq!(region(0.0, 0.0, 0.0, 0.0).iou(&region(0.0, 0.0, 0.0, 0.0)), 0.0);
    assert_eq!(one.hull(&region(0.5, 0.1, 0.1, 0.5)), region(0.0, 0.0, 0.6, 0.6));
}

#[test]
fn ticks_become_milliseconds_and_back() {
    let film = TimeBase { num: 1001, den: 30_000 };
    assert_eq!(film.to_ms(30_000), 1_001_000);
    assert_eq!(film.to_ms(1), 33);
    assert_eq!(film.to_ms(-1), -34);
    assert_eq!(film.to_ticks(33), 1);
    let fine = TimeBase { num: 1, den: 90_000 };
    assert_eq!(fine.to_ticks(1000), 90_000);
    assert_eq!(fine.to_ticks(-1000), -90_000);
    for ms in [0, 1, 39, 40, 1_000_000_007] {
        assert_eq!(fine.to_ms(fine.to_ticks(ms)), ms);
    }
    assert_eq!(fine.to_ticks(i64::MAX), i64::MAX);
    assert_eq!(fine.to_ticks(i64::MIN), i64::MIN);
    assert_eq!(TimeBase { num: 0, den: 0 }.to_ms(5), 0);
}
