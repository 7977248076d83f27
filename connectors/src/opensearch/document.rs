//! Documents into OpenSearch's and back.

use crate::words::{EVERYWHERE, words};
use ports::{Document, Hit, Moment, MomentKind, Trouble};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// Bytes of a word that are kept. Longer ones cannot be asked for: a query is shorter.
pub(super) const LONGEST_WORD: usize = 8_000;

/// OpenSearch's limit for an id, in bytes.
const LONGEST_ID: usize = 512;

/// The `_id` of a video: its own where it fits, else a hash. No own id begins as a hash does.
pub(super) fn id(video_id: &str) -> String {
    const HASHED: &str = "sha256:";
    if (1..=LONGEST_ID).contains(&video_id.len()) && !video_id.starts_with(HASHED) {
        return video_id.to_owned();
    }
    let hash = Sha256::digest(video_id.as_bytes());
    hash.iter().fold(HASHED.to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

/// A text as the index's own analysis takes it: its words, with spaces between.
pub(super) fn spaced(text: &str) -> String {
    let mut words = words(text);
    for word in &mut words {
        if word.len() > LONGEST_WORD {
            let end = (0..=LONGEST_WORD).rev().find(|end| word.is_char_boundary(*end));
            word.truncate(end.unwrap_or_default());
        }
    }
    words.join(" ")
}

pub(super) fn kind_name(kind: MomentKind) -> &'static str {
    match kind {
        MomentKind::Label => "label",
        MomentKind::Person => "person",
        MomentKind::Place => "place",
        MomentKind::Text => "text",
    }
}

/// The body of a video, its moments inside.
pub(super) fn to_source(document: &Document) -> Value {
    // Each name once, or a long video would drown out all others.
    let names: BTreeSet<(MomentKind, &str)> =
        document.moments.iter().map(|moment| (moment.kind, moment.name.as_str())).collect();
    let kinds = [MomentKind::Label, MomentKind::Person, MomentKind::Place, MomentKind::Text];
    let mut fields: BTreeMap<&str, Vec<String>> =
        kinds.into_iter().map(|kind| (kind_name(kind), Vec::new())).collect();
    for (kind, name) in &names {
        fields.entry(kind_name(*kind)).or_default().push(spaced(name));
    }
    let (title, owner, assessment) = (&document.title, &document.owner, &document.assessment);
    let found_by = [("title", title), ("owner", owner), ("assessment", assessment)];
    for (field, text) in found_by {
        fields.entry(field).or_default().push(spaced(text));
    }
    let words: BTreeSet<&str> = document.words.iter().map(String::as_str).collect();
    let names: BTreeSet<&str> = names.into_iter().map(|(_, name)| name).chain(words).collect();
    let any = found_by.into_iter().map(|(_, text)| text.as_str()).chain(names);
    fields.insert("any", any.map(spaced).collect());
    for texts in fields.values_mut() {
        texts.push(EVERYWHERE.to_owned());
    }

    let mut moments: Vec<&Moment> = document.moments.iter().collect();
    moments.sort_by(|a, b| {
        (a.start_ms, a.end_ms, a.kind, &a.name).cmp(&(b.start_ms, b.end_ms, b.kind, &b.name))
    });
    let moments: Vec<Value> = (0..)
        .zip(moments)
        .map(|(order, moment): (u32, _)| {
            json!({
                "order": order,
                "kind": kind_name(moment.kind),
                "words": spaced(&moment.name),
                "moment": moment,
            })
        })
        .collect();
    let shown = Document { moments: Vec::new(), ..document.clone() };
    json!({
        "video_id": document.video_id,
        "owner": owner,
        "assessment": assessment,
        "recorded_at_ms": document.recorded_at_ms,
        "document": shown,
        "words": fields,
        "moments": moments,
    })
}

/// The document that a body was made of.
pub(super) fn from_source(source: &Value) -> Result<Document, Trouble> {
    let mut document = shown(source)?;
    let moments = source.get("moments").and_then(Value::as_array).into_iter().flatten();
    document.moments = moments.map(to_moment).collect::<Result<_, _>>()?;
    Ok(document)
}

/// A hit of a search with the moments that came with it.
pub(super) fn to_hit(hit: &Value) -> Result<Hit, Trouble> {
    let empty = Value::Object(Map::new());
    let document = shown(hit.get("_source").unwrap_or(&empty))?;
    let moments = hit.pointer("/inner_hits/moments/hits/hits").and_then(Value::as_array);
    let sources = moments.into_iter().flatten().map(|found| found.get("_source").unwrap_or(&empty));
    Ok(Hit {
        video_id: document.video_id,
        title: document.title,
        owner: document.owner,
        assessment: document.assessment,
        recorded_at_ms: document.recorded_at_ms,
        duration_ms: document.duration_ms,
        score: hit.get("_score").and_then(Value::as_f64).unwrap_or_default() as f32,
        moments: sources.map(to_moment).collect::<Result<_, _>>()?,
    })
}

fn shown(source: &Value) -> Result<Document, Trouble> {
    let document = source.get("document").cloned().unwrap_or_default();
    serde_json::from_value(document).map_err(|error| foreign(&error))
}

fn to_moment(nested: &Value) -> Result<Moment, Trouble> {
    let moment = nested.get("moment").cloned().unwrap_or_default();
    serde_json::from_value(moment).map_err(|error| foreign(&error))
}

fn foreign(error: &serde_json::Error) -> Trouble {
    Trouble::fatal(format!(
        "a document of the search index is not one of ours ({error}): run `reelmill index rebuild`"
    ))
}
