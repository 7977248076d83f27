//! Kafka with TLS and logins: what keeps us out is found, and told with its remedy.

use crate::support::{Patient, Report};
use services::{PASSWORD, Secured, USER};

/// What is told of `broker`.
fn looked_at(at: &str, settings: &[(&str, &str)]) -> (Report, String) {
    let mut patient = Patient::laptop();
    patient.set("REELMILL_KAFKA", at);
    patient.set("AWS_EC2_METADATA_DISABLED", "true");
    for (name, value) in settings {
        patient.set(&format!("REELMILL_KAFKA_{name}"), value);
    }
    let report = patient.looked_at();
    assert!(!report.text.contains("hush"), "{}", report.text);
    let state = report.findings["broker"].state.clone();
    (report, state)
}

#[test]
fn what_keeps_us_out_of_kafka_is_found_with_its_remedy() {
    let Some(kafka) = Secured::get() else { return };
    let ca = ("CA", kafka.ca.to_str().unwrap());
    let other = ("CA", kafka.other_ca.to_str().unwrap());
    let (user, password) = (("USER", USER), ("PASSWORD", PASSWORD));
    let scram = ("SECURITY", "scram-sha-512");
    let wrong = ("PASSWORD", "hush-wrong");
    let (tls, plaintext) = (("SECURITY", "tls"), kafka.plaintext());
    let iam = ("SECURITY", "aws-msk-iam");
    for (name, at, settings, found, remedy) in [
        ("no authority", &kafka.tls, &[tls][..], "not signed by", "REELMILL_KAFKA_CA"),
        ("a wrong one", &kafka.tls, &[tls, other], "not signed by", "REELMILL_KAFKA_CA"),
        (
            "a wrong password",
            &kafka.login,
            &[scram, ca, user, wrong],
            "does not take our user and password",
            "REELMILL_KAFKA_PASSWORD",
        ),
        (
            "another login",
            &kafka.iam,
            &[scram, ca, user, password],
            "does not know this kind of login",
            "REELMILL_KAFKA_SECURITY",
        ),
        ("no login", &kafka.login, &[tls, ca], "wants a login", "REELMILL_KAFKA_SECURITY"),
        ("no TLS", &kafka.tls, &[], "speaks TLS", "REELMILL_KAFKA_SECURITY"),
        ("too much TLS", &plaintext, &[tls, ca], "speaks no TLS", "plaintext"),
        ("no credentials", &kafka.iam, &[iam, ca], "has no credentials", "REELMILL_KAFKA_SECURITY"),
    ] {
        let (report, state) = looked_at(at, settings);
        let told = &report.findings["broker"];
        assert_eq!(state, "failed", "{name}: {}", report.text);
        assert!(told.found.contains(found), "{name}: {}", report.text);
        assert!(told.remedy.contains(remedy), "{name}: {}", report.text);
        assert_eq!(report.code, Some(1), "{name}");
    }
    for settings in [[scram, ca, user, password], [("SECURITY", "sasl-plain"), ca, user, password]]
    {
        let (report, state) = looked_at(&kafka.login, &settings);
        assert_eq!(state, "ok", "{}", report.text);
        assert_eq!(report.findings["topics"].state, "failed", "there are none yet");
    }
}

#[test]
fn settings_of_kafka_that_contradict_each_other_are_found() {
    for (settings, found) in [
        (&[("SECURITY", "scram-sha-256")][..], "wants a user and a password"),
        (&[("USER", "ann"), ("PASSWORD", "hush-hush")], "sends none"),
        (&[("SECURITY", "tls"), ("CA", "/nowhere/ca.pem")], "/nowhere/ca.pem"),
        (&[("SECURITY", "tls"), ("CA", "/etc/hostname")], "no certificate in it"),
        (&[("CA", "/etc/hostname")], "is plaintext"),
    ] {
        let (report, state) = looked_at("127.0.0.1:1", settings);
        let told = &report.findings["configuration"];
        assert_eq!((told.state.as_str(), state.as_str()), ("failed", "not_looked_at"));
        assert!(told.found.contains(found), "{}", report.text);
        assert!(told.remedy.contains("REELMILL_KAFKA_SECURITY"), "{}", report.text);
    }
    let mut patient = Patient::laptop();
    patient.set("REELMILL_KAFKA_SECURITY", "tls");
    let report = patient.looked_at();
    let told = &report.findings["configuration"];
    assert!(told.found.contains("the embedded broker"), "{}", report.text);
    // What the program itself says of it, before anything is started.
    let mut up = patient.command(env!("CARGO_BIN_EXE_reelmill"));
    up = {
        let mut command = std::process::Command::new(up.get_program());
        command.env_clear();
        command.envs(up.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.arg("up");
        command
    };
    let output = up.output().unwrap();
    assert_eq!(output.status.code(), Some(64), "{output:?}");
}
