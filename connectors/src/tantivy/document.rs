//! Documents into tantivy's and back.

use super::schema::{Fields, MOMENT, NameFields, VIDEO};
use crate::words::EVERYWHERE;
use ::tantivy::TantivyError;
use ::tantivy::schema::{Field, TantivyDocument, Value};
use ::tantivy::tokenizer::{PreTokenizedString, Token};
use ports::{Document, Hit, Moment, MomentKind};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What is shown of a video that matched.
#[derive(Serialize, Deserialize)]
struct Shown {
    video_id: String,
    title: String,
    owner: String,
    assessment: String,
    recorded_at_ms: i64,
    duration_ms: i64,
}

impl NameFields {
    pub(super) fn of(&self, kind: MomentKind) -> Field {
        match kind {
            MomentKind::Label => self.label,
            MomentKind::Person => self.person,
            MomentKind::Place => self.place,
            MomentKind::Text => self.text,
        }
    }
}

/// The video document and its moment documents.
pub(super) fn to_tantivy(
    fields: &Fields,
    document: &Document,
) -> Result<Vec<TantivyDocument>, TantivyError> {
    let mut documents = vec![video(fields, document)?];
    let mut moments: Vec<&Moment> = document.moments.iter().collect();
    moments.sort_by(|a, b| {
        (a.start_ms, a.end_ms, a.kind, &a.name).cmp(&(b.start_ms, b.end_ms, b.kind, &b.name))
    });
    for (order, moment) in (0..).zip(moments) {
        let mut out = TantivyDocument::new();
        out.add_text(fields.video, &document.video_id);
        out.add_text(fields.kind, MOMENT);
        out.add_u64(fields.order_in_time, order);
        out.add_text(fields.moment_words.of(moment.kind), &moment.name);
        out.add_text(fields.moment_words.any, &moment.name);
        out.add_bytes(fields.shown, &serde_json::to_vec(moment)?);
        documents.push(out);
    }
    Ok(documents)
}

fn video(fields: &Fields, document: &Document) -> Result<TantivyDocument, TantivyError> {
    let mut out = TantivyDocument::new();
    out.add_text(fields.video, &document.video_id);
    out.add_text(fields.kind, VIDEO);
    out.add_i64(fields.version, document.version);
    out.add_text(fields.owner, &document.owner);
    out.add_text(fields.assessment, &document.assessment);
    out.add_i64(fields.recorded_at, document.recorded_at_ms);
    out.add_text(fields.title_words, &document.title);
    out.add_text(fields.owner_words, &document.owner);
    out.add_text(fields.assessment_words, &document.assessment);

    // Each name once, or a long video would drown out all others.
    let names: BTreeSet<(MomentKind, &str)> =
        document.moments.iter().map(|moment| (moment.kind, moment.name.as_str())).collect();
    for (kind, name) in &names {
        out.add_text(fields.video_words.of(*kind), name);
    }
    let found_by = [&document.title, &document.owner, &document.assessment];
    let words: BTreeSet<&str> = document.words.iter().map(String::as_str).collect();
    let names: BTreeSet<&str> = names.into_iter().map(|(_, name)| name).chain(words).collect();
    for text in found_by.into_iter().map(String::as_str).chain(names) {
        out.add_text(fields.video_words.any, text);
    }
    for field in fields.words_of_videos() {
        let token = Token {
            offset_to: EVERYWHERE.len(),
            position: 0,
            text: EVERYWHERE.to_owned(),
            ..Token::default()
        };
        let text = EVERYWHERE.to_owned();
        out.add_pre_tokenized_text(field, PreTokenizedString { text, tokens: vec![token] });
    }

    let shown = Shown {
        video_id: document.video_id.clone(),
        title: document.title.clone(),
        owner: document.owner.clone(),
        assessment: document.assessment.clone(),
        recorded_at_ms: document.recorded_at_ms,
        duration_ms: document.duration_ms,
    };
    out.add_bytes(fields.shown, &serde_json::to_vec(&shown)?);
    Ok(out)
}

/// A hit without its moments.
pub(super) fn to_hit(
    fields: &Fields,
    stored: &TantivyDocument,
    score: f32,
) -> Result<Hit, TantivyError> {
    let shown: Shown = shown(fields, stored)?;
    Ok(Hit {
        video_id: shown.video_id,
        title: shown.title,
        owner: shown.owner,
        assessment: shown.assessment,
        recorded_at_ms: shown.recorded_at_ms,
        duration_ms: shown.duration_ms,
        score,
        moments: Vec::new(),
    })
}

pub(super) fn to_moment(fields: &Fields, stored: &TantivyDocument) -> Result<Moment, TantivyError> {
    shown(fields, stored)
}

fn shown<T: DeserializeOwned>(
    fields: &Fields,
    stored: &TantivyDocument,
) -> Result<T, TantivyError> {
    let json = stored.get_first(fields.shown).and_then(|value| value.as_bytes());
    Ok(serde_json::from_slice(json.unwrap_or_default())?)
}
