//! Topics: their partitions on disk and their entries in the journal.

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, RwLock},
};

use kafka_protocol::ResponseError;

use crate::{
    BrokerError, Sync,
    journal::sync_folder,
    locks::{lock, read, write},
    metadata::{Metadata, Record, TopicSpec},
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
    partitions: RwLock<HashMap<String, Vec<Arc<Partition>>>>,
}

impl Topics {
    /// Opens the logs of all topics in `specs` under `folder`.
    pub(crate) fn open(
        folder: &Path,
        sync: Sync,
        specs: &BTreeMap<String, TopicSpec>,
    ) -> Result<Topics, BrokerError> {
        let mut all = HashMap::new();
        for (name, spec) in specs {
            let mut partitions = Vec::new();
            for number in 0..spec.partitions {
                let path = log_path(folder, name, number);
                let opened = fs::create_dir_all(folder.join(name))
                    .and_then(|()| Partition::open(&path, sync))
                    .map_err(|source| BrokerError::Io { path, source })?;
                partitions.push(Arc::new(opened));
            }
            all.insert(name.clone(), partitions);
        }
        Ok(Topics { folder: folder.to_owned(), sync, partitions: RwLock::new(all) })
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

    /// Creates a topic, or grows it to `spec.partitions`; the journal's entry makes it count.
    pub(crate) fn create(
        &self,
        metadata: &Mutex<Metadata>,
        name: &str,
        spec: TopicSpec,
    ) -> Result<(), ResponseError> {
        let mut all = write(&self.partitions);
        let existing = all.get(name).map_or(&[][..], Vec::as_slice);
        if existing.len() as i32 >= spec.partitions {
            // Somebody else was faster, and no partition ever goes away again.
            return Err(ResponseError::TopicAlreadyExists);
        }
        let created = (existing.len() as i32..spec.partitions)
            .map(|number| self.create_log(name, number).map(Arc::new))
            .collect::<io::Result<Vec<_>>>()
            .map_err(storage)?;
        let partitions = existing.iter().cloned().chain(created).collect();
        let record = Record::Topic { name: name.to_owned(), spec };
        lock(metadata).append(vec![record]).map_err(storage)?;
        all.insert(name.to_owned(), partitions);
        Ok(())
    }

    pub(crate) fn delete(
        &self,
        metadata: &Mutex<Metadata>,
        name: &str,
    ) -> Result<(), ResponseError> {
        let mut all = write(&self.partitions);
        if !all.contains_key(name) {
            return Err(ResponseError::UnknownTopicOrPartition);
        }
        let record = Record::TopicDeleted { name: name.to_owned() };
        lock(metadata).append(vec![record]).map_err(storage)?;
        all.remove(name);
        // A log that stays behind is emptied if its topic is ever created again.
        if let Err(error) = fs::remove_dir_all(self.folder.join(name)) {
            tracing::warn!(topic = name, %error, "cannot remove a deleted topic's folder");
        }
        Ok(())
    }

    fn create_log(&self, name: &str, number: i32) -> io::Result<Partition> {
        let path = log_path(&self.folder, name, number);
        fs::create_dir_all(self.folder.join(name))?;
        let partition = Partition::create(&path, self.sync)?;
        if self.sync == Sync::Always {
            sync_folder(&path)?;
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

fn log_path(folder: &Path, name: &str, number: i32) -> PathBuf {
    folder.join(name).join(format!("{number}.log"))
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
