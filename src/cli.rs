//! The command line: arguments parsed once into a rich type.

mod doctor;
mod places;
mod settings;
mod values;

pub use doctor::{DoctorArgs, Processes};
pub use places::{
    Credentials, EndpointArgs, KafkaAccess, KafkaArgs, KafkaSecurity, KeyArgs, LOCAL_KEY,
    LOCAL_SECRET, RealArgs, RegionArgs, RegistryArgs, is_aws,
};
pub use settings::{
    DetectorArgs, IndexArgs, Mask, MillArgs, PatienceArgs, Profile, RunArgs, ServeArgs, SharedArgs,
    UpArgs, VisionArgs, WatchArgs,
};

use crate::version::VERSION;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Turns footage into a recording with verified blurred faces, and into answers to "where was that?".
#[derive(Debug, Parser)]
#[command(name = "reelmill", version = VERSION, propagate_version = true)]
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
    /// Serve the HTTP API of a deployment, without working on anything
    Serve(Box<ServeArgs>),
    /// Serve the detector, which speaks Rekognition's protocol, to the processors of a deployment
    Vision(Box<VisionArgs>),
    /// Tell how much work waits for each processor, also for those that do not run
    Watch(WatchArgs),
    /// Look whether everything that the settings name can be used; says what is wrong, and the remedy.
    /// Takes the settings of `up`, and with them those of a deployment
    Doctor(Box<DoctorArgs>),
    /// Send footage
    Upload(UploadArgs),
    /// Show how far videos are
    Status(StatusArgs),
    /// Ask a part of the mill whether it can work; the exit code says so too
    Health(UrlArgs),
    /// Find moments in videos
    Search(SearchArgs),
    /// Fetch a verified recording
    Get(GetArgs),
    /// Try again what failed of a video
    Retry(RetryArgs),
    /// Work on videos again from a stage on; what there is stays until the new run is verified
    Replay(ReplayArgs),
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

/// Where the mill's API is.
#[derive(Debug, Clone, Args)]
pub struct UrlArgs {
    /// The mill's HTTP API
    #[arg(long, env = "REELMILL_URL", value_name = "URL", default_value = "http://127.0.0.1:8080")]
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

#[derive(Debug, Args)]
#[group(id = "chosen", required = true, multiple = false, args = ["video", "since"])]
pub struct ReplayArgs {
    /// The first stage to be done again: what earlier ones found is taken over
    #[arg(long, value_name = "STAGE", default_value = "cut")]
    pub from: String,
    /// This video; may be given several times
    #[arg(long, value_name = "ID")]
    pub video: Vec<String>,
    /// All videos uploaded since then, e.g. 2026-01-31 or 2026-01-31T09:00:00Z (days begin in UTC)
    #[arg(long, value_name = "TIME", value_parser = values::time)]
    pub since: Option<i64>,
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
        #[command(flatten)]
        kafka: KafkaArgs,
        #[command(flatten)]
        registry: RegistryArgs,
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
    #[command(flatten)]
    pub kafka: KafkaArgs,
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
    pub region: RegionArgs,
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
    Create(KafkaArgs),
    /// List the topics there are
    List(KafkaArgs),
}

#[derive(Debug, Subcommand)]
pub enum EventCommand {
    /// One JSON object on standard input to one Kafka message on standard output
    Encode {
        topic: String,
        #[command(flatten)]
        registry: RegistryArgs,
    },
    /// One Kafka message on standard input to JSON on standard output
    Decode {
        topic: String,
        #[command(flatten)]
        registry: RegistryArgs,
    },
}
