//! What librdkafka tells of itself every ten seconds, as far as it is shown.

use super::Kafka;
use engine::{Client, ClientFigures, ClientMeter, Metrics};
use rdkafka::ClientConfig;
use serde::Deserialize;
use std::{collections::HashMap, fmt};

const SETTING: &str = "statistics.interval.ms";
/// Most of a text of some ten thousand bytes is not looked at: often enough for those who scrape.
const EVERY_MS: &str = "10000";

/// Where the clients of one kind of one processor are counted, if anywhere.
#[derive(Clone, Default)]
pub(super) struct Teller(Option<(Metrics, String, Client)>);

impl Kafka {
    /// Has a client tell of itself; where it should be told is the answer.
    pub(super) fn told(&self, client: &mut ClientConfig, processor: &str, of: Client) -> Teller {
        let Some(metrics) = &self.0.metrics else { return Teller::default() };
        // Who sets it otherwise knows better.
        if client.get(SETTING).is_none() {
            client.set(SETTING, EVERY_MS);
        }
        Teller(Some((metrics.clone(), processor.to_owned(), of)))
    }
}

impl Teller {
    /// For a client that begins now.
    pub(super) fn begin(&self) -> Told {
        let meter =
            |(metrics, name, client): &(Metrics, String, Client)| metrics.of_client(name, *client);
        Told(self.0.as_ref().map(meter))
    }
}

impl fmt::Debug for Teller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Teller").field(&self.0.is_some()).finish()
    }
}

/// What one client has told so far; dropped with it.
#[derive(Debug, Default)]
pub(super) struct Told(Option<ClientMeter>);

impl Told {
    pub(super) fn tell(&self, statistics: &[u8]) {
        let Some(meter) = &self.0 else { return };
        match serde_json::from_slice::<Statistics>(statistics) {
            Ok(statistics) => meter.tell(statistics.figures()),
            Err(error) => tracing::debug!(%error, "kafka's statistics cannot be read"),
        }
    }
}

/// librdkafka's `STATISTICS.md` explains the names.
#[derive(Debug, Deserialize)]
struct Statistics {
    tx: u64,
    tx_bytes: u64,
    rx_bytes: u64,
    txmsgs: u64,
    rxmsgs: u64,
    msg_cnt: i64,
    #[serde(default)]
    brokers: HashMap<String, Broker>,
}

#[derive(Debug, Deserialize)]
struct Broker {
    state: String,
    txerrs: u64,
    rxerrs: u64,
    req_timeouts: u64,
    disconnects: u64,
    rtt: Window,
}

/// Microseconds, of the requests since the last statistics.
#[derive(Debug, Deserialize)]
struct Window {
    avg: u64,
    p99: u64,
    cnt: u64,
}

impl Statistics {
    fn figures(&self) -> ClientFigures {
        let brokers = || self.brokers.values();
        let answered: u64 = brokers().map(|broker| broker.rtt.cnt).sum();
        let taken: u64 = brokers().map(|broker| broker.rtt.avg * broker.rtt.cnt).sum();
        let slow = brokers().filter(|broker| broker.rtt.cnt > 0).map(|broker| broker.rtt.p99);
        let seconds = |us: u64| us as f64 / 1e6;
        let up = brokers().filter(|broker| broker.state == "UP").count();
        ClientFigures {
            bytes_received: self.rx_bytes,
            bytes_sent: self.tx_bytes,
            // A client is one or the other.
            messages: self.txmsgs + self.rxmsgs,
            requests: self.tx,
            round_trip: slow.max().map(|p99| (seconds(taken) / answered as f64, seconds(p99))),
            queued: self.msg_cnt,
            brokers_up: i64::try_from(up).unwrap_or(i64::MAX),
            disconnects: brokers().map(|broker| broker.disconnects).sum(),
            errors: brokers().map(|b| b.txerrs + b.rxerrs + b.req_timeouts).sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLD: &str = r#"{
        "name": "cut#consumer-1", "client_id": "cut", "type": "consumer", "ts": 1, "msg_cnt": 3,
        "tx": 40, "tx_bytes": 5000, "rx": 39, "rx_bytes": 70000, "txmsgs": 0, "rxmsgs": 12,
        "brokers": {
            "a:9092/1": { "nodeid": 1, "state": "UP", "txerrs": 1, "rxerrs": 2, "req_timeouts": 4,
                "disconnects": 1, "rtt": { "min": 1, "avg": 1000, "p99": 4000, "cnt": 3 } },
            "GroupCoordinator": { "nodeid": 1, "state": "UP", "txerrs": 0, "rxerrs": 0,
                "req_timeouts": 0, "disconnects": 0, "rtt": { "avg": 5000, "p99": 9000, "cnt": 1 } },
            "b:9092/bootstrap": { "nodeid": -1, "state": "INIT", "txerrs": 0, "rxerrs": 0,
                "req_timeouts": 0, "disconnects": 1, "rtt": { "avg": 0, "p99": 0, "cnt": 0 } }
        },
        "topics": { "in": { "partitions": { "0": { "hi_offset": -1001 } } } }
    }"#;

    #[test]
    fn the_figures_of_all_brokers_are_taken_together() {
        let figures = serde_json::from_str::<Statistics>(TOLD).unwrap().figures();
        let expected = ClientFigures {
            bytes_received: 70_000,
            bytes_sent: 5000,
            messages: 12,
            requests: 40,
            round_trip: Some((0.002, 0.009)),
            queued: 3,
            brokers_up: 2,
            disconnects: 2,
            errors: 7,
        };
        assert_eq!(figures, expected);
    }

    #[test]
    fn a_client_of_which_nobody_wants_to_know_tells_nothing() {
        Told::default().tell(b"garbage");
        let metrics = Metrics::new().unwrap();
        let told = Teller(Some((metrics.clone(), "cut".to_owned(), Client::Consumer))).begin();
        told.tell(b"garbage");
        told.tell(TOLD.as_bytes());
        let line = r#"reelmill_kafka_messages_total{client="consumer",processor="cut"} 12"#;
        assert!(metrics.gather().contains(line), "{}", metrics.gather());
    }
}
