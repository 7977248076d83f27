//! Tells the mill about an upload: one event, acknowledged by the broker.

use api::Cause;
use async_trait::async_trait;
use connectors::{kafka::Kafka, registry::ConfluentRegistry};
use engine::{Span, SpanKind, TRACEPARENT, Traceparent, Traces, Trouble};
use ports::{Headers, Record, SchemaRegistry};
use schemas::{Event, VideoUploaded};
use std::{sync::Arc, time::SystemTime};

/// Produces `video-uploaded` for the API.
#[derive(Debug)]
pub struct Announcer {
    pub kafka: Arc<Kafka>,
    pub registry: Arc<ConfluentRegistry>,
    /// Who is told of the spans that traces begin with.
    pub traces: Option<Arc<dyn Traces>>,
}

#[async_trait]
impl api::Uploads for Announcer {
    async fn announce(
        &self,
        event: &VideoUploaded,
        id: &str,
        cause: &Cause,
    ) -> Result<(), Trouble> {
        let Some(traces) = &self.traces else { return self.produce(event, id, None).await };
        let came = cause.traceparent.as_ref().and_then(|text| Traceparent::read(text));
        if let Some(unwanted) = came.filter(|came| !came.is_sampled()) {
            return self.produce(event, id, Some(unwanted)).await;
        }
        // The same however often it is announced.
        let place = came.unwrap_or_else(|| Traceparent::of(id)).another(id);
        let result = self.produce(event, id, Some(place)).await;
        traces.tell(span(event, id, cause, place, came, result.as_ref().err()));
        result
    }
}

impl Announcer {
    async fn produce(
        &self,
        event: &VideoUploaded,
        id: &str,
        place: Option<Traceparent>,
    ) -> Result<(), Trouble> {
        let value = event.to_value()?;
        let value =
            self.registry.encode(VideoUploaded::TOPIC, VideoUploaded::SCHEMA, value).await?;
        let mut headers = Headers::default()
            .with("ce_id", id.to_owned())
            .with("ce_source", "reelmill/api")
            .with("ce_type", "VideoUploaded")
            .with("ce_specversion", "1.0")
            .with("content-type", "application/avro");
        if let Some(place) = place {
            headers = headers.with(TRACEPARENT, place.to_string());
        }
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

/// What a trace of a video begins with: from the request to the broker's word.
fn span(
    event: &VideoUploaded,
    id: &str,
    cause: &Cause,
    place: Traceparent,
    came: Option<Traceparent>,
    trouble: Option<&Trouble>,
) -> Span {
    let mut attributes = vec![
        ("messaging.system", "kafka".into()),
        ("messaging.operation.type", "send".into()),
        ("messaging.operation.name", "send".into()),
        ("messaging.destination.name", VideoUploaded::TOPIC.into()),
        ("messaging.message.id", id.to_owned().into()),
    ];
    if let Some(video) = &event.video_id {
        attributes.push(("reelmill.video_id", video.clone().into()));
    }
    Span {
        place,
        parent: came.map(|came| came.span),
        name: if event.replay > 0 { "replay" } else { "upload" }.into(),
        kind: SpanKind::Producer,
        began: cause.began,
        ended: SystemTime::now(),
        attributes,
        error: trouble.and_then(engine::blamed),
    }
}
