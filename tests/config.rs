//! Flags, environment and configuration file, through the program.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
};
use tempfile::TempDir;

struct Home(TempDir);

impl Home {
    fn new(config: &str) -> Self {
        let home = Self(TempDir::new().unwrap());
        fs::create_dir_all(home.file().parent().unwrap()).unwrap();
        fs::write(home.file(), config).unwrap();
        home
    }

    fn file(&self) -> PathBuf {
        self.0.path().join(".config/reelmill/config.toml")
    }

    fn run(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_reelmill"))
            .args(arguments)
            .env_clear()
            .env("HOME", self.0.path())
            .envs(variables.iter().copied())
            .output()
            .unwrap()
    }

    fn printed(&self, arguments: &[&str], variables: &[(&str, &str)]) -> toml::Table {
        let output = self.run(arguments, variables);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        toml::from_str(&text).unwrap()
    }

    fn refused(&self, word: &str) {
        let output = self.run(&["up", "--print-config"], &[]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(64), "{said}");
        assert!(said.contains(word) && said.contains("config.toml"), "{said}");
    }
}

#[test]
fn a_flag_wins_over_its_variable_that_over_the_file_and_that_over_the_default() {
    let home = Home::new("clip_seconds = 10\nport = 1\nmask = \"solid\"\nbucket = \"file\"\n");
    let settings = home.printed(
        &["up", "--print-config", "--clip-seconds", "30"],
        &[("REELMILL_CLIP_SECONDS", "20"), ("REELMILL_PORT", "2")],
    );
    assert_eq!(settings["clip_seconds"].as_integer(), Some(30));
    assert_eq!(settings["port"].as_integer(), Some(2));
    assert_eq!(settings["mask"].as_str(), Some("solid"));
    assert_eq!(settings["bucket"].as_str(), Some("file"));
    assert_eq!(settings["kafka_port"].as_integer(), Some(9092));
}

#[test]
fn what_is_printed_is_a_file_that_gives_the_same_settings() {
    let home = Home::new("allowed_buckets = [\"a\", \"b\"]\nface_threshold = 0.5\n");
    let first = home.printed(&["up", "--print-config"], &[]);
    let list: Vec<_> =
        first["allowed_buckets"].as_array().unwrap().iter().map(|v| v.as_str().unwrap()).collect();
    assert_eq!(list, ["a", "b"]);
    fs::write(home.file(), first.to_string()).unwrap();
    assert_eq!(home.printed(&["up", "--print-config"], &[]), first);
}

#[test]
fn one_file_serves_all_commands() {
    let home = Home::new("kafka = \"10.0.0.1:9092\"\nport = 5\nurl = \"http://127.0.0.1:7\"\n");
    let run = home.printed(&["run", "--print-config"], &[]);
    assert_eq!((run["kafka"].as_str(), run["port"].as_integer()), (Some("10.0.0.1:9092"), Some(5)));
    assert!(!run.contains_key("secret_key"), "secrets are not shown");
    let status = home.run(&["status"], &[]);
    assert!(String::from_utf8_lossy(&status.stderr).contains("127.0.0.1:7"));
}

#[test]
fn mistakes_in_the_file_name_the_file_the_key_and_the_remedy() {
    Home::new("clip_secnds = 10\n").refused("did you mean `clip_seconds`");
    Home::new("clip_seconds = 0\n").refused("1 to 3600");
    Home::new("clip_seconds = \"long\"\n").refused("1 to 3600");
    Home::new("mask = \"smudge\"\n").refused("smudge");
    Home::new("[port]\nnumber = 1\n").refused("must be a text, a number");
    Home::new("port = \n").refused("is not TOML");
    let home = Home::new("");
    let missing = home.run(&["up", "--config", "nowhere.toml"], &[]);
    assert_eq!(missing.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("nowhere.toml"));
}

#[test]
fn the_brokers_sync_is_a_word_or_a_number_and_said_in_the_help() {
    let sync = |config: &str, arguments: &[&str]| {
        Home::new(config).printed(&[&["up", "--print-config"], arguments].concat(), &[])
            ["kafka_sync"]
            .clone()
    };
    assert_eq!(sync("", &[]).as_str(), Some("never"));
    assert_eq!(sync("kafka_sync = 250\n", &[]).as_integer(), Some(250));
    assert_eq!(sync("kafka_sync = 250\n", &["--kafka-sync", "always"]).as_str(), Some("always"));

    for word in ["sometimes", "0", "-5", "1.5", "250ms", "Always"] {
        let said = "must be never, always or a number of milliseconds";
        Home::new(&format!("kafka_sync = \"{word}\"\n")).refused(said);
        let flag = format!("--kafka-sync={word}");
        let output = Home::new("").run(&["up", &flag], &[]);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(64), "{word}: {told}");
        assert!(told.contains(said), "{word}: {told}");
        assert!(told.contains("--kafka-sync"), "{word}: {told}");
    }

    let help = Home::new("").run(&["up", "--help"], &[]);
    let help = String::from_utf8(help.stdout).unwrap();
    let words = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for said in ["never|always|MILLISECONDS", "A power cut takes", "with `always`, nothing"] {
        assert!(words.contains(said), "{said}: {help}");
    }
}

#[test]
fn a_databases_password_is_shown_nowhere() {
    let url = "postgres://ann:hush@db/mill";
    let silent = |home: &Home, arguments: &[&str], variables: &[(&str, &str)]| {
        let output = home.run(arguments, variables);
        for text in [&output.stdout, &output.stderr] {
            let text = String::from_utf8_lossy(text);
            assert!(!text.contains("hush"), "{arguments:?}: {text}");
        }
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let nothing = Home::new("");
    let variable = [("REELMILL_DATABASE", url)];
    for arguments in [["up", "--print-config"], ["up", "--help"], ["run", "--help"]] {
        assert_eq!(silent(&nothing, &arguments, &variable).0, Some(0));
    }
    let flags = ["up", "--print-config", "--database", url];
    assert_eq!(silent(&nothing, &flags, &[]).0, Some(0));
    let file = Home::new(&format!("database = \"{url}\"\n"));
    assert_eq!(silent(&file, &["up", "--print-config"], &[]).0, Some(0));
    let printed = file.run(&["up", "--print-config"], &[]).stdout;
    assert!(String::from_utf8_lossy(&printed).contains("database is a secret and not shown"));

    // Mistakes are told without the line, or the address, that they are in.
    for (text, said) in [
        (format!("port = 1\ndatabase = \"{url}\n"), "line 2: "),
        (format!("database = {url}\n"), "line 1: "),
        (format!("databse = \"{url}\"\n"), "did you mean `database`"),
        (format!("database = [\"{url}\", \"{url}\"]\n"), "--database"),
        (format!("[database]\nurl = \"{url}\"\n"), "must be a text"),
        (format!("database = \"{}\"\n", url.replace("postgres", "mysql")), "mysql"),
        (format!("database = \"{}\"\n", url.replace("postgres:", "")), "is no URL"),
    ] {
        let (code, told) = silent(&Home::new(&text), &["up"], &[]);
        assert_eq!(code, Some(64), "{text}: {told}");
        assert!(told.contains(said), "{text}: {told}");
    }
}

#[test]
fn the_password_of_opensearch_is_shown_nowhere() {
    let url = "https://ann:hush@search:9200";
    let variables = [("REELMILL_OPENSEARCH", url), ("REELMILL_OPENSEARCH_PASSWORD", "hush")];
    let flags = ["--opensearch", url, "--opensearch-password", "hush"];
    let file = format!("opensearch = \"{url}\"\nopensearch_password = \"hush\"\n");
    for (home, arguments, variables) in [
        (Home::new(""), &[] as &[&str], &variables[..]),
        (Home::new(""), &flags, &[]),
        (Home::new(&file), &[], &[]),
    ] {
        for command in [&["up"] as &[&str], &["run"]] {
            let output = home.run(&[command, &["--print-config"], arguments].concat(), variables);
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(said.contains("opensearch is a secret and not shown"), "{said}");
            assert!(said.contains("opensearch_password is a secret and not shown"), "{said}");
            assert!(said.contains("opensearch_index = \"reelmill\""), "{said}");
            assert!(!said.contains("hush"), "{said}");
        }
    }
    let help = Home::new("").run(&["index", "rebuild", "--help"], &variables).stdout;
    let help = String::from_utf8_lossy(&help).into_owned();
    assert!(help.contains("--opensearch-password") && !help.contains("hush"), "{help}");
}

#[test]
fn completions_and_manual_pages_know_every_command() {
    let home = Home::new("");
    for shell in ["bash", "zsh", "fish"] {
        let output = home.run(&["completions", shell], &[]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("dead-letters") && text.contains("redrive"), "{shell}");
    }
    let directory = home.0.path().join("man");
    let man = home.run(&["man", directory.to_str().unwrap()], &[]);
    assert!(man.status.success(), "{}", String::from_utf8_lossy(&man.stderr));
    for page in ["reelmill.1", "reelmill-up.1", "reelmill-dead-letters-redrive.1"] {
        let text = fs::read_to_string(directory.join(page)).unwrap();
        assert!(text.starts_with(".ie") || text.contains(".TH"), "{page}");
    }
}
