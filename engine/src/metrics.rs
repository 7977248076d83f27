//! Every metric there is. Nowhere else is one named.

mod clients;
mod entering;
mod looking;
mod process;
mod services;

pub use clients::{Client, ClientFigures, ClientMeter};
pub use looking::{JobEnd, Look, Quota};
pub use services::{PoolWait, Reply, Service};

use crate::{Fatal, Verdict};
use clients::Clients;
use entering::Entering;
use looking::Looking;
use process::Process;
use prometheus::{
    CounterVec, Encoder, GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Registry, TextEncoder,
};
use services::Services;
use std::{
    collections::BTreeSet,
    sync::{Arc, OnceLock},
    time::Duration,
};

/// Seconds an event or an effect may take: from a millisecond to an hour.
const SECONDS: [f64; 11] = [0.001, 0.005, 0.025, 0.1, 0.5, 2.0, 10.0, 60.0, 300.0, 1200.0, 3600.0];
/// Seconds an event may be old: from a tenth of a second to a day.
const AGE: [f64; 10] = [0.1, 0.5, 2.0, 10.0, 60.0, 300.0, 1200.0, 3600.0, 21_600.0, 86_400.0];

/// What was done with frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// Looked at by the detector of this process.
    Detected,
    Masked,
    Encoded,
    Copied,
    Verified,
}

impl FrameKind {
    fn label(self) -> &'static str {
        match self {
            Self::Detected => "detected",
            Self::Masked => "masked",
            Self::Encoded => "encoded",
            Self::Copied => "copied",
            Self::Verified => "verified",
        }
    }
}

/// All metrics of a process. Cloning shares. Labels are words of ours, never ids.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Registry,
    names: Arc<BTreeSet<String>>,
    events: IntCounterVec,
    event_seconds: HistogramVec,
    event_age: HistogramVec,
    effect_seconds: HistogramVec,
    effects_running: IntGaugeVec,
    frames: IntCounterVec,
    media_seconds: CounterVec,
    work_lag: IntGaugeVec,
    work_oldest: GaugeVec,
    clients: Clients,
    services: Services,
    looking: Looking,
    process: Process,
}

impl Metrics {
    /// Metrics in a registry of their own.
    pub fn new() -> Result<Self, Fatal> {
        Self::register(Registry::new())
    }

    /// Metrics in `registry`; an error if one of the names is taken there.
    pub fn register(registry: Registry) -> Result<Self, Fatal> {
        let entering = Entering::into(registry.clone());
        Ok(Self {
            events: entering.counter(
                "reelmill_events_total",
                "events by their one verdict, counted after the commit",
                &["processor", "verdict", "reason"],
            )?,
            event_seconds: entering.histogram(
                "reelmill_event_seconds",
                "from an event's arrival to its commit",
                &["processor"],
                &SECONDS,
            )?,
            event_age: entering.histogram(
                "reelmill_event_age_seconds",
                "from an event's record time to its commit",
                &["processor"],
                &AGE,
            )?,
            effect_seconds: entering.histogram(
                "reelmill_effect_seconds",
                "one try of an effect, by outcome",
                &["processor", "outcome"],
                &SECONDS,
            )?,
            effects_running: entering.level(
                "reelmill_effects_running",
                "tries of effects begun and not ended",
                &["processor"],
            )?,
            frames: entering.counter(
                "reelmill_frames_total",
                "frames, by what was done",
                &["kind"],
            )?,
            media_seconds: entering.sum(
                "reelmill_media_seconds_total",
                "seconds of footage worked on",
                &["processor"],
            )?,
            work_lag: entering.level(
                "reelmill_work_lag",
                "events not yet committed; 0 when idle",
                &["processor"],
            )?,
            work_oldest: entering.gauge(
                "reelmill_work_oldest_seconds",
                "age of the oldest waiting event",
                &["processor"],
            )?,
            clients: Clients::enter(&entering)?,
            services: Services::enter(&entering)?,
            looking: Looking::enter(&entering)?,
            process: Process::enter(&entering)?,
            names: Arc::new(entering.names()),
            registry,
        })
    }

    /// The closed list: no page has a metric of another name.
    #[must_use]
    pub fn names(&self) -> &BTreeSet<String> {
        &self.names
    }

    /// Everything in Prometheus' text format.
    #[must_use]
    pub fn gather(&self) -> String {
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::error!(%error, "metrics cannot be written");
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Frames done in some way.
    pub fn count_frames(&self, kind: FrameKind, frames: u64) {
        self.frames.with_label_values(&[kind.label()]).inc_by(frames);
    }

    /// Footage worked on.
    pub fn count_media(&self, processor: &'static str, footage: Duration) {
        self.media_seconds.with_label_values(&[processor]).inc_by(footage.as_secs_f64());
    }

    /// What waits for a processor: how many events, and how old the oldest is.
    pub fn set_work(&self, processor: &str, lag: i64, oldest: Duration) {
        self.work_lag.with_label_values(&[processor]).set(lag);
        self.work_oldest.with_label_values(&[processor]).set(oldest.as_secs_f64());
    }

    /// Those of one processor.
    pub(crate) fn of(&self, processor: &'static str) -> Meter {
        Meter {
            metrics: self.clone(),
            processor,
            emitted: self.events.with_label_values(&labels(processor, Verdict::Emitted)),
            seconds: OnceLock::new(),
            age: OnceLock::new(),
            answered: OnceLock::new(),
            running: OnceLock::new(),
        }
    }
}

/// How an effect ended that was answered.
pub(crate) const ANSWERED: &str = "answered";

/// A processor's metrics. Those of every event are at hand, since looking them up by their labels
/// takes longer than to count. What was emitted is shown from 0 on, so that the first counts as
/// growth too; all else once there is something to count.
#[derive(Debug)]
pub(crate) struct Meter {
    metrics: Metrics,
    processor: &'static str,
    emitted: IntCounter,
    seconds: OnceLock<Histogram>,
    age: OnceLock<Histogram>,
    answered: OnceLock<Histogram>,
    running: OnceLock<IntGauge>,
}

impl Meter {
    pub(crate) fn judged(&self, verdict: Verdict, took_ms: i64, age_ms: i64) {
        let Self { metrics, processor, .. } = self;
        match verdict {
            Verdict::Emitted => self.emitted.inc(),
            _ => metrics.events.with_label_values(&labels(processor, verdict)).inc(),
        }
        let took = || metrics.event_seconds.with_label_values(&[processor]);
        self.seconds.get_or_init(took).observe(seconds(took_ms));
        let age = || metrics.event_age.with_label_values(&[processor]);
        self.age.get_or_init(age).observe(seconds(age_ms));
    }

    /// A try of an effect has begun.
    pub(crate) fn begun(&self) -> UnderWay {
        let running = || self.metrics.effects_running.with_label_values(&[self.processor]);
        let running = self.running.get_or_init(running).clone();
        running.inc();
        UnderWay(running)
    }

    pub(crate) fn performed(&self, outcome: &str, took: Duration) {
        let effect = || self.metrics.effect_seconds.with_label_values(&[self.processor, outcome]);
        let took = took.as_secs_f64();
        match outcome {
            ANSWERED => self.answered.get_or_init(effect).observe(took),
            _ => effect().observe(took),
        }
    }
}

/// A try of an effect that runs until this is dropped: one that is abandoned or panics ends too.
#[derive(Debug)]
pub(crate) struct UnderWay(IntGauge);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn labels(processor: &'static str, verdict: Verdict) -> [&'static str; 3] {
    let (verdict, reason) = verdict.labels();
    [processor, verdict, reason]
}

fn seconds(ms: i64) -> f64 {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0)).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_histogram_has_more_than_twelve_buckets() {
        // One more is added for infinity.
        assert!(SECONDS.len() < 12 && AGE.len() < 12);
    }

    #[test]
    fn the_text_names_verdicts_and_reasons() {
        let metrics = Metrics::new().unwrap();
        let meter = metrics.of("cut");
        let nothing = r#"reelmill_events_total{processor="cut",reason="",verdict="emitted"} 0"#;
        assert!(metrics.gather().contains(nothing));
        meter.judged(Verdict::Skipped("deleted"), 30, 400);
        meter.judged(Verdict::Emitted, 30, 400);
        meter.judged(Verdict::Emitted, 30, 400);
        meter.performed("refused", Duration::from_millis(3));
        meter.performed(ANSWERED, Duration::from_millis(3));
        metrics.count_frames(FrameKind::Masked, 7);
        metrics.set_work("cut", 3, Duration::from_secs(2));
        metrics.set_build("0.1.0+3.gabc");
        metrics.set_running("cut", true);
        metrics.count_stop("cut", "failed");
        metrics.count_request("GET", "/api/videos/{id}", 200, Duration::from_millis(3));
        metrics.set_disk("data", 1_000, 5_000_000_000);
        metrics.set_looked_at(1_700_000_000_500);
        let took = Duration::from_millis(30);
        metrics.count_answer(Service::Detector, "start_face_detection", Reply::Throttled, took);
        metrics.set_pool(1, 3, 4);
        let _waits = metrics.waits_for_pool();
        let text = metrics.gather();
        for line in [
            r#"reelmill_events_total{processor="cut",reason="deleted",verdict="skipped"} 1"#,
            r#"reelmill_events_total{processor="cut",reason="",verdict="emitted"} 2"#,
            r#"reelmill_event_seconds_bucket{processor="cut",le="0.1"} 3"#,
            r#"reelmill_effect_seconds_bucket{outcome="refused",processor="cut",le="0.005"} 1"#,
            r#"reelmill_effect_seconds_bucket{outcome="answered",processor="cut",le="0.005"} 1"#,
            r#"reelmill_event_age_seconds_bucket{processor="cut",le="0.1"} 0"#,
            r#"reelmill_frames_total{kind="masked"} 7"#,
            r#"reelmill_work_lag{processor="cut"} 3"#,
            r#"reelmill_processor_running{processor="cut"} 1"#,
            r#"reelmill_processor_stops_total{cause="failed",processor="cut"} 1"#,
            r#"reelmill_http_requests_total{method="GET",route="/api/videos/{id}",status="200"} 1"#,
            r#"reelmill_http_request_duration_seconds_count{route="/api/videos/{id}"} 1"#,
            r#"reelmill_filesystem_free_bytes{place="data"} 1000"#,
            "reelmill_watch_last_success_timestamp_seconds 1700000000.5",
            concat!(
                r#"reelmill_requests_total{operation="start_face_detection","#,
                r#"outcome="throttled",service="detector"} 1"#
            ),
            r#"reelmill_request_seconds_bucket{service="detector",le="0.1"} 1"#,
            r#"reelmill_database_connections{state="used"} 3"#,
            "reelmill_database_waiting 1",
            r#"reelmill_build_info{version="0.1.0+3.gabc"} 1"#,
            "process_resident_memory_bytes ",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn a_try_of_an_effect_is_running_from_its_beginning_to_its_end() {
        let metrics = Metrics::new().unwrap();
        let running = |n| {
            let line = format!("reelmill_effects_running{{processor=\"cut\"}} {n}\n");
            assert!(metrics.gather().contains(&line), "{line} is not in\n{}", metrics.gather());
        };
        let meter = metrics.of("cut");
        let (first, second) = (meter.begun(), meter.begun());
        running(2);
        drop(first);
        running(1);
        drop(second);
        running(0);
    }

    #[test]
    fn two_sets_do_not_fit_into_one_registry() {
        let registry = Registry::new();
        assert!(Metrics::register(registry.clone()).is_ok());
        assert!(Metrics::register(registry).is_err());
    }
}
