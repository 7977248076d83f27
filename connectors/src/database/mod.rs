//! The catalogue in a database: a file of SQLite, or a server of PostgreSQL.
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
//!
//! Both engines are asked the same statements; what differs is in `engine` and the migrations.

mod address;
mod blame;
mod engine;
mod look;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub use self::address::{Address, AddressError};
pub use self::look::{Tables, look};

use self::blame::blame;
use ::engine::Metrics;
use async_trait::async_trait;
use ports::{Catalog, DeadLetterRow, Fact, Trouble, VideoFilter, VideoPage, VideoRow, Viewer};
use sqlx::any::AnyPoolOptions;
use sqlx::migrate::MigrateError;
use sqlx::{
    Any, AnyConnection, AnyPool, AssertSqlSafe, ConnectOptions, Connection, Executor, Transaction,
};
use std::time::Duration;
use tokio::time::timeout;

/// How much of a database a process may use, and how long it waits for it.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections of this process.
    pub connections: u32,
    /// Until there is a connection.
    pub connect: Duration,
    /// Until others give a row, or the file, free.
    pub lock: Duration,
    /// Until a server has answered one statement; less than a call, so that a busy server is told
    /// from one that answers nothing.
    pub statement: Duration,
    /// One call, with all its statements; a server that answers nothing is given up then.
    pub call: Duration,
    /// Until another process has brought the tables up to date.
    pub migrate: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // Readers beside a writer; a page takes a few milliseconds.
            connections: 4,
            connect: Duration::from_secs(5),
            lock: Duration::from_secs(5),
            statement: Duration::from_secs(10),
            call: Duration::from_secs(15),
            migrate: Duration::from_secs(120),
        }
    }
}

/// A catalogue in a database.
#[derive(Debug, Clone)]
pub struct Database {
    address: Address,
    limits: Limits,
    pool: AnyPool,
    /// Where waits for a connection are counted, if anywhere.
    metrics: Option<Metrics>,
}

/// Why a catalogue cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the catalogue {address} was written by another version ({cause}); {remedy}")]
    Incompatible { address: Address, cause: String, remedy: &'static str },
    #[error("the catalogue {address} cannot be opened: {trouble}")]
    Trouble { address: Address, trouble: Trouble },
}

impl OpenError {
    /// Whether waiting cannot help: the address, the credentials or the database are wrong.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        !matches!(self, Self::Trouble { trouble: Trouble::Transient { .. }, .. })
    }
}

impl Database {
    /// Opens the catalogue, and brings its tables up to date. A file is made where there is none.
    ///
    /// # Errors
    /// Written by a newer version, or not to be opened: the trouble says whose fault it is.
    pub async fn open(address: &Address) -> Result<Self, OpenError> {
        Self::open_within(address, Limits::default()).await
    }

    /// The same, with limits of one's own.
    ///
    /// # Errors
    /// As [`Database::open`].
    pub async fn open_within(address: &Address, limits: Limits) -> Result<Self, OpenError> {
        sqlx::any::install_default_drivers();
        let trouble = |error: &sqlx::Error| OpenError::Trouble {
            address: address.clone(),
            trouble: blame(address, error),
        };
        let options = address.options().map_err(|error| trouble(&error))?;
        // Not through the pool: it would try again until its time is up, and forget the cause.
        let connected = timeout(limits.connect, async {
            let mut connection = options.connect().await?;
            let prepare = AssertSqlSafe(engine::prepare_migration(address, limits));
            connection.execute(prepare).await?;
            Ok(connection)
        });
        let mut connection = connected
            .await
            .map_err(|_| OpenError::Trouble {
                address: address.clone(),
                trouble: blame::silence(address, limits.connect),
            })?
            .map_err(|error| trouble(&error))?;
        Self::migrate(address, &mut connection).await?;
        // What is in the tables is there; a server notices by itself that nobody is here any more.
        drop(connection.close().await);

        let prepare = engine::prepare(address, limits);
        let pool = AnyPoolOptions::new()
            .max_connections(limits.connections)
            .acquire_timeout(limits.connect)
            .after_connect(move |connection, _| {
                let prepare = AssertSqlSafe(prepare.clone());
                Box::pin(async move { connection.execute(prepare).await.map(drop) })
            })
            // A call that was given up leaves a connection on which nothing may ever come.
            .after_release(move |connection, _| {
                Box::pin(async move {
                    let ping = timeout(limits.connect, connection.ping()).await;
                    ping.unwrap_or(Err(sqlx::Error::PoolTimedOut)).map(|()| true)
                })
            })
            .connect_lazy_with(options);
        Ok(Self { address: address.clone(), limits, pool, metrics: None })
    }

    /// The same catalogue; waits for a connection are counted.
    #[must_use]
    pub fn counting(self, metrics: &Metrics) -> Self {
        Self { metrics: Some(metrics.clone()), ..self }
    }

    /// Tells how the pool of connections is now.
    pub fn tell_pool(&self, metrics: &Metrics) {
        let size = i64::from(self.pool.size());
        // The two are not of the same moment.
        let idle = i64::try_from(self.pool.num_idle()).unwrap_or(size).min(size);
        metrics.set_pool(idle, size - idle, i64::from(self.limits.connections));
    }

    async fn migrate(address: &Address, connection: &mut AnyConnection) -> Result<(), OpenError> {
        let failed = |error: &sqlx::Error| OpenError::Trouble {
            address: address.clone(),
            trouble: blame(address, error),
        };
        match engine::migrations(address).run_direct(None, connection, false).await {
            Ok(()) => Ok(()),
            Err(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) => {
                Err(failed(&error))
            }
            Err(error) => Err(OpenError::Incompatible {
                address: address.clone(),
                cause: error.to_string(),
                remedy: engine::remedy(address),
            }),
        }
    }

    /// Closes all connections, after which every call fails; what is recorded is on disk already.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    async fn begin(
        &self,
        statement: &'static str,
    ) -> Result<Transaction<'static, Any>, sqlx::Error> {
        let _waits = self.metrics.as_ref().map(Metrics::waits_for_pool);
        self.pool.begin_with(statement).await
    }

    /// Runs one call, for so long as a call may take.
    async fn call<T>(
        &self,
        work: impl Future<Output = Result<T, sqlx::Error>> + Send,
    ) -> Result<T, Trouble> {
        match timeout(self.limits.call, work).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(sqlx::Error::PoolTimedOut)) => Err(self.why_no_connection().await),
            Ok(Err(error)) => Err(blame(&self.address, &error)),
            Err(_) => Err(blame::silence(&self.address, self.limits.call)),
        }
    }

    /// A pool does not say why it could not connect: asks once more, without it.
    async fn why_no_connection(&self) -> Trouble {
        let again = async { self.address.options()?.connect().await?.close().await };
        match timeout(self.limits.connect, again).await {
            // All connections of this process are at work.
            Ok(Ok(())) => blame(&self.address, &sqlx::Error::PoolTimedOut),
            Ok(Err(error)) => blame(&self.address, &error),
            Err(_) => blame::silence(&self.address, self.limits.connect),
        }
    }
}

#[async_trait]
impl Catalog for Database {
    async fn record(&self, facts: &[Fact]) -> Result<(), Trouble> {
        self.call(async {
            let mut transaction = self.begin(engine::begin_writing(&self.address)).await?;
            write::record(&mut transaction, facts).await?;
            transaction.commit().await
        })
        .await
    }

    async fn video(&self, viewer: &Viewer, video_id: &str) -> Result<Option<VideoRow>, Trouble> {
        self.call(async {
            let mut moment = self.begin(engine::begin_reading(&self.address)).await?;
            read::video(&mut moment, viewer, video_id).await
        })
        .await
    }

    async fn videos(&self, filter: &VideoFilter) -> Result<VideoPage, Trouble> {
        self.call(async {
            let mut moment = self.begin(engine::begin_reading(&self.address)).await?;
            read::videos(&mut moment, filter).await
        })
        .await
    }

    async fn dead_letters(
        &self,
        video_id: Option<&str>,
        limit: u32,
    ) -> Result<Vec<DeadLetterRow>, Trouble> {
        self.call(async {
            let waits = self.metrics.as_ref().map(Metrics::waits_for_pool);
            let mut connection = self.pool.acquire().await?;
            drop(waits);
            read::dead_letters(&mut connection, video_id, limit).await
        })
        .await
    }
}

/// PostgreSQL's text has no NUL, and nobody misses it.
fn text(given: &str) -> String {
    given.replace('\0', "\u{fffd}")
}
