//! How the services are reached that want to know who we are: settings, as the connectors take them.

use crate::{
    cli::{KafkaArgs, KafkaSecurity, KeyArgs, is_aws},
    failure::Failure,
};
use connectors::{
    kafka::{KafkaConfig, Protocol, Security},
    rekognition::{Rekognition, RekognitionConfig},
    s3::{S3, S3Config},
};
use std::{collections::BTreeMap, path::Path, time::Duration};

/// The longest pause between two looks at a job of a detector of our own, which answers any number of them; AWS
/// allows few a second.
const LOOK: Duration = Duration::from_millis(200);

/// How Kafka is reached; mistakes that can be told without asking it.
pub fn kafka(args: &KafkaArgs, instance: &str) -> Result<KafkaConfig, Failure> {
    Ok(KafkaConfig {
        bootstrap: args.at.clone(),
        security: security(args)?,
        extra: BTreeMap::new(),
        instance: instance.to_owned(),
    })
}

fn security(args: &KafkaArgs) -> Result<Security, Failure> {
    const KINDS: &str = "sasl-plain, scram-sha-256 or scram-sha-512";
    let access = &args.access;
    let protocol = match access.kafka_security {
        KafkaSecurity::Plaintext => Protocol::Plaintext,
        KafkaSecurity::Tls => Protocol::Tls,
        KafkaSecurity::SaslPlain => Protocol::SaslPlain,
        KafkaSecurity::ScramSha256 => Protocol::ScramSha256,
        KafkaSecurity::ScramSha512 => Protocol::ScramSha512,
        KafkaSecurity::AwsMskIam => Protocol::AwsMskIam,
    };
    let (user, password) = (&access.kafka_user, &access.kafka_password);
    let is_empty = |text: &Option<String>| text.as_ref().is_none_or(String::is_empty);
    if protocol.has_user() && (is_empty(user) || is_empty(password)) {
        return Err(Failure::usage(
            "this --kafka-security wants a user and a password: set REELMILL_KAFKA_USER and \
             REELMILL_KAFKA_PASSWORD",
        ));
    }
    if !protocol.has_user() && (user.is_some() || password.is_some()) {
        return Err(Failure::usage(format!(
            "there is a user or a password of Kafka, and this --kafka-security sends none: set \
             REELMILL_KAFKA_SECURITY to {KINDS}, or take them away"
        )));
    }
    if protocol == Protocol::Plaintext && access.kafka_ca.is_some() {
        return Err(Failure::usage(format!(
            "there are authorities for TLS, and --kafka-security is plaintext: set \
             REELMILL_KAFKA_SECURITY to tls, {KINDS}, or take --kafka-ca away"
        )));
    }
    access.kafka_ca.as_deref().map(certificates).transpose()?;
    Ok(Security {
        protocol,
        ca: access.kafka_ca.clone(),
        user: user.clone(),
        password: password.clone(),
        region: args.region.name.clone(),
    })
}

/// Whether a file has certificates: what librdkafka says of others tells nobody anything.
fn certificates(file: &Path) -> Result<(), Failure> {
    let wrong = |cause: &dyn std::fmt::Display| {
        Failure::usage(format!(
            "the authorities in {} cannot be used ({cause}): set --kafka-ca to a PEM file with their \
             certificates",
            file.display()
        ))
    };
    let text = std::fs::read(file).map_err(|e| wrong(&e))?;
    let mark = b"-----BEGIN CERTIFICATE-----";
    match text.windows(mark.len()).any(|part| part == mark) {
        true => Ok(()),
        false => Err(wrong(&"there is no certificate in it")),
    }
}

/// A client of an object store.
pub async fn s3(endpoint: &str, keys: &KeyArgs, region: &str) -> Result<S3, Failure> {
    let (access_key, secret_key) = pair(keys, keys.sign_for_store(endpoint));
    Ok(S3::new(S3Config {
        endpoint: Some(endpoint.to_owned()),
        region: region.to_owned(),
        access_key,
        secret_key,
        force_path_style: true,
    })
    .await?)
}

/// A client of a detector.
pub async fn rekognition(
    endpoint: &str,
    keys: &KeyArgs,
    region: &str,
) -> Result<Rekognition, Failure> {
    let (access_key, secret_key) = pair(keys, keys.sign_for_detector(endpoint));
    let usual = RekognitionConfig::default();
    Ok(Rekognition::new(RekognitionConfig {
        endpoint: Some(endpoint.to_owned()),
        region: region.to_owned(),
        access_key,
        secret_key,
        poll: if is_aws(endpoint) { usual.poll } else { LOOK },
    })
    .await?)
}

/// Without them AWS's default chain is asked.
fn pair(keys: &KeyArgs, are_used: bool) -> (Option<String>, Option<String>) {
    let of = |key: &str| are_used.then(|| key.to_owned());
    (of(keys.access_key()), of(keys.secret_key()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Credentials;

    const HERE: &str = "http://127.0.0.1:9000";
    const AWS: &str = "https://rekognition.eu-central-1.amazonaws.com";
    const OURS: &str = "http://vision:9001";

    #[test]
    fn a_laptop_asks_no_chain_and_aws_is_asked_with_one_where_no_keys_are_given() {
        let none = KeyArgs::default();
        assert!(none.sign_for_store(HERE) && none.sign_for_detector(HERE));
        assert!(none.sign_for_store("http://localhost:1") && none.sign_for_store("http://[::1]:1"));
        assert!(!none.sign_for_store(AWS) && !none.sign_for_detector(AWS));
        let given = KeyArgs { credentials: None, ..KeyArgs::of("mill", "hush") };
        assert!(given.sign_for_store(AWS) && given.sign_for_detector(AWS));
    }

    #[test]
    fn a_role_for_the_store_and_keys_for_a_detector_of_our_own_go_together() {
        let both = KeyArgs { credentials: Some(Credentials::Aws), ..KeyArgs::of("mill", "hush") };
        assert!(!both.sign_for_store(AWS) && !both.sign_for_store(HERE));
        assert!(!both.sign_for_detector(AWS) && both.sign_for_detector(OURS));
        let role = KeyArgs { credentials: Some(Credentials::Aws), ..KeyArgs::default() };
        assert!(!role.sign_for_detector(OURS));
        assert!(role.embedded().sign_for_store(HERE), "what is embedded knows keys only");
        assert_eq!(pair(&role, false), (None, None));
    }

    #[test]
    fn settings_of_kafka_that_contradict_each_other_are_told() {
        let told = |security, user: Option<&str>, ca: Option<&str>| {
            let mut args = KafkaArgs::plaintext("a:9093");
            args.access.kafka_security = security;
            args.access.kafka_user = user.map(str::to_owned);
            args.access.kafka_password = user.map(|_| "hush".to_owned());
            args.access.kafka_ca = ca.map(Into::into);
            let told = kafka(&args, "a").map_err(|failure| failure.to_string());
            assert!(!format!("{told:?}{args:?}").contains("hush"));
            told.err().unwrap_or_default()
        };
        assert_eq!(told(KafkaSecurity::Plaintext, None, None), "");
        assert_eq!(told(KafkaSecurity::AwsMskIam, None, None), "");
        assert_eq!(told(KafkaSecurity::ScramSha512, Some("ann"), None), "");
        assert!(told(KafkaSecurity::ScramSha256, None, None).contains("REELMILL_KAFKA_USER"));
        assert!(told(KafkaSecurity::Tls, Some("ann"), None).contains("sends none"));
        assert!(told(KafkaSecurity::Plaintext, None, Some("/ca")).contains("is plaintext"));
        assert!(told(KafkaSecurity::Tls, None, Some("/no/ca.pem")).contains("/no/ca.pem"));
        assert!(told(KafkaSecurity::Tls, None, Some("/dev/null")).contains("no certificate in it"));
    }
}
