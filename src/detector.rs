//! The local detector: in this process, or as a part of its own (`vision`).

use crate::{
    access,
    cli::{DetectorArgs, KeyArgs, LOCAL_SECRET, Profile, VisionArgs},
    confinement, connections,
    failure::Failure,
    health::{Look, disk_of, page},
    output,
    signals::Signals,
    version,
};
use connectors::counted;
use engine::{JobEnd, Metrics, Quota};
use ports::Store;
use std::{fmt, net::SocketAddr, path::Path, sync::Arc, time::Duration};
use tokio::{sync::Semaphore, task::spawn_blocking};
use vision::{Ended, Full, Looked, Observer};

/// Threads of a network that looks at photographs or for things.
const THREADS: usize = 1;

/// `vision`: serves the detector until a signal comes.
pub async fn vision(args: VisionArgs) -> Result<(), Failure> {
    let VisionArgs { data, port, listen, s3, region, keys, detector } = args;
    if !listen.is_loopback() && keys.secret_key() == LOCAL_SECRET {
        return Err(Failure::usage(format!(
            "refusing to listen on {listen} with the keys that everybody has: set --access-key and \
             --secret-key (REELMILL_ACCESS_KEY, REELMILL_SECRET_KEY), here and at the processors"
        )));
    }
    let data = connections::data_directory(data)?;
    let _lock = connections::lock(&data)?;
    let tools = Tools::find(&detector)?;
    let store = access::s3(&s3, &keys, &region.name).await?;
    confinement::check(&confinement::helper(), &data).await?;
    let place = Place { data: &data, listen: (listen, port).into(), keys: Some(&keys) };
    let metrics = version::metrics()?;
    let store = counted::store(Arc::new(store), &metrics);
    let observer = Told::with_a_page(&metrics, vec![disk_of(data.clone())]);
    let server = start(place, &detector, &tools, store, observer).await?;
    let mut signals = Signals::new()?;
    output::publish(&format!("REELMILL_REKOGNITION={}\n", server.url()))?;
    signals.any().await;
    tracing::info!("stopping: unfinished jobs run again at the next start");
    server.stop().await;
    Ok(())
}

/// Where a detector is.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    pub data: &'a Path,
    pub listen: SocketAddr,
    /// Whose requests it takes; everybody's that are signed, where `None`.
    pub keys: Option<&'a KeyArgs>,
}

/// Starts a detector that reads videos from `store`.
pub async fn start(
    place: Place<'_>,
    args: &DetectorArgs,
    tools: &Tools,
    store: Arc<dyn Store>,
    observer: Told,
) -> Result<vision::Server, Failure> {
    let options = vision::ServerOptions {
        listen: place.listen,
        keys: place.keys.map(|keys| vision::Keys {
            access_key: keys.access_key().to_owned(),
            secret_key: keys.secret_key().to_owned(),
        }),
        data: place.data.to_owned(),
        models: Arc::clone(&tools.models),
        store,
        permits: Arc::clone(&tools.permits),
        threads: THREADS,
        helper: confinement::helper(),
        // Doubts, too, lead the masks of what is sure.
        face_threshold: args.face_threshold * processors::tracks::DOUBTFUL,
        profile: profile(args),
        clock: vision::Clock::default(),
        observer: Arc::new(observer),
    };
    vision::Server::start(options).await.map_err(|e| Failure::start("the detector", &e))
}

/// How closely films are looked at.
pub fn profile(args: &DetectorArgs) -> vision::Profile {
    match args.profile {
        Profile::Careful => vision::Profile::Careful,
        Profile::Fast => vision::Profile::Fast,
    }
}

/// Counts what a detector does.
pub struct Told {
    metrics: Metrics,
    page: Option<Arc<dyn Fn() -> String + Send + Sync>>,
}

impl Told {
    /// A detector whose process has a page already.
    #[must_use]
    pub fn in_this_process(metrics: &Metrics) -> Self {
        metrics.expect_detector();
        let told = metrics.clone();
        // Nobody waits for it: it takes a moment, and what it finds does not change.
        drop(spawn_blocking(move || {
            for (model, sha256) in vision::weights() {
                told.set_model(model, &sha256);
            }
        }));
        Self { metrics: metrics.clone(), page: None }
    }

    /// A detector that shows the figures itself.
    #[must_use]
    pub fn with_a_page(metrics: &Metrics, looks: Vec<Look>) -> Self {
        Self { page: Some(page(metrics, looks)), ..Self::in_this_process(metrics) }
    }
}

fn look(at: Looked) -> engine::Look {
    match at {
        Looked::Faces => engine::Look::Faces,
        Looked::Labels => engine::Look::Labels,
        Looked::Photo => engine::Look::Photo,
    }
}

impl Observer for Told {
    fn looked(&self, at: Looked, frames: u32, took: Duration) {
        self.metrics.count_look(look(at), frames, took);
    }

    fn open(&self, waiting: usize, running: usize) {
        self.metrics.set_jobs(waiting, running);
    }

    fn ended(&self, job: Looked, how: Ended) {
        let end = match how {
            Ended::Succeeded => JobEnd::Succeeded,
            Ended::Refused => JobEnd::Refused,
            Ended::Failed => JobEnd::Failed,
        };
        self.metrics.count_job(look(job), end);
    }

    fn turned_away(&self, full: Full) {
        self.metrics.count_turned_away(match full {
            Full::Jobs => Quota::Jobs,
            Full::Photos => Quota::Photos,
        });
    }

    fn page(&self) -> Option<String> {
        self.page.as_ref().map(|page| page())
    }
}

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Told").field("page", &self.page.is_some()).finish_non_exhaustive()
    }
}

/// What pictures are read with.
#[derive(Debug, Clone)]
pub struct Tools {
    pub models: Arc<vision::Models>,
    /// Media jobs at once, shared by all who read or write pictures in this process.
    pub permits: Arc<Semaphore>,
    /// How many permits there are.
    pub count: usize,
}

impl Tools {
    /// Loads nothing yet but the library's address.
    pub fn find(args: &DetectorArgs) -> Result<Self, Failure> {
        let models = vision::Models::find(args.onnxruntime.as_deref()).map_err(Failure::usage)?;
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let count = args.permits.unwrap_or(cores).max(1);
        Ok(Self { models: Arc::new(models), permits: Arc::new(Semaphore::new(count)), count })
    }
}
