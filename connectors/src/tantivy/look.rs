//! What a person who looks for a fault asks of an index. Nothing is made or changed, and whoever
//! has it open is not disturbed.

use super::{OpenError, schema, sort_open_error};
use ::tantivy::{Index, TantivyError, directory::MmapDirectory};
use std::{panic::catch_unwind, path::Path};

/// How many documents the index in `dir` has; `None` where there is none. Blocks for the disk.
///
/// # Errors
/// As [`super::Tantivy::open`], but that it may be in use.
pub fn look(dir: impl AsRef<Path>) -> Result<Option<u64>, OpenError> {
    let dir = dir.as_ref();
    if !dir.join("meta.json").exists() {
        return Ok(None);
    }
    // tantivy panics on files that are cut short.
    catch_unwind(|| count(dir).map(Some).map_err(|error| sort_open_error(dir, error)))
        .unwrap_or_else(|_| {
            let cause = "a file of it is cut short or changed".to_owned();
            Err(OpenError::Damaged { dir: dir.to_owned(), cause })
        })
}

fn count(dir: &Path) -> Result<u64, TantivyError> {
    let index = Index::open(MmapDirectory::open(dir)?)?;
    if index.schema() != schema::schema().0 {
        let cause = "its fields are others than those of this version";
        return Err(TantivyError::SchemaError(cause.to_owned()));
    }
    let metas = index.load_metas()?;
    Ok(metas.segments.iter().map(|segment| u64::from(segment.num_docs())).sum())
}
