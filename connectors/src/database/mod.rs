//! The catalogue in SQLite.
//!
//! Facts are kept as they were told, each under its own key, and merged so that neither order nor
//! repetition matters; everything else is derived when it is read:
//!
//! - The **upload** is the earliest one told. Until one is, the earliest fact lends its time.
//! - The **current run** is the one of the latest recording; without a recording, the one that
//!   started last, that is, whose earliest progress is the latest. So a late event of an older run
//!   changes nothing.
//! - A video is **ready** with a recording, else **failed** with a dead letter, else processing.
//! - The **reason** is that of the newest dead letter that nothing has answered: a later recording
//!   answers all but those of `label` and `index`, a later index entry answers those two.

mod blame;
mod read;
#[cfg(test)]
mod tests;
mod write;

use self::blame::blame;
use async_trait::async_trait;
use ports::{Catalog, DeadLetterRow, Fact, Trouble, VideoFilter, VideoPage, VideoRow, Viewer};
use sqlx::migrate::MigrateError;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a statement waits for another process's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Readers beside one writer; a page takes a few milliseconds.
const CONNECTIONS: u32 = 4;

/// A catalogue in one file (and its write-ahead log beside it).
#[derive(Debug, Clone)]
pub struct Sqlite {
    path: PathBuf,
    pool: SqlitePool,
}

/// Why a catalogue cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "the catalogue {} was written by another version ({cause}); use that version, or move the \
         file away and start with an empty catalogue",
        .path.display()
    )]
    Incompatible { path: PathBuf, cause: String },
    #[error("the catalogue {} cannot be opened: {trouble}", .path.display())]
    Trouble { path: PathBuf, trouble: Trouble },
}

impl Sqlite {
    /// Opens the catalogue, makes it where there is none, and brings its tables up to date.
    ///
    /// # Errors
    /// Written by a newer version, or not to be opened: the trouble says whose fault it is.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let path = path.as_ref().to_owned();
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // The offset of an event moves on once its facts are recorded, so they must stay.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        let trouble = |error: &sqlx::Error| OpenError::Trouble {
            path: path.clone(),
            trouble: blame(&path, error),
        };
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(BUSY_TIMEOUT * 2)
            .connect_with(options)
            .await
            .map_err(|error| trouble(&error))?;
        match sqlx::migrate!("./migrations").run(&pool).await {
            Ok(()) => Ok(Self { path, pool }),
            Err(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) => {
                Err(trouble(&error))
            }
            Err(error) => Err(OpenError::Incompatible { path, cause: error.to_string() }),
        }
    }

    /// Closes all connections, after which every call fails; what is recorded is on disk already.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

#[async_trait]
impl Catalog for Sqlite {
    async fn record(&self, facts: &[Fact]) -> Result<(), Trouble> {
        write::record(&self.pool, facts).await.map_err(|error| blame(&self.path, &error))
    }

    async fn video(&self, viewer: &Viewer, video_id: &str) -> Result<Option<VideoRow>, Trouble> {
        read::video(&self.pool, viewer, video_id).await.map_err(|error| blame(&self.path, &error))
    }

    async fn videos(&self, filter: &VideoFilter) -> Result<VideoPage, Trouble> {
        read::videos(&self.pool, filter).await.map_err(|error| blame(&self.path, &error))
    }

    async fn dead_letters(
        &self,
        video_id: Option<&str>,
        limit: u32,
    ) -> Result<Vec<DeadLetterRow>, Trouble> {
        read::dead_letters(&self.pool, video_id, limit)
            .await
            .map_err(|error| blame(&self.path, &error))
    }
}
