//! The schema registry, as the engine sees it.

use crate::Trouble;
use async_trait::async_trait;
use schemas::{AvroValue, Reader, Writer};
use std::{fmt::Debug, sync::Arc};

/// Turns Avro values into Confluent's wire format and back.
#[async_trait]
pub trait SchemaRegistry: Debug + Send + Sync {
    /// Encodes for `topic` under subject `<topic>-value`, registering `schema` where needed.
    async fn encode(
        &self,
        topic: &str,
        schema: &'static str,
        value: AvroValue,
    ) -> Result<Vec<u8>, Trouble>;

    /// Decodes with the writer's schema. Bytes of no event are `malformed_event`; a schema id the
    /// registry does not know is `unknown_schema`.
    async fn decode(&self, bytes: &[u8]) -> Result<AvroValue, Trouble>;

    /// What [`SchemaRegistry::encode`] writes this topic's events with, where it is at hand.
    fn writer(&self, _topic: &str) -> Option<Arc<Writer>> {
        None
    }

    /// What [`SchemaRegistry::decode`] reads these bytes with, where it is at hand, and the part of
    /// them it is to read.
    fn reader<'a>(&self, _bytes: &'a [u8]) -> Option<(Arc<Reader>, &'a [u8])> {
        None
    }
}
