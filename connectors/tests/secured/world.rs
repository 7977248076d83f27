//! The settings for the listeners of [`Secured`].

use connectors::kafka::{Kafka, KafkaConfig, Protocol, Security};
use services::{PASSWORD, REGION, Secured, USER};

/// The right settings of a kind of listener.
pub(crate) fn security(world: &Secured, protocol: Protocol) -> Security {
    let user = |text: &str| protocol.has_user().then(|| text.to_owned());
    Security {
        protocol,
        ca: (protocol != Protocol::Plaintext).then(|| world.ca.clone()),
        user: user(USER),
        password: user(PASSWORD),
        region: REGION.to_owned(),
    }
}

pub(crate) fn kafka(bootstrap: &str, security: Security, instance: &str) -> Kafka {
    let (bootstrap, instance) = (bootstrap.to_owned(), instance.to_owned());
    Kafka::new(KafkaConfig { bootstrap, security, instance, ..KafkaConfig::default() })
}
