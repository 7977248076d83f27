//! Writes: bulk requests, each item with its own answer.

use super::blame::Problem;
use super::{OpenSearch, document};
use ports::{Document, Trouble};
use serde_json::{Value, json};
use std::slice;

/// Documents of one request, and its bytes.
const MOST_DOCUMENTS: usize = 500;
const MOST_BYTES: usize = 8 << 20;

/// What of the answer to a bulk is read, and so is all that is sent.
const ANSWER: &str = "filter_path=items.*.status,items.*.error";

/// When a search sees what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// When the write returns.
    Waits,
    /// After the next refresh.
    Later,
}

impl Seen {
    fn parameter(self) -> &'static str {
        match self {
            Self::Waits => "wait_for",
            Self::Later => "false",
        }
    }
}

/// Lines of one request.
struct Bulk {
    lines: Vec<u8>,
    count: usize,
}

/// Documents in requests of a bounded size, in their order.
struct Bulks<'a> {
    documents: slice::Iter<'a, &'a Document>,
    /// A document's lines that the last request had no room for.
    left_over: Vec<u8>,
}

impl Bulks<'_> {
    fn next(&mut self) -> serde_json::Result<Option<Bulk>> {
        let mut lines = std::mem::take(&mut self.left_over);
        let mut count = usize::from(!lines.is_empty());
        while count < MOST_DOCUMENTS
            && let Some(document) = self.documents.next()
        {
            let before = lines.len();
            write_lines(document, &mut lines)?;
            if count > 0 && lines.len() > MOST_BYTES {
                self.left_over = lines.split_off(before);
                break;
            }
            count += 1;
        }
        Ok((count > 0).then_some(Bulk { lines, count }))
    }
}

/// Appends what to do with a document, and the document.
fn write_lines(document: &Document, out: &mut Vec<u8>) -> serde_json::Result<()> {
    let action = json!({
        "index": {
            "_id": document::id(&document.video_id),
            // It takes no negative ones, and would refuse the whole bulk for one.
            "version": document.version.max(0),
            "version_type": "external_gte",
        },
    });
    serde_json::to_writer(&mut *out, &action)?;
    out.push(b'\n');
    document::write_source(document, out)?;
    out.push(b'\n');
    Ok(())
}

impl OpenSearch {
    /// Writes documents in their order to what an alias stands for, and answers for each.
    pub(super) async fn write(
        &self,
        alias: &str,
        documents: &[&Document],
        seen: Seen,
    ) -> Vec<Result<(), Trouble>> {
        let mut answers = Vec::with_capacity(documents.len());
        let mut bulks = Bulks { documents: documents.iter(), left_over: Vec::new() };
        let mut next = bulks.next();
        while let Ok(Some(bulk)) = next {
            // While the server is at one, the next is made.
            let (answered, made) =
                tokio::join!(self.bulk(alias, bulk, seen), async { bulks.next() });
            answers.extend(answered);
            next = made;
        }
        if let Err(error) = next {
            let trouble = Trouble::fatal(format!("a document cannot be written as JSON: {error}"));
            answers.resize(documents.len(), Err(trouble));
        }
        answers
    }

    async fn bulk(
        &self,
        alias: &str,
        Bulk { lines, count }: Bulk,
        seen: Seen,
    ) -> Vec<Result<(), Trouble>> {
        // Without the alias an index of its name would come up by itself, with a mapping guessed.
        let path =
            format!("/{alias}/_bulk?refresh={}&require_alias=true&{ANSWER}", seen.parameter());
        let answer = self.layout.client.bulk(&path, lines).await;
        let items = answer.map_err(|problem| self.layout.blame(&problem)).and_then(|mut answer| {
            let items = match answer.get_mut("items") {
                Some(Value::Array(items)) => std::mem::take(items),
                _ => Vec::new(),
            };
            if items.len() == count {
                return Ok(items);
            }
            let said = format!("{} answers to a bulk of {count}", items.len());
            Err(self.layout.blame(&Problem::Foreign(said)))
        });
        match items {
            Ok(items) => {
                let problems: Vec<_> = items.iter().map(problem).collect();
                if alias == self.layout.alias
                    && problems.iter().flatten().any(Problem::is_missing_index)
                    && let Err(trouble) = self.layout.ensure().await
                {
                    return vec![Err(trouble); count];
                }
                let blamed = |problem: Option<Problem>| match problem {
                    None => Ok(()),
                    Some(problem) => Err(self.layout.blame(&problem)),
                };
                problems.into_iter().map(blamed).collect()
            }
            Err(trouble) => vec![Err(trouble); count],
        }
    }

    /// Removes a video from all our indexes, also from one that is being filled.
    pub(super) async fn delete(&self, video_id: &str) -> Result<(), Trouble> {
        let id = document::id(video_id);
        for index in self.layout.all().await? {
            while let Some(version) = self.version(&index, &id).await? {
                // With the version that is there: what remains of it for a minute (a tombstone
                // against late writes) must not refuse the same version when it is put back.
                let action = json!({
                    "delete": { "_id": id, "version": version, "version_type": "external_gte" },
                });
                let path = format!("/{index}/_bulk?refresh=wait_for");
                let lines = format!("{action}\n").into_bytes();
                let answer = self.answer(self.layout.client.bulk(&path, lines).await).await?;
                let item = answer.pointer("/items/0").unwrap_or(&Value::Null);
                match item.pointer("/delete/status").and_then(Value::as_u64) {
                    Some(200 | 404) => break,
                    // A newer one came in between.
                    Some(409) => {}
                    _ => {
                        let problem = problem(item)
                            .unwrap_or_else(|| Problem::Foreign("no answer to a delete".into()));
                        return Err(self.layout.blame(&problem));
                    }
                }
            }
        }
        Ok(())
    }

    /// The version of a video in an index, as of now; `None` where it is not there.
    async fn version(&self, index: &str, id: &str) -> Result<Option<i64>, Trouble> {
        let body = json!({ "docs": [{ "_id": id, "_source": false }] });
        let answer = self.layout.client.post(&format!("/{index}/_mget"), &body).await;
        let answer = answer.map_err(|problem| self.layout.blame(&problem))?;
        Ok(answer.pointer("/docs/0/_version").and_then(Value::as_i64))
    }
}

/// What went wrong with an item; a conflict did not: a newer version is there.
fn problem(item: &Value) -> Option<Problem> {
    let answer = item.get("index").or_else(|| item.get("delete"));
    let status = answer.and_then(|answer| answer.get("status")).and_then(Value::as_u64);
    match status {
        Some(200..300 | 409) => None,
        Some(status) => {
            let status = u16::try_from(status).unwrap_or(500);
            Some(Problem::refused(status, answer.and_then(|answer| answer.get("error"))))
        }
        None => Some(Problem::Foreign("an item of a bulk without a status".to_owned())),
    }
}
