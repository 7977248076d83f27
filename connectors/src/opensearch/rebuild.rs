//! A new index beside the one in use, filled, and then put in its place.
//!
//! Searches go to the alias all the while, and writes too. What they brought into the old index
//! alone is carried over before the alias moves: most of it while writes go on, the last of it while
//! the old index refuses them, so that nothing is ever found and then lost. Writers wait as for a
//! busy index.

use super::layout::{LAYOUT, Layout};
use super::{MISSING, OpenSearch, OpenSearchConfig, document, hits, write::Seen};
use ports::{Document, Trouble};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// Ids of one request.
const BATCH: usize = 1_000;
/// Whole documents of one request.
const CARRIED_AT_ONCE: usize = 50;
/// The first pause after a trouble that may pass, the longest, and how long troubles may last.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(300);

/// An index that is being filled.
#[derive(Debug)]
pub struct NewIndex {
    search: OpenSearch,
    name: String,
}

/// The alias of an index that is being filled. Written to under this name, an index that somebody
/// removes does not come up again by itself.
fn filling(index: &str) -> String {
    format!("{index}-filling")
}

/// What came of a rebuild.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Switched {
    /// The index that is searched now.
    pub index: String,
    /// Documents that came from the old index alone, or newer.
    pub carried: usize,
    /// The indexes that were removed.
    pub removed: Vec<String>,
}

impl NewIndex {
    /// Makes an empty index beside the one in use.
    ///
    /// # Errors
    /// As [`OpenSearch::open`], but an index of another layout may be in use.
    pub async fn create(config: &OpenSearchConfig) -> Result<Self, Trouble> {
        let search = OpenSearch::client(config)?;
        let layout = &search.layout;
        layout.check_server().await?;
        layout.write_template().await?;
        // An index in the way of the alias is told before the work, not after. Where there is none,
        // no writer must make one just when the alias moves.
        if layout.current().await?.is_none() {
            layout.ensure().await?;
        }
        let name = layout.next_index().await?;
        let body = json!({ "aliases": { (filling(&name)): {} } });
        let made = layout.client.put(&format!("/{name}"), &body).await;
        made.map_err(|problem| layout.blame(&problem))?;
        Ok(Self { search, name })
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Writes documents, waiting for what may pass; one result each, in their order.
    ///
    /// # Errors
    /// Ours, or a trouble that did not pass for minutes; the event's fault is in the results.
    pub async fn put_all(
        &self,
        documents: &[Document],
    ) -> Result<Vec<Result<(), Trouble>>, Trouble> {
        let mut results: Vec<Result<(), Trouble>> = vec![Ok(()); documents.len()];
        let mut left: Vec<usize> = (0..documents.len()).collect();
        let (mut pause, mut waited) = (FIRST_PAUSE, Duration::ZERO);
        loop {
            let batch: Vec<&Document> = left.iter().filter_map(|at| documents.get(*at)).collect();
            let answers = self.search.write(&filling(&self.name), &batch, Seen::Later).await;
            let mut again = Vec::new();
            for (at, answer) in left.into_iter().zip(answers) {
                match answer {
                    Err(Trouble::Transient { reason: MISSING, .. }) => return Err(self.lost()),
                    Err(trouble @ Trouble::Transient { .. }) => again.push((at, trouble)),
                    Err(trouble @ Trouble::Fatal(_)) => return Err(trouble),
                    answer => {
                        if let Some(slot) = results.get_mut(at) {
                            *slot = answer;
                        }
                    }
                }
            }
            let Some((_, trouble)) = again.first() else { return Ok(results) };
            if waited >= PATIENCE {
                return Err(trouble.clone());
            }
            tokio::time::sleep(pause).await;
            waited += pause;
            pause = (pause * 2).min(LONGEST_PAUSE);
            left = again.into_iter().map(|(at, _)| at).collect();
        }
    }

    /// Puts this index in the place of the one in use, and removes that.
    ///
    /// # Errors
    /// As for writes. Before the alias has moved, nothing has changed for searches.
    pub async fn switch(self) -> Result<Switched, Trouble> {
        match self.replace_current().await {
            Err(Trouble::Transient { reason: MISSING, .. }) => Err(self.lost()),
            answer => answer,
        }
    }

    async fn replace_current(&self) -> Result<Switched, Trouble> {
        let layout = &self.search.layout;
        let old = layout.current().await?.ok_or_else(|| self.lost())?;
        let mut carried = self.carry_over(&old).await?;
        // Returns when writes that were under way are done; later ones are refused.
        let blocked = layout.client.put(&format!("/{old}/_block/write"), &json!({})).await;
        blocked.map_err(|problem| layout.blame(&problem))?;
        match self.take_place_of(&old).await {
            Ok(late) => carried += late,
            Err(trouble) => {
                self.open_again(&old).await;
                return Err(trouble);
            }
        }
        let mut removed = Vec::new();
        // Also what an earlier rebuild left that was stopped in its midst.
        for index in layout.all().await?.into_iter().filter(|index| *index != self.name) {
            let gone = layout.client.delete(&format!("/{index}")).await;
            gone.map_err(|problem| layout.blame(&problem))?;
            removed.push(index);
        }
        Ok(Switched { index: self.name.clone(), carried, removed })
    }

    async fn take_place_of(&self, old: &str) -> Result<usize, Trouble> {
        let carried = self.carry_over(old).await?;
        self.move_alias(old).await?;
        Ok(carried)
    }

    /// All of it or nothing, and nothing where another rebuild has removed this index, or has moved
    /// the alias itself.
    async fn move_alias(&self, old: &str) -> Result<(), Trouble> {
        let alias = &self.search.layout.alias;
        let actions = [
            json!({ "remove": { "index": self.name, "alias": filling(&self.name), "must_exist": true } }),
            json!({ "add": { "index": self.name, "alias": alias } }),
            json!({ "remove": { "index": old, "alias": alias, "must_exist": true } }),
        ];
        // Whatever was written is found from the first search on.
        self.refresh(&self.name).await?;
        self.post("/_aliases", &json!({ "actions": actions })).await.map(drop)
    }

    /// Lets the old index take writes again, if it can be reached.
    async fn open_again(&self, old: &str) {
        let layout = &self.search.layout;
        let open = json!({ "index.blocks.write": null });
        if let Err(problem) = layout.client.put(&format!("/{old}/_settings"), &open).await {
            let trouble = layout.blame(&problem);
            tracing::error!(index = old, "still refuses writes: {trouble}; rebuild again");
        }
    }

    fn lost(&self) -> Trouble {
        Trouble::fatal(format!(
            "the index {} at {} was removed while it was filled, or the alias moved, most likely by another \
             rebuild: let one finish, then run `reelmill index rebuild` again",
            self.name, self.search.layout.client.at
        ))
    }

    /// Gives the new index up.
    pub async fn abandon(self) -> Result<(), Trouble> {
        let layout: &Layout = &self.search.layout;
        let gone = layout.client.delete(&format!("/{}", self.name)).await;
        gone.map(drop).map_err(|problem| layout.blame(&problem))
    }

    /// Brings what the old index has and this one lacks, or has in an older version.
    async fn carry_over(&self, old: &str) -> Result<usize, Trouble> {
        // What another version wrote cannot be read; its videos come from the store alone.
        if self.search.layout.layout_of(old).await? != Some(LAYOUT) {
            return Ok(0);
        }
        let (before, here) = (self.versions(old).await?, self.versions(&self.name).await?);
        let lacking: Vec<&String> = before
            .iter()
            .filter(|(id, version)| here.get(*id).is_none_or(|here| here < *version))
            .map(|(id, _)| id)
            .collect();
        let mut carried = 0;
        for ids in lacking.chunks(CARRIED_AT_ONCE) {
            let found = self.post(&format!("/{old}/_mget"), &json!({ "ids": ids })).await?;
            let found = found.get("docs").and_then(Value::as_array).into_iter().flatten();
            let documents: Vec<Document> = found
                .filter_map(|found| found.get("_source"))
                .map(document::from_source)
                .collect::<Result<_, _>>()?;
            for result in self.put_all(&documents).await? {
                result?;
                carried += 1;
            }
        }
        Ok(carried)
    }

    /// The version of each document of an index.
    async fn versions(&self, index: &str) -> Result<BTreeMap<String, i64>, Trouble> {
        self.refresh(index).await?;
        let mut versions = BTreeMap::new();
        let mut after: Option<Value> = None;
        loop {
            let mut body = json!({
                "size": BATCH,
                "_source": false,
                "version": true,
                "query": { "match_all": {} },
                "sort": [{ "video_id": "asc" }],
            });
            if let Some(after) = &after {
                body["search_after"] = after.clone();
            }
            let answer = self.post(&format!("/{index}/_search"), &body).await?;
            for hit in hits(&answer) {
                let id = hit.get("_id").and_then(Value::as_str);
                let version = hit.get("_version").and_then(Value::as_i64);
                versions.extend(id.map(str::to_owned).zip(version));
            }
            match hits(&answer).last().and_then(|hit| hit.get("sort")) {
                Some(sort) => after = Some(sort.clone()),
                None => return Ok(versions),
            }
        }
    }

    async fn refresh(&self, index: &str) -> Result<(), Trouble> {
        self.post(&format!("/{index}/_refresh"), &json!({})).await.map(drop)
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Value, Trouble> {
        let layout = &self.search.layout;
        layout.client.post(path, body).await.map_err(|problem| layout.blame(&problem))
    }
}
