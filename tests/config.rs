//! Flags, environment and configuration file, through the program.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first surprise")]

use clap::CommandFactory;
use std::{
    collections::BTreeSet,
    fs, io,
    path::PathBuf,
    process::{Command, Output},
    thread,
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

    fn command(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_reelmill"));
        command.args(arguments).env_clear().env("HOME", self.0.path());
        command.envs(variables.iter().copied());
        command
    }

    fn run(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
        self.command(arguments, variables).output().unwrap()
    }

    /// What is said on standard error by a command that must be refused as wrong usage.
    fn misused(&self, arguments: &[&str], variables: &[(&str, &str)]) -> String {
        let output = self.run(arguments, variables);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {said}");
        said
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
    let text = "allowed_buckets = [\"a\", \"b\"]\nface_threshold = 0.5\nopensearch_iam = true\n";
    let home = Home::new(text);
    let first = home.printed(&["up", "--print-config"], &[]);
    assert_eq!(first["opensearch_iam"].as_bool(), Some(true));
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
fn each_setting_is_printed_with_where_it_came_from() {
    let home = Home::new("clip_seconds = 10\nbucket = \"kept\"\nmask = \"solid\"\n");
    let output = home
        .run(&["up", "--print-config", "--clip-seconds", "30"], &[("REELMILL_MASK", "gaussian")]);
    let text = String::from_utf8(output.stdout).unwrap();
    let source = |key: &str| {
        let line = text.lines().find(|line| line.starts_with(&format!("{key} = ")));
        line.unwrap_or_else(|| panic!("no {key}: {text}")).split_once("  # ").unwrap().1.to_owned()
    };
    assert_eq!(source("clip_seconds"), "flag");
    assert_eq!(source("mask"), "environment");
    assert_eq!(source("bucket"), format!("file {}", home.file().display()));
    assert_eq!(source("face_threshold"), "default");
    assert!(text.contains("# kafka ="), "{text}");
}

#[test]
fn commands_of_commands_print_their_settings_and_take_them_from_the_file() {
    let home = Home::new("kafka = \"10.0.0.1:9092\"\nbucket = \"kept\"\n");
    let list = home.printed(&["dead-letters", "list", "--print-config"], &[]);
    assert_eq!(list["kafka"].as_str(), Some("10.0.0.1:9092"));
    let rebuild = home.printed(&["index", "rebuild", "--print-config"], &[]);
    assert_eq!(rebuild["bucket"].as_str(), Some("kept"));
    assert_eq!(rebuild["opensearch_index"].as_str(), Some("reelmill"));
    let text = home.run(&["index", "rebuild", "--print-config"], &[]).stdout;
    let text = String::from_utf8(text).unwrap();
    assert!(text.starts_with("# settings of `reelmill index rebuild`\n"), "{text}");
    let topics = home.printed(&["topics", "list", "--print-config", "--kafka", "h:1"], &[]);
    assert_eq!(topics["kafka"].as_str(), Some("h:1"));
}

#[test]
fn settings_that_make_no_mill_are_refused_with_their_bounds() {
    let home = Home::new("");
    let data = home.0.path().join("data");
    for (flags, said) in [
        (&["--permits", "0"] as &[&str], &["--permits", "from 1 to"]),
        (&["--permits", "4000000000000000000"], &["--permits", "from 1 to"]),
        (&["--scratch-max-bytes", "0"], &["--scratch-max-bytes", "from 1275068416"]),
        (&["--scratch-max-bytes", "1073741824"], &["--scratch-max-bytes", "from 1275068416"]),
        (&["--face-threshold", "1"], &["--face-threshold", "from 0.1 to 0.7"]),
        (&["--face-threshold", "0"], &["--face-threshold", "from 0.1 to 0.7"]),
        (&["--face-threshold", "30"], &["--face-threshold", "from 0.1 to 0.7"]),
        (&["--verify-threshold", "1"], &["--verify-threshold", "from 0.1 to 0.8"]),
        (&["--verify-threshold", "NaN"], &["--verify-threshold", "from 0.1 to 0.8"]),
        (
            &["--face-threshold", "0.5", "--verify-threshold", "0.4"],
            &["--verify-threshold 0.4", "below --face-threshold 0.5"],
        ),
        (&["--otlp", "127.0.0.1:4318"], &["--otlp", "must be a URL such as"]),
        (&["--otlp", "grpc://127.0.0.1:4317"], &["--otlp", "neither http nor https"]),
        (&["--otlp", "http://me:secret@host"], &["--otlp", "OTEL_EXPORTER_OTLP_HEADERS"]),
    ] {
        for command in ["up", "run"] {
            let place = [command, "--data", data.to_str().unwrap()];
            let told = home.misused(&[&place, flags].concat(), &[]);
            assert!(said.iter().all(|word| told.contains(word)), "{command} {flags:?}: {told}");
            assert!(!told.contains("secret"), "{command} {flags:?}: {told}");
        }
    }
    assert!(!data.exists(), "it was begun all the same");
    Home::new("face_threshold = 0.9\n").refused("from 0.1 to 0.7");
    let least = ["up", "--print-config", "--scratch-max-bytes", "1275068416", "--permits", "1"];
    assert!(home.run(&least, &[]).status.success());
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

/// Every command, as the words that name it.
fn commands(command: &clap::Command, words: &[String]) -> Vec<Vec<String>> {
    let mut all = vec![words.to_vec()];
    for below in command.get_subcommands() {
        all.extend(commands(below, &[words, &[below.get_name().to_owned()]].concat()));
    }
    all
}

/// The variables of arguments that are not to be shown.
fn hidden(command: &clap::Command) -> BTreeSet<String> {
    let own = command.get_arguments().filter(|arg| arg.is_hide_env_values_set());
    let own = own.map(|arg| arg.get_env().unwrap().to_str().unwrap().to_owned());
    own.chain(command.get_subcommands().flat_map(hidden)).collect()
}

#[test]
fn no_commands_help_shows_a_secret_of_the_environment() {
    const SECRETS: [(&str, &str); 7] = [
        ("REELMILL_DATABASE", "postgres://ann:hush@db/mill"),
        ("REELMILL_KAFKA_PASSWORD", "hush"),
        ("REELMILL_OPENSEARCH", "https://ann:hush@search:9200"),
        ("REELMILL_OPENSEARCH_PASSWORD", "hush"),
        ("REELMILL_OTLP", "http://ann:hush@collector"),
        ("REELMILL_REGISTRY", "http://ann:hush@registry"),
        ("REELMILL_SECRET_KEY", "hush"),
    ];
    let program = reelmill::cli::Cli::command();
    let names = SECRETS.map(|(name, _)| name.to_owned());
    assert_eq!(hidden(&program), BTreeSet::from(names), "a new secret is to be tried here too");
    let (home, all) = (Home::new(""), commands(&program, &[]));
    assert!(all.len() > 20, "{all:?}");
    for words in all {
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        for help in ["--help", "-h"] {
            let output = home.run(&[&words[..], &[help]].concat(), &SECRETS);
            let text = String::from_utf8(output.stdout).unwrap();
            assert!(output.status.success() && !text.is_empty(), "{words:?}");
            assert!(!text.contains("hush"), "{words:?}: {text}");
        }
    }
}

#[test]
fn a_secret_that_is_refused_is_not_quoted() {
    let url = "ftp://ann:hush@registry";
    let variable = [("REELMILL_REGISTRY", url)];
    let nothing = Home::new("");
    let file = Home::new(&format!("registry = \"{url}\"\n"));
    for told in [
        nothing.misused(&["event", "encode", "video-uploaded"], &variable),
        nothing.misused(&["dead-letters", "show", "cut/0/0"], &variable),
        nothing.misused(&["up", "--registry", url], &[]),
        file.misused(&["up"], &[]),
    ] {
        assert!(told.contains("--registry") && told.contains("neither http nor https"), "{told}");
        assert!(!told.contains("hush"), "{told}");
    }
}

#[test]
fn a_reader_that_goes_away_ends_a_command_quietly() {
    let home = Home::new("");
    for arguments in [
        &["completions", "bash"] as &[&str],
        &["completions", "zsh"],
        &["up", "--print-config"],
        &["pipeline"],
        &["--help"],
    ] {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let ended = home.command(arguments, &[]).stdout(writer).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&ended.stderr), "", "{arguments:?}");
        assert_eq!(ended.status.code(), Some(141), "{arguments:?}");
    }
}

#[test]
fn commands_that_find_no_kafka_say_where_they_looked_and_which_flag_to_look_at() {
    let home = &Home::new("");
    // Nobody listens on the first port.
    let commands: [&[&str]; 5] = [
        &["dead-letters", "list"],
        &["dead-letters", "show", "cut/0/0"],
        &["dead-letters", "redrive", "--all"],
        &["topics", "list"],
        &["topics", "create"],
    ];
    thread::scope(|scope| {
        let asked = commands.map(|command| {
            let arguments = [command, &["--kafka", "127.0.0.1:1"]].concat();
            (command, scope.spawn(move || home.run(&arguments, &[])))
        });
        for (command, output) in asked {
            let output = output.join().unwrap();
            let told = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1), "{command:?}: {told}");
            let said = ["kafka at 127.0.0.1:1 cannot be used", "is --kafka right?"];
            assert!(said.iter().all(|word| told.contains(word)), "{command:?}: {told}");
        }
    });
}

#[test]
fn manual_pages_that_cannot_be_written_are_told_with_their_directory() {
    let told = Home::new("").misused(&["man", "/proc/x"], &[]);
    assert!(told.contains("/proc/x") && told.contains("name a directory"), "{told}");
}

#[test]
fn a_file_that_cannot_be_sent_is_blamed_and_not_the_mill_that_is_away() {
    let home = Home::new("");
    let folder = home.0.path().to_str().unwrap();
    for (file, said) in [
        ("/nonexistent/film.mp4", "/nonexistent/film.mp4: No such file"),
        (folder, "is a directory: name the video files in it"),
    ] {
        let output = home.run(&["upload", "--url", "http://127.0.0.1:1", file], &[]);
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains(said), "{told}");
    }
    let film = home.0.path().join("film.mp4");
    fs::write(&film, "film").unwrap();
    let there = ["upload", "--url", "http://127.0.0.1:1", film.to_str().unwrap()];
    let told = home.run(&there, &[]).stderr;
    assert!(String::from_utf8_lossy(&told).contains("no mill answers at"));
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
