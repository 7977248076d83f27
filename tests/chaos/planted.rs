//! Proof that the checker can fail: faults planted into a world that is as it must be, each of
//! which it has to find.

use crate::{
    checker::{Fault, judge},
    model::{Expected, Kind, Model},
    observed::{Document, Event, Letter, Observed},
};
use ports::{DeadLetterRow, STAGES, StageRow, VideoRow, VideoState};
use schemas::keys;

type Plant = (&'static str, Fault, fn(&mut Observed, &str));

/// What is done to the world, on account of a film of it, and how it must be called.
const PLANTS: [Plant; 20] = [
    ("an event is not there", Fault::Lost, |o, film| drop(take(o, film, "faces-detected"))),
    ("an event is there twice", Fault::Doubled, |o, film| {
        let event = take(o, film, "clips-blurred");
        o.events.extend([event.clone(), event]);
    }),
    ("an event is there again under another id", Fault::Doubled, |o, film| {
        let event = take(o, film, "recording-ready");
        o.events.extend([Event { id: "other".to_owned(), ..event.clone() }, event]);
    }),
    ("an id stands for two events", Fault::Doubled, |o, film| {
        let event = take(o, film, "labels-detected");
        let other = take(o, film, "labels-detected");
        o.events.extend([Event { id: other.id.clone(), ..event }, other]);
    }),
    ("half of a transaction is there", Fault::Torn, |o, film| drop(take(o, film, "clips-ready"))),
    ("a second run has begun", Fault::Doubled, |o, film| {
        let event = take(o, film, "recording-stitched");
        o.events.push(Event { run: "other".to_owned(), ..event });
    }),
    ("an event of a video that nobody sent", Fault::Orphan, |o, film| {
        let event = take(o, film, "thumbnail-ready");
        o.events.extend([Event { video: "nobody".to_owned(), ..event.clone() }, event]);
    }),
    ("a clip that the film has not", Fault::Orphan, |o, film| {
        let event = take(o, film, "clips-ready");
        o.events.extend([Event { index: 99, id: "other".to_owned(), ..event.clone() }, event]);
    }),
    ("a recording is not there", Fault::Lost, |o, film| {
        o.objects.remove(&keys::recording("chaos", film, 0));
    }),
    ("a recording has other bytes", Fault::Torn, |o, film| {
        o.recordings.insert(keys::recording("chaos", film, 0), "other".to_owned());
    }),
    ("a clip was not swept", Fault::Orphan, |o, film| {
        o.objects.insert(keys::clip(film, "run", 0));
    }),
    ("an object that belongs to nobody", Fault::Orphan, |o, _| {
        o.objects.insert("receipts/nobody.json".to_owned());
    }),
    ("a search document is not there", Fault::Lost, |o, film| drop(o.documents.remove(film))),
    ("a search document of another run", Fault::Torn, |o, film| {
        o.documents.insert(film.to_owned(), Document { run: "other".to_owned(), moments: 0 });
    }),
    ("a row is not there", Fault::Lost, |o, film| drop(o.rows.remove(film))),
    ("a stage counts a clip twice", Fault::Doubled, |o, film| {
        o.rows.get_mut(film).unwrap().stages[0].done += 1;
    }),
    ("a film has a dead letter", Fault::Lost, |o, film| {
        let letter = o.letters[0].clone();
        let told = o.told[0].clone();
        o.letters.push(Letter { video: film.to_owned(), offset: 99, ..letter });
        o.told.push(DeadLetterRow { offset: 99, ..told });
    }),
    ("a dead letter is there twice", Fault::Doubled, |o, _| {
        let (letter, told) = (o.letters[0].clone(), o.told[0].clone());
        o.letters.push(Letter { offset: 99, ..letter });
        o.told.push(DeadLetterRow { offset: 99, ..told });
    }),
    ("a transaction hangs", Fault::Torn, |o, _| o.open.push("clips-ready/0".to_owned())),
    ("a process left its scratch", Fault::Orphan, |o, _| o.scratch.push("/x".to_owned())),
];

fn take(observed: &mut Observed, video: &str, topic: &str) -> Event {
    let at = observed.events.iter().position(|e| e.video == video && e.topic == topic);
    observed.events.remove(at.unwrap())
}

/// Plants each fault into this world, which is as it must be.
pub(crate) fn every_plant_is_found(model: &Model, observed: &Observed) {
    assert_eq!(judge(model, observed), []);
    let film = model.uploads.iter().find(|(_, kind)| matches!(kind, Kind::Film(_))).unwrap().0;
    for (what, fault, plant) in PLANTS {
        let mut planted = observed.clone();
        plant(&mut planted, film);
        let findings = judge(model, &planted);
        assert!(findings.iter().any(|finding| finding.fault == fault), "{what}: {findings:#?}");
    }
}

/// A world of a film of two clips and a text, as they must be.
fn sound() -> (Model, Observed) {
    let (film, text, run) = ("film", "text", "run");
    let expected = Expected { clips: 2, recording: "bytes".to_owned(), moments: 3 };
    let model = Model {
        uploads: [(film.to_owned(), Kind::Film(0)), (text.to_owned(), Kind::Text)].into(),
        films: [(0, expected)].into(),
    };
    let mut observed = Observed::default();
    let per_clip = ["clips-ready", "faces-detected", "labels-detected", "clips-blurred"];
    let per_video =
        ["recording-stitched", "recording-ready", "thumbnail-ready", "metadata-indexed"];
    let clips = per_clip.into_iter().flat_map(|topic| [(topic, 0), (topic, 1)]);
    for (topic, index) in clips.chain(per_video.map(|topic| (topic, 0))) {
        observed.events.push(Event {
            topic: topic.to_owned(),
            id: format!("{topic}/{index}"),
            video: film.to_owned(),
            run: run.to_owned(),
            index,
        });
    }
    let parts = (0..2).flat_map(|n| [keys::tracks(film, run, n), keys::labels(film, run, n)]);
    let seen = |processor, n| {
        (0..n).map(move |event: u32| keys::seen(film, run, processor) + &event.to_string())
    };
    let recording = keys::recording("chaos", film, 0);
    let single = [
        keys::source("chaos", film, Some("mp4")),
        keys::source("chaos", text, Some("mp4")),
        recording.clone(),
        keys::receipt(film),
        keys::thumbnail(film),
        keys::manifest(film, run),
        keys::receipt_of_run(film, run),
        keys::swept(film, run),
        keys::claim(film, run, "stitch"),
        keys::claim(film, run, "index"),
    ];
    observed
        .objects
        .extend(single.into_iter().chain(parts).chain(seen("stitch", 2)).chain(seen("index", 4)));
    observed.recordings.insert(recording, "bytes".to_owned());
    observed.documents.insert(film.to_owned(), Document { run: run.to_owned(), moments: 3 });
    observed.rows.insert(film.to_owned(), row(film, run, VideoState::Ready));
    observed.rows.insert(text.to_owned(), row(text, "", VideoState::Failed));
    let topic = "reelmill.dead.cut".to_owned();
    let reason = "not_media".to_owned();
    observed.told.push(DeadLetterRow {
        topic: topic.clone(),
        partition: 0,
        offset: 0,
        processor: "cut".to_owned(),
        video_id: Some(text.to_owned()),
        reason: reason.clone(),
        detail: String::new(),
        at_ms: 0,
        redriven_at_ms: None,
    });
    let (video, detail) = (text.to_owned(), String::new());
    observed.letters.push(Letter { topic, partition: 0, offset: 0, video, reason, detail });
    (model, observed)
}

fn row(video: &str, run: &str, state: VideoState) -> VideoRow {
    let stages = STAGES.iter().map(|stage| StageRow {
        stage: stage.name.to_owned(),
        done: if stage.per_clip { 2 } else { 1 },
        total: None,
        frames: 0,
        first_at_ms: None,
        last_at_ms: None,
    });
    VideoRow {
        video_id: video.to_owned(),
        run_id: run.to_owned(),
        owner: String::new(),
        assessment: String::new(),
        title: String::new(),
        visibility: String::new(),
        recorded_at_ms: 0,
        uploaded_at_ms: 0,
        state,
        reason: None,
        detail: None,
        bytes: None,
        duration_ms: None,
        recording_bucket: None,
        recording_key: None,
        receipt_key: None,
        searchable: state == VideoState::Ready,
        retried_at_ms: None,
        stopped: Vec::new(),
        stages: stages.collect(),
        runs: 0,
        next_run: None,
    }
}

#[test]
fn the_checker_finds_every_fault_that_is_planted() {
    let (model, observed) = sound();
    every_plant_is_found(&model, &observed);
}
