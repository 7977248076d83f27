//! The ports that the processors and the API share: opened, and found fit for use.

use crate::{
    access,
    announce::Announcer,
    cli::{EndpointArgs, KafkaArgs, PatienceArgs, SharedArgs},
    failure::Failure,
    health::Look,
    index,
    letters::Redriver,
    patience::patiently,
    pipeline::shape,
    privacy,
};
use api::{Health, Services, UploadLimits};
use connectors::{
    counted,
    database::{Address, Database},
    kafka::{Kafka, TopicSpec},
    registry::ConfluentRegistry,
};
use engine::{CancellationToken, Metrics, Traces, Trouble};
use ports::{Catalog, Search, Store};
use schemas::ALL;
use std::{
    collections::BTreeMap,
    fs::{File, TryLockError},
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::net::TcpListener;

/// Scratch a step may need, in sizes of the source, and a floor.
pub(crate) const SCRATCH_PER_SOURCE: u64 = 3;
pub(crate) const SCRATCH_FLOOR: u64 = 1 << 30;
/// The user of a machine without accounts.
const LOCAL_OWNER: &str = "local";
/// How often unannounced uploads are looked for, at least.
const LOOK_FOR_ORPHANS: Duration = Duration::from_secs(300);

/// What is open.
#[derive(Debug, Clone)]
pub struct Connections {
    pub store: Arc<dyn Store>,
    pub registry: Arc<ConfluentRegistry>,
    pub catalog: Arc<dyn Catalog>,
    database: Database,
    pub search: Arc<dyn Search>,
    pub kafka: Arc<Kafka>,
}

impl Connections {
    /// Opens all, and waits for what is away as long as it is told to.
    pub async fn open_patiently(
        data: &Path,
        endpoints: &EndpointArgs,
        shared: &SharedArgs,
        patience: &PatienceArgs,
        metrics: &Metrics,
    ) -> Result<Self, Failure> {
        patiently(patience.start_timeout, || Self::open(data, endpoints, shared, metrics)).await
    }

    /// Opens all; the schemas are registered, the bucket is there. Kafka is asked nothing yet.
    /// What is asked of each is counted.
    pub async fn open(
        data: &Path,
        endpoints: &EndpointArgs,
        shared: &SharedArgs,
        metrics: &Metrics,
    ) -> Result<Self, Failure> {
        let region = endpoints.region();
        let store = Arc::new(access::s3(&endpoints.s3, &endpoints.keys, region).await?);
        let store = counted::store(store, metrics);
        let registry = ConfluentRegistry::new(&endpoints.registry.at)?.counting(metrics);
        let registry = Arc::new(registry);
        let subjects: Vec<_> =
            ALL.iter().map(|kind| (format!("{}-value", kind.topic), kind.schema)).collect();
        let subjects: Vec<_> =
            subjects.iter().map(|(name, schema)| (name.as_str(), *schema)).collect();
        let registry_at = &endpoints.registry.at;
        let outside = |e| Failure::outside("the schema registry", registry_at, "--registry", &e);
        for (subject, _) in &subjects {
            registry.set_compatibility(subject, "FULL_TRANSITIVE").await.map_err(outside)?;
        }
        registry.register_all(&subjects).await.map_err(outside)?;
        let (bucket, prefix) = (&shared.bucket, "claims/none/");
        store.list(bucket, prefix).await.map_err(|e| {
            let what = format!("the bucket {bucket} of the object store");
            Failure::outside(&what, &endpoints.s3, "--s3", &e)
        })?;
        let database = open_catalog(data, shared).await?.counting(metrics);
        let catalog = counted::catalog(Arc::new(database.clone()), metrics);
        let search = counted::search(index::open(data, &shared.index, region).await?, metrics);
        let instance = shared.instance.as_deref().unwrap_or("0");
        let kafka = Kafka::counting(access::kafka(&endpoints.kafka, instance)?, metrics);
        Ok(Self { store, registry, catalog, database, search, kafka: Arc::new(kafka) })
    }

    /// How the pool of connections to the database is, whenever somebody wants to know.
    #[must_use]
    pub fn pool(&self) -> Look {
        let database = self.database.clone();
        Box::new(move |metrics| database.tell_pool(metrics))
    }

    /// What the API answers from.
    #[must_use]
    pub fn services(
        &self,
        shared: &SharedArgs,
        health: Health,
        traces: Option<Arc<dyn Traces>>,
        stopping: CancellationToken,
    ) -> Arc<Services> {
        let Self { store, registry, catalog, search, kafka, .. } = self.clone();
        Arc::new(Services {
            store,
            catalog,
            search,
            letters: Arc::new(Redriver { kafka: Arc::clone(&kafka) }),
            uploads: Arc::new(Announcer { kafka, registry, traces }),
            bucket: shared.bucket.clone(),
            owner: LOCAL_OWNER.to_owned(),
            limits: upload_limits(shared),
            health,
            stopping,
        })
    }
}

/// What cannot be worked on is not taken in.
fn upload_limits(args: &SharedArgs) -> UploadLimits {
    let limits = UploadLimits::default();
    let workable = args.scratch_max_bytes.saturating_sub(SCRATCH_FLOOR) / SCRATCH_PER_SOURCE;
    UploadLimits { max_bytes: limits.max_bytes.min(workable), ..limits }
}

/// Listens for `serve` or `watch`.
pub async fn listen(address: IpAddr, port: u16) -> Result<TcpListener, Failure> {
    TcpListener::bind((address, port)).await.map_err(|e| {
        let place = SocketAddr::from((address, port));
        Failure::usage(format!("{place} cannot be listened on ({e}): choose another --port"))
    })
}

/// Announces uploads that a crash left unannounced, at the start and again and again.
pub async fn announce_orphans(services: Arc<Services>, age_seconds: u64) {
    let age = Duration::from_secs(age_seconds.max(1));
    loop {
        if let Err(error) = api::announce_orphans(&services, age).await {
            tracing::warn!(%error, "unannounced uploads cannot be looked for, trying again later");
        }
        tokio::select! {
            () = services.stopping.cancelled() => return,
            () = tokio::time::sleep(age.min(LOOK_FOR_ORPHANS)) => {}
        }
    }
}

/// How many partitions a topic needs: one of clips is worked on by many, retries and dead letters
/// are few.
#[must_use]
pub fn partitions_of(topic: &str) -> i32 {
    match ALL.iter().find(|kind| kind.topic == topic) {
        Some(kind) if kind.per_clip => 12,
        Some(_) => 6,
        None => 3,
    }
}

/// Creates the topics that are missing: `partitions` of each, or as many as it needs.
pub async fn create_topics(at: &KafkaArgs, partitions: Option<i32>) -> Result<(), Failure> {
    let topics: Vec<_> = shape()
        .topics()
        .into_iter()
        .map(|name| TopicSpec {
            partitions: partitions.unwrap_or_else(|| partitions_of(&name)),
            name,
            replication: None,
            config: BTreeMap::new(),
        })
        .collect();
    kafka(at, "topics")?.create_topics(&topics).await.map_err(|e| no_kafka(at, &e))
}

/// A Kafka client that has not connected yet; mistakes in its settings are told at once.
pub fn kafka(at: &KafkaArgs, instance: &str) -> Result<Kafka, Failure> {
    Ok(Kafka::new(access::kafka(at, instance)?))
}

/// A Kafka client of a command; somebody answers it.
pub async fn reached(at: &KafkaArgs, instance: &str) -> Result<Kafka, Failure> {
    let client = kafka(at, instance)?;
    client.list_topics().await.map_err(|e| no_kafka(at, &e))?;
    Ok(client)
}

/// Why Kafka cannot be used, where it is and what to look at.
#[must_use]
pub fn no_kafka(at: &KafkaArgs, cause: &Trouble) -> Failure {
    Failure::outside("kafka", &at.at, "--kafka", cause)
}

/// Where the catalogue is.
pub fn database(data: &Path, args: &SharedArgs) -> Result<Address, Failure> {
    match &args.database {
        Some(url) => url.parse().map_err(|e| Failure::usage(format!("--database: {e}"))),
        None => Ok(Address::file(data.join("catalog.sqlite"))),
    }
}

async fn open_catalog(data: &Path, args: &SharedArgs) -> Result<Database, Failure> {
    Database::open(&database(data, args)?).await.map_err(|e| match &args.database {
        // Wrong credentials do not mend themselves; a server that is away may come back.
        Some(_) if e.is_lasting() => Failure::usage(format!("--database: {e}")),
        Some(_) => Failure::away("the catalogue", &e),
        None => Failure::start("the catalogue", &e),
    })
}

/// Keeps other processes away from a data directory for as long as the file is open: they would take
/// what this one works on for the leftovers of one that was killed.
pub fn lock(data: &Path) -> Result<File, Failure> {
    let place = format!("the data directory {}", data.display());
    let opened = std::fs::create_dir_all(data).and_then(|()| File::create(data.join("lock")));
    let file = opened.map_err(|e| Failure::start(&place, &e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::Error(e)) => Err(Failure::start(&place, &e)),
        Err(TryLockError::WouldBlock) => Err(Failure::usage(format!(
            "{place} is in use by another reelmill: stop that or choose another with --data"
        ))),
    }
}

/// `--data` or its default, made if it is not there, closed to others, as an absolute path.
pub fn data_directory(chosen: Option<PathBuf>) -> Result<PathBuf, Failure> {
    let data = data_place(chosen)?;
    privacy::data_directory(&data).map_err(|e| {
        Failure::usage(format!("{} cannot be made ({e}): choose another --data", data.display()))
    })?;
    Ok(data)
}

/// `--data` or its default as an absolute path, whether it is there or not: helpers work in folders
/// of their own.
pub fn data_place(chosen: Option<PathBuf>) -> Result<PathBuf, Failure> {
    let data = match chosen {
        Some(data) => data,
        None => std::env::home_dir()
            .ok_or_else(|| Failure::usage("there is no home directory: set --data"))?
            .join(".local/share/reelmill"),
    };
    Ok(std::path::absolute(data)?)
}
