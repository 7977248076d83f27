//! Starting and stopping the mill, whole (`up`) or in parts (`run`).

use crate::{
    announce::Announcer,
    cli::{EndpointArgs, KeyArgs, Mask, MillArgs, RunArgs, UpArgs},
    confinement,
    embedded::{Embedded, start_vision},
    failure::Failure,
    index,
    letters::Redriver,
    pipeline::{World, pipeline, shape},
};
use api::{Services, Unready, UploadLimits};
use connectors::{
    cataloguing::Cataloguing,
    database::{Address, Database},
    indexing::Indexing,
    kafka::{Kafka, KafkaConfig, TopicSpec},
    registry::ConfluentRegistry,
    rekognition::{Rekognition, RekognitionConfig},
    s3::{S3, S3Config},
    studio::{Scratch, Studio},
};
use engine::{CancellationToken, Context, Metrics, Policy, Running, SystemClock, Trouble};
use ports::{Catalog, Store};
use processors::cut::Cut;
use schemas::{ALL, Blur, Masking};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    sync::Semaphore,
};

/// Credentials of the embedded store and detector. They guard against mistakes, not people:
/// whoever reaches loopback reaches the API too.
pub const LOCAL_KEY: &str = "reelmill";
pub const LOCAL_SECRET: &str = "reelmill-local";

/// Seen on both sides of a clip, at least: a track may be extended by as much.
const MARGIN_SECONDS: f64 = 1.0;
const EXTEND_MS: i64 = 1000;
/// Effects at once per processor: `detect` and `label` together stay below the detector's 20 jobs.
const MOST_EFFECTS: usize = 8;
/// Threads of one encoder or decoder; clips run side by side, so more would only queue.
const MOST_THREADS: usize = 2;
/// Scratch a step may need, in sizes of the source, and a floor.
const SCRATCH_PER_SOURCE: u64 = 3;
const SCRATCH_FLOOR: u64 = 1 << 30;
/// The user of a machine without accounts.
const LOCAL_OWNER: &str = "local";
/// How often unannounced uploads are looked for, at least.
const LOOK_FOR_ORPHANS: Duration = Duration::from_secs(300);
/// What is not stopped by then is left behind: a little after the processors' own grace, and so that
/// all is over within ten seconds.
const STOP_WITHIN: Duration = Duration::from_millis(8500);
/// What the embedded ports, which nobody asks any more, may take after that.
const STOP_PORTS_WITHIN: Duration = Duration::from_secs(1);

/// The whole mill in one process.
pub async fn up(args: UpArgs) -> Result<(), Failure> {
    let started = Instant::now();
    let data = data_directory(args.data.clone())?;
    // Mistakes to hear of before anything is started.
    database(&data, &args.mill)?;
    index::settings(&args.mill.index)?;
    let embedded = Embedded::start(&data, &args).await?;
    // The directory is ours now: what a killed mill left there must not be taken for this one's.
    let published = data.join("endpoints.env");
    std::fs::remove_file(&published).or_else(ignore_missing)?;
    let permits = permits(&args.mill);
    let models = models(&args.mill)?;
    let keys = &args.real.keys;
    let store = s3(&embedded.s3, keys).await?;
    let (vision, rekognition) = match &args.real.rekognition {
        Some(real) => (None, real.clone()),
        None => {
            let vision = start_vision(&data, &args, &models, &permits.semaphore, &store).await?;
            let url = vision.url();
            (Some(vision), url)
        }
    };
    let endpoints = EndpointArgs {
        kafka: embedded.kafka.clone(),
        registry: embedded.registry_url.clone(),
        s3: embedded.s3.clone(),
        rekognition,
        keys: keys.clone(),
    };
    let kafka_at = &endpoints.kafka;
    create_topics(kafka_at, embedded.partitions())
        .await
        .map_err(|e| Failure::outside("kafka", kafka_at, "--kafka", &e))?;

    let mill = Mill::start(&data, &endpoints, &args.mill, models, permits, store, &[]).await?;
    let listener = TcpListener::bind(("127.0.0.1", args.port)).await.map_err(|e| {
        Failure::usage(format!("port {} is not free ({e}): choose another with --port", args.port))
    })?;
    let url = format!("http://{}", listener.local_addr()?);
    let signals = Signals::new()?;
    publish(&published, &url, &endpoints)?;
    // Here only: the catalogue of a part of a mill does not know all videos.
    tokio::spawn(announce_orphans(Arc::clone(&mill.services), args.mill.orphan_age));
    tracing::info!(ready_ms = started.elapsed().as_millis() as u64, %url, "the mill is up");

    let result = mill.serve(listener, signals, false).await;
    std::fs::remove_file(&published).or_else(ignore_missing)?;
    let ports = async {
        if let Some(vision) = vision {
            vision.stop().await;
        }
        embedded.stop().await;
    };
    if tokio::time::timeout(STOP_PORTS_WITHIN, ports).await.is_err() {
        tracing::warn!("the embedded ports did not stop in time; what they have taken in is kept");
    }
    result
}

/// Some processors, against ports that run elsewhere.
pub async fn run(args: RunArgs) -> Result<(), Failure> {
    // A name that is not there is a mistake to hear of before anything is contacted.
    shape().only(&args.only).map_err(Failure::usage).map(drop)?;
    let data = data_directory(args.data)?;
    database(&data, &args.mill)?;
    index::settings(&args.mill.index)?;
    let store = s3(&args.endpoints.s3, &args.endpoints.keys).await?;
    let (models, permits) = (models(&args.mill)?, permits(&args.mill));
    let mill =
        Mill::start(&data, &args.endpoints, &args.mill, models, permits, store, &args.only).await?;
    let listener = TcpListener::bind(("127.0.0.1", args.port)).await?;
    tracing::info!(url = %format!("http://{}", listener.local_addr()?), "running");
    mill.serve(listener, Signals::new()?, true).await
}

/// A working mill: processors, and the services its API answers from.
struct Mill {
    running: Vec<Running>,
    shutdown: CancellationToken,
    services: Arc<Services>,
    unready: Readiness,
}

/// The processors that have stopped, and why.
type Readiness = Arc<Mutex<BTreeMap<&'static str, String>>>;

impl Mill {
    async fn start(
        data: &Path,
        endpoints: &EndpointArgs,
        args: &MillArgs,
        models: Arc<vision::Models>,
        permits: Permits,
        store: S3,
        only: &[String],
    ) -> Result<Self, Failure> {
        let store: Arc<dyn Store> = Arc::new(store);
        let registry = Arc::new(ConfluentRegistry::new(&endpoints.registry)?);
        let subjects: Vec<_> =
            ALL.iter().map(|kind| (format!("{}-value", kind.topic), kind.schema)).collect();
        let subjects: Vec<_> =
            subjects.iter().map(|(name, schema)| (name.as_str(), *schema)).collect();
        let outside =
            |e| Failure::outside("the schema registry", &endpoints.registry, "--registry", &e);
        for (subject, _) in &subjects {
            registry.set_compatibility(subject, "FULL_TRANSITIVE").await.map_err(outside)?;
        }
        registry.register_all(&subjects).await.map_err(outside)?;
        let (bucket, prefix) = (&args.bucket, "claims/none/");
        store.list(bucket, prefix).await.map_err(|e| {
            let what = format!("the bucket {bucket} of the object store");
            Failure::outside(&what, &endpoints.s3, "--s3", &e)
        })?;
        let catalog: Arc<dyn Catalog> = Arc::new(open_catalog(data, args).await?);
        let search = index::open(data, &args.index).await?;
        let scratch = Scratch::open(data.join("scratch"), args.scratch_max_bytes)
            .map_err(|e| Failure::start("the scratch directory", &e))?;

        let helper = confinement::helper();
        confinement::check(&helper, scratch.root()).await?;

        let metrics = Metrics::new().map_err(|e| Failure::start("the metrics", &e))?;
        let studio = Studio {
            store: Arc::clone(&store),
            scratch,
            permits: permits.semaphore,
            threads: permits.count.min(MOST_THREADS),
            models,
            helper,
            metrics: metrics.clone(),
        };
        let eyes = Rekognition::new(RekognitionConfig {
            endpoint: Some(endpoints.rekognition.clone()),
            region: "us-east-1".to_owned(),
            access_key: Some(endpoints.keys.access_key.clone()),
            secret_key: Some(endpoints.keys.secret_key.clone()),
            ..RekognitionConfig::default()
        })
        .await?;
        let indexing = Indexing { store: Arc::clone(&store), search: Arc::clone(&search) };
        let cataloguing = Cataloguing { catalog: Arc::clone(&catalog) };
        let mut pipeline = pipeline(cut_rules(args), World { studio, eyes, indexing, cataloguing });
        if !only.is_empty() {
            pipeline = pipeline.only(only).map_err(Failure::usage)?;
        }

        let shutdown = CancellationToken::new();
        let kafka = Arc::new(kafka(&endpoints.kafka, &args.instance));
        let context = Context {
            registry: registry.clone(),
            store: Arc::clone(&store),
            bucket: args.bucket.clone(),
            clock: Arc::new(SystemClock),
            policy: Policy::default(),
            metrics: metrics.clone(),
            shutdown: shutdown.clone(),
            concurrency: permits.count.clamp(2, MOST_EFFECTS),
        };
        let running = pipeline.start(Arc::clone(&kafka), &context);

        let unready = Readiness::default();
        let told = Arc::clone(&unready);
        let services = Arc::new(Services {
            store,
            catalog,
            search,
            letters: Arc::new(Redriver { kafka: Arc::clone(&kafka) }),
            uploads: Arc::new(Announcer { kafka, registry }),
            bucket: args.bucket.clone(),
            owner: LOCAL_OWNER.to_owned(),
            limits: upload_limits(args),
            metrics: Arc::new(move || metrics.gather()),
            readiness: Arc::new(move || {
                let unready = told.lock().unwrap_or_else(PoisonError::into_inner);
                let part = |(part, reason): (&&'static str, &String)| Unready {
                    part: (*part).to_owned(),
                    reason: reason.clone(),
                };
                unready.iter().map(part).collect()
            }),
            stopping: shutdown.clone(),
        });
        Ok(Self { running, shutdown, services, unready })
    }

    /// Serves until a signal comes. A processor that fails makes the mill unready, and ends the
    /// process where `fail_fast`.
    async fn serve(
        self,
        listener: TcpListener,
        mut signals: Signals,
        fail_fast: bool,
    ) -> Result<(), Failure> {
        let Self { running, shutdown, services, unready } = self;
        let watched: Vec<_> = running
            .into_iter()
            .map(|Running { name, task }| {
                let (unready, shutdown) = (Arc::clone(&unready), shutdown.clone());
                tokio::spawn(async move {
                    let ended = match task.await {
                        Ok(Ok(())) => return,
                        Ok(Err(fatal)) => fatal.to_string(),
                        Err(panic) => panic.to_string(),
                    };
                    tracing::error!(
                        processor = name,
                        "stopped: {ended}; mend this and start again"
                    );
                    unready.lock().unwrap_or_else(PoisonError::into_inner).insert(name, ended);
                    if fail_fast {
                        shutdown.cancel();
                    }
                })
            })
            .collect();
        let stop = shutdown.clone();
        let served = tokio::spawn(api::serve(listener, api::router(services), async move {
            stop.cancelled().await;
        }));
        tokio::select! {
            () = signals.any() => {}
            () = shutdown.cancelled() => {}
        }
        tracing::info!("stopping: finishing what is in hand");
        shutdown.cancel();
        let all = async {
            for task in watched {
                if let Err(e) = task.await {
                    tracing::error!("a processor's watch has failed: {e}");
                }
            }
            match served.await {
                Ok(Ok(())) => {}
                Ok(Err(e)) => tracing::error!("the api has failed: {e}"),
                Err(e) => tracing::error!("the api has failed: {e}"),
            }
        };
        if tokio::time::timeout(STOP_WITHIN, all).await.is_err() {
            tracing::warn!("not everything stopped in time; unfinished work will be done again");
        }
        let failed = unready.lock().unwrap_or_else(PoisonError::into_inner);
        match failed.iter().next() {
            Some((name, reason)) if fail_fast => Err(Failure::start(name, reason)),
            _ => Ok(()),
        }
    }
}

/// Announces uploads that a crash left unannounced, at the start and again and again.
async fn announce_orphans(services: Arc<Services>, age_seconds: u64) {
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

/// What cannot be worked on is not taken in.
fn upload_limits(args: &MillArgs) -> UploadLimits {
    let limits = UploadLimits::default();
    let workable = args.scratch_max_bytes.saturating_sub(SCRATCH_FLOOR) / SCRATCH_PER_SOURCE;
    UploadLimits { max_bytes: limits.max_bytes.min(workable), ..limits }
}

/// Ctrl-C and SIGTERM, from the moment this is made: whoever reads that the mill is up may stop it.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn any(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// What `cut` decides for every run.
#[must_use]
pub fn cut_rules(args: &MillArgs) -> Cut {
    let mut allowed_buckets = args.allowed_buckets.clone();
    allowed_buckets.push(args.bucket.clone());
    Cut {
        allowed_buckets,
        bucket: args.bucket.clone(),
        clip_seconds: args.clip_seconds,
        margin_seconds: MARGIN_SECONDS,
        masking: Masking {
            blur: Blur::All,
            style: match args.mask {
                Mask::Pixelate => "pixelate",
                Mask::Gaussian => "gaussian",
                Mask::Solid => "solid",
            }
            .to_owned(),
            detector: format!("{} {}", vision::DETECTOR, &vision::weights_sha256()[..12]),
            threshold: args.face_threshold,
            verify_threshold: args.verify_threshold,
            extend_ms: EXTEND_MS,
        },
    }
}

/// Creates the topics that are missing: `partitions` of each, or the design's numbers.
pub async fn create_topics(kafka_at: &str, partitions: Option<i32>) -> Result<(), Trouble> {
    let wanted = |topic: &str| match ALL.iter().find(|kind| kind.topic == topic) {
        Some(kind) if kind.per_clip => 12,
        Some(_) => 6,
        None => 3,
    };
    let topics: Vec<_> = shape()
        .topics()
        .into_iter()
        .map(|name| TopicSpec {
            partitions: partitions.unwrap_or_else(|| wanted(&name)),
            name,
            replication: None,
            config: BTreeMap::new(),
        })
        .collect();
    kafka(kafka_at, "topics").create_topics(&topics).await
}

/// A Kafka client that has not connected yet.
#[must_use]
pub fn kafka(bootstrap: &str, instance: &str) -> Kafka {
    Kafka::new(KafkaConfig {
        bootstrap: bootstrap.to_owned(),
        extra: BTreeMap::new(),
        instance: instance.to_owned(),
    })
}

/// A client of an object store.
pub async fn s3(endpoint: &str, keys: &KeyArgs) -> Result<S3, Failure> {
    Ok(S3::new(S3Config {
        endpoint: Some(endpoint.to_owned()),
        region: "us-east-1".to_owned(),
        access_key: Some(keys.access_key.clone()),
        secret_key: Some(keys.secret_key.clone()),
        force_path_style: true,
    })
    .await?)
}

/// Where the catalogue is.
fn database(data: &Path, args: &MillArgs) -> Result<Address, Failure> {
    match &args.database {
        Some(url) => url.parse().map_err(|e| Failure::usage(format!("--database: {e}"))),
        None => Ok(Address::file(data.join("catalog.sqlite"))),
    }
}

async fn open_catalog(data: &Path, args: &MillArgs) -> Result<Database, Failure> {
    Database::open(&database(data, args)?).await.map_err(|e| match &args.database {
        // Wrong credentials do not mend themselves; a server that is away may come back.
        Some(_) if e.is_lasting() => Failure::usage(format!("--database: {e}")),
        _ => Failure::start("the catalogue", &e),
    })
}

fn models(args: &MillArgs) -> Result<Arc<vision::Models>, Failure> {
    vision::Models::find(args.onnxruntime.as_deref()).map(Arc::new).map_err(Failure::usage)
}

/// Media jobs at once, shared with the detector.
struct Permits {
    count: usize,
    semaphore: Arc<Semaphore>,
}

fn permits(args: &MillArgs) -> Permits {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let count = args.permits.unwrap_or(cores).max(1);
    Permits { count, semaphore: Arc::new(Semaphore::new(count)) }
}

fn data_directory(chosen: Option<PathBuf>) -> Result<PathBuf, Failure> {
    let data = match chosen {
        Some(data) => data,
        None => std::env::home_dir()
            .ok_or_else(|| Failure::usage("there is no home directory: set --data"))?
            .join(".local/share/reelmill"),
    };
    std::fs::create_dir_all(&data).map_err(|e| {
        Failure::usage(format!("{} cannot be made ({e}): choose another --data", data.display()))
    })?;
    // Helpers work in folders of their own.
    Ok(std::path::absolute(data)?)
}

/// Tells other programs where everything is; whole or not at all.
fn publish(file: &Path, url: &str, endpoints: &EndpointArgs) -> Result<(), Failure> {
    let text = format!(
        "REELMILL_URL={url}\nREELMILL_KAFKA={}\nREELMILL_REGISTRY={}\nREELMILL_S3={}\nREELMILL_REKOGNITION={}\n",
        endpoints.kafka, endpoints.registry, endpoints.s3, endpoints.rekognition
    );
    print!("{text}");
    let whole = file.with_extension("tmp");
    std::fs::write(&whole, text)?;
    Ok(std::fs::rename(whole, file)?)
}

fn ignore_missing(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}
