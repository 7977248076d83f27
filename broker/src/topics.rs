//! Topics: their partitions on disk and their entries in the journal.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, RwLock},
};

use kafka_protocol::ResponseError;

use crate::{
    BrokerError, Sync,
    config::{self, LogConfig, Overrides},
    journal::sync_folder,
    locks::{lock, read, write},
    metadata::{Metadata, Record, TopicSpec, View},
    partition::Partition,
};

/// Every partition keeps a file open.
const MOST_PARTITIONS: i32 = 1_000;
/// Kafka's own limit; with it a topic's name is also a folder's name.
const LONGEST_NAME_BYTES: usize = 249;

#[derive(Debug)]
pub(crate) struct Topics {
    folder: PathBuf,
    sync: Sync,
    /// Held while topics are created, changed or deleted; the map's own lock for moments only.
    changing: Mutex<()>,
    partitions: RwLock<HashMap<String, Vec<Arc<Partition>>>>,
}

impl Topics {
    /// Opens the logs of all topics in `view` under `folder`; also returns how many bytes of them
    /// had to be read.
    pub(crate) fn open(
        folder: &Path,
        sync: Sync,
        view: &View,
    ) -> Result<(Topics, u64), BrokerError> {
        let (mut all, mut scanned) = (HashMap::new(), 0);
        for (name, spec) in &view.topics {
            let mut partitions = Vec::new();
            for number in 0..spec.partitions {
                let folder = log_folder(folder, name, number);
                let config = LogConfig::of(&spec.config);
                let (partition, bytes) = Partition::open(&folder, sync, config)?;
                if let Some(start) = view.starts.get(&(name.clone(), number)) {
                    partition.advance_start(*start);
                }
                scanned += bytes;
                partitions.push(Arc::new(partition));
            }
            all.insert(name.clone(), partitions);
        }
        let partitions = RwLock::new(all);
        let topics =
            Topics { folder: folder.to_owned(), sync, changing: Mutex::default(), partitions };
        Ok((topics, scanned))
    }

    /// # Errors
    /// `UnknownTopicOrPartition`
    pub(crate) fn get(&self, name: &str, number: i32) -> Result<Arc<Partition>, ResponseError> {
        let number = usize::try_from(number).map_err(|_| ResponseError::UnknownTopicOrPartition)?;
        read(&self.partitions)
            .get(name)
            .and_then(|partitions| partitions.get(number).cloned())
            .ok_or(ResponseError::UnknownTopicOrPartition)
    }

    /// Where all logs lie.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Every partition of every topic.
    pub(crate) fn all(&self) -> Vec<(String, usize, Arc<Partition>)> {
        let all = read(&self.partitions);
        let partitions = all.iter().flat_map(|(name, partitions)| {
            let numbered = partitions.iter().enumerate();
            numbered.map(|(number, partition)| (name.clone(), number, partition.clone()))
        });
        partitions.collect()
    }

    /// Creates a topic, or grows it to `spec.partitions`; the journal's entry makes it count.
    pub(crate) fn create(
        &self,
        metadata: &Metadata,
        name: &str,
        spec: TopicSpec,
    ) -> Result<(), ResponseError> {
        let _alone = lock(&self.changing);
        let mut partitions = read(&self.partitions).get(name).cloned().unwrap_or_default();
        if partitions.len() as i32 >= spec.partitions {
            // Somebody else was faster, and no partition ever goes away again.
            return Err(ResponseError::TopicAlreadyExists);
        }
        let config = LogConfig::of(&spec.config);
        for number in partitions.len() as i32..spec.partitions {
            let created = self.create_log(name, number, config).map_err(storage)?;
            partitions.push(Arc::new(created));
        }
        let record = Record::Topic { name: name.to_owned(), spec };
        metadata.append(vec![record]).map_err(storage)?;
        write(&self.partitions).insert(name.to_owned(), partitions);
        Ok(())
    }

    /// Replaces a topic's settings by what `change` makes of them.
    pub(crate) fn configure(
        &self,
        metadata: &Metadata,
        name: &str,
        validate_only: bool,
        change: impl FnOnce(&mut Overrides) -> Result<(), ResponseError>,
    ) -> Result<(), ResponseError> {
        let _alone = lock(&self.changing);
        let config = metadata.change(|view| {
            let mut spec =
                view.topics.get(name).cloned().ok_or(ResponseError::UnknownTopicOrPartition)?;
            change(&mut spec.config)?;
            config::check(&spec.config)?;
            let config = LogConfig::of(&spec.config);
            let record = Record::Topic { name: name.to_owned(), spec };
            Ok((config, if validate_only { Vec::new() } else { vec![record] }))
        })?;
        if !validate_only {
            for partition in read(&self.partitions).get(name).into_iter().flatten() {
                partition.configure(config);
            }
        }
        Ok(())
    }

    pub(crate) fn delete(&self, metadata: &Metadata, name: &str) -> Result<(), ResponseError> {
        let _alone = lock(&self.changing);
        if !read(&self.partitions).contains_key(name) {
            return Err(ResponseError::UnknownTopicOrPartition);
        }
        let record = Record::TopicDeleted { name: name.to_owned() };
        metadata.append(vec![record]).map_err(storage)?;
        let removed = write(&self.partitions).remove(name);
        // Consumers that wait for its records learn that it is gone.
        for partition in removed.iter().flatten() {
            partition.close();
        }
        // A log that stays behind is emptied if its topic is ever created again.
        if let Err(error) = fs::remove_dir_all(self.folder.join(name)) {
            tracing::warn!(topic = name, %error, "cannot remove a deleted topic's folder");
        }
        Ok(())
    }

    fn create_log(&self, name: &str, number: i32, config: LogConfig) -> io::Result<Partition> {
        let folder = log_folder(&self.folder, name, number);
        let partition = Partition::create(&folder, self.sync, config)?;
        if self.sync != Sync::Never {
            sync_folder(&folder)?;
            sync_folder(&self.folder.join(name))?;
        }
        Ok(partition)
    }
}

/// Checks what a client wants to create.
///
/// # Errors
/// `InvalidTopicException` for a name Kafka would refuse, `InvalidPartitions` for a number that
/// is not in 1..=1000.
pub(crate) fn check(name: &str, partitions: i32) -> Result<(), ResponseError> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let named = (1..=LONGEST_NAME_BYTES).contains(&name.len()) && name != "." && name != "..";
    if !named || !name.bytes().all(legal) {
        return Err(ResponseError::InvalidTopicException);
    }
    if !(1..=MOST_PARTITIONS).contains(&partitions) {
        return Err(ResponseError::InvalidPartitions);
    }
    Ok(())
}

fn log_folder(folder: &Path, name: &str, number: i32) -> PathBuf {
    folder.join(name).join(number.to_string())
}

fn storage(error: io::Error) -> ResponseError {
    tracing::error!(%error, "cannot write to the data directory, check the disk");
    ResponseError::KafkaStorageError
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_leave_the_data_directory_are_refused() {
        for name in ["", ".", "..", "../x", "a/b", "a\0b", "ä", "a b", &"x".repeat(250)] {
            assert_eq!(check(name, 1), Err(ResponseError::InvalidTopicException), "{name}");
        }
        for name in ["a", "video-uploaded", "reelmill.dead.cut", "A_1", "...", &"x".repeat(249)] {
            assert_eq!(check(name, 1), Ok(()), "{name}");
        }
        for partitions in [-1, 0, 1_001, i32::MAX] {
            assert_eq!(check("a", partitions), Err(ResponseError::InvalidPartitions));
        }
    }
}
