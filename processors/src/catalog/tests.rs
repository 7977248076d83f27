use super::*;
use crate::tests::{AT_MS, example, input, reason, record};
use ports::Headers;
use schemas::{ClipsReady, Event, MetadataIndexed, RecordingReady, VideoUploaded};

fn facts(news: News) -> Vec<Fact> {
    Catalog.plan(&input(news)).unwrap().facts
}

fn dead(record: &Record, value: Result<AvroValue, Malformed>) -> DeadLetter {
    match News::read(record, value).unwrap() {
        News::Dead(dead) => dead,
        other => panic!("{other:?}"),
    }
}

fn unreadable() -> Result<AvroValue, Malformed> {
    Err(Malformed("garbage".into()))
}

#[test]
fn every_event_type_and_every_dead_letter_is_read() {
    let topics = News::topics();
    for kind in schemas::ALL {
        assert!(topics.iter().any(|topic| topic == kind.topic), "{}", kind.topic);
    }
    for name in NAMES {
        assert!(topics.contains(&format!("reelmill.dead.{name}")), "{name}");
    }
    assert_eq!(topics.len(), schemas::ALL.len() + NAMES.len());
}

#[test]
fn an_upload_is_a_row_once_its_id_is_known() {
    let with = example::<VideoUploaded>(0).event;
    let [Fact::Uploaded { uploaded_at_ms, bytes, .. }] =
        facts(News::Event(Catalogued::VideoUploaded(with)))[..]
    else {
        panic!("one fact is to be learned")
    };
    assert_eq!((uploaded_at_ms, bytes), (AT_MS, Some(7_340_032)));
    let without = example::<VideoUploaded>(1).event;
    let plan = Catalog.plan(&input(News::Event(Catalogued::VideoUploaded(without))));
    assert_eq!(plan, Err(Refusal::Skip("no_video_id")));
}

#[test]
fn a_clip_brings_the_row_and_its_progress() {
    let event = example::<ClipsReady>(1).event;
    let learned = facts(News::Event(Catalogued::ClipsReady(event.clone())));
    assert!(matches!(&learned[0], Fact::Uploaded { video_id, .. } if *video_id == event.video_id));
    assert_eq!(
        learned[1],
        Fact::Progress {
            video_id: event.video_id,
            run_id: event.run_id,
            stage: "cut",
            index: 2,
            total: Some(3),
            frames: 250,
            at_ms: AT_MS,
        }
    );
}

#[test]
fn the_end_of_the_mill_makes_a_video_ready_and_searchable() {
    let ready = example::<RecordingReady>(0).event;
    let learned = facts(News::Event(Catalogued::RecordingReady(ready.clone())));
    assert!(matches!(&learned[0], Fact::Progress { stage: "verify", total: Some(1), .. }));
    assert!(matches!(&learned[1], Fact::Ready { key, .. } if *key == ready.recording_key));
    let indexed = example::<MetadataIndexed>(0).event;
    let learned = facts(News::Event(Catalogued::MetadataIndexed(indexed)));
    assert!(matches!(&learned[0], Fact::Progress { stage: "index", .. }));
    assert!(matches!(&learned[1], Fact::Searchable { .. }));
}

#[test]
fn every_stage_a_user_sees_has_its_event() {
    let mut stages = Vec::new();
    for kind in schemas::ALL {
        let examples: Vec<serde_json::Value> = serde_json::from_str(kind.examples).unwrap();
        let value = schemas::encode_json(kind.topic, &examples[0].to_string()).unwrap();
        for fact in facts(News::read(&record(kind.topic), Ok(value)).unwrap()) {
            if let Fact::Progress { stage, .. } = fact {
                stages.push(stage);
            }
        }
    }
    assert_eq!(
        stages,
        ["cut", "detect", "label", "blur", "stitch", "verify", "thumbnail", "index"]
    );
}

#[test]
fn a_dead_letter_tells_whose_why_and_of_which_video() {
    let mut letter = record("reelmill.dead.blur");
    letter.headers = Headers::default()
        .with("__connect.errors.topic", "faces-detected")
        .with("__connect.errors.connector.name", "blur")
        .with("__connect.errors.exception.class.name", "frames_lost")
        .with("__connect.errors.exception.message", "clip 3\nlost frames");
    let value = example::<ClipsReady>(0).event.to_value();
    let [Fact::Dead(row)] = &facts(News::read(&letter, value).unwrap())[..] else {
        panic!("a dead letter is one fact")
    };
    assert_eq!((row.topic.as_str(), row.partition, row.offset), ("reelmill.dead.blur", 1, 7));
    assert_eq!((row.processor.as_str(), row.reason.as_str()), ("blur", "frames_lost"));
    assert_eq!(row.detail, "clip 3 lost frames");
    assert_eq!(row.video_id, Some(example::<ClipsReady>(0).event.video_id));
}

#[test]
fn bytes_nobody_can_read_are_still_a_dead_letter() {
    let letter = dead(&record("reelmill.dead.cut"), unreadable());
    assert_eq!((letter.processor.as_str(), letter.reason.as_str()), ("cut", "unknown"));
    assert_eq!(letter.video_id, None);
}

#[test]
fn the_key_names_the_video_where_the_value_cannot() {
    let id = ids::video("b", "k", "e");
    for (key, expected) in [
        (id.clone(), Some(id.clone())),
        (format!("{id}/7"), Some(id.clone())),
        ("hall 3/film.mp4".to_owned(), None),
        (String::new(), None),
    ] {
        let letter = Record { key: Some(key.clone().into()), ..record("reelmill.dead.cut") };
        assert_eq!(dead(&letter, unreadable()).video_id, expected, "{key}");
    }
}

#[test]
fn an_upload_that_never_got_an_id_has_one_of_its_source() {
    let event = example::<VideoUploaded>(1).event;
    let expected = ids::video(&event.bucket, &event.key, "");
    let letter = dead(&record("reelmill.dead.cut"), event.to_value());
    assert_eq!(letter.video_id, Some(expected));
}

#[test]
fn an_id_that_is_none_is_not_believed() {
    let mut event = example::<VideoUploaded>(0).event;
    event.video_id = Some("../../etc".into());
    assert_eq!(dead(&record("reelmill.dead.cut"), event.to_value()).video_id, None);
}

#[test]
fn a_dead_letter_that_cannot_be_noted_does_not_come_back_for_ever() {
    let mut letter = record("reelmill.dead.catalog");
    letter.headers.set("__connect.errors.topic", "reelmill.dead.cut");
    let news = News::read(&letter, unreadable()).unwrap();
    assert_eq!(reason(&Catalog.plan(&input(news)).unwrap_err()), "own_dead_letter");
    letter.headers.set("__connect.errors.topic", "clips-ready");
    assert_eq!(facts(News::read(&letter, unreadable()).unwrap()).len(), 1);
}

#[test]
fn a_long_detail_is_cut() {
    let mut letter = record("reelmill.dead.cut");
    letter.headers.set("__connect.errors.exception.message", "ü".repeat(5000));
    assert_eq!(dead(&letter, unreadable()).detail.chars().count(), LONGEST_DETAIL);
}
