//! What a look at one thing came to.

use crate::client::plain;
use serde::Serialize;

/// Everything that is looked at, in the order in which it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Check {
    Configuration,
    Variables,
    Secrets,
    Data,
    Disk,
    Ports,
    Broker,
    Topics,
    Partitions,
    Retention,
    Transactions,
    Registry,
    Schemas,
    Bucket,
    Rights,
    Conditions,
    Footage,
    Detector,
    Models,
    Codecs,
    Fence,
    Index,
    Database,
    Clock,
}

impl Check {
    pub const ALL: [Self; 24] = [
        Self::Configuration,
        Self::Variables,
        Self::Secrets,
        Self::Data,
        Self::Disk,
        Self::Ports,
        Self::Broker,
        Self::Topics,
        Self::Partitions,
        Self::Retention,
        Self::Transactions,
        Self::Registry,
        Self::Schemas,
        Self::Bucket,
        Self::Rights,
        Self::Conditions,
        Self::Footage,
        Self::Detector,
        Self::Models,
        Self::Codecs,
        Self::Fence,
        Self::Index,
        Self::Database,
        Self::Clock,
    ];

    /// Its name in the table, in JSON and in the documentation.
    #[must_use]
    pub fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Ok,
    /// It works, and something will hurt.
    Warning,
    /// It cannot work like this.
    Failed,
    /// What is found says why.
    NotLookedAt,
}

impl State {
    /// As it is read.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
            Self::NotLookedAt => "not looked at",
        }
    }
}

/// One row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub check: Check,
    pub state: State,
    /// What is there, or why nobody looked.
    pub found: String,
    /// A command or a setting, where there is something to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Finding {
    pub fn ok(check: Check, found: impl Into<String>) -> Self {
        Self { check, state: State::Ok, found: found.into(), remedy: None }
    }

    pub fn warning(check: Check, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        let (found, remedy) = (found.into(), Some(remedy.into()));
        Self { check, state: State::Warning, found, remedy }
    }

    pub fn failed(check: Check, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { state: State::Failed, ..Self::warning(check, found, remedy) }
    }

    pub fn not_looked_at(check: Check, because: impl Into<String>) -> Self {
        Self { state: State::NotLookedAt, ..Self::ok(check, because) }
    }

    /// For people: without control characters, without secrets, and not endless. Servers may have
    /// said a part of it.
    #[must_use]
    pub fn told(self, secrets: &[String]) -> Self {
        let told = |text: &str| shown(text, secrets);
        Self { found: told(&self.found), remedy: self.remedy.as_deref().map(told), ..self }
    }
}

/// Characters of one text, at most.
const MOST: usize = 600;

fn shown(text: &str, secrets: &[String]) -> String {
    let mut text = text.to_owned();
    for secret in secrets {
        text = text.replace(secret.as_str(), "…");
    }
    let words: Vec<_> = plain(&text).split_whitespace().map(str::to_owned).collect();
    let text = words.join(" ");
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_servers_say_commands_no_terminal_shows_no_secret_and_ends() {
        let said = format!("no\u{1b}[2J\n hush {}", "x".repeat(5000));
        let finding = Finding::failed(Check::Broker, said, "hush").told(&["hush".to_owned()]);
        assert!(finding.found.starts_with("no [2J … xxx"), "{}", finding.found);
        assert_eq!(finding.found.chars().count(), MOST + 1);
        assert_eq!(finding.remedy.as_deref(), Some("…"));
    }

    #[test]
    fn checks_are_told_in_their_order() {
        assert!(Check::ALL.is_sorted());
        let names: Vec<_> = Check::ALL.map(Check::name).into();
        let json = serde_json::to_value(Check::ALL).unwrap();
        assert_eq!(json, serde_json::json!(names));
    }
}
