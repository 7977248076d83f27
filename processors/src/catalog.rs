//! Every topic and every dead letter → nothing: what a user is told of each video.

use crate::NAMES;
use engine::{Effect, Events, Input, Never, Outcome, Processor};
use ports::{DeadLetterRow, Fact, Position, Record, Refusal};
use schemas::{AvroValue, Catalogued, Malformed, ids, keys};

/// Applies facts to the catalogue.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordFacts {
    pub facts: Vec<Fact>,
}

impl Effect for RecordFacts {
    type Answer = ();
}

/// Anything that travels: an event of ours, or one that could not be worked on.
#[derive(Debug, Clone, PartialEq)]
pub enum News {
    Event(Catalogued),
    Dead(DeadLetter),
}

/// A dead letter, as far as it could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    pub position: Position,
    /// The topic the event had been read from; empty where unknown.
    pub origin: String,
    pub processor: String,
    pub reason: String,
    pub detail: String,
    pub video_id: Option<String>,
}

/// Dead letters of a processor go here.
#[must_use]
pub fn dead_topic(processor: &str) -> String {
    format!("{DEAD}{processor}")
}

const DEAD: &str = "reelmill.dead.";

/// A person reads the detail; a hostile file's whole error log is of no use to them.
const LONGEST_DETAIL: usize = 1000;

impl Events for News {
    fn topics() -> Vec<String> {
        let events = schemas::ALL.iter().map(|kind| kind.topic.to_owned());
        events.chain(NAMES.iter().map(|name| dead_topic(name))).collect()
    }

    fn read(record: &Record, value: Result<AvroValue, Malformed>) -> Result<Self, Malformed> {
        if let Some(processor) = record.topic.strip_prefix(DEAD) {
            return DeadLetter::read(record, processor, value.ok()).map(Self::Dead);
        }
        Catalogued::from_value(&record.topic, value?).map(Self::Event)
    }
}

impl DeadLetter {
    /// Reads what is there. Only a record without a position is refused: nothing would tell its
    /// row from another's.
    fn read(record: &Record, topic_of: &str, value: Option<AvroValue>) -> Result<Self, Malformed> {
        let position = record.position.clone().ok_or_else(|| {
            Malformed("a dead letter without a position cannot be told apart".into())
        })?;
        let text = |name: &str, fallback: &str| {
            let text = record.headers.text(name).unwrap_or(fallback);
            // A database may refuse control characters, and a screen should.
            let clean = text.chars().map(|c| if c.is_control() { ' ' } else { c });
            clean.take(LONGEST_DETAIL).collect::<String>()
        };
        Ok(Self {
            position,
            origin: text("__connect.errors.topic", ""),
            processor: text("__connect.errors.connector.name", topic_of),
            reason: text("__connect.errors.exception.class.name", "unknown"),
            detail: text("__connect.errors.exception.message", "the dead letter gives no detail"),
            video_id: value.as_ref().and_then(named_in_value).or_else(|| named_in_key(record)),
        })
    }
}

/// The video an event of any type is about.
fn named_in_value(value: &AvroValue) -> Option<String> {
    let AvroValue::Record(fields) = value else { return None };
    let text = |name: &str| {
        let (_, value) = fields.iter().find(|(field, _)| field == name)?;
        let value = if let AvroValue::Union(_, inner) = value { inner } else { value };
        if let AvroValue::String(text) = value { Some(text.as_str()) } else { None }
    };
    match text("video_id") {
        Some(id) => (keys::safe(id) == id).then(|| id.to_owned()),
        // Only `video-uploaded` may come without: its source was never found, or found wanting.
        None => Some(ids::video(text("bucket")?, text("key")?, "")),
    }
}

/// The video a record's key names: `video_id` or `video_id/index`.
fn named_in_key(record: &Record) -> Option<String> {
    let key = std::str::from_utf8(record.key.as_deref()?).ok()?;
    let id = key.split('/').next()?;
    ids::is_uuid(id).then(|| id.to_owned())
}

/// The processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Catalog;

impl Processor for Catalog {
    const NAME: &'static str = "catalog";

    type In = News;
    type Out = Never;
    type Effect = RecordFacts;

    fn plan(&self, input: &Input<News>) -> Result<RecordFacts, Refusal> {
        let facts = match &input.event {
            News::Event(event) => learned(event, input.at_ms),
            // A dead letter this catalogue could not note comes back as a dead letter of its own.
            // Once is enough.
            News::Dead(dead) if dead.processor == Self::NAME && dead.origin.starts_with(DEAD) => {
                return Err(Refusal::Skip("own_dead_letter"));
            }
            News::Dead(dead) => vec![Fact::Dead(DeadLetterRow {
                topic: dead.position.topic.clone(),
                partition: dead.position.partition,
                offset: dead.position.offset,
                processor: dead.processor.clone(),
                video_id: dead.video_id.clone(),
                reason: dead.reason.clone(),
                detail: dead.detail.clone(),
                at_ms: input.at_ms,
            })],
        };
        if facts.is_empty() {
            // Its first clip will bring the id.
            return Err(Refusal::Skip("no_video_id"));
        }
        Ok(RecordFacts { facts })
    }

    fn conclude(&self, _: Input<News>, (): ()) -> Result<Outcome<Never>, Refusal> {
        Ok(Outcome::nothing())
    }
}

/// What an event of this time tells.
fn learned(event: &Catalogued, at_ms: i64) -> Vec<Fact> {
    match event {
        Catalogued::VideoUploaded(e) => match &e.video_id {
            Some(video_id) => vec![Fact::Uploaded {
                video_id: video_id.clone(),
                owner: e.owner.clone(),
                assessment: e.assessment.clone(),
                title: e.title.clone(),
                visibility: if e.visibility == "listed" { "listed" } else { "private" }.to_owned(),
                recorded_at_ms: e.recorded_at_ms.unwrap_or(at_ms),
                uploaded_at_ms: at_ms,
                bytes: e.size_bytes,
            }],
            None => Vec::new(),
        },
        Catalogued::ClipsReady(e) => vec![
            Fact::Uploaded {
                video_id: e.video_id.clone(),
                owner: e.owner.clone(),
                assessment: e.assessment.clone(),
                title: e.title.clone(),
                visibility: e.visibility.clone(),
                recorded_at_ms: e.recorded_at_ms,
                uploaded_at_ms: at_ms,
                bytes: Some(e.size_bytes),
            },
            part(&e.video_id, &e.run_id, "cut", (e.index, e.count), e.core_frames, at_ms),
        ],
        Catalogued::FacesDetected(e) => {
            vec![part(&e.video_id, &e.run_id, "detect", (e.index, e.count), e.core_frames, at_ms)]
        }
        Catalogued::LabelsDetected(e) => {
            vec![part(&e.video_id, &e.run_id, "label", (e.index, e.count), 0, at_ms)]
        }
        Catalogued::ClipsBlurred(e) => {
            vec![part(&e.video_id, &e.run_id, "blur", (e.index, e.count), e.frames, at_ms)]
        }
        Catalogued::RecordingStitched(e) => {
            vec![whole(&e.video_id, &e.run_id, "stitch", e.frames, at_ms)]
        }
        Catalogued::RecordingReady(e) => vec![
            whole(&e.video_id, &e.run_id, "verify", e.frames, at_ms),
            Fact::Ready {
                video_id: e.video_id.clone(),
                run_id: e.run_id.clone(),
                bucket: e.bucket.clone(),
                key: e.recording_key.clone(),
                receipt_key: e.receipt_key.clone(),
                duration_ms: e.duration_ms,
                bytes: e.size_bytes,
                at_ms,
            },
        ],
        Catalogued::MetadataIndexed(e) => vec![
            whole(&e.video_id, &e.run_id, "index", 0, at_ms),
            Fact::Searchable { video_id: e.video_id.clone(), run_id: e.run_id.clone(), at_ms },
        ],
    }
}

/// One clip of a stage is done.
fn part(
    video_id: &str,
    run_id: &str,
    stage: &'static str,
    (index, count): (i32, Option<i32>),
    frames: i32,
    at_ms: i64,
) -> Fact {
    Fact::Progress {
        video_id: video_id.to_owned(),
        run_id: run_id.to_owned(),
        stage,
        index: i64::from(index),
        total: count.map(i64::from),
        frames: i64::from(frames),
        at_ms,
    }
}

/// A stage that works on the whole video is done.
fn whole(video_id: &str, run_id: &str, stage: &'static str, frames: i64, at_ms: i64) -> Fact {
    Fact::Progress {
        video_id: video_id.to_owned(),
        run_id: run_id.to_owned(),
        stage,
        index: 0,
        total: Some(1),
        frames,
        at_ms,
    }
}
