//! Spans on their way to a collector of OpenTelemetry: OTLP over HTTP, in batches, by a thread of its
//! own. Whatever becomes of them, nobody waits and nothing fails.

use crate::{cli::SharedArgs, failure::Failure};
use engine::{Span, Traces, Value};
use opentelemetry::{
    InstrumentationScope, KeyValue,
    trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState},
};
use opentelemetry_otlp::{Protocol, WithExportConfig};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    resource::{EnvResourceDetector, TelemetryResourceDetector},
    trace::{
        BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanEvents, SpanExporter, SpanLinks,
        SpanProcessor,
    },
};
use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

/// Spans that wait at most, a few MB of them. What is more is lost.
const MOST_WAITING: usize = 4096;
const BATCH: usize = 512;
const SEND_EVERY: Duration = Duration::from_secs(1);
/// A collector that takes longer has not taken a batch.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// What has not gone when the program stops may take so long.
const FLUSH_WITHIN: Duration = Duration::from_secs(1);

/// Spans are sent, if `--otlp` says so.
#[derive(Debug)]
pub struct Tracing(Option<Arc<Collector>>);

impl Tracing {
    /// Contacts nobody yet.
    pub fn open(args: &SharedArgs) -> Result<Self, Failure> {
        let opened = |base| Collector::open(base, args.instance.as_deref()).map(Arc::new);
        Ok(Self(args.otlp.as_deref().map(opened).transpose()?))
    }

    /// Who is told of spans.
    #[must_use]
    pub fn traces(&self) -> Option<Arc<dyn Traces>> {
        self.0.clone().map(|collector| collector as Arc<dyn Traces>)
    }

    /// Sends what still waits, for a moment.
    pub async fn stop(self) {
        if let Some(collector) = self.0 {
            collector.flush(FLUSH_WITHIN).await;
        }
    }
}

/// Where spans go.
#[derive(Debug)]
struct Collector {
    processor: BatchSpanProcessor,
    scope: InstrumentationScope,
    tally: Arc<Tally>,
}

impl Collector {
    fn open(base: &str, instance: Option<&str>) -> Result<Self, Failure> {
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_endpoint(endpoint(base))
            .with_protocol(Protocol::HttpBinary)
            .with_timeout(ANSWER_WITHIN)
            .build()
            .map_err(|e| Failure::usage(format!("--otlp: {e}; correct it or leave it out")))?;
        let tally = Arc::<Tally>::default();
        let config = BatchConfigBuilder::default()
            .with_max_queue_size(MOST_WAITING)
            .with_max_export_batch_size(BATCH)
            .with_scheduled_delay(SEND_EVERY)
            .build();
        let sender = Sender { exporter, tally: Arc::clone(&tally) };
        let mut processor = BatchSpanProcessor::new(sender, config);
        processor.set_resource(&resource(instance));
        let scope =
            InstrumentationScope::builder("reelmill").with_version(crate::version::VERSION).build();
        tracing::info!(otlp = base, "spans are sent to a collector");
        Ok(Self { processor, scope, tally })
    }

    async fn flush(self: Arc<Self>, within: Duration) {
        let tally = Arc::clone(&self.tally);
        let flushing =
            tokio::task::spawn_blocking(move || self.processor.shutdown_with_timeout(within));
        let flushed = matches!(flushing.await, Ok(Ok(())));
        let waiting = tally.waiting.load(Ordering::Relaxed);
        let lost = tally.lost.load(Ordering::Relaxed) + if flushed { 0 } else { waiting };
        if lost > 0 {
            tracing::warn!(lost, "the collector has not taken all spans: these traces have gaps");
        }
    }
}

impl Traces for Collector {
    fn tell(&self, span: Span) {
        if self.tally.waiting.fetch_add(1, Ordering::Relaxed) >= MOST_WAITING {
            self.tally.waiting.fetch_sub(1, Ordering::Relaxed);
            self.tally.lose(1, "it is too slow");
            return;
        }
        self.processor.on_end(data(span, self.scope.clone()));
    }
}

/// What has become of spans.
#[derive(Debug, Default)]
struct Tally {
    waiting: AtomicUsize,
    lost: AtomicUsize,
    /// The last ones were lost, and it was said.
    losing: AtomicBool,
}

impl Tally {
    fn lose(&self, spans: usize, cause: &str) {
        self.lost.fetch_add(spans, Ordering::Relaxed);
        if !self.losing.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                cause,
                "the collector does not take spans, so they are lost; the mill goes on, look at --otlp"
            );
        }
    }
}

/// Counts what is taken and what is not.
#[derive(Debug)]
struct Sender<E> {
    exporter: E,
    tally: Arc<Tally>,
}

impl<E: SpanExporter> SpanExporter for Sender<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let result = self.exporter.export(batch).await;
        self.tally.waiting.fetch_sub(spans, Ordering::Relaxed);
        match &result {
            Ok(()) if self.tally.losing.swap(false, Ordering::Relaxed) => {
                let lost = self.tally.lost.load(Ordering::Relaxed);
                tracing::info!(lost, "the collector takes spans again");
            }
            Ok(()) => {}
            Err(error) => self.tally.lose(spans, &error.to_string()),
        }
        result
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

/// `--otlp` is a base, as `OTEL_EXPORTER_OTLP_ENDPOINT` is elsewhere; the whole address will do, too.
fn endpoint(base: &str) -> String {
    const TRACES: &str = "/v1/traces";
    let base = base.trim_end_matches('/');
    if base.ends_with(TRACES) { base.to_owned() } else { format!("{base}{TRACES}") }
}

/// Who speaks. `OTEL_RESOURCE_ATTRIBUTES` knows better.
fn resource(instance: Option<&str>) -> Resource {
    let own = [
        ("service.name", Some("reelmill")),
        ("service.version", Some(crate::version::VERSION)),
        ("service.instance.id", instance),
    ];
    let own =
        own.into_iter().filter_map(|(name, value)| Some(KeyValue::new(name, value?.to_owned())));
    Resource::builder_empty()
        .with_attributes(own)
        .with_detectors(&[
            Box::new(TelemetryResourceDetector),
            Box::new(EnvResourceDetector::new()),
        ])
        .build()
}

/// A span in OpenTelemetry's own words.
fn data(span: Span, scope: InstrumentationScope) -> SpanData {
    let Span { place, parent, name, kind, began, ended, attributes, error } = span;
    let flags = TraceFlags::new(place.flags);
    let (trace, id) = (TraceId::from(place.trace), SpanId::from(place.span));
    let of_error = error.map(|word| KeyValue::new("error.type", word));
    let attributes = attributes.into_iter().map(|(name, value)| match value {
        Value::Text(Cow::Borrowed(text)) => KeyValue::new(name, text),
        Value::Text(Cow::Owned(text)) => KeyValue::new(name, text),
        Value::Number(number) => KeyValue::new(name, number),
    });
    SpanData {
        span_context: SpanContext::new(trace, id, flags, false, TraceState::NONE),
        parent_span_id: parent.map_or(SpanId::INVALID, SpanId::from),
        parent_span_is_remote: parent.is_some() && kind != engine::SpanKind::Internal,
        span_kind: match kind {
            engine::SpanKind::Producer => SpanKind::Producer,
            engine::SpanKind::Consumer => SpanKind::Consumer,
            engine::SpanKind::Internal => SpanKind::Internal,
        },
        name,
        start_time: began,
        // Clocks are set back now and then.
        end_time: ended.max(began),
        attributes: attributes.chain(of_error).collect(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: error.map_or(Status::Unset, Status::error),
        instrumentation_scope: scope,
    }
}
