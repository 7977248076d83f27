//! What every event is.

use crate::AvroValue;
use serde::{Serialize, de::DeserializeOwned};
use std::fmt::Debug;

/// Bytes or values that are no event of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub String);

/// A fact, published once and never changed. Its type is its topic in CamelCase.
pub trait Event:
    Serialize + DeserializeOwned + Clone + Debug + PartialEq + Send + Sync + 'static
{
    /// The topic this event lives on.
    const TOPIC: &'static str;
    /// The Avro schema, as committed.
    const SCHEMA: &'static str;

    /// The partition key: `video_id/index` for a clip's event, `video_id` for a video's.
    fn key(&self) -> String;

    /// As an Avro value of [`Event::SCHEMA`].
    fn to_value(&self) -> Result<AvroValue, Malformed>;

    /// From a value written with any version of the schema.
    fn from_value(value: AvroValue) -> Result<Self, Malformed>;
}
