//! What Kafka's clients tell of themselves, a consumer and a producer for each processor.

use super::{Metrics, entering::Entering};
use crate::Fatal;
use prometheus::{Gauge, GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};
use std::sync::{Mutex, PoisonError};

/// Which of a processor's two clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    Consumer,
    Producer,
}

impl Client {
    fn label(self) -> &'static str {
        match self {
            Self::Consumer => "consumer",
            Self::Producer => "producer",
        }
    }
}

/// A client as it is now; what is counted is counted since it began.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ClientFigures {
    pub bytes_received: u64,
    pub bytes_sent: u64,
    /// Taken in by a consumer, sent by a producer.
    pub messages: u64,
    pub requests: u64,
    /// To the broker and back, s: the mean of the last while, and what 99 of 100 took less than.
    /// `None` where nothing was asked in it.
    pub round_trip: Option<(f64, f64)>,
    /// Messages that wait to be sent.
    pub queued: i64,
    /// Brokers with a connection that works.
    pub brokers_up: i64,
    pub disconnects: u64,
    /// Requests that were not sent, not answered in time, or whose answer was damaged.
    pub errors: u64,
}

#[derive(Debug, Clone)]
pub(super) struct Clients {
    bytes: IntCounterVec,
    messages: IntCounterVec,
    requests: IntCounterVec,
    round_trip: GaugeVec,
    round_trip_p99: GaugeVec,
    queued: IntGaugeVec,
    brokers_up: IntGaugeVec,
    disconnects: IntCounterVec,
    errors: IntCounterVec,
}

const OF_A_CLIENT: [&str; 2] = ["processor", "client"];

impl Clients {
    pub(super) fn enter(entering: &Entering) -> Result<Self, Fatal> {
        Ok(Self {
            bytes: entering.counter(
                "reelmill_kafka_bytes_total",
                "bytes that a client of Kafka has sent and received",
                &["processor", "client", "direction"],
            )?,
            messages: entering.counter(
                "reelmill_kafka_messages_total",
                "messages that a consumer has taken in or a producer has sent",
                &OF_A_CLIENT,
            )?,
            requests: entering.counter(
                "reelmill_kafka_requests_total",
                "requests that a client has sent to brokers",
                &OF_A_CLIENT,
            )?,
            round_trip: entering.gauge(
                "reelmill_kafka_round_trip_seconds",
                "to a broker and back, the mean of the last seconds; a consumer waits there for news",
                &OF_A_CLIENT,
            )?,
            round_trip_p99: entering.gauge(
                "reelmill_kafka_round_trip_p99_seconds",
                "to a broker and back, what 99 of 100 requests took less than",
                &OF_A_CLIENT,
            )?,
            queued: entering.level(
                "reelmill_kafka_queued_messages",
                "messages that wait in a producer to be sent",
                &["processor"],
            )?,
            brokers_up: entering.level(
                "reelmill_kafka_brokers_up",
                "connections to brokers that work; a producer at rest has none",
                &OF_A_CLIENT,
            )?,
            disconnects: entering.counter(
                "reelmill_kafka_disconnects_total",
                "connections to brokers that ended",
                &OF_A_CLIENT,
            )?,
            errors: entering.counter(
                "reelmill_kafka_errors_total",
                "requests to brokers not sent, not answered in time, or answered with damage",
                &OF_A_CLIENT,
            )?,
        })
    }
}

impl Metrics {
    /// For a client that begins now. All that have the same labels are counted together.
    #[must_use]
    pub fn of_client(&self, processor: &str, client: Client) -> ClientMeter {
        let Clients { bytes, messages, requests, .. } = &self.clients;
        let Clients { round_trip, round_trip_p99, disconnects, errors, .. } = &self.clients;
        let labels = [processor, client.label()];
        let direction = |way| bytes.with_label_values(&[processor, client.label(), way]);
        let queued = || self.clients.queued.with_label_values(&[processor]);
        ClientMeter {
            received: direction("received"),
            sent: direction("sent"),
            messages: messages.with_label_values(&labels),
            requests: requests.with_label_values(&labels),
            round_trip: round_trip.with_label_values(&labels),
            round_trip_p99: round_trip_p99.with_label_values(&labels),
            queued: (client == Client::Producer).then(queued),
            brokers_up: self.clients.brokers_up.with_label_values(&labels),
            disconnects: disconnects.with_label_values(&labels),
            errors: errors.with_label_values(&labels),
            told: Mutex::default(),
        }
    }
}

/// Takes what one client tells, again and again. Dropped with it.
#[derive(Debug)]
pub struct ClientMeter {
    received: IntCounter,
    sent: IntCounter,
    messages: IntCounter,
    requests: IntCounter,
    round_trip: Gauge,
    round_trip_p99: Gauge,
    queued: Option<IntGauge>,
    brokers_up: IntGauge,
    disconnects: IntCounter,
    errors: IntCounter,
    told: Mutex<ClientFigures>,
}

impl ClientMeter {
    /// Counts by how much the figures have grown.
    pub fn tell(&self, now: ClientFigures) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let grown = |counter: &IntCounter, before: u64, now: u64| {
            counter.inc_by(now.saturating_sub(before));
        };
        grown(&self.received, told.bytes_received, now.bytes_received);
        grown(&self.sent, told.bytes_sent, now.bytes_sent);
        grown(&self.messages, told.messages, now.messages);
        grown(&self.requests, told.requests, now.requests);
        grown(&self.disconnects, told.disconnects, now.disconnects);
        grown(&self.errors, told.errors, now.errors);
        if let Some((mean, p99)) = now.round_trip {
            self.round_trip.set(mean);
            self.round_trip_p99.set(p99);
        }
        self.stand(now.queued - told.queued, now.brokers_up - told.brokers_up);
        *told = now;
    }

    /// Its successor may be at work already: both stand in the same gauges.
    fn stand(&self, queued: i64, brokers_up: i64) {
        self.brokers_up.add(brokers_up);
        if let Some(gauge) = &self.queued {
            gauge.add(queued);
        }
    }
}

impl Drop for ClientMeter {
    fn drop(&mut self) {
        let told = *self.told.lock().unwrap_or_else(PoisonError::into_inner);
        self.stand(-told.queued, -told.brokers_up);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_successor_counts_on_and_what_has_ended_stands_in_no_gauge() {
        let metrics = Metrics::new().unwrap();
        let shows = |line: &str| {
            let text = metrics.gather();
            assert!(text.contains(line), "{line} is not in\n{text}");
        };
        let of = |requests, queued| ClientFigures {
            requests,
            queued,
            brokers_up: 1,
            round_trip: Some((0.25, 0.5)),
            ..ClientFigures::default()
        };
        let first = metrics.of_client("cut", Client::Producer);
        first.tell(of(3, 7));
        first.tell(of(5, 2));
        shows(r#"reelmill_kafka_requests_total{client="producer",processor="cut"} 5"#);
        shows(r#"reelmill_kafka_queued_messages{processor="cut"} 2"#);
        shows(r#"reelmill_kafka_round_trip_p99_seconds{client="producer",processor="cut"} 0.5"#);
        let second = metrics.of_client("cut", Client::Producer);
        second.tell(of(4, 1));
        drop(first);
        shows(r#"reelmill_kafka_requests_total{client="producer",processor="cut"} 9"#);
        shows(r#"reelmill_kafka_queued_messages{processor="cut"} 1"#);
        shows(r#"reelmill_kafka_brokers_up{client="producer",processor="cut"} 1"#);
        drop(second);
        shows(r#"reelmill_kafka_brokers_up{client="producer",processor="cut"} 0"#);
    }
}
