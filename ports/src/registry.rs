//! The schema registry, as the engine sees it.

use crate::Trouble;
use async_trait::async_trait;
use schemas::AvroValue;
use std::fmt::Debug;

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
}
