//! Settings, by themselves: what contradicts itself, what nobody reads, what is no secret.

use super::{
    finding::{Check, Finding},
    place::Setup,
};
use crate::{access, cli::LOCAL_SECRET, config, rules};
use std::{collections::BTreeMap, os::unix::fs::MetadataExt, path::Path};

/// Variables that are no settings, and that somebody reads all the same.
const OTHERS: [&str; 6] = [
    "REELMILL_LOG",
    "REELMILL_PROMETHEUS",
    "REELMILL_REQUIRE_SERVICES",
    "REELMILL_SERVICES",
    "REELMILL_SERVICES_PATIENCE",
    "REELMILL_WATCH",
];
/// Rights of group and others.
const OF_OTHERS: u32 = 0o077;

/// The file, and what its settings mean together. A file that cannot be read, or that has a key
/// nobody knows, ended the program before.
pub(super) fn configuration(setup: &Setup, file: Option<&Path>) -> Finding {
    let check = Check::Configuration;
    if let Err(contradiction) = rules::check(&setup.args.mill) {
        return Finding::failed(
            check,
            contradiction.to_string(),
            "correct REELMILL_VERIFY_THRESHOLD (--verify-threshold) or REELMILL_FACE_THRESHOLD",
        );
    }
    let real = &setup.args.real;
    let kafka = rules::check_kafka(real).and_then(|()| match &real.kafka {
        Some(at) => access::kafka(&setup.kafka_at(at), "doctor").map(drop),
        None => Ok(()),
    });
    if let Err(contradiction) = kafka {
        return Finding::failed(
            check,
            contradiction.to_string(),
            "correct REELMILL_KAFKA_SECURITY (--kafka-security) and what goes with it, as said there",
        );
    }
    let known = config::variables();
    let set = known.keys().filter(|name| std::env::var_os(name).is_some()).count();
    Finding::ok(
        check,
        match file {
            Some(file) => format!("{} and {set} variables; flags win over both", file.display()),
            None => format!("no configuration file; {set} variables"),
        },
    )
}

/// A variable that nobody reads is a setting that somebody believes to have made.
pub(super) fn variables() -> Finding {
    let set = std::env::vars_os().filter_map(|(name, value)| {
        Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
    });
    unread(&set.collect(), &config::variables())
}

fn unread(set: &BTreeMap<String, String>, known: &BTreeMap<String, bool>) -> Finding {
    let check = Check::Variables;
    let ours = |name: &str| name.starts_with("REELMILL_");
    let unread: Vec<_> = set
        .iter()
        .filter(|(name, _)| ours(name) && !OTHERS.contains(&name.as_str()))
        .filter(|(name, value)| !known.contains_key(*name) && !is_a_services(name, value))
        .map(|(name, _)| name.as_str())
        .collect();
    let nearest = |name: &&str| schemas::nearest(name, known.keys().map(String::as_str)).to_owned();
    match &unread[..] {
        [] => Finding::ok(check, "every REELMILL_ variable is a setting"),
        [one] => Finding::warning(
            check,
            format!("nobody reads {one}"),
            format!("did you mean {}? else take it away", nearest(one)),
        ),
        several => Finding::warning(
            check,
            format!("nobody reads {}", several.join(", ")),
            format!(
                "did you mean {}? else take them away",
                several.iter().map(nearest).collect::<Vec<_>>().join(", ")
            ),
        ),
    }
}

/// Kubernetes tells every container of every service.
fn is_a_services(name: &str, value: &str) -> bool {
    name.contains("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || value.starts_with("tcp://")
        || name.contains("_TCP_")
        || name.contains("_UDP_")
}

/// Keys and passwords that are empty, known to everybody, or readable by others.
pub(super) fn secrets(setup: &Setup, file: Option<&Path>) -> Finding {
    let check = Check::Secrets;
    let keys = &setup.args.real.keys;
    let index = &setup.args.mill.shared.index;
    let password = index.opensearch_password.as_deref();
    let given = [
        ("REELMILL_ACCESS_KEY", keys.access_key.as_deref()),
        ("REELMILL_SECRET_KEY", keys.secret_key.as_deref()),
        ("REELMILL_OPENSEARCH_PASSWORD", password),
        ("REELMILL_KAFKA_PASSWORD", setup.args.real.access.kafka_password.as_deref()),
    ];
    for (name, value) in given.into_iter().filter_map(|(name, value)| Some((name, value?))) {
        if value.is_empty() {
            return Finding::failed(check, "a secret is empty", format!("set {name}"));
        }
        if value.trim() != value {
            return Finding::failed(
                check,
                "a secret begins or ends with white space, such as the line break of a file",
                format!("set {name} without it"),
            );
        }
    }
    match (&index.opensearch_user, password) {
        (Some(_), None) => {
            return Finding::failed(
                check,
                "there is a user of OpenSearch and no password",
                "set REELMILL_OPENSEARCH_PASSWORD",
            );
        }
        (None, Some(_)) => {
            return Finding::failed(
                check,
                "there is a password of OpenSearch and no user: it is not sent",
                "set REELMILL_OPENSEARCH_USER",
            );
        }
        _ => {}
    }
    if let Some(file) = file.filter(|file| is_open_with_secrets(file)) {
        let shown = file.display();
        return Finding::warning(
            check,
            format!("other users of this machine can read the secrets in {shown}"),
            format!("chmod 600 {shown}"),
        );
    }
    let store = setup.args.real.s3.as_deref().is_some_and(|at| keys.sign_for_store(at));
    let detector = &setup.args.real.rekognition;
    let detector = detector.as_deref().is_some_and(|at| keys.sign_for_detector(at));
    if (store || detector) && keys.secret_key() == LOCAL_SECRET {
        return Finding::warning(
            check,
            "the store or the detector is elsewhere, and the keys are those that everybody has",
            "set REELMILL_ACCESS_KEY and REELMILL_SECRET_KEY, here and there",
        );
    }
    Finding::ok(check, "none is empty or open to others")
}

fn is_open_with_secrets(file: &Path) -> bool {
    let Ok(found) = std::fs::metadata(file) else { return false };
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let table: toml::Table = toml::from_str(&text).unwrap_or_default();
    let secret: Vec<_> = config::variables().into_iter().filter(|(_, secret)| *secret).collect();
    let holds = |key: &str| {
        secret.iter().any(|(name, _)| {
            name.strip_prefix("REELMILL_").is_some_and(|n| n.eq_ignore_ascii_case(key))
        })
    };
    // An address is a secret only with a password in it.
    let plain_address = |value: &toml::Value| {
        value.as_str().is_some_and(|text| text.contains("://") && !text.contains('@'))
    };
    found.mode() & OF_OTHERS != 0
        && table.iter().any(|(key, value)| holds(key) && !plain_address(value))
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;

    #[test]
    fn a_variable_that_nobody_reads_is_told_with_the_nearest_one() {
        let set = |names: &[&str]| {
            names.iter().map(|name| ((*name).to_owned(), "1".to_owned())).collect()
        };
        let known = config::variables();
        assert!(known.len() > 30 && known["REELMILL_SECRET_KEY"] && !known["REELMILL_S3"]);
        let silent = ["REELMILL_BUCKET", "REELMILL_LOG", "HOME", "REELMILL_API_SERVICE_HOST"];
        assert_eq!(unread(&set(&silent), &known).state, State::Ok);
        let told = unread(&set(&["REELMILL_BUKET"]), &known);
        assert_eq!(told.state, State::Warning);
        assert!(told.remedy.unwrap().contains("did you mean REELMILL_BUCKET?"));
    }
}
