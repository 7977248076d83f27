//! Query trees into tantivy's, without any text of ours being parsed by it.

use super::excluded::Excluded;
use super::schema::{Fields, NameFields, VIDEO};
use ::tantivy::index::Index;
use ::tantivy::query::{
    AllQuery, BooleanQuery, ConstScoreQuery, EmptyQuery, Occur, PhraseQuery, RangeQuery, TermQuery,
};
use ::tantivy::schema::{Field, IndexRecordOption, Term};
use ::tantivy::tokenizer::{TextAnalyzer, TokenStream as _};
use ports::{Match, Query, SearchRequest, Trouble, Viewer, day_start_ms};
use std::ops::Bound;

type BoxQuery = Box<dyn ::tantivy::query::Query>;

/// What to ask the index.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) videos: BooleanQuery,
    /// `None` where no moment can show why a video matched.
    pub(super) moments: Option<BooleanQuery>,
}

/// Translates a request.
pub(super) fn plan(
    index: &Index,
    fields: &Fields,
    request: &SearchRequest,
) -> Result<Plan, Trouble> {
    let analyzer = index
        .tokenizer_for_field(fields.video_words.any)
        .map_err(|error| Trouble::fatal(format!("the search index has no tokenizer: {error}")))?;
    let mut translator = Translator { fields, analyzer };

    // Filters do not count for the score.
    let exact = |field, text: &str| -> (Occur, BoxQuery) {
        let term = TermQuery::new(Term::from_field_text(field, text), IndexRecordOption::Basic);
        (Occur::Must, Box::new(ConstScoreQuery::new(Box::new(term), 0.0)))
    };
    let mut clauses =
        vec![exact(fields.kind, VIDEO), (Occur::Must, translator.videos(&request.query)?)];
    clauses.extend(request.owner.iter().map(|owner| exact(fields.owner, owner)));
    clauses.extend(request.assessment.iter().map(|id| exact(fields.assessment, id)));
    match request.viewer {
        Viewer::Local => {}
    }

    let moments: Vec<BoxQuery> = request
        .query
        .positive_terms()
        .into_iter()
        .filter_map(|term| translator.moments(term))
        .collect();
    Ok(Plan {
        videos: BooleanQuery::new(clauses),
        moments: (!moments.is_empty()).then(|| BooleanQuery::union(moments)),
    })
}

struct Translator<'a> {
    fields: &'a Fields,
    analyzer: TextAnalyzer,
}

impl Translator<'_> {
    fn videos(&mut self, query: &Query) -> Result<BoxQuery, Trouble> {
        Ok(match query {
            Query::All => everything(),
            Query::Term(Match { field: None, word }) => {
                self.words(self.fields.video_words.any, word)
            }
            Query::Term(Match { field: Some(field), word }) => self.field(field, word)?,
            Query::Phrase(words) => self.words(self.fields.video_words.any, &words.join(" ")),
            Query::And(parts) => self.and(parts)?,
            Query::Or(parts) => {
                let parts: Result<Vec<_>, _> = parts.iter().map(|part| self.videos(part)).collect();
                Box::new(BooleanQuery::union(parts?))
            }
            Query::Not(_) => self.and(std::slice::from_ref(query))?,
        })
    }

    /// What is only excluded is excluded from everything: tantivy finds nothing without a clause
    /// that must match.
    fn and(&mut self, parts: &[Query]) -> Result<BoxQuery, Trouble> {
        let mut clauses = Vec::with_capacity(parts.len() + 1);
        for part in parts {
            clauses.push(match part {
                Query::Not(inner) => {
                    (Occur::MustNot, Box::new(Excluded(self.videos(inner)?)) as BoxQuery)
                }
                part => (Occur::Must, self.videos(part)?),
            });
        }
        if clauses.iter().all(|(occur, _)| *occur == Occur::MustNot) {
            clauses.push((Occur::Must, everything()));
        }
        Ok(Box::new(BooleanQuery::new(clauses)))
    }

    fn field(&mut self, field: &str, word: &str) -> Result<BoxQuery, Trouble> {
        let fields = self.fields;
        let words = match field {
            "title" => fields.title_words,
            "owner" => fields.owner_words,
            "assessment" => fields.assessment_words,
            "after" => return self.recorded(Bound::Included(day(word)?), Bound::Unbounded),
            "before" => return self.recorded(Bound::Unbounded, Bound::Excluded(day(word)?)),
            name => name_field(&fields.video_words, name).ok_or_else(|| {
                Trouble::poison("invalid_query", format!("there is no field `{name}` to search"))
            })?,
        };
        Ok(self.words(words, word))
    }

    fn recorded(&self, from: Bound<i64>, to: Bound<i64>) -> Result<BoxQuery, Trouble> {
        let term = |ms| Term::from_field_i64(self.fields.recorded_at, ms);
        let range = RangeQuery::new(from.map(term), to.map(term));
        Ok(Box::new(ConstScoreQuery::new(Box::new(range), 0.0)))
    }

    /// The moments that show a positive term; `None` where it is about the video as a whole.
    fn moments(&mut self, term: &Query) -> Option<BoxQuery> {
        let names = &self.fields.moment_words;
        match term {
            Query::Term(Match { field: None, word }) => Some(self.words(names.any, word)),
            Query::Term(Match { field: Some(field), word }) => {
                name_field(names, field).map(|field| self.words(field, word))
            }
            Query::Phrase(words) => Some(self.words(names.any, &words.join(" "))),
            Query::All | Query::And(_) | Query::Or(_) | Query::Not(_) => None,
        }
    }

    /// A word, or the words next to each other where the text is split into several.
    fn words(&mut self, field: Field, text: &str) -> BoxQuery {
        let mut terms = Vec::new();
        self.analyzer
            .token_stream(text)
            .process(&mut |token| terms.push(Term::from_field_text(field, &token.text)));
        if terms.len() > 1 {
            return Box::new(PhraseQuery::new(terms));
        }
        match terms.pop() {
            Some(term) => Box::new(TermQuery::new(term, IndexRecordOption::WithFreqs)),
            None => Box::new(EmptyQuery),
        }
    }
}

/// It says nothing about a video, and counts nothing.
fn everything() -> BoxQuery {
    Box::new(ConstScoreQuery::new(Box::new(AllQuery), 0.0))
}

fn name_field(names: &NameFields, field: &str) -> Option<Field> {
    match field {
        "label" => Some(names.label),
        "person" => Some(names.person),
        "place" => Some(names.place),
        "text" => Some(names.text),
        _ => None,
    }
}

fn day(word: &str) -> Result<i64, Trouble> {
    day_start_ms(word).ok_or_else(|| {
        Trouble::poison("invalid_query", format!("`{word}` is not a day, write 2026-01-31"))
    })
}
