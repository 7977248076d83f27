//! `reelmill event`: JSON to Kafka messages and back, so that any client can produce.

use connectors::registry::ConfluentRegistry;
use engine::Trouble;
use ports::SchemaRegistry;
use schemas::{ALL, EventKind, decode_json, encode_json};

/// Finds an event type by its topic.
fn kind(topic: &str) -> Result<&'static EventKind, Trouble> {
    ALL.iter().find(|kind| kind.topic == topic).ok_or_else(|| {
        let known: Vec<_> = ALL.iter().map(|kind| kind.topic).collect();
        Trouble::poison(
            "unknown_topic",
            format!("there is no event on topic '{topic}'; there are: {}", known.join(", ")),
        )
    })
}

/// One JSON object to one message in Confluent's wire format. Missing fields take their defaults.
pub async fn encode(topic: &str, json: &[u8], registry: &str) -> Result<Vec<u8>, Trouble> {
    let kind = kind(topic)?;
    let json = std::str::from_utf8(json)
        .map_err(|e| Trouble::poison("malformed_event", format!("not a JSON object: {e}")))?;
    let value = encode_json(kind.topic, json)?;
    ConfluentRegistry::new(registry)?.encode(kind.topic, kind.schema, value).await
}

/// One message to one JSON object.
pub async fn decode(topic: &str, message: &[u8], registry: &str) -> Result<String, Trouble> {
    let kind = kind(topic)?;
    let value = ConfluentRegistry::new(registry)?.decode(message).await?;
    let json = decode_json(kind.topic, value)?;
    serde_json::to_string_pretty(&json).map_err(|e| Trouble::fatal(e.to_string()))
}
