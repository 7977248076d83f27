//! The search index of one machine: tantivy, in process.
//!
//! One index holds a *video* document per video, with every word that should find it, and a
//! *moment* document per moment. A query runs on the video documents; the moments of its positive
//! terms are fetched for the videos of the page alone.

mod blame;
mod document;
mod excluded;
mod look;
mod query;
mod schema;
mod statistics;
#[cfg(test)]
mod tests;

pub use self::look::look;

use self::blame::blame;
use self::schema::Fields;
use self::statistics::OfVideos;
use ::tantivy::collector::sort_key::{SortBySimilarityScore, SortByStaticFastValue, SortByString};
use ::tantivy::collector::{Count, TopDocs};
use ::tantivy::directory::error::LockError;
use ::tantivy::index::Index;
use ::tantivy::indexer::IndexWriterOptions;
use ::tantivy::query::{BooleanQuery, Occur, TermQuery};
use ::tantivy::schema::{IndexRecordOption, TantivyDocument, Value};
use ::tantivy::{IndexReader, IndexWriter, Order, ReloadPolicy, Searcher, TantivyError, Term};
use async_trait::async_trait;
use ports::{Document, Hit, Moment, Page, Search, SearchRequest, Trouble};
use std::collections::BTreeMap;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::{fmt, fs, io};
use tokio::task::spawn_blocking;

/// tantivy's smallest: what is buffered beyond it goes to disk before the commit.
const WRITER_MEMORY_BYTES: usize = 15_000_000;

/// Moments of one hit.
const MAX_MOMENTS: usize = 100;

/// Videos on a page.
const MAX_PAGE_SIZE: u32 = 100;

/// A search index in a directory that one process has to itself.
#[derive(Clone)]
pub struct Tantivy {
    shared: Arc<Shared>,
}

/// Why an index cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "the search index in {} is in use by another process, stop that one or choose another \
         directory",
        .0.display()
    )]
    InUse(PathBuf),
    #[error(
        "the search index in {} was written by another version ({cause}); go back to that version, \
         or remove the directory and start again with an empty index, in which videos indexed \
         until now are not found before their events are replayed",
        .dir.display()
    )]
    Incompatible { dir: PathBuf, cause: String },
    #[error(
        "the search index in {} is damaged ({cause}); restore it from a copy, or remove the \
         directory and start again with an empty index, in which videos indexed until now are not \
         found before their events are replayed",
        .dir.display()
    )]
    Damaged { dir: PathBuf, cause: String },
    #[error("the search index in {} cannot be opened: {cause}", .dir.display())]
    Io { dir: PathBuf, cause: String },
}

struct Shared {
    dir: PathBuf,
    index: Index,
    fields: Fields,
    reader: IndexReader,
    /// `None` after a failed write: a writer that failed once refuses everything, so the next
    /// write opens a new one.
    writer: Mutex<Option<IndexWriter>>,
}

impl fmt::Debug for Tantivy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tantivy").field("dir", &self.shared.dir).finish_non_exhaustive()
    }
}

impl Tantivy {
    /// Opens the index in `dir`, or makes an empty one there. Blocks for the disk.
    ///
    /// # Errors
    /// In use by another process, written by another version, damaged, or not readable.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, OpenError> {
        let dir = dir.as_ref();
        // tantivy panics on files that are cut short.
        catch_unwind(|| Self::open_sound(dir)).unwrap_or_else(|_| {
            let cause = "a file of it is cut short or changed".to_owned();
            Err(OpenError::Damaged { dir: dir.to_owned(), cause })
        })
    }

    fn open_sound(dir: &Path) -> Result<Self, OpenError> {
        let sort = |error| sort_open_error(dir, error);
        fs::create_dir_all(dir).map_err(|error| sort(error.into()))?;
        let (schema, fields) = schema::schema();
        let directory =
            ::tantivy::directory::MmapDirectory::open(dir).map_err(|error| sort(error.into()))?;
        let mut index = Index::open_or_create(directory, schema).map_err(sort)?;
        index.set_tokenizers(schema::tokenizers());
        let writer = new_writer(&index).map_err(sort)?;
        let reader =
            index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into().map_err(sort)?;
        let writer = Mutex::new(Some(writer));
        let shared = Shared { dir: dir.to_owned(), index, fields, reader, writer };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Runs blocking work on a thread that may block.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> Result<T, TantivyError> + Send + 'static,
    ) -> Result<T, Trouble> {
        let shared = Arc::clone(&self.shared);
        match spawn_blocking(move || work(&shared)).await {
            Ok(result) => result.map_err(|error| blame(&self.shared.dir, &error)),
            // tantivy panics on some damaged files.
            Err(broken) => Err(Trouble::fatal(format!(
                "the search index in {} broke down ({broken}); it may be damaged, restart, and \
                 restore it from a copy if this comes back",
                self.shared.dir.display()
            ))),
        }
    }
}

#[async_trait]
impl Search for Tantivy {
    async fn put(&self, document: &Document) -> Result<(), Trouble> {
        let documents = [document.clone()];
        self.blocking(move |shared| shared.put(&documents)).await
    }

    async fn put_all(&self, documents: &[Document]) -> Vec<Result<(), Trouble>> {
        let (count, documents) = (documents.len(), documents.to_vec());
        let written = self.blocking(move |shared| shared.put(&documents)).await;
        vec![written; count]
    }

    async fn remove(&self, video_id: &str) -> Result<(), Trouble> {
        let video_id = video_id.to_owned();
        self.blocking(move |shared| {
            shared.write(|writer| {
                writer.delete_term(Term::from_field_text(shared.fields.video, &video_id));
                Ok(true)
            })
        })
        .await
    }

    async fn search(&self, request: &SearchRequest) -> Result<Page, Trouble> {
        // A query that cannot be translated is the asker's fault, and needs no index to be told.
        let plan = query::plan(&self.shared.index, &self.shared.fields, request)?;
        let size = request.page_size.clamp(1, MAX_PAGE_SIZE) as usize;
        let offset = request.page as usize * size;
        self.blocking(move |shared| shared.search(&plan, offset, size)).await
    }
}

impl Shared {
    /// All or none.
    fn put(&self, documents: &[Document]) -> Result<(), TantivyError> {
        // Of several versions of one video only the newest, and of equal ones the last.
        let mut newest: BTreeMap<&str, &Document> = BTreeMap::new();
        for document in documents {
            let id = document.video_id.as_str();
            if newest.get(id).is_none_or(|other| other.version <= document.version) {
                newest.insert(id, document);
            }
        }
        self.write(|writer| {
            let mut changed = false;
            for document in newest.into_values() {
                if self.indexed_version(&document.video_id)? > Some(document.version) {
                    continue;
                }
                writer.delete_term(Term::from_field_text(self.fields.video, &document.video_id));
                for document in document::to_tantivy(&self.fields, document)? {
                    writer.add_document(document)?;
                }
                changed = true;
            }
            Ok(changed)
        })
    }

    /// Makes changes in one step, and returns when a search sees them. One writer at a time, so
    /// that nothing comes between reading a version and replacing it. Changes answered with
    /// `false` are none.
    fn write(
        &self,
        change: impl FnOnce(&IndexWriter) -> Result<bool, TantivyError>,
    ) -> Result<(), TantivyError> {
        let mut slot = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut writer = match slot.take() {
            Some(writer) => writer,
            None => new_writer(&self.index)?,
        };
        // On an error the writer is dropped here, and with it all that was not committed.
        if change(&writer)? {
            writer.commit()?;
            self.reader.reload()?;
        }
        *slot = Some(writer);
        Ok(())
    }

    fn indexed_version(&self, video_id: &str) -> Result<Option<i64>, TantivyError> {
        let searcher = self.reader.searcher();
        let mine = self.video(video_id);
        let videos = TermQuery::new(
            Term::from_field_text(self.fields.kind, schema::VIDEO),
            IndexRecordOption::Basic,
        );
        let query = BooleanQuery::intersection(vec![Box::new(mine), Box::new(videos)]);
        let found = searcher.search(&query, &TopDocs::with_limit(1).order_by_score())?;
        let Some((_, address)) = found.first() else { return Ok(None) };
        let stored: TantivyDocument = searcher.doc(*address)?;
        Ok(stored.get_first(self.fields.version).and_then(|version| version.as_i64()))
    }

    fn video(&self, video_id: &str) -> TermQuery {
        let term = Term::from_field_text(self.fields.video, video_id);
        TermQuery::new(term, IndexRecordOption::Basic)
    }

    fn search(&self, plan: &query::Plan, offset: usize, size: usize) -> Result<Page, TantivyError> {
        let searcher = self.reader.searcher();
        let total = searcher.search(&plan.videos, &Count)?;
        let mut page = Page { total: total as u64, hits: Vec::new() };
        // The collector reserves memory for the offset, which is a number a user sends.
        if offset >= total {
            return Ok(page);
        }
        let best = TopDocs::with_limit(size).and_offset(offset).order_by((
            (SortBySimilarityScore, Order::Desc),
            (SortByStaticFastValue::<i64>::for_field(schema::RECORDED_AT), Order::Desc),
            (SortByString::for_field(schema::VIDEO_ID), Order::Asc),
        ));
        let statistics = OfVideos { searcher: &searcher, kind: self.fields.kind };
        for ((score, _, _), address) in
            searcher.search_with_statistics_provider(&plan.videos, &best, &statistics)?
        {
            let stored: TantivyDocument = searcher.doc(address)?;
            let mut hit = document::to_hit(&self.fields, &stored, score)?;
            hit.moments = self.moments(&searcher, plan, &hit)?;
            page.hits.push(hit);
        }
        Ok(page)
    }

    fn moments(
        &self,
        searcher: &Searcher,
        plan: &query::Plan,
        hit: &Hit,
    ) -> Result<Vec<Moment>, TantivyError> {
        let Some(moments) = &plan.moments else { return Ok(Vec::new()) };
        let query = BooleanQuery::new(vec![
            (Occur::Must, Box::new(self.video(&hit.video_id)) as Box<dyn ::tantivy::query::Query>),
            (Occur::Must, Box::new(moments.clone())),
        ]);
        let first = TopDocs::with_limit(MAX_MOMENTS)
            .order_by_fast_field::<u64>(schema::ORDER_IN_TIME, Order::Asc);
        searcher
            .search(&query, &first)?
            .into_iter()
            .map(|(_, address)| {
                document::to_moment(&self.fields, &searcher.doc::<TantivyDocument>(address)?)
            })
            .collect()
    }
}

fn new_writer(index: &Index) -> Result<IndexWriter, TantivyError> {
    let options = IndexWriterOptions::builder()
        .num_worker_threads(1)
        .num_merge_threads(1)
        .memory_budget_per_thread(WRITER_MEMORY_BYTES)
        .build();
    index.writer_with_options(options)
}

fn sort_open_error(dir: &Path, error: TantivyError) -> OpenError {
    let (dir, cause) = (dir.to_owned(), error.to_string());
    match error {
        TantivyError::LockFailure(LockError::LockBusy, _) => OpenError::InUse(dir),
        TantivyError::SchemaError(_) | TantivyError::IncompatibleIndex(_) => {
            OpenError::Incompatible { dir, cause }
        }
        TantivyError::DataCorruption(_) | TantivyError::DeserializeError(_) => {
            OpenError::Damaged { dir, cause }
        }
        TantivyError::OpenReadError(error) => match error {
            ::tantivy::directory::error::OpenReadError::IncompatibleIndex(_) => {
                OpenError::Incompatible { dir, cause }
            }
            ::tantivy::directory::error::OpenReadError::FileDoesNotExist(_) => {
                OpenError::Damaged { dir, cause }
            }
            ::tantivy::directory::error::OpenReadError::IoError { .. } => {
                OpenError::Io { dir, cause }
            }
        },
        TantivyError::IoError(error) if is_damage(&error) => OpenError::Damaged { dir, cause },
        _ => OpenError::Io { dir, cause },
    }
}

/// Whether reading failed because of what was read.
fn is_damage(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}
