//! The configuration file: the same settings as flags and environment variables, as keys of one
//! TOML file. A flag wins over its variable, that over the file, that over the default.

use crate::{cli::Cli, client::plain, failure::Failure};
use clap::{
    Arg, ArgAction, ArgMatches, Command, CommandFactory, FromArgMatches,
    error::{ContextKind, ContextValue},
    parser::ValueSource,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    path::{Path, PathBuf},
};
use toml::Value;

/// What the program was asked to do.
#[derive(Debug)]
pub enum Asked {
    Run(Box<Cli>),
    /// `--print-config`: the settings of the command in effect, as a configuration file.
    Print(String),
}

/// Reads arguments, environment and configuration file.
///
/// Help, and mistakes in the arguments, come as clap's own error; mistakes in the file as a
/// [`Failure`] of usage.
pub fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Asked, Unread> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let mut command = Cli::command();
    let mut kept = Kept::default();
    if let Some(file) = file(&command, &arguments) {
        kept = Kept::read(&command, &file)?;
        command = kept.as_defaults(command);
    }
    let matches = command.clone().try_get_matches_from(arguments);
    let matches = matches.map_err(|error| without_secrets(error, &command))?;
    if matches.get_flag("print_config") {
        return Ok(Asked::Print(printed(&command, &matches, &kept)));
    }
    Ok(Asked::Run(Box::new(Cli::from_arg_matches(&matches)?)))
}

/// Why there is nothing to run.
#[derive(Debug)]
pub enum Unread {
    Arguments(clap::Error),
    File(Failure),
}

impl From<clap::Error> for Unread {
    fn from(error: clap::Error) -> Self {
        Self::Arguments(error)
    }
}

impl From<Failure> for Unread {
    fn from(failure: Failure) -> Self {
        Self::File(failure)
    }
}

/// A configuration file, and whether somebody named it.
struct File {
    path: PathBuf,
    named: bool,
}

/// The file of `--config` or `REELMILL_CONFIG`, else the user's own where there is one.
fn file(command: &Command, arguments: &[OsString]) -> Option<File> {
    let lenient = command.clone().ignore_errors(true);
    let matches = lenient.try_get_matches_from(arguments).ok();
    let named = matches.as_ref().and_then(|m| m.get_one::<PathBuf>("config").cloned());
    if let Some(path) = named {
        return Some(File { path, named: true });
    }
    own_file().map(|path| File { path, named: false })
}

/// The user's own configuration file, where there is one.
#[must_use]
pub fn own_file() -> Option<PathBuf> {
    let path = std::env::home_dir()?.join(".config/reelmill/config.toml");
    path.is_file().then_some(path)
}

/// The names of all variables that are settings, and which of them hold secrets.
#[must_use]
pub fn variables() -> BTreeMap<String, bool> {
    let command = Cli::command();
    let all = std::iter::once(&command).chain(below(&command));
    let all = all.flat_map(|command| command.get_arguments());
    all.filter_map(|arg| Some((arg.get_env()?.to_str()?.to_owned(), arg.is_hide_env_values_set())))
        .collect()
}

/// What a configuration file says.
#[derive(Default)]
struct Kept {
    path: PathBuf,
    /// By key.
    values: BTreeMap<String, Vec<String>>,
}

impl Kept {
    /// Every value can be read by each command that has it.
    fn read(command: &Command, file: &File) -> Result<Self, Failure> {
        let values = values(command, file)?;
        check(command, &values, &file.path)?;
        Ok(Self { path: file.path.clone(), values })
    }

    /// The command with these values as its defaults.
    fn as_defaults(&self, command: Command) -> Command {
        over_subcommands(command, &|arg| match self.values.get(arg.get_id().as_str()) {
            Some(words) if is_setting(&arg) => arg.default_values(words.clone()),
            _ => arg,
        })
    }
}

fn values(command: &Command, file: &File) -> Result<BTreeMap<String, Vec<String>>, Failure> {
    let shown = file.path.display();
    let text = std::fs::read_to_string(&file.path).map_err(|e| {
        let remedy = if file.named { "correct --config" } else { "make it readable, or move it" };
        Failure::usage(format!("{shown}: {e}; {remedy}"))
    })?;
    let table: toml::Table = toml::from_str(&text).map_err(|e| {
        // Not the line itself, which may hold a secret.
        let before = e.span().and_then(|at| text.get(..at.start)).unwrap_or_default();
        let line = 1 + before.matches('\n').count();
        Failure::usage(format!(
            "{shown} is not TOML: line {line}: {}; correct that line",
            e.message()
        ))
    })?;
    let known = settings(command);
    let mut values = BTreeMap::new();
    for (key, value) in &table {
        if !known.contains(key) {
            let nearest = schemas::nearest(key, known.iter().map(String::as_str));
            return Err(Failure::usage(format!(
                "{shown}: there is no setting `{key}`, did you mean `{nearest}`?"
            )));
        }
        let words = words(value).ok_or_else(|| {
            Failure::usage(format!(
                "{shown}: `{key}` must be a text, a number, true or false, or a list of these"
            ))
        })?;
        values.insert(key.clone(), words);
    }
    Ok(values)
}

/// Every value by its own parser, so that a mistake names the file and not a flag nobody gave.
fn check(
    command: &Command,
    values: &BTreeMap<String, Vec<String>>,
    path: &Path,
) -> Result<(), Failure> {
    for subcommand in below(command) {
        for (arg, words) in subcommand
            .get_arguments()
            .filter(|arg| is_setting(arg))
            .filter_map(|arg| Some((arg, values.get(arg.get_id().as_str())?)))
        {
            if matches!(arg.get_action(), ArgAction::SetTrue) {
                // As a flag it has no value.
                truth(words).ok_or_else(|| {
                    let key = arg.get_id();
                    Failure::usage(format!("{}: `{key}` must be true or false", path.display()))
                })?;
                continue;
            }
            let mut alone = Command::new("setting")
                .no_binary_name(true)
                .arg(arg.clone().env(None::<&str>).required(false));
            let flag = format!("--{}", arg.get_long().unwrap_or_default());
            let given = words.iter().map(|word| format!("{flag}={word}"));
            if let Err(error) = alone.try_get_matches_from_mut(given) {
                let text = without_secrets(error, command).to_string();
                let cause = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
                return Err(Failure::usage(format!("{}: {cause}", path.display())));
            }
        }
    }
    Ok(())
}

fn truth(words: &[String]) -> Option<bool> {
    let [word] = words else { return None };
    word.parse().ok()
}

/// Whether an argument may stand in the file: what has a variable is a setting, all else is said
/// anew each time.
fn is_setting(arg: &Arg) -> bool {
    arg.get_env().is_some() && arg.get_id() != "config"
}

fn settings(command: &Command) -> BTreeSet<String> {
    let subcommands = below(command).into_iter();
    let all = subcommands.flat_map(|c| c.get_arguments().filter(|a| is_setting(a)));
    all.map(|arg| arg.get_id().to_string()).collect()
}

/// All commands of a command, those of its commands too.
fn below(command: &Command) -> Vec<&Command> {
    let subcommands = command.get_subcommands();
    subcommands.flat_map(|subcommand| [vec![subcommand], below(subcommand)].concat()).collect()
}

/// clap quotes a value that it refuses.
fn without_secrets(mut error: clap::Error, command: &Command) -> clap::Error {
    let of = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(arg)) => arg.clone(),
        _ => return error,
    };
    // `--name <VALUE>`. An argument of a command that is not built yet cannot be printed.
    let name = of.split_whitespace().next().and_then(|flag| flag.strip_prefix("--"));
    let mut arguments = below(command).into_iter().flat_map(|c| c.get_arguments());
    if arguments.any(|arg| arg.is_hide_env_values_set() && arg.get_long() == name) {
        error.insert(ContextKind::InvalidValue, ContextValue::String("…".to_owned()));
    }
    error
}

fn words(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(text) => Some(vec![text.clone()]),
        Value::Integer(number) => Some(vec![number.to_string()]),
        Value::Float(number) => Some(vec![number.to_string()]),
        Value::Boolean(yes) => Some(vec![yes.to_string()]),
        Value::Array(values) => {
            let words: Option<Vec<_>> = values.iter().map(words).collect();
            Some(words?.concat())
        }
        Value::Datetime(_) | Value::Table(_) => None,
    }
}

fn over_subcommands(command: Command, change: &impl Fn(Arg) -> Arg) -> Command {
    let names: Vec<_> = command.get_subcommands().map(|c| c.get_name().to_owned()).collect();
    names.into_iter().fold(command, |command, name| {
        command.mut_subcommand(name, |subcommand| {
            over_subcommands(subcommand.mut_args(change), change)
        })
    })
}

/// The settings in effect, each with where it came from.
fn printed(command: &Command, matches: &ArgMatches, kept: &Kept) -> String {
    let (mut command, mut matches, mut names) = (command, matches, vec!["reelmill"]);
    while let Some((name, below)) = matches.subcommand()
        && let Some(subcommand) = command.find_subcommand(name)
    {
        (command, matches) = (subcommand, below);
        names.push(name);
    }
    let file = plain(&format!("file {}", kept.path.display()));
    let mut text = format!("# settings of `{}`\n", names.join(" "));
    for arg in command.get_arguments().filter(|arg| is_setting(arg)) {
        let id = arg.get_id().as_str();
        let source = match matches.value_source(id) {
            Some(ValueSource::CommandLine) => "flag",
            Some(ValueSource::EnvVariable) => "environment",
            Some(_) if kept.values.contains_key(id) => &file,
            Some(_) => "default",
            None => "not set",
        };
        let values: Vec<_> = matches
            .get_raw(id)
            .into_iter()
            .flatten()
            .map(|value| Value::String(value.to_string_lossy().into_owned()))
            .collect();
        let line = match &values[..] {
            [] => format!("# {id} ="),
            _ if arg.is_hide_env_values_set() => format!("# {id} is a secret and not shown"),
            [Value::String(text)] => format!("{id} = {}", bare(text)),
            _ => format!("{id} = {}", Value::Array(values)),
        };
        text += &format!("{line:48}  # {source}\n");
    }
    text
}

/// Numbers and truth as such, all else as text.
fn bare(text: &str) -> Value {
    let number = text.parse().map(Value::Integer).or_else(|_| text.parse().map(Value::Float));
    number
        .or_else(|_| text.parse().map(Value::Boolean))
        .unwrap_or_else(|_| Value::String(text.to_owned()))
}
