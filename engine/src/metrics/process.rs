//! What a process tells of itself: its build, its processors, its disks, who asks it over HTTP.

use super::{Metrics, SECONDS, entering::Entering};
use crate::Fatal;
use prometheus::{
    GaugeVec, HistogramVec, IntCounterVec, IntGaugeVec, process_collector::ProcessCollector,
};
use std::time::Duration;

/// Figures that only some processes have. None is shown before there is something to show.
#[derive(Debug, Clone)]
pub(super) struct Process {
    build: GaugeVec,
    running: IntGaugeVec,
    stops: IntCounterVec,
    requests: IntCounterVec,
    request_seconds: HistogramVec,
    disk_free: GaugeVec,
    disk_size: GaugeVec,
    looked_at: GaugeVec,
}

impl Process {
    pub(super) fn enter(entering: &Entering) -> Result<Self, Fatal> {
        entering.take(ProcessCollector::for_self())?;
        Ok(Self {
            build: entering.gauge("reelmill_build_info", "the program; always 1", &["version"])?,
            running: entering.level(
                "reelmill_processor_running",
                "1 while a processor works, then 0",
                &["processor"],
            )?,
            stops: entering.counter(
                "reelmill_processor_stops_total",
                "processors that stopped by themselves",
                &["processor", "cause"],
            )?,
            requests: entering.counter(
                "reelmill_http_requests_total",
                "requests that were answered",
                &["method", "route", "status"],
            )?,
            request_seconds: entering.histogram(
                "reelmill_http_request_duration_seconds",
                "from a request's head to its answer's",
                &["route"],
                &SECONDS[..8],
            )?,
            disk_free: entering.gauge(
                "reelmill_filesystem_free_bytes",
                "room that the program may use",
                &["place"],
            )?,
            disk_size: entering.gauge(
                "reelmill_filesystem_size_bytes",
                "room in all",
                &["place"],
            )?,
            looked_at: entering.gauge(
                "reelmill_watch_last_success_timestamp_seconds",
                "when what waits was last known",
                &[],
            )?,
        })
    }
}

impl Metrics {
    /// Which build of the program this is.
    pub fn set_build(&self, version: &str) {
        self.process.build.with_label_values(&[version]).set(1.0);
    }

    /// Whether a processor works in this process.
    pub fn set_running(&self, processor: &str, is_running: bool) {
        self.process.running.with_label_values(&[processor]).set(is_running.into());
    }

    /// A processor has stopped by itself. `cause` is a word.
    pub fn count_stop(&self, processor: &str, cause: &str) {
        self.process.stops.with_label_values(&[processor, cause]).inc();
    }

    /// A request over HTTP was answered. `route` is the pattern that it met, not its path.
    pub fn count_request(&self, method: &str, route: &str, status: u16, took: Duration) {
        let Process { requests, request_seconds, .. } = &self.process;
        requests.with_label_values(&[method, route, &status.to_string()]).inc();
        request_seconds.with_label_values(&[route]).observe(took.as_secs_f64());
    }

    /// Room on the disk of a place, bytes.
    pub fn set_disk(&self, place: &str, free: u64, size: u64) {
        self.process.disk_free.with_label_values(&[place]).set(free as f64);
        self.process.disk_size.with_label_values(&[place]).set(size as f64);
    }

    /// What waits was known at this time, ms since 1970.
    pub fn set_looked_at(&self, ms: i64) {
        self.process.looked_at.with_label_values::<&str>(&[]).set(ms as f64 / 1000.0);
    }
}
