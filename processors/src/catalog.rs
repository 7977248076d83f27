//! Every topic and every dead letter → nothing: what a user is told of each video.

use crate::{NAMES, visibility};
use engine::{Effect, Events, Input, Never, Outcome, Processor, dead_topic, header, redriven};
use ports::{DeadLetterRow, Fact, Position, Record, Refusal};
use schemas::{AvroValue, Catalogued, Event, Malformed, VideoUploaded, ids, keys};

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
    /// The mark of a dead letter that was sent back: where that letter is.
    Redriven(Position),
    /// No event of ours. The processor it was meant for has made a dead letter of it.
    Unreadable,
}

/// A dead letter, as far as it could be read.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadLetter {
    pub position: Position,
    /// The topic the event had been read from; empty where unknown.
    pub origin: String,
    pub processor: String,
    pub reason: String,
    pub detail: String,
    pub video_id: Option<String>,
    /// The id was derived without the source, which would have given another.
    pub stand_in: bool,
    /// The upload itself, where it is one that could be read: all that will ever be known of it.
    pub upload: Option<VideoUploaded>,
}

/// A person reads the detail; a hostile file's whole error log is of no use to them.
const LONGEST_DETAIL: usize = 1000;

impl Events for News {
    fn topics() -> Vec<String> {
        let events = schemas::ALL.iter().map(|kind| kind.topic.to_owned());
        events.chain(NAMES.iter().map(|name| dead_topic(name))).collect()
    }

    fn read(record: &Record, value: Result<AvroValue, Malformed>) -> Result<Self, Malformed> {
        if let Some(processor) = processor_of(&record.topic) {
            if let Some(letter) = redriven(record) {
                return Ok(Self::Redriven(letter));
            }
            return DeadLetter::read(record, processor, value.ok()).map(Self::Dead);
        }
        let event = value.and_then(|value| Catalogued::from_value(&record.topic, value));
        Ok(event.map_or(Self::Unreadable, Self::Event))
    }
}

impl DeadLetter {
    /// Reads what is there. Only a record without a position is refused: nothing would tell its
    /// row from another's.
    pub fn read(
        record: &Record,
        processor: &str,
        value: Option<AvroValue>,
    ) -> Result<Self, Malformed> {
        let position = record.position.clone().ok_or_else(|| {
            Malformed("a dead letter without a position cannot be told apart".into())
        })?;
        let text = |name: &str, fallback: &str| {
            let text = record.headers.text(name).unwrap_or(fallback);
            // A database may refuse control characters, and a screen should.
            let clean = text.chars().map(|c| if c.is_control() { ' ' } else { c });
            clean.take(LONGEST_DETAIL).collect::<String>()
        };
        let named = value.as_ref().and_then(named_in_value);
        Ok(Self {
            position,
            stand_in: named.as_ref().is_some_and(|(_, stand_in)| *stand_in),
            origin: text(header::DEAD_TOPIC, ""),
            processor: text(header::DEAD_PROCESSOR, processor),
            reason: text(header::DEAD_REASON, "unknown"),
            detail: text(header::DEAD_DETAIL, "the dead letter gives no detail"),
            video_id: named.map(|(id, _)| id).or_else(|| named_in_key(record)),
            upload: value.and_then(|value| VideoUploaded::from_value(value).ok()),
        })
    }
}

/// Whose dead letters a topic holds, if it holds any.
fn processor_of(topic: &str) -> Option<&'static str> {
    NAMES.iter().find(|name| dead_topic(name) == topic).copied()
}

/// The video an event of any type is about, and whether its id only stands in for one.
fn named_in_value(value: &AvroValue) -> Option<(String, bool)> {
    let AvroValue::Record(fields) = value else { return None };
    let text = |name: &str| {
        let (_, value) = fields.iter().find(|(field, _)| field == name)?;
        let value = if let AvroValue::Union(_, inner) = value { inner } else { value };
        if let AvroValue::String(text) = value { Some(text.as_str()) } else { None }
    };
    match text("video_id") {
        Some(id) => (keys::safe(id) == id).then(|| (id.to_owned(), false)),
        // Only `video-uploaded` may come without: its source was never found, or found wanting.
        None => Some((ids::video(text("bucket")?, text("key")?, ""), true)),
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
            News::Dead(dead)
                if dead.processor == Self::NAME && processor_of(&dead.origin).is_some() =>
            {
                return Err(Refusal::Skip("own_dead_letter"));
            }
            News::Dead(dead) => {
                let upload = dead.upload.as_ref().zip(dead.video_id.as_deref());
                upload
                    .map(|(event, video_id)| uploaded(video_id, event, input.at_ms))
                    .into_iter()
                    .chain([Fact::Dead(DeadLetterRow {
                        topic: dead.position.topic.clone(),
                        partition: dead.position.partition,
                        offset: dead.position.offset,
                        processor: dead.processor.clone(),
                        video_id: dead.video_id.clone(),
                        reason: dead.reason.clone(),
                        detail: dead.detail.clone(),
                        at_ms: input.at_ms,
                        redriven_at_ms: None,
                    })])
                    .chain(
                        dead.video_id
                            .iter()
                            .filter(|_| dead.stand_in)
                            .map(|video_id| Fact::StandIn { video_id: video_id.clone() }),
                    )
                    .collect()
            }
            News::Redriven(Position { topic, partition, offset }) => vec![Fact::Redriven {
                topic: topic.clone(),
                partition: *partition,
                offset: *offset,
                at_ms: input.at_ms,
            }],
            News::Unreadable => return Err(Refusal::Skip("unreadable")),
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

fn uploaded(video_id: &str, event: &VideoUploaded, at_ms: i64) -> Fact {
    Fact::Uploaded {
        video_id: video_id.to_owned(),
        owner: event.owner.clone(),
        assessment: event.assessment.clone(),
        title: event.title.clone(),
        visibility: visibility(&event.visibility),
        recorded_at_ms: event.recorded_at_ms.unwrap_or(at_ms),
        uploaded_at_ms: at_ms,
        bytes: event.size_bytes,
    }
}

/// What an event of this time tells.
fn learned(event: &Catalogued, at_ms: i64) -> Vec<Fact> {
    match event {
        Catalogued::VideoUploaded(e) => {
            e.video_id.iter().map(|video_id| uploaded(video_id, e, at_ms)).collect()
        }
        Catalogued::ClipsReady(e) => vec![
            Fact::Uploaded {
                video_id: e.video_id.clone(),
                owner: e.owner.clone(),
                assessment: e.assessment.clone(),
                title: e.title.clone(),
                visibility: visibility(&e.visibility),
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
        Catalogued::ThumbnailReady(e) => {
            vec![whole(&e.video_id, &e.run_id, "thumbnail", 1, at_ms)]
        }
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

#[cfg(test)]
mod tests;
