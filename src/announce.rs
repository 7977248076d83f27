//! Tells the mill about an upload: one event, acknowledged by the broker.

use async_trait::async_trait;
use connectors::{kafka::Kafka, registry::ConfluentRegistry};
use engine::Trouble;
use ports::{Headers, Record, SchemaRegistry};
use schemas::{Event, VideoUploaded};
use std::sync::Arc;

/// Produces `video-uploaded` for the API.
#[derive(Debug)]
pub struct Announcer {
    pub kafka: Arc<Kafka>,
    pub registry: Arc<ConfluentRegistry>,
}

#[async_trait]
impl api::Uploads for Announcer {
    async fn announce(&self, event: &VideoUploaded, id: &str) -> Result<(), Trouble> {
        let value = event.to_value()?;
        let value =
            self.registry.encode(VideoUploaded::TOPIC, VideoUploaded::SCHEMA, value).await?;
        let headers = Headers::default()
            .with("ce_id", id.to_owned())
            .with("ce_source", "reelmill/api")
            .with("ce_type", "VideoUploaded")
            .with("ce_specversion", "1.0")
            .with("content-type", "application/avro");
        let record = Record {
            topic: VideoUploaded::TOPIC.to_owned(),
            key: Some(event.key().into_bytes().into()),
            value: Some(value.into()),
            headers,
            timestamp_ms: None,
            position: None,
        };
        self.kafka.produce(record).await.map(drop)
    }
}
