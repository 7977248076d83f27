//! Registering is testing: every processor meets every example of what it reads.

use crate::{
    NAMES, blur::Blur, catalog::Catalog, cut::Cut, detect::Detect, index::Index, label::Label,
    stitch::Stitch, sweep::Sweep, thumbnail::Thumbnail, verify::Verify,
};
use engine::{Events, Input, Output, Processor};
use ports::{Headers, Position, Record, Refusal};
use schemas::{
    ALL, AudioPlan, AvroValue, ClipEntry, Event, EventKind, Manifest, Masking, RenderMode,
    SourceInfo, TimeBase, encode_json,
};
use serde_json::Value as Json;
use std::collections::BTreeSet;

/// The time every input of these tests was recorded at.
pub(crate) const AT_MS: i64 = 1_780_000_000_000;

pub(crate) fn input<E>(event: E) -> Input<E> {
    Input { event, id: "id".to_owned(), at_ms: AT_MS }
}

/// The n-th committed example of an event.
pub(crate) fn example<E: Event>(n: usize) -> Input<E> {
    let kind = schemas::kind(E::TOPIC).unwrap();
    let value = encode_json(E::TOPIC, &examples(kind)[n].to_string()).unwrap();
    input(E::from_value(value).unwrap())
}

pub(crate) fn cut() -> Cut {
    Cut {
        allowed_buckets: vec!["reelmill".to_owned(), "camera-drop".to_owned()],
        bucket: "reelmill".to_owned(),
        clip_seconds: 60.0,
        margin_seconds: 1.0,
        masking: Masking {
            blur: schemas::Blur::All,
            style: "pixelate".to_owned(),
            detector: "yunet_s@640".to_owned(),
            threshold: 0.5,
            verify_threshold: 0.6,
            extend_ms: 1000,
        },
    }
}

pub(crate) fn record(topic: &str) -> Record {
    Record {
        topic: topic.to_owned(),
        key: None,
        value: None,
        headers: Headers::default(),
        timestamp_ms: Some(AT_MS),
        position: Some(Position { topic: topic.to_owned(), partition: 1, offset: 7 }),
    }
}

/// 30 s at 25 frames a second in three clips.
pub(crate) fn manifest() -> Manifest {
    let clip = |index: u32, margin_start, core_start, core_end, margin_end| ClipEntry {
        index,
        core_start,
        core_end,
        margin_start,
        margin_end,
        core_frames: 250,
        frames: 300,
    };
    Manifest {
        version: 1,
        video_id: "v".into(),
        run_id: "r".into(),
        run_order: 5,
        owner: "ada".into(),
        assessment: "viva".into(),
        title: "t".into(),
        visibility: "private".into(),
        recorded_at_ms: 3,
        source: SourceInfo {
            bucket: "reelmill".into(),
            key: "k".into(),
            etag: "e".into(),
            bytes: 1000,
            sha256: "s".into(),
            container: "mp4".into(),
            video_codec: "h264".into(),
            audio_codec: None,
        },
        time_base: TimeBase { num: 1, den: 12_800 },
        start_pts: 100,
        duration_ms: 30_000,
        frames: 750,
        width: 640,
        height: 360,
        frame_rate: TimeBase { num: 25, den: 1 },
        clips: vec![
            clip(0, 100, 100, 128_100, 153_700),
            clip(1, 102_500, 128_100, 256_100, 281_700),
            clip(2, 230_500, 256_100, 384_100, 384_100),
        ],
        render: RenderMode::Full,
        render_reason: String::new(),
        masking: Masking { threshold: 0.25, extend_ms: 700, ..cut().masking },
        audio: AudioPlan::None,
        replay: 0,
        faces_of: None,
        labels_of: None,
        probe: serde_json::Value::Null,
    }
}

/// Why a plan ended early, for a comparison that reads well.
pub(crate) fn reason(refusal: &Refusal) -> &str {
    match refusal {
        Refusal::Skip(reason) => reason,
        Refusal::Poison(poison) => poison.reason,
    }
}

fn examples(kind: &EventKind) -> Vec<Json> {
    serde_json::from_str(kind.examples).unwrap()
}

/// What is done to each processor by a test that walks all of them.
trait Visitor {
    fn visit<P: Processor>(&mut self, processor: &P);
}

fn walk(visitor: &mut impl Visitor) {
    visitor.visit(&cut());
    visitor.visit(&Detect);
    visitor.visit(&Label);
    visitor.visit(&Blur);
    visitor.visit(&Stitch);
    visitor.visit(&Verify);
    visitor.visit(&Thumbnail);
    visitor.visit(&Index);
    visitor.visit(&Catalog);
    visitor.visit(&Sweep);
}

/// Everything a processor reads, by kind.
fn read_by<P: Processor>() -> impl Iterator<Item = &'static EventKind> {
    let topics = P::In::topics();
    ALL.iter().filter(move |kind| topics.iter().any(|topic| topic == kind.topic))
}

fn inputs<P: Processor>(kind: &EventKind, example: &Json) -> Option<Input<P::In>> {
    let value = encode_json(kind.topic, &example.to_string()).ok()?;
    P::In::read(&record(kind.topic), Ok(value)).ok().map(input)
}

#[derive(Default)]
struct Examples {
    names: Vec<&'static str>,
}

impl Visitor for Examples {
    fn visit<P: Processor>(&mut self, processor: &P) {
        self.names.push(P::NAME);
        let mut met = 0;
        for kind in read_by::<P>() {
            for json in examples(kind) {
                met += 1;
                let input = inputs::<P>(kind, &json).expect("an example can be read");
                let plan = processor.plan(&input);
                if let Err(Refusal::Poison(poison)) = &plan {
                    panic!("{} refuses an example of {}: {poison}", P::NAME, kind.topic);
                }
                let again = processor.plan(&input);
                assert_eq!(format!("{plan:?}"), format!("{again:?}"), "{}", P::NAME);
                if ![Catalog::NAME, Sweep::NAME].contains(&P::NAME) {
                    let video = json["video_id"].as_str().map(str::to_owned);
                    assert_eq!(processor.video_id(&input), video, "{}", P::NAME);
                }
                let Some(gather) = processor.gather(&input) else { continue };
                let folder = schemas::keys::run(&gather.video_id, &gather.run_id);
                assert!(!gather.parts.is_empty(), "{} waits for nothing", P::NAME);
                assert!(gather.parts.iter().all(|part| part.starts_with(&folder)));
                assert_eq!(gather.parts.iter().collect::<BTreeSet<_>>().len(), gather.parts.len());
            }
        }
        assert!(met >= 2, "{} has met {met} examples", P::NAME);
    }
}

#[test]
fn every_processor_plans_for_every_example_and_always_the_same() {
    let mut examples = Examples::default();
    walk(&mut examples);
    assert_eq!(examples.names, NAMES);
}

/// Events a broken or hostile producer may send: each field at its extremes, one at a time.
struct Extremes;

impl Visitor for Extremes {
    fn visit<P: Processor>(&mut self, processor: &P) {
        let numbers = [i64::MIN, i32::MIN.into(), -1, 0, 1, i32::MAX.into(), i64::MAX];
        let mut odd: Vec<Json> = numbers.iter().map(|n| (*n).into()).collect();
        odd.extend(["", "/", "../../etc/passwd", "\0"].map(Json::from));
        odd.extend([Json::Null, true.into(), false.into(), 1e30.into(), (-0.5).into()]);
        odd.push("x".repeat(5000).into());
        let mut met = 0;
        for kind in read_by::<P>() {
            for json in examples(kind) {
                for field in json.as_object().unwrap().keys() {
                    for value in &odd {
                        let mut json = json.clone();
                        json[field] = value.clone();
                        let Some(input) = inputs::<P>(kind, &json) else { continue };
                        met += 1;
                        drop(processor.plan(&input));
                        drop(processor.video_id(&input));
                        if let Some(gather) = processor.gather(&input) {
                            assert!(gather.parts.iter().all(|part| part.len() <= 160));
                        }
                    }
                }
            }
        }
        assert!(met > 50, "{} has met {met} odd events", P::NAME);
    }
}

#[test]
fn no_event_makes_a_plan_panic_or_a_key_leave_its_folder() {
    walk(&mut Extremes);
}

/// Name, topics read and topic written of each processor.
struct Mill(Vec<(&'static str, Vec<String>, Option<&'static str>)>);

impl Visitor for Mill {
    fn visit<P: Processor>(&mut self, _: &P) {
        self.0.push((P::NAME, P::In::topics(), P::Out::TOPIC));
    }
}

#[test]
fn every_topic_but_the_first_is_written_by_one_processor_and_read_by_the_catalog() {
    let mut mill = Mill(Vec::new());
    walk(&mut mill);
    for (n, kind) in ALL.iter().enumerate() {
        let writers: Vec<_> = mill.0.iter().filter(|p| p.2 == Some(kind.topic)).collect();
        assert_eq!(writers.len(), usize::from(n > 0), "{}", kind.topic);
        let readers: Vec<_> =
            mill.0.iter().filter(|p| p.1.iter().any(|t| t == kind.topic)).collect();
        assert!(readers.iter().any(|(name, ..)| *name == Catalog::NAME), "{}", kind.topic);
    }
}

#[test]
fn a_value_that_could_not_be_decoded_is_malformed_for_all_but_dead_letters() {
    let unreadable = || Err(schemas::Malformed("garbage".to_owned()));
    for kind in ALL {
        let read = <Catalog as Processor>::In::read(&record(kind.topic), unreadable());
        // Its own processor makes the dead letter; one is enough.
        assert_eq!(read, Ok(crate::catalog::News::Unreadable));
    }
    assert!(<Index as Processor>::In::read(&record("faces-detected"), unreadable()).is_err());
    assert!(<Index as Processor>::In::read(&record("elsewhere"), Ok(AvroValue::Null)).is_err());
}
