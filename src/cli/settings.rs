//! What `up`, `run`, `serve` and `vision` are told.

use super::places::{EndpointArgs, KafkaArgs, KeyArgs, RealArgs, RegionArgs};
use super::values::{
    collector, face_threshold, permits, scratch, seconds, sync, url, verify_threshold,
};
use broker::Sync;
use clap::{Args, ValueEnum};
use std::{fmt, net::IpAddr, path::PathBuf};

/// Settings of the mill. Every flag is also an environment variable.
#[derive(Debug, Clone, Args)]
pub struct MillArgs {
    /// Cut recordings into clips of about this many seconds
    #[arg(long, env = "REELMILL_CLIP_SECONDS", default_value_t = 60.0, value_parser = seconds)]
    pub clip_seconds: f64,
    /// How to hide a face
    #[arg(long, env = "REELMILL_MASK", value_enum, default_value_t = Mask::Pixelate)]
    pub mask: Mask,
    /// The published recording must show no face the detector is surer of than this (0.1 to 0.8, and
    /// not below --face-threshold)
    #[arg(
        long,
        env = "REELMILL_VERIFY_THRESHOLD",
        default_value_t = 0.6,
        value_parser = verify_threshold
    )]
    pub verify_threshold: f32,
    /// Further buckets footage may come from
    #[arg(long, env = "REELMILL_ALLOWED_BUCKETS", value_delimiter = ',')]
    pub allowed_buckets: Vec<String>,
    #[command(flatten)]
    pub detector: DetectorArgs,
    #[command(flatten)]
    pub shared: SharedArgs,
}

impl Default for MillArgs {
    /// As from an empty command line and environment.
    fn default() -> Self {
        Self {
            clip_seconds: 60.0,
            mask: Mask::Pixelate,
            verify_threshold: 0.6,
            allowed_buckets: Vec::new(),
            detector: DetectorArgs::default(),
            shared: SharedArgs::default(),
        }
    }
}

/// What the processors and the API both know.
#[derive(Debug, Clone, Args)]
pub struct SharedArgs {
    /// The catalogue: postgres://user@host:5432/database, or sqlite:///path/to/a/file [default:
    /// catalog.sqlite in --data]. A password is safer in the variable or the file than in a flag
    #[arg(long, env = "REELMILL_DATABASE", value_name = "URL", hide_env_values = true)]
    pub database: Option<String>,
    #[command(flatten)]
    pub index: IndexArgs,
    /// The bucket of the mill
    #[arg(long, env = "REELMILL_BUCKET", default_value = "reelmill")]
    pub bucket: String,
    /// Names this process among those that run the same processor; part of the transactional id
    /// [default: the host's name for `run`; that and a mark of --data for `up` with --kafka; else 0]
    #[arg(long, env = "REELMILL_INSTANCE")]
    pub instance: Option<String>,
    /// Announce an upload again that is so many seconds old and still unknown: a crash came between
    #[arg(long, env = "REELMILL_ORPHAN_AGE", default_value_t = 600)]
    pub orphan_age: u64,
    /// Bytes the working directory may hold, 1275068416 at least. An upload may have a third of what
    /// is more than 1 GiB
    #[arg(
        long,
        env = "REELMILL_SCRATCH_MAX_BYTES",
        default_value_t = 20_000_000_000,
        value_parser = scratch
    )]
    pub scratch_max_bytes: u64,
    /// Send traces to this collector of OpenTelemetry: OTLP over HTTP, e.g. http://127.0.0.1:4318. None
    /// are sent where it is absent
    #[arg(long, env = "REELMILL_OTLP", value_name = "URL", value_parser = collector, hide_env_values = true)]
    pub otlp: Option<String>,
}

impl Default for SharedArgs {
    fn default() -> Self {
        Self {
            database: None,
            index: IndexArgs::default(),
            bucket: "reelmill".to_owned(),
            instance: None,
            orphan_age: 600,
            scratch_max_bytes: 20_000_000_000,
            otlp: None,
        }
    }
}

/// How the work that reads pictures is done.
#[derive(Debug, Clone, Args)]
pub struct DetectorArgs {
    /// Faces the detector is less sure of than this are not masked, unless a closer look is sure of them, or they
    /// go on from or lead to one that it is sure of (0.1 to 0.7)
    #[arg(
        long,
        env = "REELMILL_FACE_THRESHOLD",
        default_value_t = 0.3,
        value_parser = face_threshold
    )]
    pub face_threshold: f32,
    /// How closely films are looked at: every frame and into the dark, or fewer frames where the detector is sure;
    /// then a face that is there for less than a sixth of a second may stay in the clear, and so may one in the dark
    #[arg(long, env = "REELMILL_PROFILE", value_enum, default_value_t = Profile::Careful)]
    pub profile: Profile,
    /// ONNX Runtime's shared library; searched for beside the program and in the cache otherwise
    #[arg(long, env = "REELMILL_ONNXRUNTIME")]
    pub onnxruntime: Option<PathBuf>,
    /// Video jobs at once, and threads of each, from 1; the number of cores otherwise
    #[arg(long, env = "REELMILL_PERMITS", value_parser = permits)]
    pub permits: Option<usize>,
}

impl Default for DetectorArgs {
    fn default() -> Self {
        Self { face_threshold: 0.3, profile: Profile::Careful, onnxruntime: None, permits: None }
    }
}

/// Where the search index is.
#[derive(Clone, Args)]
pub struct IndexArgs {
    /// The search index: OpenSearch at http://host:9200 or https://host:9200 [default: index in
    /// --data]
    #[arg(long, env = "REELMILL_OPENSEARCH", value_name = "URL", hide_env_values = true)]
    pub opensearch: Option<String>,
    /// User of OpenSearch
    #[arg(long, env = "REELMILL_OPENSEARCH_USER", value_name = "USER")]
    pub opensearch_user: Option<String>,
    /// Password of OpenSearch. Safer in the variable or the file than in a flag
    #[arg(
        long,
        env = "REELMILL_OPENSEARCH_PASSWORD",
        value_name = "PASSWORD",
        hide_env_values = true
    )]
    pub opensearch_password: Option<String>,
    /// Sign requests to OpenSearch with the credentials of AWS's default chain, as Amazon OpenSearch Service
    /// wants it of roles
    #[arg(long, env = "REELMILL_OPENSEARCH_IAM")]
    pub opensearch_iam: bool,
    /// The alias in OpenSearch that is searched and written; its indexes are named after it
    #[arg(
        long,
        env = "REELMILL_OPENSEARCH_INDEX",
        value_name = "NAME",
        default_value = DEFAULT_INDEX
    )]
    pub opensearch_index: String,
}

const DEFAULT_INDEX: &str = "reelmill";

impl Default for IndexArgs {
    fn default() -> Self {
        Self {
            opensearch: None,
            opensearch_user: None,
            opensearch_password: None,
            opensearch_iam: false,
            opensearch_index: DEFAULT_INDEX.to_owned(),
        }
    }
}

/// Without its secrets.
impl fmt::Debug for IndexArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IndexArgs")
            .field("opensearch_index", &self.opensearch_index)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mask {
    Pixelate,
    Gaussian,
    Solid,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    Careful,
    Fast,
}

#[derive(Debug, Clone, Args)]
pub struct UpArgs {
    /// Where everything is kept [default: ~/.local/share/reelmill]
    #[arg(long, env = "REELMILL_DATA")]
    pub data: Option<PathBuf>,
    /// HTTP API (0: any free port)
    #[arg(long, env = "REELMILL_PORT", default_value_t = 8080)]
    pub port: u16,
    #[command(flatten)]
    pub real: RealArgs,
    /// Embedded Kafka broker
    #[arg(long, env = "REELMILL_KAFKA_PORT", default_value_t = 9092)]
    pub kafka_port: u16,
    /// When the embedded broker writes events to the disk: never, always or every so many
    /// milliseconds
    ///
    /// With each of them events survive when the mill dies, by kill -9 too. A power cut takes:
    /// with `never`, what was acknowledged in the last half minute or so, which the operating system
    /// had not written yet; with a number, what was acknowledged in the last so many milliseconds
    /// (at least 10); with `always`, nothing, and every commit waits for the disk. Objects, database
    /// and search index are written as their own libraries do.
    #[arg(
        long,
        env = "REELMILL_KAFKA_SYNC",
        default_value = "never",
        value_name = "never|always|MILLISECONDS",
        value_parser = sync
    )]
    pub kafka_sync: Sync,
    /// Embedded schema registry
    #[arg(long, env = "REELMILL_REGISTRY_PORT", default_value_t = 8081)]
    pub registry_port: u16,
    /// Embedded object store (S3)
    #[arg(long, env = "REELMILL_STORE_PORT", default_value_t = 9000)]
    pub store_port: u16,
    /// Embedded detector (Rekognition)
    #[arg(long, env = "REELMILL_VISION_PORT", default_value_t = 9001)]
    pub vision_port: u16,
    #[command(flatten)]
    pub mill: MillArgs,
}

#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// Processors to run, e.g. detect,blur; all where absent
    #[arg(long, value_delimiter = ',')]
    pub only: Vec<String>,
    /// Working directory of this process: database, index and scratch
    #[arg(long, env = "REELMILL_DATA")]
    pub data: Option<PathBuf>,
    /// Metrics, health and API of this process (0: any free port)
    #[arg(long, env = "REELMILL_PORT", default_value_t = 0)]
    pub port: u16,
    /// The address to listen on. Beyond loopback there are metrics and health only: the API is
    /// served by `serve`
    #[arg(long, env = "REELMILL_LISTEN", default_value = "127.0.0.1")]
    pub listen: IpAddr,
    #[command(flatten)]
    pub endpoints: EndpointArgs,
    /// Rekognition endpoint
    #[arg(long, env = "REELMILL_REKOGNITION", default_value = "http://127.0.0.1:9001", value_parser = url)]
    pub rekognition: String,
    #[command(flatten)]
    pub patience: PatienceArgs,
    #[command(flatten)]
    pub mill: MillArgs,
}

#[derive(Debug, Clone, Args)]
pub struct ServeArgs {
    /// Working directory of this process
    #[arg(long, env = "REELMILL_DATA")]
    pub data: Option<PathBuf>,
    /// The API's port (0: any free port)
    #[arg(long, env = "REELMILL_PORT", default_value_t = 8080)]
    pub port: u16,
    /// The address to listen on
    #[arg(long, env = "REELMILL_LISTEN", default_value = "127.0.0.1")]
    pub listen: IpAddr,
    /// Listen beyond loopback although there are no accounts yet: whoever reaches the port sees
    /// every video. Requests must still name a loopback host, as those through a forwarded or
    /// published port of this machine do
    #[arg(long, env = "REELMILL_WITHOUT_ACCOUNTS")]
    pub without_accounts: bool,
    #[command(flatten)]
    pub endpoints: EndpointArgs,
    #[command(flatten)]
    pub patience: PatienceArgs,
    #[command(flatten)]
    pub shared: SharedArgs,
}

#[derive(Debug, Clone, Args)]
pub struct VisionArgs {
    /// Where jobs, their results and collections of faces are kept
    #[arg(long, env = "REELMILL_DATA")]
    pub data: Option<PathBuf>,
    /// The detector's port (0: any free port)
    #[arg(long, env = "REELMILL_VISION_PORT", default_value_t = 9001)]
    pub port: u16,
    /// The address to listen on; beyond loopback the keys must be your own
    #[arg(long, env = "REELMILL_LISTEN", default_value = "127.0.0.1")]
    pub listen: IpAddr,
    /// Where the footage is: an S3 endpoint
    #[arg(long, env = "REELMILL_S3", default_value = "http://127.0.0.1:9000", value_parser = url)]
    pub s3: String,
    #[command(flatten)]
    pub region: RegionArgs,
    #[command(flatten)]
    pub keys: KeyArgs,
    #[command(flatten)]
    pub detector: DetectorArgs,
}

#[derive(Debug, Clone, Args)]
pub struct WatchArgs {
    #[command(flatten)]
    pub kafka: KafkaArgs,
    /// Metrics and health (0: any free port)
    #[arg(long, env = "REELMILL_PORT", default_value_t = 9464)]
    pub port: u16,
    /// The address to listen on
    #[arg(long, env = "REELMILL_LISTEN", default_value = "127.0.0.1")]
    pub listen: IpAddr,
    #[command(flatten)]
    pub patience: PatienceArgs,
}

/// How long a part of a deployment waits for the others.
#[derive(Debug, Clone, Args)]
pub struct PatienceArgs {
    /// Wait so many seconds for services that are away at the start, then end with an error
    #[arg(long, env = "REELMILL_START_TIMEOUT", value_name = "SECONDS", default_value_t = 60)]
    pub start_timeout: u64,
}
