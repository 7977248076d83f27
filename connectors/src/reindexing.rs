//! A new index in OpenSearch from what the store keeps of every run, in place of the one in use.

use crate::indexing::{Findings, manifest};
use crate::opensearch::{NewIndex, Switched};
use engine::Trouble;
use ports::{Document, Store};
use processors::index::verification;
use schemas::{Manifest, keys};
use std::collections::BTreeSet;

/// Documents of one write; an hour's video is a few megabytes.
const AT_ONCE: usize = 20;

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebuilt {
    /// Runs that were written; of several runs of a video the newest is found.
    pub runs: usize,
    /// Runs whose clips have not all been looked at, or that are to replace another and are not
    /// verified: the mill writes them when they are.
    pub unfinished: usize,
    /// Manifests that could not be read or written, with the reason.
    pub left_out: Vec<(String, String)>,
    pub switched: Switched,
}

/// Fills a new index from the store and switches to it.
///
/// # Errors
/// The store's, and OpenSearch's. The index in use is then as it was.
pub async fn rebuild(store: &dyn Store, bucket: &str, index: NewIndex) -> Result<Rebuilt, Trouble> {
    match fill(store, bucket, &index).await {
        Ok((runs, unfinished, left_out)) => {
            let switched = index.switch().await?;
            Ok(Rebuilt { runs, unfinished, left_out, switched })
        }
        Err(trouble) => {
            if let Err(rest) = index.abandon().await {
                tracing::warn!("the unfinished index was not removed: {rest}");
            }
            Err(trouble)
        }
    }
}

type Filled = (usize, usize, Vec<(String, String)>);

async fn fill(store: &dyn Store, bucket: &str, index: &NewIndex) -> Result<Filled, Trouble> {
    let objects = store.list(bucket, "work/").await?;
    let objects: BTreeSet<String> = objects.into_iter().map(|object| object.key).collect();
    let (mut runs, mut unfinished, mut left_out) = (0, 0, Vec::new());
    let mut waiting: Vec<(&str, Document)> = Vec::new();
    for key in objects.iter().filter(|key| key.ends_with("/manifest.json")) {
        match one(store, bucket, key, &objects).await {
            Ok(Found::Whole(document)) => waiting.push((key, *document)),
            Ok(Found::Unfinished) => unfinished += 1,
            Ok(Found::Removed) => {}
            Err(Trouble::Refused(refusal)) => left_out.push((key.clone(), refusal.to_string())),
            Err(trouble) => return Err(trouble),
        }
        if waiting.len() == AT_ONCE {
            runs += write(index, std::mem::take(&mut waiting), &mut left_out).await?;
        }
    }
    runs += write(index, waiting, &mut left_out).await?;
    Ok((runs, unfinished, left_out))
}

async fn write(
    index: &NewIndex,
    documents: Vec<(&str, Document)>,
    left_out: &mut Vec<(String, String)>,
) -> Result<usize, Trouble> {
    let (keys, documents): (Vec<&str>, Vec<Document>) = documents.into_iter().unzip();
    let mut written = 0;
    for (key, result) in keys.into_iter().zip(index.put_all(&documents).await?) {
        match result {
            Ok(()) => written += 1,
            Err(trouble) => left_out.push((key.to_owned(), trouble.to_string())),
        }
    }
    Ok(written)
}

/// What there is of a run.
enum Found {
    Whole(Box<Document>),
    Unfinished,
    /// Its video has been deleted.
    Removed,
}

async fn one(
    store: &dyn Store,
    bucket: &str,
    key: &str,
    objects: &BTreeSet<String>,
) -> Result<Found, Trouble> {
    let manifest: Manifest = manifest(store, bucket, key).await?;
    let Manifest { video_id, run_id, .. } = &manifest;
    if objects.contains(&keys::tombstone(video_id)) {
        return Ok(Found::Removed);
    }
    let count = u32::try_from(manifest.clips.len()).unwrap_or(u32::MAX);
    let findings = Findings { bucket, video_id, run_id, count };
    let replay = i32::try_from(manifest.replay).unwrap_or(i32::MAX);
    let verified = verification(video_id, run_id, replay);
    let mut parts = findings.tracks().into_iter().chain(findings.labels()).chain(verified);
    if !parts.all(|part| objects.contains(&part)) {
        return Ok(Found::Unfinished);
    }
    Ok(Found::Whole(Box::new(findings.document(store, &manifest).await?)))
}
