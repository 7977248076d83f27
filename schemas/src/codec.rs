//! Between Rust types, Avro values, JSON and bytes: always through the committed schemas.

use crate::{ALL, AvroValue, Catalogued, EventKind, Malformed};
use apache_avro::{Reader, Schema, Writer};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value as Json;
use std::{collections::BTreeMap, fmt::Display, sync::OnceLock};

/// Schemas of the objects events point to; they travel inside the objects.
pub(crate) const TRACKS: &str = include_str!("../avro/objects/tracks.avsc");
pub(crate) const LABELS: &str = include_str!("../avro/objects/labels.avsc");

/// The parsed schema behind one of our committed texts, parsed once per process.
fn parsed(text: &'static str) -> Result<&'static Schema, Malformed> {
    static PARSED: OnceLock<BTreeMap<&str, Result<Schema, Malformed>>> = OnceLock::new();
    let all = PARSED.get_or_init(|| {
        let texts = ALL.iter().map(|kind| kind.schema).chain([TRACKS, LABELS]);
        texts.map(|text| (text, Schema::parse_str(text).map_err(malformed))).collect()
    });
    match all.get(text) {
        Some(Ok(schema)) => Ok(schema),
        Some(Err(malformed)) => Err(malformed.clone()),
        None => {
            Err(Malformed("the schema is not among the committed ones: register it in ALL".into()))
        }
    }
}

/// The committed text of an event's schema that says the same as this one.
pub(crate) fn ours(schema: &Schema) -> Option<&'static str> {
    let mut texts = ALL.iter().map(|kind| kind.schema);
    texts.find(|text| parsed(text).is_ok_and(|ours| ours == schema))
}

pub(crate) fn malformed(error: impl Display) -> Malformed {
    Malformed(error.to_string())
}

/// As a value of exactly this schema.
pub(crate) fn to_value<T: Serialize>(schema: &'static str, of: &T) -> Result<AvroValue, Malformed> {
    let value = apache_avro::to_value(of).map_err(malformed)?;
    value.resolve(parsed(schema)?).map_err(malformed)
}

/// From a value of any version of this schema: unknown fields are dropped, missing ones take
/// their defaults.
pub(crate) fn from_value<T: DeserializeOwned>(
    schema: &'static str,
    value: AvroValue,
) -> Result<T, Malformed> {
    let schema = parsed(schema)?;
    // Written with the same fields, it mostly fits as it is, for a tenth of the work.
    if has_fields_of(&value, schema)
        && let Ok(read) = apache_avro::from_value(&value)
    {
        return Ok(read);
    }
    let value = value.resolve(schema).map_err(malformed)?;
    apache_avro::from_value(&value).map_err(malformed)
}

fn has_fields_of(value: &AvroValue, schema: &Schema) -> bool {
    let (AvroValue::Record(fields), Schema::Record(record)) = (value, schema) else { return false };
    fields.len() == record.fields.len()
        && fields.iter().zip(&record.fields).all(|((name, _), field)| *name == field.name)
}

/// As an Avro object container file with one record.
pub(crate) fn to_container<T: Serialize>(
    schema: &'static str,
    of: &T,
) -> Result<Vec<u8>, Malformed> {
    // A file's sync marker is random by custom; ours is fixed, so that the same object is the
    // same bytes however often it is made.
    let mut writer = Writer::builder()
        .schema(parsed(schema)?)
        .writer(Vec::new())
        .marker(*b"reelmill-object\n")
        .build()
        .map_err(malformed)?;
    writer.append_value(to_value(schema, of)?).map_err(malformed)?;
    writer.into_inner().map_err(malformed)
}

/// From an Avro object container file with one record, written with any version of this schema.
pub(crate) fn from_container<T: DeserializeOwned>(
    schema: &'static str,
    bytes: &[u8],
) -> Result<T, Malformed> {
    let mut records = Reader::new(bytes).map_err(malformed)?;
    let first = records.next().ok_or_else(|| Malformed("the file holds no record".into()))?;
    let value = first.map_err(malformed)?;
    if records.next().is_some() {
        return Err(Malformed("the file holds more than one record".into()));
    }
    from_value(schema, value)
}

/// The event type of a topic.
///
/// # Errors
/// A topic without events of ours, with the nearest name.
pub fn kind(topic: &str) -> Result<&'static EventKind, Malformed> {
    ALL.iter().find(|kind| kind.topic == topic).ok_or_else(|| {
        let near = nearest(topic, ALL.iter().map(|kind| kind.topic));
        Malformed(format!("topic {topic:?} holds no event of ours: did you mean {near:?}?"))
    })
}

/// An event from JSON: a person's, so that what is missing takes the schema's default, and what
/// is unknown is an error.
///
/// # Errors
/// An unknown topic or field, with the nearest name; a missing field; a value of the wrong type.
pub fn encode_json(topic: &str, json: &str) -> Result<AvroValue, Malformed> {
    let schema = parsed(kind(topic)?.schema)?;
    let Schema::Record(record) = schema else {
        return Err(Malformed("an event's schema must be a record".into()));
    };
    let json: Json =
        serde_json::from_str(json).map_err(|e| Malformed(format!("this is not JSON: {e}")))?;
    let Json::Object(given) = json else {
        return Err(Malformed("an event is one JSON object, { \"field\": value, … }".into()));
    };
    let names = || record.fields.iter().map(|field| field.name.as_str());
    if let Some(unknown) = given.keys().find(|key| names().all(|name| name != key.as_str())) {
        let near = nearest(unknown, names());
        return Err(Malformed(format!("{topic} has no field {unknown:?}: did you mean {near:?}?")));
    }
    let mut fields = Vec::new();
    for field in &record.fields {
        let (name, schema) = (&field.name, &field.schema);
        let value = given.get(name).or(field.default.as_ref()).ok_or_else(|| {
            Malformed(format!("{topic} needs the field {name:?}, which has no default"))
        })?;
        let avro = AvroValue::try_from(value.clone()).and_then(|avro| avro.resolve(schema));
        let avro = avro.map_err(|_| {
            let wanted = serde_json::to_string(schema).unwrap_or_default();
            Malformed(format!("field {name:?} of {topic} must be {wanted}, not {value}"))
        })?;
        fields.push((name.clone(), avro));
    }
    Ok(AvroValue::Record(fields))
}

/// An event as JSON, in the newest form whatever version wrote it.
///
/// # Errors
/// An unknown topic; a value that is none of this topic's events.
pub fn decode_json(topic: &str, value: AvroValue) -> Result<Json, Malformed> {
    let event = Catalogued::from_value(topic, value)?;
    // By way of text: straight into a JSON value, 0.3 would become 0.30000001192092896.
    let text = serde_json::to_string(&event).map_err(malformed)?;
    serde_json::from_str(&text).map_err(malformed)
}

/// The candidate with the fewest letters to change (Levenshtein); empty without candidates.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> &'a str {
    let near = candidates.into_iter().min_by_key(|candidate| strsim::levenshtein(word, candidate));
    near.unwrap_or_default()
}
