//! How rare a word is, counted in videos: moments are documents to tantivy too, and would make
//! every word rare and every text long. So scores are those of any engine that knows videos only.

use super::schema::VIDEO;
use ::tantivy::query::Bm25StatisticsProvider;
use ::tantivy::schema::Field;
use ::tantivy::{Searcher, Term};

pub(super) struct OfVideos<'a> {
    pub(super) searcher: &'a Searcher,
    /// The field that tells videos from moments.
    pub(super) kind: Field,
}

impl Bm25StatisticsProvider for OfVideos<'_> {
    fn total_num_tokens(&self, field: Field) -> ::tantivy::Result<u64> {
        self.searcher.total_num_tokens(field)
    }

    /// With the removed ones that are not merged away yet, as in the numbers of the words.
    fn total_num_docs(&self) -> ::tantivy::Result<u64> {
        self.searcher.doc_freq(&Term::from_field_text(self.kind, VIDEO))
    }

    fn doc_freq(&self, term: &Term) -> ::tantivy::Result<u64> {
        self.searcher.doc_freq(term)
    }
}
