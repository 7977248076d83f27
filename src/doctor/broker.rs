//! Kafka: brokers, topics, partitions and settings.

use super::{
    finding::{Check, Finding},
    place::{Place, Setup},
    within::{Late, QUESTION, answer},
};
use crate::{cli::Processes, connections, pipeline::shape};
use connectors::kafka::{Barred, Cluster, Kafka, Settings, Unseen};
use engine::Trouble;
use futures::future::join_all;
use std::{collections::BTreeMap, time::Duration};
use tokio::{net::TcpStream, time::timeout};

pub(super) const CHECKS: [Check; 5] =
    [Check::Broker, Check::Topics, Check::Partitions, Check::Retention, Check::Transactions];
pub(super) const KAFKA: &str = "REELMILL_KAFKA (--kafka)";
const CREATE: &str = "reelmill topics create";
/// How long one connection may take.
const CONNECT: Duration = Duration::from_secs(2);
/// Before the end of a question.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// An event whose service is away is waited for so long, and its topic must have it then.
const LONGEST_WAIT_MS: i64 = 3 * 24 * 3600 * 1000;
/// Of our producers.
const TRANSACTION_MS: i64 = 15_000;

pub(super) async fn kafka(setup: &Setup, replicas: &[Processes]) -> Vec<Finding> {
    let unseen = |because: String| {
        CHECKS[1..].iter().map(move |check| Finding::not_looked_at(*check, because.clone()))
    };
    let Some(at) = setup.kafka.at() else {
        let because = setup.embedded("the broker");
        let first = Finding::ok(Check::Broker, because.clone());
        return std::iter::once(first).chain(unseen(because)).collect();
    };
    let Ok(kafka) = connections::kafka(&setup.kafka_at(at), "doctor") else {
        let because = "its settings contradict each other: see configuration".to_owned();
        let first = Finding::not_looked_at(Check::Broker, because.clone());
        return std::iter::once(first).chain(unseen(because)).collect();
    };
    let (first, cluster) = broker(at, &kafka).await;
    let Some(cluster) = cluster else {
        return std::iter::once(first).chain(unseen("the broker cannot be asked".into())).collect();
    };
    let wanted: Vec<_> = shape().topics().into_iter().collect();
    let there: Vec<_> =
        wanted.iter().filter(|t| cluster.topics.contains_key(*t)).map(String::as_str).collect();
    let first_broker = cluster.brokers.first().map(|node| node.id).unwrap_or_default();
    let settings = answer::<_, Trouble>(kafka.settings(&there, first_broker, QUESTION)).await;
    let (retention, transactions) = match &settings {
        Ok((topics, broker)) => (retained(topics, &cluster), transactions(broker, &cluster)),
        Err(trouble) => {
            let because = format!("the settings cannot be read: {trouble}");
            let unseen = |check| Finding::not_looked_at(check, because.clone());
            (unseen(Check::Retention), unseen(Check::Transactions))
        }
    };
    let is_embedded = matches!(setup.kafka, Place::Running(_));
    let partitions = partitions(&wanted, &cluster, replicas, is_embedded);
    vec![first, topics(&wanted, &cluster), partitions, retention, transactions]
}

/// Whether anybody is there, whether that is Kafka, and whether we get to where it sends us.
async fn broker(at: &str, kafka: &Kafka) -> (Finding, Option<Cluster>) {
    let check = Check::Broker;
    let tried = join_all(addresses(at).into_iter().map(connected)).await;
    if let Some(Err(cause)) = tried.iter().find(|tried| tried.is_err())
        && tried.iter().all(Result::is_err)
    {
        let found = format!("nobody can be reached at {at}: {cause}");
        return (Finding::failed(check, found, format!("start Kafka, or correct {KAFKA}")), None);
    }
    let security = kafka.security();
    // The client keeps to that time, and hears why before it ends.
    let looked = timeout(QUESTION + CONNECT, kafka.look(QUESTION - LAST_WORDS));
    let cluster = match looked.await.unwrap_or_else(|_| Err(Unseen::from(Trouble::from(Late)))) {
        Ok(cluster) => cluster,
        Err(Unseen { barred: Some(Barred { by, said }), .. }) => {
            let found = format!("{at} does not let us in: {} ({said})", by.cause(security));
            return (Finding::failed(check, found, by.remedy(security)), None);
        }
        Err(Unseen { trouble: trouble @ Trouble::Fatal(_), .. }) => {
            let remedy = "as said there; see REELMILL_KAFKA_SECURITY (--kafka-security)";
            return (Finding::failed(check, trouble.to_string(), remedy), None);
        }
        Err(Unseen { trouble, .. }) => {
            let found = format!("what listens at {at} does not answer as Kafka does: {trouble}");
            let remedy = format!(
                "{KAFKA} must name a listener of a broker that speaks as REELMILL_KAFKA_SECURITY \
                 says, and whose advertised.listeners can be reached from here"
            );
            return (Finding::failed(check, found, remedy), None);
        }
    };
    let brokers = cluster.brokers.iter().map(|node| (node.host.clone(), node.port));
    for tried in join_all(brokers.map(connected)).await {
        if let Err(cause) = tried {
            let found = format!("{at} sends us on to a broker that cannot be reached: {cause}");
            let remedy = "set advertised.listeners of that broker to an address that is reachable \
                          from here";
            return (Finding::failed(check, found, remedy), None);
        }
    }
    let count = cluster.brokers.len();
    let ending = if count == 1 { "" } else { "s" };
    (Finding::ok(check, format!("{at} answers: {count} broker{ending}")), Some(cluster))
}

/// `host:port`, several separated by commas, each perhaps with a protocol.
fn addresses(at: &str) -> Vec<(String, u16)> {
    let one = |text: &str| {
        let text = text.trim();
        let text = text.split_once("://").map_or(text, |(_, rest)| rest);
        let (host, port) = text.rsplit_once(':').unwrap_or((text, "9092"));
        let host = host.trim_start_matches('[').trim_end_matches(']');
        (host.to_owned(), port.parse().unwrap_or_default())
    };
    at.split(',').map(one).collect()
}

async fn connected((host, port): (String, u16)) -> Result<(), String> {
    let told = |cause: &dyn std::fmt::Display| Err(format!("{host}:{port}: {cause}"));
    match timeout(CONNECT, TcpStream::connect((host.as_str(), port))).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(e)) => told(&e),
        Err(_) => told(&format_args!("no connection within {} s", CONNECT.as_secs())),
    }
}

/// Whether all are there, whole and with copies.
fn topics(wanted: &[String], cluster: &Cluster) -> Finding {
    let check = Check::Topics;
    let look = |name: &String| cluster.topics.get(name);
    let missing: Vec<_> = wanted.iter().filter(|t| look(t).is_none()).map(String::as_str).collect();
    if missing.len() == wanted.len() {
        let found = format!("there is none of the {} topics", wanted.len());
        return Finding::failed(check, found, CREATE);
    }
    if !missing.is_empty() {
        let found = format!("{} of {}: {}", missing.len(), wanted.len(), missing.join(", "));
        return Finding::failed(check, format!("missing are {found}"), CREATE);
    }
    let of = |is: fn(&connectors::kafka::TopicLook) -> bool| {
        let names = wanted.iter().filter(|name| look(name).is_some_and(is));
        names.map(String::as_str).collect::<Vec<_>>().join(", ")
    };
    let leaderless = of(|topic| topic.leaderless > 0 || topic.partitions == 0);
    if !leaderless.is_empty() {
        let found = format!("partitions have no leader, of {leaderless}");
        return Finding::failed(check, found, "start the brokers that are away");
    }
    let behind = of(|topic| topic.behind > 0);
    if !behind.is_empty() {
        let found = format!("copies are behind or away, of {behind}");
        return Finding::warning(check, found, "see which of the brokers is away or slow");
    }
    let single = of(|topic| topic.copies < 2);
    if !single.is_empty() && cluster.brokers.len() > 1 {
        return Finding::warning(
            check,
            format!("there is one copy only, of {single}"),
            "kafka-reassign-partitions.sh; for new ones default.replication.factor of the brokers",
        );
    }
    Finding::ok(check, format!("all {} are there", wanted.len()))
}

/// Whether as many processes as are wanted, or as the design expects, find work.
fn partitions(
    wanted: &[String],
    cluster: &Cluster,
    replicas: &[Processes],
    is_embedded: bool,
) -> Finding {
    let check = Check::Partitions;
    let count = |name: &str| cluster.topics.get(name).map(|topic| topic.partitions);
    let alter = |name: &str, number: usize| {
        format!("kafka-topics.sh --alter --topic {name} --partitions {number}")
    };
    for Processes { of, count: processes } in replicas {
        let mill = shape();
        for spec in mill.specs().filter(|spec| of.is_none_or(|of| of == spec.name)) {
            // Not its retries: whoever waits there holds up nobody.
            let reads = spec.reads.iter().filter(|t| !t.starts_with("reelmill."));
            let least = reads.filter_map(|t| Some((count(t)?, t))).min();
            if let Some((partitions, topic)) = least
                && partitions < *processes
            {
                let found = format!(
                    "{processes} processes of {} and {partitions} partitions of {topic}: {} would \
                     have nothing to do",
                    spec.name,
                    processes - partitions
                );
                return Finding::warning(check, found, alter(topic, *processes));
            }
        }
    }
    let expected = |name: &str| usize::try_from(connections::partitions_of(name)).unwrap_or(0);
    let few: Vec<_> = wanted
        .iter()
        .filter_map(|name| Some((name, count(name)?)))
        .filter(|(name, there)| !is_embedded && *there < expected(name))
        .collect();
    if let Some((first, _)) = few.first() {
        let told = few.iter().map(|(n, there)| format!("{n} {there} of {}", expected(n)));
        let told: Vec<_> = told.collect();
        let found = format!("fewer processes can share the work: {}", told.join(", "));
        let remedy = format!("{}, and so on", alter(first, expected(first)));
        return Finding::warning(check, found, remedy);
    }
    match wanted.iter().filter(|name| count(name).is_some()).count() {
        0 => Finding::not_looked_at(check, "there are no topics"),
        _ if is_embedded => Finding::ok(check, "as many as one machine needs"),
        _ => Finding::ok(
            check,
            "12 for clips, 6 for videos, 3 for retries and dead letters, or more",
        ),
    }
}

/// Whether events stay until they are worked on.
fn retained(topics: &BTreeMap<String, Settings>, cluster: &Cluster) -> Finding {
    let check = Check::Retention;
    let set = "kafka-configs.sh --alter --entity-type topics --entity-name";
    for (name, settings) in topics {
        let text = |key: &str| settings.get(key).map(String::as_str).unwrap_or_default();
        let number = |key: &str| text(key).parse::<i64>().ok();
        if text("cleanup.policy").contains("compact") {
            let found =
                format!("{name} is compacted: of each key all events but the last are lost");
            return Finding::failed(
                check,
                found,
                format!("{set} {name} --add-config cleanup.policy=delete"),
            );
        }
        let copies = cluster.topics.get(name).map(|topic| topic.copies).unwrap_or_default();
        if let Some(least) = number("min.insync.replicas")
            && usize::try_from(least).is_ok_and(|least| copies > 0 && least > copies)
        {
            let found =
                format!("{name} wants {least} copies in sync and has {copies}: no write is taken");
            return Finding::failed(
                check,
                found,
                format!("{set} {name} --add-config min.insync.replicas=1"),
            );
        }
        if let Some(kept) = number("retention.ms").filter(|ms| (0..LONGEST_WAIT_MS).contains(ms)) {
            let found = format!(
                "{name} keeps events for {:.1} hours; those whose service is away may wait three days",
                kept as f64 / 3_600_000.0
            );
            return Finding::warning(
                check,
                found,
                format!("{set} {name} --add-config retention.ms=604800000"),
            );
        }
    }
    match topics.len() {
        0 => Finding::not_looked_at(check, "there are no topics"),
        _ => Finding::ok(check, "events stay for three days at least, and none is compacted away"),
    }
}

/// Whether the broker lets us commit.
fn transactions(broker: &Settings, cluster: &Cluster) -> Finding {
    let check = Check::Transactions;
    let number = |key: &str| broker.get(key).and_then(|value| value.parse::<i64>().ok());
    let brokers = i64::try_from(cluster.brokers.len()).unwrap_or(i64::MAX);
    if let Some(most) = number("transaction.max.timeout.ms").filter(|most| *most < TRANSACTION_MS) {
        let found = format!("transactions may take {most} ms, and ours ask for {TRANSACTION_MS}");
        return Finding::failed(check, found, "raise transaction.max.timeout.ms of the brokers");
    }
    for key in ["transaction.state.log.replication.factor", "transaction.state.log.min.isr"] {
        if let Some(wanted) = number(key).filter(|wanted| *wanted > brokers) {
            let found =
                format!("{key} is {wanted}, and brokers are {brokers}: no transaction can begin");
            return Finding::failed(check, found, format!("set {key} of the brokers to {brokers}"));
        }
    }
    if broker.is_empty() {
        return Finding::ok(check, "the broker sets no bounds to them");
    }
    Finding::ok(check, "the broker allows what the mill asks for")
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;
    use connectors::kafka::{Node, TopicLook};

    fn cluster(brokers: i32, topic: TopicLook) -> Cluster {
        let node = |id| Node { id, host: "h".to_owned(), port: 9092 };
        let topics = BTreeMap::from([("clips-ready".to_owned(), topic)]);
        Cluster { brokers: (1..=brokers).map(node).collect(), topics }
    }

    fn settings(pairs: &[(&str, &str)]) -> Settings {
        pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn addresses_are_read_as_the_client_reads_them() {
        let read = addresses("a:1, PLAINTEXT://b:2,[::1]:3,c");
        let told: Vec<_> = read.iter().map(|(host, port)| (host.as_str(), *port)).collect();
        assert_eq!(told, [("a", 1), ("b", 2), ("::1", 3), ("c", 9092)]);
    }

    #[test]
    fn topics_without_leaders_or_copies_are_told() {
        let names = ["clips-ready".to_owned()];
        let whole = TopicLook { partitions: 12, copies: 3, ..TopicLook::default() };
        for (topic, state) in [
            (whole, State::Ok),
            (TopicLook { leaderless: 1, ..whole }, State::Failed),
            (TopicLook { behind: 1, ..whole }, State::Warning),
            (TopicLook { copies: 1, ..whole }, State::Warning),
        ] {
            assert_eq!(topics(&names, &cluster(3, topic)).state, state, "{topic:?}");
        }
    }

    #[test]
    fn settings_that_lose_or_refuse_events_are_told() {
        let topic = TopicLook { partitions: 12, copies: 1, ..TopicLook::default() };
        for (pairs, state) in [
            (&[("retention.ms", "604800000")][..], State::Ok),
            (&[("retention.ms", "-1")], State::Ok),
            (&[("retention.ms", "3600000")], State::Warning),
            (&[("cleanup.policy", "compact")], State::Failed),
            (&[("min.insync.replicas", "2")], State::Failed),
        ] {
            let topics = BTreeMap::from([("clips-ready".to_owned(), settings(pairs))]);
            assert_eq!(retained(&topics, &cluster(1, topic)).state, state, "{pairs:?}");
        }
        for (pairs, state) in [
            (&[("transaction.max.timeout.ms", "900000")][..], State::Ok),
            (&[("transaction.max.timeout.ms", "10000")], State::Failed),
            (&[("transaction.state.log.replication.factor", "3")], State::Failed),
            (&[("transaction.state.log.min.isr", "2")], State::Failed),
        ] {
            let told = transactions(&settings(pairs), &cluster(1, topic));
            assert_eq!(told.state, state, "{pairs:?}");
        }
    }
}
