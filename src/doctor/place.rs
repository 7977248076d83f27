//! Where each part is that may be embedded or elsewhere.

use crate::{
    cli::{KafkaArgs, KeyArgs, LOCAL_SECRET, UpArgs},
    connections,
    failure::Failure,
};
use std::{
    collections::BTreeMap,
    fs::{File, TryLockError},
    path::{Path, PathBuf},
};

/// Characters of a secret that is looked for in what is told.
const SHORTEST_SECRET: usize = 4;

/// Where something is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// Where a setting says.
    Elsewhere(String),
    /// In the mill that runs on the data directory.
    Running(String),
    /// In a mill that does not run, or has not said where.
    Embedded,
}

impl Place {
    /// Where it can be asked.
    pub(super) fn at(&self) -> Option<&str> {
        match self {
            Self::Elsewhere(at) | Self::Running(at) => Some(at),
            Self::Embedded => None,
        }
    }

    pub(super) fn is_elsewhere(&self) -> bool {
        matches!(self, Self::Elsewhere(_))
    }
}

/// All that is to be looked at.
#[derive(Debug, Clone)]
pub(super) struct Setup {
    pub(super) args: UpArgs,
    pub(super) data: PathBuf,
    /// Whether another process has the data directory.
    pub(super) in_use: bool,
    pub(super) kafka: Place,
    pub(super) registry: Place,
    pub(super) s3: Place,
    pub(super) rekognition: Place,
}

impl Setup {
    /// Reads the settings, and what a running mill says of itself.
    pub(super) fn new(args: UpArgs) -> Result<Self, Failure> {
        let data = connections::data_place(args.data.clone())?;
        let in_use = is_in_use(&data);
        let said = if in_use { published(&data) } else { BTreeMap::new() };
        let place = |set: &Option<String>, name: &str| match (set, said.get(name)) {
            (Some(at), _) => Place::Elsewhere(at.clone()),
            (None, Some(at)) => Place::Running(at.clone()),
            (None, None) => Place::Embedded,
        };
        Ok(Self {
            kafka: place(&args.real.kafka, "REELMILL_KAFKA"),
            registry: place(&args.real.registry, "REELMILL_REGISTRY"),
            s3: place(&args.real.s3, "REELMILL_S3"),
            rekognition: place(&args.real.rekognition, "REELMILL_REKOGNITION"),
            in_use,
            data,
            args,
        })
    }

    /// Who we are to the store, or the detector, in that place.
    pub(super) fn keys(&self, of: &Place) -> KeyArgs {
        match of {
            Place::Elsewhere(_) => self.args.real.keys.clone(),
            Place::Running(_) | Place::Embedded => self.args.real.keys.embedded(),
        }
    }

    /// How Kafka is reached at this address.
    pub(super) fn kafka_at(&self, at: &str) -> KafkaArgs {
        let real = &self.args.real;
        KafkaArgs { at: at.to_owned(), access: real.access.clone(), region: real.region.clone() }
    }

    pub(super) fn region(&self) -> &str {
        &self.args.real.region.name
    }

    pub(super) fn bucket(&self) -> &str {
        &self.args.mill.shared.bucket
    }

    /// Why nobody can ask a part that is embedded.
    pub(super) fn embedded(&self, what: &str) -> String {
        if self.in_use {
            format!("{what} is embedded, and the mill that runs has not said where it listens")
        } else {
            format!("{what} is embedded: it begins with `reelmill up`")
        }
    }

    /// What nobody may be shown, as it is given and as it stands in an address.
    pub(super) fn secrets(&self) -> Vec<String> {
        let shared = &self.args.mill.shared;
        let mut secrets: Vec<_> = shared.index.opensearch_password.iter().cloned().collect();
        let real = &self.args.real;
        secrets.extend(real.access.kafka_password.clone());
        // Everybody knows that one.
        secrets.extend(real.keys.secret_key.clone().filter(|key| key != LOCAL_SECRET));
        let addresses = [&shared.database, &shared.index.opensearch, &real.registry];
        for address in addresses.into_iter().flatten() {
            let parsed = reqwest::Url::parse(address).ok();
            let password = parsed.as_ref().and_then(reqwest::Url::password);
            let plain =
                password.map(|p| percent_encoding::percent_decode_str(p).decode_utf8_lossy());
            secrets.extend(plain.map(|plain| plain.into_owned()));
            secrets.extend(password.map(str::to_owned));
        }
        // What is shorter stands in many a word, and would be no secret.
        secrets.retain(|secret| secret.trim().len() >= SHORTEST_SECRET);
        // One may be the beginning of another.
        secrets.sort_unstable_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets
    }
}

/// Whether a mill works there: it holds a lock, which is asked for and given back at once.
fn is_in_use(data: &Path) -> bool {
    let Ok(file) = File::open(data.join("lock")) else { return false };
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}

/// What `up` has written for other programs.
fn published(data: &Path) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(data.join("endpoints.env")).unwrap_or_default();
    let pair = |line: &str| line.split_once('=').map(|(n, v)| (n.to_owned(), v.to_owned()));
    text.lines().filter_map(pair).collect()
}
