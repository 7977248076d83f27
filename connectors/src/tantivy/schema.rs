//! The fields of the index.
//!
//! Video and moment documents have word fields of their own: what a query for videos asks never
//! touches a moment, and how often a word occurs is counted in videos.

use ::tantivy::schema::{
    FAST, Field, INDEXED, IndexRecordOption, STORED, STRING, Schema, SchemaBuilder,
    TextFieldIndexing, TextOptions,
};
use ::tantivy::tokenizer::TokenizerManager;

/// Values of `kind`.
pub(super) const VIDEO: &str = "video";
pub(super) const MOMENT: &str = "moment";

/// Fields that results are sorted by.
pub(super) const VIDEO_ID: &str = "video_id";
pub(super) const RECORDED_AT: &str = "recorded_at_ms";
pub(super) const ORDER_IN_TIME: &str = "order_in_time";

/// See [`crate::words`].
const WORDS: &str = "words";

#[derive(Debug, Clone, Copy)]
pub(super) struct Fields {
    /// On both kinds of document, so that one deletion takes a video and its moments.
    pub(super) video: Field,
    pub(super) kind: Field,

    pub(super) version: Field,
    pub(super) owner: Field,
    pub(super) assessment: Field,
    pub(super) recorded_at: Field,
    /// What a hit or a moment shows, as JSON.
    pub(super) shown: Field,
    pub(super) title_words: Field,
    pub(super) owner_words: Field,
    pub(super) assessment_words: Field,
    pub(super) video_words: NameFields,

    /// 0 for the first moment of a video.
    pub(super) order_in_time: Field,
    pub(super) moment_words: NameFields,
}

/// The names of moments, by kind, and everything that a word without a field finds.
#[derive(Debug, Clone, Copy)]
pub(super) struct NameFields {
    pub(super) any: Field,
    pub(super) label: Field,
    pub(super) person: Field,
    pub(super) place: Field,
    pub(super) text: Field,
}

impl Fields {
    pub(super) fn words_of_videos(&self) -> [Field; 8] {
        let NameFields { any, label, person, place, text } = self.video_words;
        [self.title_words, self.owner_words, self.assessment_words, any, label, person, place, text]
    }
}

pub(super) fn schema() -> (Schema, Fields) {
    let mut builder = Schema::builder();
    let fields = Fields {
        video: builder.add_text_field(VIDEO_ID, STRING | FAST),
        kind: builder.add_text_field("kind", STRING),
        version: builder.add_i64_field("version", STORED),
        owner: builder.add_text_field("owner", STRING),
        assessment: builder.add_text_field("assessment", STRING),
        recorded_at: builder.add_i64_field(RECORDED_AT, INDEXED | FAST),
        shown: builder.add_bytes_field("shown", STORED),
        title_words: builder.add_text_field("title_words", words()),
        owner_words: builder.add_text_field("owner_words", words()),
        assessment_words: builder.add_text_field("assessment_words", words()),
        video_words: names(&mut builder, VIDEO),
        order_in_time: builder.add_u64_field(ORDER_IN_TIME, FAST),
        moment_words: names(&mut builder, MOMENT),
    };
    (builder.build(), fields)
}

pub(super) fn tokenizers() -> TokenizerManager {
    let manager = TokenizerManager::default();
    manager.register(WORDS, crate::words::analyzer());
    manager
}

fn names(builder: &mut SchemaBuilder, kind: &str) -> NameFields {
    let mut field = |name: &str| builder.add_text_field(&format!("{kind}_{name}"), words());
    NameFields {
        any: field("any"),
        label: field("label"),
        person: field("person"),
        place: field("place"),
        text: field("text"),
    }
}

/// With positions, for phrases. tantivy leaves a gap between the values of one field, so a phrase
/// never spans two names.
fn words() -> TextOptions {
    TextOptions::default().set_indexing_options(
        TextFieldIndexing::default()
            .set_tokenizer(WORDS)
            .set_index_option(IndexRecordOption::WithFreqsAndPositions),
    )
}
