//! Where Kafka, the registry, the store and the detector are, and who we are to them.

use super::values::{region, url};
use clap::{Args, ValueEnum};
use std::{fmt, path::PathBuf};

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
    pub access: KafkaAccess,
    #[command(flatten)]
    pub region: RegionArgs,
    #[command(flatten)]
    pub keys: KeyArgs,
}

/// Credentials of the embedded store and detector. They guard against mistakes, not people:
/// whoever reaches loopback reaches the API too.
pub const LOCAL_KEY: &str = "reelmill";
pub const LOCAL_SECRET: &str = "reelmill-local";

/// Who we are to S3 and Rekognition.
#[derive(Clone, Default, Args)]
pub struct KeyArgs {
    /// Access key of S3 and Rekognition [default: the one of `up` for addresses of this machine]
    #[arg(long, env = "REELMILL_ACCESS_KEY", value_name = "KEY")]
    pub access_key: Option<String>,
    /// Secret key of S3 and Rekognition. Safer in the variable or the file than in a flag
    #[arg(long, env = "REELMILL_SECRET_KEY", value_name = "KEY", hide_env_values = true)]
    pub secret_key: Option<String>,
    /// Whose credentials S3 and Rekognition are asked with: access and secret key, or those of AWS's default
    /// chain (environment, role of a service account, profile, instance) [default: keys where they are given
    /// and for addresses of this machine, else aws]
    #[arg(long, env = "REELMILL_CREDENTIALS", value_enum)]
    pub credentials: Option<Credentials>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Credentials {
    Keys,
    Aws,
}

impl KeyArgs {
    /// These keys, for whatever address.
    #[must_use]
    pub fn of(access_key: &str, secret_key: &str) -> Self {
        Self {
            access_key: Some(access_key.to_owned()),
            secret_key: Some(secret_key.to_owned()),
            credentials: Some(Credentials::Keys),
        }
    }

    /// The same, for a store and a detector of our own.
    #[must_use]
    pub fn embedded(&self) -> Self {
        Self::of(self.access_key(), self.secret_key())
    }

    #[must_use]
    pub fn access_key(&self) -> &str {
        self.access_key.as_deref().unwrap_or(LOCAL_KEY)
    }

    #[must_use]
    pub fn secret_key(&self) -> &str {
        self.secret_key.as_deref().unwrap_or(LOCAL_SECRET)
    }

    /// Whether requests to the store at this address are signed by keys of ours; else by AWS's chain.
    #[must_use]
    pub fn sign_for_store(&self, endpoint: &str) -> bool {
        match self.credentials {
            Some(Credentials::Keys) => true,
            Some(Credentials::Aws) => false,
            None => self.are_given() || is_loopback(endpoint),
        }
    }

    /// The same for a detector: one that is not AWS's own knows keys only, where there are any.
    #[must_use]
    pub fn sign_for_detector(&self, endpoint: &str) -> bool {
        self.sign_for_store(endpoint) || self.are_given() && !is_aws(endpoint)
    }

    fn are_given(&self) -> bool {
        self.access_key.is_some() || self.secret_key.is_some()
    }
}

/// Without its secrets.
impl fmt::Debug for KeyArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyArgs").field("credentials", &self.credentials).finish_non_exhaustive()
    }
}

fn host(endpoint: &str) -> Option<String> {
    reqwest::Url::parse(endpoint).ok()?.host_str().map(str::to_owned)
}

fn is_loopback(endpoint: &str) -> bool {
    let host = host(endpoint).unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// Whether an address is one of AWS's own.
#[must_use]
pub fn is_aws(endpoint: &str) -> bool {
    let host = host(endpoint).unwrap_or_default();
    let names = [".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu", ".api.aws"];
    names.iter().any(|name| host.ends_with(name))
}

/// Which region.
#[derive(Debug, Clone, Args)]
pub struct RegionArgs {
    /// AWS's region: requests to S3 and Rekognition, tokens for MSK and requests to OpenSearch Service are
    /// signed for it
    #[arg(
        id = "region",
        long = "region",
        env = "REELMILL_REGION",
        value_name = "REGION",
        default_value = DEFAULT_REGION,
        value_parser = region
    )]
    pub name: String,
}

const DEFAULT_REGION: &str = "us-east-1";

impl Default for RegionArgs {
    fn default() -> Self {
        Self { name: DEFAULT_REGION.to_owned() }
    }
}

/// Where Kafka is.
#[derive(Debug, Clone, Args)]
pub struct KafkaArgs {
    /// Kafka's bootstrap servers
    #[arg(
        id = "kafka",
        long = "kafka",
        env = "REELMILL_KAFKA",
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:9092"
    )]
    pub at: String,
    #[command(flatten)]
    pub access: KafkaAccess,
    #[command(flatten)]
    pub region: RegionArgs,
}

impl KafkaArgs {
    /// A Kafka that asks nobody who he is.
    #[must_use]
    pub fn plaintext(at: &str) -> Self {
        Self { at: at.to_owned(), access: KafkaAccess::default(), region: RegionArgs::default() }
    }
}

/// How Kafka lets us in.
#[derive(Clone, Default, Args)]
pub struct KafkaAccess {
    /// What the listener of Kafka speaks. All but plaintext are over TLS; aws-msk-iam asks AWS's default
    /// chain for credentials
    #[arg(long, env = "REELMILL_KAFKA_SECURITY", value_enum, default_value_t)]
    pub kafka_security: KafkaSecurity,
    /// PEM file of the authorities that have signed the certificates of Kafka's brokers [default: those that
    /// this machine knows]
    #[arg(long, env = "REELMILL_KAFKA_CA", value_name = "FILE")]
    pub kafka_ca: Option<PathBuf>,
    /// User of Kafka
    #[arg(long, env = "REELMILL_KAFKA_USER", value_name = "USER")]
    pub kafka_user: Option<String>,
    /// Password of Kafka. Safer in the variable or the file than in a flag
    #[arg(long, env = "REELMILL_KAFKA_PASSWORD", value_name = "PASSWORD", hide_env_values = true)]
    pub kafka_password: Option<String>,
}

/// Without its secrets.
impl fmt::Debug for KafkaAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaAccess")
            .field("kafka_security", &self.kafka_security)
            .field("kafka_ca", &self.kafka_ca)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum KafkaSecurity {
    #[default]
    Plaintext,
    Tls,
    SaslPlain,
    #[value(name = "scram-sha-256")]
    ScramSha256,
    #[value(name = "scram-sha-512")]
    ScramSha512,
    AwsMskIam,
}

/// Where the schema registry is.
#[derive(Debug, Clone, Args)]
pub struct RegistryArgs {
    /// Schema registry
    #[arg(
        id = "registry",
        long = "registry",
        env = "REELMILL_REGISTRY",
        value_name = "URL",
        default_value = "http://127.0.0.1:8081",
        value_parser = url,
        hide_env_values = true
    )]
    pub at: String,
}

/// Where the ports are.
#[derive(Debug, Clone, Args)]
pub struct EndpointArgs {
    #[command(flatten)]
    pub kafka: KafkaArgs,
    #[command(flatten)]
    pub registry: RegistryArgs,
    /// S3 endpoint
    #[arg(long, env = "REELMILL_S3", default_value = "http://127.0.0.1:9000", value_parser = url)]
    pub s3: String,
    #[command(flatten)]
    pub keys: KeyArgs,
}

impl EndpointArgs {
    /// The one region of them all.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.kafka.region.name
    }
}
