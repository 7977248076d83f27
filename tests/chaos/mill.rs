//! The services, what stands before them, and what is sent into the mill.

use crate::{
    model::{Kind, Model},
    schedule::{Blow, Planned, Target},
};
use api::Uploads;
use bytes::Bytes;
use connectors::{
    kafka::{Kafka, KafkaConfig},
    registry::ConfluentRegistry,
    s3::S3,
};
use ports::{Headers, ObjectRef, Put, Record, Store};
use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer},
};
use reelmill::{
    access,
    announce::Announcer,
    cli::{KafkaArgs, KeyArgs},
    connections,
};
use schemas::{VideoUploaded, keys};
use services::{
    Own, Service,
    proxy::{Fault, Proxy, Weather},
};
use std::{
    collections::BTreeMap,
    path::Path,
    process::Command,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};
use tokio::sync::Semaphore;

pub(crate) const BUCKET: &str = "reelmill";
const OWNER: &str = "chaos";
const WANTED: [Service; 5] =
    [Service::Kafka, Service::Registry, Service::S3, Service::OpenSearch, Service::Postgres];

/// Services, and clients that reach them past the faults.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) bootstrap: String,
    pub(crate) kafka: Kafka,
    pub(crate) registry: Arc<ConfluentRegistry>,
    pub(crate) store: S3,
    pub(crate) index: String,
    pub(crate) database: String,
    films: Vec<Bytes>,
    announcer: Announcer,
    /// In front of the store, the index, the registry and the detector.
    proxies: BTreeMap<Target, Proxy>,
    /// Kept while they are looked at, so that two lanes do not restart one.
    own: Mutex<Own>,
    /// Written while Kafka is down, read while this process talks to it: librdkafka up to 2.12 can
    /// crash on what a broker that is coming or going answers (its issue 5280). Processes of the
    /// mill are started again; this one must go on.
    pub(crate) kafka_is_well: RwLock<()>,
    _eyes: vision::Server,
}

impl World {
    /// `None` where a service is not installed.
    pub(crate) async fn start(dir: &Path) -> Option<Self> {
        let own = tokio::task::block_in_place(|| Own::start(&WANTED))?;
        let bootstrap = own.kafka();
        connections::create_topics(&KafkaArgs::plaintext(&bootstrap), Some(4)).await.unwrap();
        let s3 = own.s3();
        let keys = KeyArgs::of(&s3.access_key, &s3.secret_key);
        let store = access::s3(&s3.endpoint, &keys, "us-east-1").await.unwrap();
        let registry_at = reqwest::Url::parse(&own.registry()).unwrap();
        let index = own.variable("REELMILL_OPENSEARCH");
        let eyes = eyes(dir, &store).await;
        let upstream = [
            (Target::Store, s3.endpoint),
            (Target::Index, index.clone()),
            (Target::Registry, registry_at.origin().ascii_serialization()),
            (Target::Eyes, eyes.url()),
        ];
        let mut proxies = BTreeMap::new();
        for (target, at) in upstream {
            proxies.insert(target, Proxy::start(&at, "", &[]).await.unwrap());
        }
        // What is sent is to be there once, however long Kafka is away.
        let extra = BTreeMap::from([("message.timeout.ms".to_owned(), "0".to_owned())]);
        let config = KafkaConfig {
            bootstrap: bootstrap.clone(),
            extra,
            instance: "feed".to_owned(),
            ..KafkaConfig::default()
        };
        let kafka = Kafka::new(config);
        let registry = Arc::new(ConfluentRegistry::new(&own.registry()).unwrap());
        let announcer = Announcer {
            kafka: Arc::new(kafka.clone()),
            registry: Arc::clone(&registry),
            traces: None,
        };
        Some(Self {
            kafka,
            registry,
            store,
            index,
            database: own.variable("REELMILL_DATABASE"),
            bootstrap,
            films: films(dir),
            announcer,
            proxies,
            own: Mutex::new(own),
            kafka_is_well: RwLock::new(()),
            _eyes: eyes,
        })
    }

    /// What a process is told of the services: those that speak HTTP stand behind proxies.
    pub(crate) fn variables(&self) -> BTreeMap<String, String> {
        let own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        let mut variables = own.variables().clone();
        let path = reqwest::Url::parse(&own.registry()).unwrap().path().to_owned();
        let registry = self.proxies[&Target::Registry].url.clone() + &path;
        variables.insert("REELMILL_REGISTRY".to_owned(), registry);
        let named = [
            ("REELMILL_S3", Target::Store),
            ("REELMILL_OPENSEARCH", Target::Index),
            ("REELMILL_REKOGNITION", Target::Eyes),
        ];
        for (name, target) in named {
            variables.insert(name.to_owned(), self.proxies[&target].url.clone());
        }
        variables
    }

    pub(crate) fn films(&self) -> usize {
        self.films.len()
    }

    /// Puts one upload into the store and announces it.
    pub(crate) async fn upload(&self, model: &Mutex<Model>, kind: Kind) -> String {
        let video = uuid::Uuid::new_v4().to_string();
        let source = ObjectRef::new(BUCKET, keys::source(OWNER, &video, Some("mp4")));
        let body = match kind {
            Kind::Film(film) => Some(self.films[film].clone()),
            Kind::Text => Some(Bytes::from_static(b"this is no film")),
            Kind::Missing | Kind::Foreign | Kind::Garbage => None,
        };
        if let Some(body) = body {
            self.store.write(&source, body, Put::default()).await.unwrap();
        }
        note(model, &video, kind);
        if kind == Kind::Garbage {
            let record = Record {
                topic: "video-uploaded".to_owned(),
                key: Some(video.clone().into()),
                value: Some(Bytes::from_static(b"{\"this\": \"is JSON\"}")),
                headers: Headers::default(),
                timestamp_ms: None,
                position: None,
            };
            self.kafka.produce(record).await.unwrap();
            return video;
        }
        let event = VideoUploaded {
            bucket: if kind == Kind::Foreign { "elsewhere" } else { BUCKET }.to_owned(),
            key: source.key,
            owner: OWNER.to_owned(),
            video_id: Some(video.clone()),
            recorded_at_ms: Some(0),
            assessment: video.clone(),
            title: "chaos".to_owned(),
            blur: "all".to_owned(),
            visibility: "private".to_owned(),
            size_bytes: None,
            replay: 0,
            faces_of: None,
            labels_of: None,
        };
        let id = uuid::Uuid::new_v4().to_string();
        self.announcer.announce(&event, &id, &api::Cause::own()).await.unwrap();
        video
    }

    /// Begins a fault of a service.
    pub(crate) fn strike(&self, target: Target, planned: &Planned) {
        if let Some(proxy) = self.proxies.get(&target) {
            let fault = fault(planned.blow);
            return proxy.weather(Some(Weather { fault, percent: planned.percent }));
        }
        let Some(service) = service(target) else { return };
        let own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        match planned.blow {
            Blow::Stop => own.stop(service),
            _ => own.kill(service),
        }
    }

    /// Ends it.
    pub(crate) fn heal(&self, target: Target) {
        if let Some(proxy) = self.proxies.get(&target) {
            proxy.weather(None);
        }
        if let Some(service) = service(target) {
            let own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
            own.restart(service);
        }
        if target == Target::Kafka {
            self.await_leaders();
        }
    }

    /// Until every partition has a leader again.
    fn await_leaders(&self) {
        let client: BaseConsumer =
            ClientConfig::new().set("bootstrap.servers", &self.bootstrap).create().unwrap();
        let all_led = || {
            let metadata = client.fetch_metadata(None, Duration::from_secs(30)).ok();
            metadata.is_some_and(|metadata| {
                let mut partitions = metadata.topics().iter().flat_map(|t| t.partitions());
                partitions.all(|partition| partition.leader() >= 0)
            })
        };
        while !all_led() {
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Requests that were answered wrongly, or not at all.
    pub(crate) fn hit(&self) -> usize {
        self.proxies.values().map(Proxy::hit).sum()
    }
}

fn note(model: &Mutex<Model>, video: &str, kind: Kind) {
    let mut model = model.lock().unwrap_or_else(PoisonError::into_inner);
    model.uploads.insert(video.to_owned(), kind);
}

fn service(target: Target) -> Option<Service> {
    match target {
        Target::Kafka => Some(Service::Kafka),
        Target::Database => Some(Service::Postgres),
        _ => None,
    }
}

fn fault(blow: Blow) -> Fault {
    match blow {
        Blow::Failing => Fault::Answer(500, "{}"),
        Blow::Hangs => Fault::Hang,
        Blow::CutBefore => Fault::CutBefore,
        Blow::CutRequest => Fault::CutRequest,
        Blow::CutAnswer => Fault::CutAnswer,
        Blow::Busy | Blow::Kill | Blow::Stop | Blow::Freeze => Fault::Answer(503, "{}"),
    }
}

/// The detector, in this process.
async fn eyes(dir: &Path, store: &S3) -> vision::Server {
    let options = vision::ServerOptions {
        listen: ([127, 0, 0, 1], 0).into(),
        keys: None,
        data: dir.join("vision"),
        models: Arc::new(vision::Models::find(None).unwrap()),
        store: Arc::new(store.clone()),
        permits: Arc::new(Semaphore::new(2)),
        threads: 1,
        // It is no victim here: ONNX Runtime is loaded once, and not for each of thousands of clips.
        helper: confine::Helper::in_place(),
        face_threshold: 0.3,
        profile: vision::Profile::Careful,
        clock: vision::Clock::default(),
        observer: Arc::new(()),
    };
    vision::Server::start(options).await.unwrap()
}

/// Films of a few frames: a face that moves, and a pattern without one.
fn films(dir: &Path) -> Vec<Bytes> {
    let face = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/footage/obama.jpg");
    let face = face.to_str().unwrap();
    let encode = ["-r", "2", "-pix_fmt", "yuv420p", "-c:v", "libx264", "-preset", "ultrafast"];
    let keys = ["-g", "2", "-keyint_min", "2", "-sc_threshold", "0", "-bf", "0"];
    let made = |name: &str, input: &[&str], more: &[&str]| -> Bytes {
        let file = dir.join(name);
        let output = Command::new("ffmpeg")
            .args(["-nostdin", "-loglevel", "error", "-y"])
            .args(input)
            .args(encode)
            .args(keys)
            .args(more)
            .arg(&file)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        std::fs::read(file).unwrap().into()
    };
    let still = ["-loop", "1", "-framerate", "2", "-i", face, "-t", "2", "-vf", "scale=128:96"];
    let pattern = ["-f", "lavfi", "-i", "testsrc=s=96x64:r=2:d=8"];
    vec![made("face.mp4", &still, &[]), made("pattern.mp4", &pattern, &[])]
}
