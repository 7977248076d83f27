//! How it is told, and what is not.

use crate::{
    fake,
    support::{Patient, World, write},
};
use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};
use tempfile::TempDir;

#[test]
fn the_table_fits_into_a_terminal_and_ends_with_a_sum() {
    let world = World::new();
    let mut patient = Patient::deployment(&world);
    patient.set("REELMILL_BUCKET", "missing");
    let table = patient.table();
    assert!(table.lines().all(|line| line.chars().count() <= 100), "{table}");
    let row = table.lines().position(|line| line.starts_with("failed         bucket         "));
    let below = table.lines().skip(row.unwrap()).find(|line| line.contains("remedy: "));
    assert!(below.unwrap().contains("make the bucket"), "{table}");
    assert!(table.lines().last().unwrap().starts_with("1 failed, "), "{table}");
}

#[test]
fn what_a_server_says_commands_no_terminal_and_no_secret_is_shown() {
    let world = World::new();
    let mut patient = Patient::deployment(&world);
    let told = r#"{"error_code": 50001, "message": "\u001b[2Jhush-hush \u202eyou@there"}"#;
    let evil = fake::serve(move |_| fake::reply(500, told));
    patient.set("REELMILL_REGISTRY", &evil.replace("//", "//ann:hush-hush@"));
    patient.set("REELMILL_OPENSEARCH", "https://ann:hush-hush@127.0.0.1:1");
    patient.set("REELMILL_DATABASE", "postgres://ann:hush-hush@127.0.0.1:1/mill");
    let report = patient.looked_at();
    assert_eq!(report.findings["registry"].state, "failed", "{}", report.text);
    assert!(report.findings["registry"].found.contains("50001"), "the answer is told");
    for text in [patient.table(), report.text] {
        assert!(!text.contains("hush"), "{text}");
        let harmless = |c: char| c == '\n' || !c.is_control() && c != '\u{202e}';
        assert!(text.chars().all(harmless), "{text:?}");
    }
}

#[test]
fn a_configuration_that_cannot_be_read_is_told_at_once() {
    let patient = Patient::laptop();
    let file = patient.home.path().join(".config/reelmill/config.toml");
    for (text, said) in [("bukcet = \"a\"\n", "did you mean `bucket`?"), ("bucket\n", "not TOML")] {
        write(&file, text);
        let output = patient.command(env!("CARGO_BIN_EXE_reelmill")).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{told}");
        assert!(told.contains(said) && output.stdout.is_empty(), "{told}");
    }
    fs::remove_file(&file).unwrap();
    let mut patient = patient;
    for (flags, said) in [("detcet=3", "did you mean `detect`?"), ("0", "a number from 1")] {
        patient.flags = vec!["--replicas".to_owned(), flags.to_owned()];
        let output = patient.command(env!("CARGO_BIN_EXE_reelmill")).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{told}");
        assert!(told.contains(said), "{told}");
    }
}

#[test]
fn a_data_directory_of_another_user_is_told() {
    let dir = TempDir::new().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let data = dir.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o555)).unwrap();
    let mut patient = Patient::laptop();
    fs::set_permissions(patient.home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    patient.set("REELMILL_DATA", data.to_str().unwrap());
    let program = Path::new(env!("CARGO_BIN_EXE_reelmill"));
    let is_root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    let report = if is_root {
        // Root may write anywhere, and the program may lie where only root can look.
        let copy = dir.path().join("reelmill");
        fs::copy(program, &copy).unwrap();
        let looking = patient.command(copy);
        let mut other = Command::new("setpriv");
        other.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        other.arg(looking.get_program()).args(looking.get_args()).arg("--json").env_clear();
        other.envs(looking.get_envs().filter_map(|(name, value)| Some((name, value?))));
        crate::support::Report::of(&mut other)
    } else {
        patient.looked_at()
    };
    let told = &report.findings["data"];
    assert_eq!(told.state, "failed", "{}", report.text);
    assert!(told.found.contains("ermission denied"), "{}", report.text);
    assert!(told.remedy.contains("REELMILL_DATA"), "{}", report.text);
}

#[test]
fn every_check_is_in_the_documentation_in_its_order() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/doctor.md");
    let text = fs::read_to_string(file).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let rows: Vec<_> = rows.map(|(name, _)| name.to_owned()).collect();
    assert_eq!(rows, reelmill::doctor::Check::ALL.map(|check| check.name()));
}
