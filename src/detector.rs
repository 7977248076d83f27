//! The local detector: in this process, or as a part of its own (`vision`).

use crate::{
    cli::{DetectorArgs, KeyArgs, LOCAL_SECRET, Profile, VisionArgs},
    confinement, connections,
    failure::Failure,
    output,
    signals::Signals,
};
use ports::Store;
use std::{net::SocketAddr, path::Path, sync::Arc};
use tokio::sync::Semaphore;

/// Threads that one analysed video gets, for decoding and for inference each.
const THREADS: usize = 1;

/// `vision`: serves the detector until a signal comes.
pub async fn vision(args: VisionArgs) -> Result<(), Failure> {
    let VisionArgs { data, port, listen, s3, keys, detector } = args;
    if !listen.is_loopback() && keys.secret_key == LOCAL_SECRET {
        return Err(Failure::usage(format!(
            "refusing to listen on {listen} with the keys that everybody has: set --access-key and \
             --secret-key (REELMILL_ACCESS_KEY, REELMILL_SECRET_KEY), here and at the processors"
        )));
    }
    let data = connections::data_directory(data)?;
    let _lock = connections::lock(&data)?;
    let tools = Tools::find(&detector)?;
    let store = connections::s3(&s3, &keys).await?;
    confinement::check(&confinement::helper(), &data).await?;
    let place = Place { data: &data, listen: (listen, port).into(), keys: Some(&keys) };
    let server = start(place, &detector, &tools, Arc::new(store)).await?;
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
) -> Result<vision::Server, Failure> {
    let options = vision::ServerOptions {
        listen: place.listen,
        keys: place.keys.map(|keys| vision::Keys {
            access_key: keys.access_key.clone(),
            secret_key: keys.secret_key.clone(),
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
