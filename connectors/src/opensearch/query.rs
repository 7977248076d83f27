//! Query trees into OpenSearch's, without any text of ours being parsed by it.

use super::document::spaced;
use ports::{Match, Query, SearchRequest, Trouble, Viewer, day_start_ms};
use serde_json::{Value, json};

/// Moments of one hit.
const MAX_MOMENTS: usize = 100;

/// The query of a request; with `moments`, those of each hit come with it.
pub(super) fn query(request: &SearchRequest, moments: bool) -> Result<Value, Trouble> {
    let mut filters = Vec::new();
    filters.extend(request.owner.iter().map(|owner| json!({ "term": { "owner": owner } })));
    filters.extend(request.assessment.iter().map(|id| json!({ "term": { "assessment": id } })));
    match request.viewer {
        Viewer::Local => {}
    }
    let shown: Vec<Value> = request.query.positive_terms().into_iter().filter_map(moment).collect();
    let mut body = json!({ "must": [videos(&request.query)?], "filter": filters });
    if moments && !shown.is_empty() {
        // It selects nothing and scores nothing; it is there for its inner hits.
        body["should"] = json!([{
            "nested": {
                "path": "moments",
                "score_mode": "none",
                "query": { "bool": { "should": shown, "minimum_should_match": 1 } },
                "inner_hits": {
                    "size": MAX_MOMENTS,
                    "sort": [{ "moments.order": "asc" }],
                    "_source": ["moments.moment"],
                },
            },
        }]);
        body["minimum_should_match"] = json!(0);
    }
    Ok(json!({ "bool": body }))
}

fn videos(query: &Query) -> Result<Value, Trouble> {
    Ok(match query {
        Query::All => everything(),
        Query::Term(Match { field: None, word }) => words("words.any", word),
        Query::Term(Match { field: Some(field), word }) => by_field(field, word)?,
        Query::Phrase(parts) => words("words.any", &parts.join(" ")),
        Query::And(parts) => and(parts)?,
        Query::Or(parts) if parts.is_empty() => json!({ "match_none": {} }),
        Query::Or(parts) => {
            let parts: Vec<Value> = parts.iter().map(videos).collect::<Result<_, _>>()?;
            json!({ "bool": { "should": parts, "minimum_should_match": 1 } })
        }
        Query::Not(_) => and(std::slice::from_ref(query))?,
    })
}

/// What is only excluded is excluded from everything.
fn and(parts: &[Query]) -> Result<Value, Trouble> {
    let (mut must, mut must_not) = (Vec::new(), Vec::new());
    for part in parts {
        match part {
            Query::Not(inner) => must_not.push(videos(inner)?),
            part => must.push(videos(part)?),
        }
    }
    if must.is_empty() {
        must.push(everything());
    }
    Ok(json!({ "bool": { "must": must, "must_not": must_not } }))
}

/// It says nothing about a video, and counts nothing.
fn everything() -> Value {
    json!({ "constant_score": { "filter": { "match_all": {} }, "boost": 0.0 } })
}

fn by_field(field: &str, word: &str) -> Result<Value, Trouble> {
    Ok(match field {
        "title" | "owner" | "assessment" | "label" | "person" | "place" | "text" => {
            words(&format!("words.{field}"), word)
        }
        "after" => recorded(json!({ "gte": day(word)? })),
        "before" => recorded(json!({ "lt": day(word)? })),
        name => {
            let detail = format!("there is no field `{name}` to search");
            return Err(Trouble::poison("invalid_query", detail));
        }
    })
}

fn recorded(range: Value) -> Value {
    let range = json!({ "range": { "recorded_at_ms": range } });
    json!({ "constant_score": { "filter": range, "boost": 0.0 } })
}

fn day(word: &str) -> Result<i64, Trouble> {
    day_start_ms(word).ok_or_else(|| {
        Trouble::poison("invalid_query", format!("`{word}` is not a day, write 2026-01-31"))
    })
}

/// The moments that show a positive term; `None` where it is about the video as a whole.
fn moment(term: &Query) -> Option<Value> {
    match term {
        Query::Term(Match { field: None, word }) => Some(words("moments.words", word)),
        Query::Term(Match { field: Some(kind), word })
            if matches!(kind.as_str(), "label" | "person" | "place" | "text") =>
        {
            let kind = json!({ "term": { "moments.kind": kind } });
            Some(json!({ "bool": { "filter": [kind, words("moments.words", word)] } }))
        }
        Query::Phrase(parts) => Some(words("moments.words", &parts.join(" "))),
        Query::Term(_) | Query::All | Query::And(_) | Query::Or(_) | Query::Not(_) => None,
    }
}

/// A word, or the words next to each other where the text is split into several.
fn words(field: &str, text: &str) -> Value {
    let words = spaced(text);
    match words.as_str() {
        "" => json!({ "match_none": {} }),
        phrase if phrase.contains(' ') => json!({ "match_phrase": { field: phrase } }),
        word => json!({ "term": { field: word } }),
    }
}
