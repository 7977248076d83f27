//! Documents into OpenSearch's and back.

use crate::words::{EVERYWHERE, words};
use ports::{Document, Hit, Moment, MomentKind, Trouble};
use serde::Serialize;
use serde_json::{Map, Value};
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
#[derive(Debug, Serialize)]
struct Source<'a> {
    video_id: &'a str,
    owner: &'a str,
    assessment: &'a str,
    recorded_at_ms: i64,
    /// What is shown, without the moments.
    document: Document,
    /// What is found, by field.
    words: BTreeMap<&'static str, Vec<&'a str>>,
    moments: Vec<Nested<'a>>,
}

#[derive(Debug, Serialize)]
struct Nested<'a> {
    order: u32,
    kind: &'static str,
    words: &'a str,
    moment: &'a Moment,
}

/// Appends the body of a video, as JSON.
pub(super) fn write_source(document: &Document, out: &mut Vec<u8>) -> serde_json::Result<()> {
    // Each name once, or a long video would drown out all others.
    let names: BTreeSet<(MomentKind, &str)> =
        document.moments.iter().map(|moment| (moment.kind, moment.name.as_str())).collect();
    let found_by = [
        ("title", document.title.as_str()),
        ("owner", &document.owner),
        ("assessment", &document.assessment),
    ];
    let further = document.words.iter().map(String::as_str);
    let any: BTreeSet<&str> = names.iter().map(|(_, name)| *name).chain(further).collect();
    let texts = found_by.iter().map(|(_, text)| *text);
    let spaced: BTreeMap<&str, String> =
        texts.clone().chain(any.iter().copied()).map(|text| (text, spaced(text))).collect();
    let spaced = |text: &str| spaced.get(text).map(String::as_str).unwrap_or_default();

    let kinds = [MomentKind::Label, MomentKind::Person, MomentKind::Place, MomentKind::Text];
    let mut words: BTreeMap<&str, Vec<&str>> =
        kinds.into_iter().map(|kind| (kind_name(kind), Vec::new())).collect();
    for (kind, name) in &names {
        words.entry(kind_name(*kind)).or_default().push(spaced(name));
    }
    for (field, text) in found_by {
        words.entry(field).or_default().push(spaced(text));
    }
    words.insert("any", texts.chain(any.iter().copied()).map(spaced).collect());
    for texts in words.values_mut() {
        texts.push(EVERYWHERE);
    }

    let mut moments: Vec<&Moment> = document.moments.iter().collect();
    moments.sort_by(|a, b| {
        (a.start_ms, a.end_ms, a.kind, &a.name).cmp(&(b.start_ms, b.end_ms, b.kind, &b.name))
    });
    let moments = (0..).zip(moments).map(|(order, moment): (u32, _)| Nested {
        order,
        kind: kind_name(moment.kind),
        words: spaced(&moment.name),
        moment,
    });
    let source = Source {
        video_id: &document.video_id,
        owner: &document.owner,
        assessment: &document.assessment,
        recorded_at_ms: document.recorded_at_ms,
        document: without_moments(document),
        words,
        moments: moments.collect(),
    };
    serde_json::to_writer(out, &source)
}

/// There may be thousands, so that they are not copied first.
fn without_moments(document: &Document) -> Document {
    Document {
        video_id: document.video_id.clone(),
        run_id: document.run_id.clone(),
        version: document.version,
        owner: document.owner.clone(),
        assessment: document.assessment.clone(),
        title: document.title.clone(),
        visibility: document.visibility.clone(),
        recorded_at_ms: document.recorded_at_ms,
        duration_ms: document.duration_ms,
        words: document.words.clone(),
        moments: Vec::new(),
    }
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
