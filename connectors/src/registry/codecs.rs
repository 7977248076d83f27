//! Schemas that were asked for once, ready to be used.

use super::blame::unusable;
use apache_avro::Schema;
use ports::Trouble;
use schemas::{Reader, Writer};
use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, PoisonError, RwLock},
};

/// By topic and by id. A schema that is known once stays for the life of the process: there are as
/// many as the registry has.
#[derive(Default)]
pub(super) struct Codecs {
    writers: RwLock<HashMap<String, Arc<Writer>>>,
    readers: RwLock<HashMap<u32, Arc<Reader>>>,
}

impl Codecs {
    pub(super) fn writer(&self, topic: &str) -> Option<Arc<Writer>> {
        self.writers.read().unwrap_or_else(PoisonError::into_inner).get(topic).cloned()
    }

    pub(super) fn reader(&self, id: u32) -> Option<Arc<Reader>> {
        self.readers.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// The first schema of a topic stays.
    pub(super) fn learn_writer(
        &self,
        topic: &str,
        id: u32,
        schema: &Schema,
    ) -> Result<Arc<Writer>, Trouble> {
        let writer = Writer::new(id, schema).map_err(|malformed| unusable(&malformed))?;
        Ok(first(&self.writers, topic.to_owned(), writer))
    }

    pub(super) fn learn_reader(&self, id: u32, schema: &Schema) -> Result<Arc<Reader>, Trouble> {
        let reader = Reader::new(schema).map_err(|malformed| unusable(&malformed))?;
        Ok(first(&self.readers, id, reader))
    }
}

/// What is there already, or else this.
fn first<K: Eq + Hash, V>(known: &RwLock<HashMap<K, Arc<V>>>, key: K, new: V) -> Arc<V> {
    let mut known = known.write().unwrap_or_else(PoisonError::into_inner);
    known.entry(key).or_insert_with(|| Arc::new(new)).clone()
}
