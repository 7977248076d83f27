//! What a person who looks for a fault asks of a cluster. Nothing is changed.

use super::{
    Kafka,
    admin::on_thread,
    blame,
    security::{Barred, Security},
};
use ports::Trouble;
use rdkafka::{
    admin::{AdminOptions, ConfigResource, OwnedResourceSpecifier, ResourceSpecifier},
    metadata::{Metadata, MetadataTopic},
};
use std::{collections::BTreeMap, time::Duration};

/// A cluster, as one of its brokers describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cluster {
    /// Where its brokers say that they are.
    pub brokers: Vec<Node>,
    /// By name.
    pub topics: BTreeMap<String, TopicLook>,
}

/// A broker's number and the address that clients are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    pub id: i32,
    pub host: String,
    pub port: u16,
}

/// A topic's partitions and copies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TopicLook {
    pub partitions: usize,
    /// Copies of the partition that has the fewest.
    pub copies: usize,
    /// Partitions that no broker leads: nothing of them can be read or written.
    pub leaderless: usize,
    /// Partitions of which a copy is behind or away.
    pub behind: usize,
}

/// Why a cluster cannot be looked at.
#[derive(Debug, Clone, PartialEq)]
pub struct Unseen {
    /// With what to do about it.
    pub trouble: Trouble,
    /// Where it is TLS or the login.
    pub barred: Option<Barred>,
}

impl From<Trouble> for Unseen {
    fn from(trouble: Trouble) -> Self {
        Self { trouble, barred: None }
    }
}

/// Settings by Kafka's names.
pub type Settings = BTreeMap<String, String>;

impl Kafka {
    /// Where brokers and topics are.
    ///
    /// # Errors
    /// Where nothing answers as Kafka does within this time.
    pub async fn look(&self, within: Duration) -> Result<Cluster, Unseen> {
        let kafka = self.clone();
        on_thread(move || Ok(kafka.cluster("doctor", within))).await?
    }

    /// What TLS and the login are, for a word about them.
    #[must_use]
    pub fn security(&self) -> &Security {
        &self.0.config.security
    }

    /// Settings of these topics, and of a broker.
    ///
    /// # Errors
    /// Where the cluster does not tell.
    pub async fn settings(
        &self,
        topics: &[&str],
        broker: i32,
        within: Duration,
    ) -> Result<(BTreeMap<String, Settings>, Settings), Trouble> {
        let admin = self.admin("doctor").await?;
        let mut asked: Vec<_> = topics.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
        asked.push(ResourceSpecifier::Broker(broker));
        let options = AdminOptions::new().request_timeout(Some(within));
        let answers = admin.describe_configs(&asked, &options).await;
        let (mut of_topics, mut of_broker) = (BTreeMap::new(), Settings::new());
        for answer in answers.map_err(|error| blame(&error))? {
            let told = answer.map_err(|code| blame(&rdkafka::error::KafkaError::AdminOp(code)))?;
            match &told.specifier {
                OwnedResourceSpecifier::Topic(name) => {
                    of_topics.insert(name.clone(), settings(&told));
                }
                _ => of_broker = settings(&told),
            }
        }
        Ok((of_topics, of_broker))
    }
}

pub(super) fn cluster(told: &Metadata) -> Cluster {
    let node = |broker: &rdkafka::metadata::MetadataBroker| Node {
        id: broker.id(),
        host: broker.host().to_owned(),
        port: u16::try_from(broker.port()).unwrap_or_default(),
    };
    Cluster {
        brokers: told.brokers().iter().map(node).collect(),
        topics: told.topics().iter().map(|t| (t.name().to_owned(), topic(t))).collect(),
    }
}

fn topic(told: &MetadataTopic) -> TopicLook {
    let partitions = told.partitions();
    TopicLook {
        partitions: partitions.len(),
        copies: partitions.iter().map(|p| p.replicas().len()).min().unwrap_or_default(),
        leaderless: partitions.iter().filter(|p| p.leader() < 0).count(),
        behind: partitions.iter().filter(|p| p.isr().len() < p.replicas().len()).count(),
    }
}

fn settings(told: &ConfigResource) -> Settings {
    let shown = told.entries.iter().filter(|entry| !entry.is_sensitive);
    shown.filter_map(|entry| Some((entry.name.clone(), entry.value.clone()?))).collect()
}
