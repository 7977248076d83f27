//! Starting and stopping the mill, whole (`up`) or in parts (`run`).

use crate::{
    access,
    cli::{EndpointArgs, KafkaArgs, KeyArgs, MillArgs, RegistryArgs, RunArgs, UpArgs},
    confinement,
    connections::{Connections, announce_orphans, create_topics, data_directory, database, lock},
    detector::{self, Told, Tools},
    embedded::Embedded,
    failure::Failure,
    health::{disk_of, health},
    index, output,
    pipeline::{World, pipeline, shape},
    rules::{self, cut_rules},
    signals::Signals,
    traces::Tracing,
    version, watch,
};
use api::{Reach, Services, Unready};
use connectors::{
    cataloguing::Cataloguing,
    indexing::Indexing,
    known::Known,
    studio::{Scratch, Studio},
};
use engine::{CancellationToken, Context, Metrics, Policy, Running, SystemClock, Traces};
use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    os::unix::ffi::OsStrExt,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::net::TcpListener;
use uuid::Uuid;

/// Effects at once per processor: `detect` and `label` together stay below the detector's 20 jobs.
const MOST_EFFECTS: usize = 8;
/// Threads of one encoder, and networks that look at one film; clips run side by side, so more would only queue.
const MOST_THREADS: usize = 2;
/// What is not stopped by then is left behind: a little after the processors' own grace, and so that
/// all is over within ten seconds.
const STOP_WITHIN: Duration = Duration::from_millis(8500);
/// What the embedded ports, which nobody asks any more, may take after that.
const STOP_PORTS_WITHIN: Duration = Duration::from_secs(1);

/// The whole mill in one process.
pub async fn up(mut args: UpArgs) -> Result<(), Failure> {
    let started = Instant::now();
    rules::check(&args.mill)?;
    let data = data_directory(args.data.clone())?;
    if args.real.kafka.is_some() {
        // Other mills may work there too. One with a broker of its own is alone.
        args.mill.shared.instance.get_or_insert_with(|| instance_on(&host_name(), &data));
    }
    // Mistakes to hear of before anything is started.
    database(&data, &args.mill.shared)?;
    index::settings(&args.mill.shared.index, &args.real.region.name)?;
    rules::check_kafka(&args.real)?;
    let spans = Tracing::open(&args.mill.shared)?;
    let embedded = Embedded::start(&data, &args).await?;
    // The directory is ours now: what a killed mill left there must not be taken for this one's.
    let published = data.join("endpoints.env");
    std::fs::remove_file(&published).or_else(ignore_missing)?;
    let eyes = &args.mill.detector;
    let tools = Tools::find(eyes)?;
    let endpoints = EndpointArgs {
        kafka: KafkaArgs {
            at: embedded.kafka.clone(),
            access: args.real.access.clone(),
            region: args.real.region.clone(),
        },
        registry: RegistryArgs { at: embedded.registry_url.clone() },
        s3: embedded.s3.clone(),
        // What is embedded has keys, whatever others ask for.
        keys: match args.real.s3 {
            Some(_) => args.real.keys.clone(),
            None => args.real.keys.embedded(),
        },
    };
    create_topics(&endpoints.kafka, embedded.partitions()).await?;

    let metrics = version::metrics()?;
    let shared = &args.mill.shared;
    let connections = Connections::open(&data, &endpoints, shared, &metrics).await?;
    let (vision, rekognition) = match &args.real.rekognition {
        Some(real) => (None, real.clone()),
        None => {
            let store = Arc::clone(&connections.store);
            let (data, listen) = (&data.join("vision"), (Ipv4Addr::LOCALHOST, args.vision_port));
            let place = detector::Place { data, listen: listen.into(), keys: None };
            let observer = Told::in_this_process(&metrics);
            let vision = detector::start(place, eyes, &tools, store, observer).await?;
            let url = vision.url();
            (Some(vision), url)
        }
    };
    let (data, only, mill) = (&data, &[][..], &args.mill);
    let keys = match args.real.rekognition {
        Some(_) => args.real.keys.clone(),
        None => args.real.keys.embedded(),
    };
    let region = &args.real.region.name;
    let (keys, connections) = (&keys, &connections);
    let (metrics, traces) = (&metrics, spans.traces());
    let plan = Plan {
        data,
        connections,
        rekognition: &rekognition,
        keys,
        region,
        only,
        traces,
        args: mill,
        metrics,
    };
    let mill = Mill::start(plan, tools).await?;
    let listener = TcpListener::bind(("127.0.0.1", args.port)).await.map_err(|e| {
        Failure::usage(format!("port {} is not free ({e}): choose another with --port", args.port))
    })?;
    let url = format!("http://{}", listener.local_addr()?);
    let signals = Signals::new()?;
    publish(&published, &url, &endpoints, &rekognition)?;
    // Not in `run`: the catalogue of a part of a mill need not know all videos.
    tokio::spawn(announce_orphans(Arc::clone(&mill.services), args.mill.shared.orphan_age));
    // One that runs parts of a mill cannot speak for all of it: there `watch` does.
    watch::within(&connections.kafka, metrics, &mill.shutdown)?;
    tracing::info!(ready_ms = started.elapsed().as_millis() as u64, %url, "the mill is up");

    let result = mill.serve(listener, signals, false).await;
    std::fs::remove_file(&published).or_else(ignore_missing)?;
    let ports = async {
        if let Some(vision) = vision {
            vision.stop().await;
        }
        embedded.stop().await;
    };
    let ports = tokio::time::timeout(STOP_PORTS_WITHIN, ports);
    let (ports, ()) = tokio::join!(ports, spans.stop());
    if ports.is_err() {
        tracing::warn!("the embedded ports did not stop in time; what they have taken in is kept");
    }
    result
}

/// Some processors, against ports that run elsewhere.
pub async fn run(args: RunArgs) -> Result<(), Failure> {
    let RunArgs { only, data, port, listen, endpoints, rekognition, patience, mut mill } = args;
    // Every container of a deployment has a host name of its own.
    mill.shared.instance.get_or_insert_with(host_name);
    rules::check(&mill)?;
    // A name that is not there is a mistake to hear of before anything is contacted.
    shape().only(&only).map_err(Failure::usage).map(drop)?;
    let data = data_directory(data)?;
    let _lock = lock(&data)?;
    database(&data, &mill.shared)?;
    index::settings(&mill.shared.index, endpoints.region())?;
    let spans = Tracing::open(&mill.shared)?;
    let tools = Tools::find(&mill.detector)?;
    let metrics = version::metrics()?;
    let opened =
        Connections::open_patiently(&data, &endpoints, &mill.shared, &patience, &metrics).await;
    let connections = opened?;
    let plan = Plan {
        data: &data,
        connections: &connections,
        rekognition: &rekognition,
        keys: &endpoints.keys,
        region: endpoints.region(),
        only: &only,
        traces: spans.traces(),
        args: &mill,
        metrics: &metrics,
    };
    let mill = Mill::start(plan, tools).await?;
    let listener = TcpListener::bind((listen, port)).await?;
    tracing::info!(url = %format!("http://{}", listener.local_addr()?), "running");
    let result = mill.serve(listener, Signals::new()?, true).await;
    spans.stop().await;
    result
}

/// What to run, and where its ports are.
struct Plan<'a> {
    data: &'a Path,
    connections: &'a Connections,
    rekognition: &'a str,
    keys: &'a KeyArgs,
    region: &'a str,
    /// All processors, where empty.
    only: &'a [String],
    traces: Option<Arc<dyn Traces>>,
    args: &'a MillArgs,
    metrics: &'a Metrics,
}

/// A working mill: processors, and the services its API answers from.
struct Mill {
    running: Vec<Running>,
    shutdown: CancellationToken,
    services: Arc<Services>,
    unready: Readiness,
    metrics: Metrics,
}

/// The processors that have stopped, and why.
type Readiness = Arc<Mutex<BTreeMap<&'static str, String>>>;

impl Mill {
    async fn start(plan: Plan<'_>, tools: Tools) -> Result<Self, Failure> {
        let Plan { data, connections, rekognition, keys, region, only, traces, args, metrics } =
            plan;
        let Connections { store, registry, catalog, search, kafka, .. } = connections.clone();
        let scratch = Scratch::open(data.join("scratch"), args.shared.scratch_max_bytes)
            .map_err(|e| Failure::start("the scratch directory", &e))?;

        let helper = confinement::helper();
        confinement::check(&helper, scratch.root()).await?;

        let studio = Studio {
            store: Arc::clone(&store),
            scratch,
            permits: tools.permits,
            threads: tools.count.min(MOST_THREADS),
            models: tools.models,
            helper,
            metrics: metrics.clone(),
        };
        let rekognition = access::rekognition(rekognition, keys, region).await?;
        let eyes = Known { eyes: rekognition.counting(metrics), store: Arc::clone(&store) };
        let indexing = Indexing { store: Arc::clone(&store), search: Arc::clone(&search) };
        let cataloguing = Cataloguing { catalog: Arc::clone(&catalog) };
        let mut pipeline = pipeline(cut_rules(args), World { studio, eyes, indexing, cataloguing });
        if !only.is_empty() {
            pipeline = pipeline.only(only).map_err(Failure::usage)?;
        }

        let shutdown = CancellationToken::new();
        let context = Context {
            registry,
            store: Arc::clone(&store),
            bucket: args.shared.bucket.clone(),
            clock: Arc::new(SystemClock),
            policy: Policy::default(),
            metrics: metrics.clone(),
            traces: traces.clone(),
            shutdown: shutdown.clone(),
            concurrency: tools.count.clamp(2, MOST_EFFECTS),
        };
        let running = pipeline.start(Arc::clone(&kafka), &context);

        let unready = Readiness::default();
        let told = Arc::clone(&unready);
        let readiness = Arc::new(move || {
            let unready = told.lock().unwrap_or_else(PoisonError::into_inner);
            let part = |(part, reason): (&&'static str, &String)| Unready {
                part: (*part).to_owned(),
                reason: reason.clone(),
            };
            unready.iter().map(part).collect()
        });
        for part in &running {
            metrics.set_running(part.name, true);
        }
        let looks = vec![disk_of(data.to_owned()), connections.pool()];
        let health = health(metrics, looks, readiness);
        let services = connections.services(&args.shared, health, traces, shutdown.clone());
        Ok(Self { running, shutdown, services, unready, metrics: metrics.clone() })
    }

    /// Serves until a signal comes. A processor that fails makes the mill unready, and ends the
    /// process where `fail_fast`.
    async fn serve(
        self,
        listener: TcpListener,
        mut signals: Signals,
        fail_fast: bool,
    ) -> Result<(), Failure> {
        let Self { running, shutdown, services, unready, metrics } = self;
        let watched: Vec<_> = running
            .into_iter()
            .map(|Running { name, task }| {
                let (unready, shutdown) = (Arc::clone(&unready), shutdown.clone());
                let metrics = metrics.clone();
                tokio::spawn(async move {
                    let ended = task.await;
                    metrics.set_running(name, false);
                    let (cause, ended) = match ended {
                        Ok(Ok(())) => return,
                        Ok(Err(fatal)) => ("failed", fatal.to_string()),
                        Err(panic) => ("panicked", panic.to_string()),
                    };
                    metrics.count_stop(name, cause);
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
        let (router, reach) = match listener.local_addr()?.ip().is_loopback() {
            true => (api::router(services), Reach::Loopback),
            // Without accounts, nobody elsewhere gets more of a processor.
            false => (api::watching(services.health.clone()), Reach::Everyone),
        };
        let served = tokio::spawn(api::serve(listener, router, reach, async move {
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

/// Tells other programs where everything is; whole or not at all.
fn publish(
    file: &Path,
    url: &str,
    endpoints: &EndpointArgs,
    rekognition: &str,
) -> Result<(), Failure> {
    let text = format!(
        "REELMILL_URL={url}\nREELMILL_KAFKA={}\nREELMILL_REGISTRY={}\nREELMILL_S3={}\nREELMILL_REKOGNITION={rekognition}\n",
        endpoints.kafka.at, endpoints.registry.at, endpoints.s3
    );
    output::publish(&text)?;
    let whole = file.with_extension("tmp");
    std::fs::write(&whole, text)?;
    Ok(std::fs::rename(whole, file)?)
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Tells apart the mills of one host, which have a data directory each, and is the same after a
/// restart.
fn instance_on(host: &str, data: &Path) -> String {
    // The same however it is named.
    let data = data.canonicalize().unwrap_or_else(|_| data.to_owned());
    let mark = Uuid::new_v5(&Uuid::NAMESPACE_URL, data.as_os_str().as_bytes()).simple().to_string();
    format!("{host}-{}", &mark[..8])
}

fn ignore_missing(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mills_on_one_kafka_have_names_of_their_own_and_keep_them() {
        let dir = tempfile::TempDir::new().unwrap();
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        for data in [&one, &two] {
            std::fs::create_dir(data).unwrap();
        }
        let name = instance_on("host", &one);
        assert!(name.starts_with("host-"), "{name}");
        assert_eq!(name, instance_on("host", &two.join("../one")), "the same directory");
        assert_ne!(name, instance_on("host", &two), "another directory");
        assert_ne!(name, instance_on("other", &one), "another host");
    }
}
