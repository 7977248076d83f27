//! The template, the indexes and the alias.
//!
//! Searches and writes go to the alias. Behind it is one index, `ALIAS-vLAYOUT-GENERATION`; a
//! rebuild fills the next generation and then moves the alias.

use super::blame::Problem;
use super::client::Client;
use ports::Trouble;
use serde_json::{Value, json};

/// Counts up when the mapping or what is written changes.
pub(super) const LAYOUT: u64 = 1;

/// Moments of a video. Each is a document to Lucene.
const MOST_MOMENTS: u32 = 500_000;

/// How soon a search sees a write, and so how long a write takes at most beyond its own time.
const REFRESH: &str = "200ms";

/// Stored and shown, never looked into.
fn opaque() -> Value {
    json!({ "type": "object", "enabled": false })
}

/// Texts come as lists of words, see [`crate::words`]; positions of two texts are apart, so that a
/// phrase never spans them.
fn words() -> Value {
    json!({ "type": "text", "analyzer": "words", "position_increment_gap": 100 })
}

fn mapping() -> Value {
    json!({
        "_meta": { "layout": LAYOUT },
        "dynamic": "strict",
        "properties": {
            "video_id": { "type": "keyword" },
            "owner": { "type": "keyword", "ignore_above": 8000 },
            "assessment": { "type": "keyword", "ignore_above": 8000 },
            "recorded_at_ms": { "type": "long" },
            "document": opaque(),
            "words": {
                "properties": {
                    "any": words(), "title": words(), "owner": words(), "assessment": words(),
                    "label": words(), "person": words(), "place": words(), "text": words(),
                },
            },
            "moments": {
                "type": "nested",
                "properties": {
                    "order": { "type": "integer" },
                    "kind": { "type": "keyword" },
                    "words": words(),
                    "moment": opaque(),
                },
            },
        },
    })
}

fn settings() -> Value {
    json!({
        "number_of_shards": 1,
        "auto_expand_replicas": "0-1",
        "refresh_interval": REFRESH,
        "mapping.nested_objects.limit": MOST_MOMENTS,
        "analysis": {
            "tokenizer": {
                "words": { "type": "whitespace", "max_token_length": super::document::LONGEST_WORD + 1 },
            },
            "analyzer": { "words": { "type": "custom", "tokenizer": "words" } },
        },
    })
}

/// Where the documents are.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) client: Client,
    pub(super) alias: String,
}

impl Layout {
    /// Writes the template; makes the first index where there is none, and says whether it did.
    pub(super) async fn ensure(&self) -> Result<bool, Trouble> {
        self.check_server().await?;
        self.write_template().await?;
        // Before looking for the alias: whoever makes an index meanwhile has taken this name.
        let index = self.next_index().await?;
        match self.current().await? {
            Some(index) => self.check_layout(&index).await.map(|()| false),
            None => {
                tracing::warn!(
                    %index, at = %self.client.at,
                    "there is no search index yet, making an empty one; videos of earlier runs are \
                     found after `reelmill index rebuild`"
                );
                let body = json!({ "aliases": { (self.alias.as_str()): {} } });
                match self.client.put(&format!("/{index}"), &body).await {
                    // Two processes started at once: the other one's will do.
                    Err(Problem::Refused { kind, .. })
                        if kind == "resource_already_exists_exception" =>
                    {
                        Ok(true)
                    }
                    Err(problem) => Err(self.blame(&problem)),
                    Ok(_) => Ok(true),
                }
            }
        }
    }

    pub(super) async fn check_server(&self) -> Result<(), Trouble> {
        let wrong = |what: &str| {
            Trouble::fatal(format!(
                "what answers at {} is not OpenSearch{what}: correct --opensearch",
                self.client.at
            ))
        };
        let about = match self.client.get("/").await {
            Ok(about) => about,
            Err(Problem::Foreign(said)) => return Err(wrong(&format!(" ({said})"))),
            Err(Problem::Refused { status: status @ (300..=400 | 402 | 404..=407), .. }) => {
                return Err(wrong(&format!(" (it answered {status})")));
            }
            Err(problem) => return Err(self.blame(&problem)),
        };
        let about = |name| about.pointer(name).and_then(Value::as_str);
        match (about("/version/distribution"), about("/version/number")) {
            (Some("opensearch"), Some(_)) => Ok(()),
            (_, Some(version)) => Err(wrong(&format!(" but another engine of version {version}"))),
            (_, None) => Err(wrong("")),
        }
    }

    pub(super) async fn write_template(&self) -> Result<(), Trouble> {
        let body = json!({
            "index_patterns": [format!("{}-v{LAYOUT}-*", self.alias)],
            "priority": 500,
            "template": { "settings": { "index": settings() }, "mappings": mapping() },
            "_meta": { "by": "reelmill", "layout": LAYOUT },
        });
        let path = format!("/_index_template/{}-v{LAYOUT}", self.alias);
        match self.client.put(&path, &body).await {
            Ok(_) => Ok(()),
            Err(Problem::Refused { status: 400, reason, .. }) => Err(Trouble::fatal(format!(
                "OpenSearch at {} does not take the index template {}-v{LAYOUT} ({reason}); remove \
                 the other template or give it another priority than 500, or choose other names \
                 with --opensearch-index",
                self.client.at, self.alias
            ))),
            Err(problem) => Err(self.blame(&problem)),
        }
    }

    /// The index behind the alias; `None` where there is no alias.
    pub(super) async fn current(&self) -> Result<Option<String>, Trouble> {
        let found = match self.client.get(&format!("/_alias/{}", self.alias)).await {
            Ok(found) => found,
            Err(problem) if problem.status() == Some(404) => return self.no_alias().await,
            Err(problem) => return Err(self.blame(&problem)),
        };
        let mut names = found.as_object().into_iter().flatten().map(|(name, _)| name.clone());
        match (names.next(), names.next()) {
            (Some(one), Some(other)) => Err(Trouble::fatal(format!(
                "the alias {} at {} stands for both {one} and {other}: remove it from one of them",
                self.alias, self.client.at
            ))),
            (first, _) => Ok(first),
        }
    }

    async fn no_alias(&self) -> Result<Option<String>, Trouble> {
        match self.client.get(&format!("/{}", self.alias)).await {
            Err(problem) if problem.status() == Some(404) => Ok(None),
            Err(problem) => Err(self.blame(&problem)),
            Ok(_) => Err(Trouble::fatal(format!(
                "{} at {} is an index and must be an alias: remove that index, or choose other \
                 names with --opensearch-index",
                self.alias, self.client.at
            ))),
        }
    }

    pub(super) async fn check_layout(&self, index: &str) -> Result<(), Trouble> {
        let layout = self.layout_of(index).await?;
        if layout == Some(LAYOUT) {
            return Ok(());
        }
        Err(Trouble::fatal(format!(
            "the index {index} at {} has another layout than this version writes: run `reelmill \
             index rebuild`, which makes a new one and then removes this one",
            self.client.at
        )))
    }

    /// The layout an index was made with; `None` where it is not ours.
    pub(super) async fn layout_of(&self, index: &str) -> Result<Option<u64>, Trouble> {
        let found = self.client.get(&format!("/{index}/_mapping")).await;
        let found = found.map_err(|problem| self.blame(&problem))?;
        let mapping = found.get(index).and_then(|index| index.pointer("/mappings/_meta/layout"));
        Ok(mapping.and_then(Value::as_u64))
    }

    /// The name of the next generation.
    pub(super) async fn next_index(&self) -> Result<String, Trouble> {
        let highest = self.all().await?.iter().filter_map(|name| self.generation(name)).max();
        Ok(format!("{}-v{LAYOUT}-{:06}", self.alias, highest.unwrap_or(0) + 1))
    }

    /// All our indexes, behind the alias or not.
    pub(super) async fn all(&self) -> Result<Vec<String>, Trouble> {
        let path = format!("/{}-v*/_settings?expand_wildcards=all", self.alias);
        let found = self.client.get(&path).await.map_err(|problem| self.blame(&problem))?;
        let names = found.as_object().into_iter().flatten().map(|(name, _)| name.clone());
        Ok(names.filter(|name| self.generation(name).is_some()).collect())
    }

    fn generation(&self, index: &str) -> Option<u64> {
        let (layout, generation) =
            index.strip_prefix(&self.alias)?.strip_prefix("-v")?.split_once('-')?;
        layout.parse::<u64>().ok()?;
        generation.parse().ok()
    }

    pub(super) fn partial(&self) -> Trouble {
        let at = &self.client.at;
        let detail =
            format!("OpenSearch at {at} answered for a part of the index only; see its health");
        Trouble::transient("index_partial", detail)
    }

    pub(super) fn blame(&self, problem: &Problem) -> Trouble {
        self.client.blame(problem)
    }
}
