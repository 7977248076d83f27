//! The command line: arguments parsed once into a rich type.

use broker::Sync;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::{fmt, path::PathBuf, time::Duration};

/// Turns footage into a recording with verified blurred faces, and into answers to "where was that?".
#[derive(Debug, Parser)]
#[command(name = "reelmill", version, propagate_version = true)]
pub struct Cli {
    /// Settings as keys of a TOML file [default: ~/.config/reelmill/config.toml where it is there]
    #[arg(long, env = "REELMILL_CONFIG", global = true)]
    pub config: Option<PathBuf>,
    /// Print the settings in effect as a configuration file, and do nothing
    #[arg(long, global = true)]
    pub print_config: bool,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the whole mill in this process; ports that are not configured are embedded
    Up(Box<UpArgs>),
    /// Run some processors against the ports of a mill or of a deployment
    Run(Box<RunArgs>),
    /// Send footage
    Upload(UploadArgs),
    /// Show how far videos are
    Status(StatusArgs),
    /// Find moments in videos
    Search(SearchArgs),
    /// Fetch a verified recording
    Get(GetArgs),
    /// Try again what failed of a video
    Retry(RetryArgs),
    /// Events that could not be worked on: look at them, send them back
    #[command(subcommand)]
    DeadLetters(DeadLettersCommand),
    /// The search index of a deployment
    #[command(subcommand)]
    Index(IndexCommand),
    /// Kafka topics of the mill
    #[command(subcommand)]
    Topics(TopicsCommand),
    /// Turn JSON into a Kafka message and back
    #[command(subcommand)]
    Event(EventCommand),
    /// Print the completions of a shell
    Completions { shell: clap_complete::Shell },
    /// Write the manual pages into a directory
    Man { directory: PathBuf },
    /// Draw the pipeline as a Mermaid flowchart
    Pipeline,
}

/// Settings of the mill. Every flag is also an environment variable.
#[derive(Debug, Clone, Args)]
pub struct MillArgs {
    /// Cut recordings into clips of about this many seconds
    #[arg(long, env = "REELMILL_CLIP_SECONDS", default_value_t = 60.0, value_parser = seconds)]
    pub clip_seconds: f64,
    /// How to hide a face
    #[arg(long, env = "REELMILL_MASK", value_enum, default_value_t = Mask::Pixelate)]
    pub mask: Mask,
    /// Faces the detector is less sure of than this are not masked (0 to 1)
    #[arg(long, env = "REELMILL_FACE_THRESHOLD", default_value_t = 0.3, value_parser = share)]
    pub face_threshold: f32,
    /// The published recording must show no face the detector is surer of than this (0 to 1)
    #[arg(long, env = "REELMILL_VERIFY_THRESHOLD", default_value_t = 0.6, value_parser = share)]
    pub verify_threshold: f32,
    /// The catalogue: postgres://user@host:5432/database, or sqlite:///path/to/a/file [default:
    /// catalog.sqlite in --data]. A password is safer in the variable or the file than in a flag
    #[arg(long, env = "REELMILL_DATABASE", value_name = "URL", hide_env_values = true)]
    pub database: Option<String>,
    #[command(flatten)]
    pub index: IndexArgs,
    /// The bucket of the mill
    #[arg(long, env = "REELMILL_BUCKET", default_value = "reelmill")]
    pub bucket: String,
    /// Further buckets footage may come from
    #[arg(long, env = "REELMILL_ALLOWED_BUCKETS", value_delimiter = ',')]
    pub allowed_buckets: Vec<String>,
    /// ONNX Runtime's shared library; searched for beside the program and in the cache otherwise
    #[arg(long, env = "REELMILL_ONNXRUNTIME")]
    pub onnxruntime: Option<PathBuf>,
    /// Video jobs at once, and threads of each; the number of cores otherwise
    #[arg(long, env = "REELMILL_PERMITS")]
    pub permits: Option<usize>,
    /// Names this process among its like; part of the transactional id
    #[arg(long, env = "REELMILL_INSTANCE", default_value = "0")]
    pub instance: String,
    /// Announce an upload again that is so many seconds old and still unknown: a crash came between
    #[arg(long, env = "REELMILL_ORPHAN_AGE", default_value_t = 600)]
    pub orphan_age: u64,
    /// Bytes the working directory may hold
    #[arg(long, env = "REELMILL_SCRATCH_MAX_BYTES", default_value_t = 20_000_000_000)]
    pub scratch_max_bytes: u64,
}

impl Default for MillArgs {
    /// As from an empty command line and environment.
    fn default() -> Self {
        Self {
            clip_seconds: 60.0,
            mask: Mask::Pixelate,
            face_threshold: 0.3,
            verify_threshold: 0.6,
            database: None,
            index: IndexArgs::default(),
            bucket: "reelmill".to_owned(),
            allowed_buckets: Vec::new(),
            onnxruntime: None,
            permits: None,
            instance: "0".to_owned(),
            orphan_age: 600,
            scratch_max_bytes: 20_000_000_000,
        }
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

/// Ports that run elsewhere; each that is absent is embedded.
#[derive(Debug, Clone, Args)]
pub struct RealArgs {
    /// Bootstrap servers of a Kafka, instead of the embedded broker
    #[arg(long, env = "REELMILL_KAFKA")]
    pub kafka: Option<String>,
    /// A schema registry, instead of the embedded one
    #[arg(long, env = "REELMILL_REGISTRY", value_name = "URL", value_parser = url, hide_env_values = true)]
    pub registry: Option<String>,
    /// An S3 endpoint, instead of the embedded store; it must have the mill's bucket
    #[arg(long, env = "REELMILL_S3", value_name = "URL", value_parser = url)]
    pub s3: Option<String>,
    /// A Rekognition endpoint, instead of the embedded detector
    #[arg(long, env = "REELMILL_REKOGNITION", value_name = "URL", value_parser = url)]
    pub rekognition: Option<String>,
    #[command(flatten)]
    pub keys: KeyArgs,
}

#[derive(Debug, Clone, Args)]
pub struct KeyArgs {
    /// Access key of S3 and Rekognition
    #[arg(long, env = "REELMILL_ACCESS_KEY", default_value = crate::mill::LOCAL_KEY)]
    pub access_key: String,
    /// Secret key of S3 and Rekognition
    #[arg(long, env = "REELMILL_SECRET_KEY", default_value = crate::mill::LOCAL_SECRET, hide_env_values = true)]
    pub secret_key: String,
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
    #[command(flatten)]
    pub endpoints: EndpointArgs,
    #[command(flatten)]
    pub mill: MillArgs,
}

/// Where the ports are.
#[derive(Debug, Clone, Args)]
pub struct EndpointArgs {
    /// Kafka's bootstrap servers
    #[arg(long, env = "REELMILL_KAFKA", default_value = "127.0.0.1:9092")]
    pub kafka: String,
    /// Schema registry
    #[arg(long, env = "REELMILL_REGISTRY", default_value = "http://127.0.0.1:8081", value_parser = url, hide_env_values = true)]
    pub registry: String,
    /// S3 endpoint
    #[arg(long, env = "REELMILL_S3", default_value = "http://127.0.0.1:9000", value_parser = url)]
    pub s3: String,
    /// Rekognition endpoint
    #[arg(long, env = "REELMILL_REKOGNITION", default_value = "http://127.0.0.1:9001", value_parser = url)]
    pub rekognition: String,
    #[command(flatten)]
    pub keys: KeyArgs,
}

/// Where the mill's API is.
#[derive(Debug, Clone, Args)]
pub struct UrlArgs {
    /// The mill's HTTP API
    #[arg(long, env = "REELMILL_URL", default_value = "http://127.0.0.1:8080")]
    pub url: String,
}

#[derive(Debug, Args)]
pub struct UploadArgs {
    /// Video files
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// What the recordings belong to
    #[arg(long, default_value = "")]
    pub assessment: String,
    /// Title; the file's name where absent
    #[arg(long)]
    pub title: Option<String>,
    /// Which faces to blur
    #[arg(long, value_enum, default_value_t = BlurChoice::All)]
    pub blur: BlurChoice,
    /// Stay until the recordings are ready or have failed, and show progress
    #[arg(long)]
    pub wait: bool,
    #[command(flatten)]
    pub url: UrlArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BlurChoice {
    All,
    None,
}

#[derive(Debug, Args)]
pub struct StatusArgs {
    /// One video; the newest ones where absent
    pub video: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub url: UrlArgs,
}

#[derive(Debug, Args)]
pub struct SearchArgs {
    /// Words, "phrases", AND, OR, NOT, label:car, owner:ann, after:2026-01-31
    #[arg(required = true)]
    pub query: Vec<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub url: UrlArgs,
}

#[derive(Debug, Args)]
pub struct GetArgs {
    pub video: String,
    /// Where to write; the recording's own name where absent
    #[arg(short, long)]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    pub url: UrlArgs,
}

#[derive(Debug, Args)]
pub struct RetryArgs {
    pub video: String,
    /// Only what failed in this stage, e.g. blur
    #[arg(long)]
    pub stage: Option<String>,
    #[command(flatten)]
    pub url: UrlArgs,
}

#[derive(Debug, Subcommand)]
pub enum DeadLettersCommand {
    /// The dead letters there are, with their ids and reasons
    List {
        #[command(flatten)]
        chosen: ChosenArgs,
        /// Print a JSON object for each
        #[arg(long)]
        json: bool,
    },
    /// All of one: why, where from, its headers and its event
    Show {
        /// PROCESSOR/PARTITION/OFFSET
        id: String,
        #[arg(long, env = "REELMILL_KAFKA", default_value = "127.0.0.1:9092")]
        kafka: String,
        #[arg(long, env = "REELMILL_REGISTRY", default_value = "http://127.0.0.1:8081")]
        registry: String,
    },
    /// Send some back to the processors that gave them up; each goes back once
    Redrive {
        /// PROCESSOR/PARTITION/OFFSET
        ids: Vec<String>,
        /// Every one there is
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        chosen: ChosenArgs,
    },
}

/// Which dead letters.
#[derive(Debug, Clone, Args)]
pub struct ChosenArgs {
    /// Of one processor, e.g. blur
    #[arg(long)]
    pub processor: Option<String>,
    /// Of one video
    #[arg(long)]
    pub video: Option<String>,
    /// For one reason, e.g. timed_out
    #[arg(long)]
    pub reason: Option<String>,
    #[arg(long, env = "REELMILL_KAFKA", default_value = "127.0.0.1:9092")]
    pub kafka: String,
}

#[derive(Debug, Subcommand)]
pub enum IndexCommand {
    /// Fill a new index from what the store keeps of every run, and put it in the place of the one
    /// in use; searches and the mill go on meanwhile
    Rebuild(Box<RebuildArgs>),
}

#[derive(Debug, Args)]
pub struct RebuildArgs {
    /// S3 endpoint
    #[arg(long, env = "REELMILL_S3", default_value = "http://127.0.0.1:9000")]
    pub s3: String,
    #[command(flatten)]
    pub keys: KeyArgs,
    /// The bucket of the mill
    #[arg(long, env = "REELMILL_BUCKET", default_value = "reelmill")]
    pub bucket: String,
    #[command(flatten)]
    pub index: IndexArgs,
}

#[derive(Debug, Subcommand)]
pub enum TopicsCommand {
    /// Create the mill's topics where they are missing
    Create {
        #[arg(long, env = "REELMILL_KAFKA", default_value = "127.0.0.1:9092")]
        kafka: String,
    },
    /// List the topics there are
    List {
        #[arg(long, env = "REELMILL_KAFKA", default_value = "127.0.0.1:9092")]
        kafka: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum EventCommand {
    /// One JSON object on standard input to one Kafka message on standard output
    Encode {
        topic: String,
        #[arg(long, env = "REELMILL_REGISTRY", default_value = "http://127.0.0.1:8081")]
        registry: String,
    },
    /// One Kafka message on standard input to JSON on standard output
    Decode {
        topic: String,
        #[arg(long, env = "REELMILL_REGISTRY", default_value = "http://127.0.0.1:8081")]
        registry: String,
    },
}

fn sync(text: &str) -> Result<Sync, String> {
    match (text, text.parse::<u32>()) {
        ("never", _) => Ok(Sync::Never),
        ("always", _) => Ok(Sync::Always),
        // 0 could mean either of the others.
        (_, Ok(ms)) if ms > 0 => Ok(Sync::Every(Duration::from_millis(ms.into()))),
        _ => Err("must be never, always or a number of milliseconds from 1".to_owned()),
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (1.0..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("must be a number of seconds from 1 to 3600".to_owned()),
    }
}

fn url(text: &str) -> Result<String, String> {
    let wrong = |cause: &dyn std::fmt::Display| {
        format!("must be a URL such as http://127.0.0.1:9000 ({cause})")
    };
    let parsed = reqwest::Url::parse(text).map_err(|e| wrong(&e))?;
    match parsed.scheme() {
        "http" | "https" if parsed.has_host() => Ok(text.to_owned()),
        other => Err(wrong(&format_args!("{other} is neither http nor https"))),
    }
}

fn share(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("must be a number from 0 to 1".to_owned()),
    }
}
