//! The table, and the same as JSON.

use super::finding::{Finding, State};
use serde_json::{Value, json};
use std::fmt::Write;

/// Columns of a line.
const WIDTH: usize = 100;
/// Columns of state and check, with what is between.
const INDENT: usize = 30;

/// A row for each finding, and how many there are of what kind.
pub(super) fn table(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let name = finding.check.name();
        let mut before = format!("{:13}  {name:13}  ", finding.state.words());
        let remedy = finding.remedy.iter().map(|remedy| format!("remedy: {remedy}"));
        for paragraph in std::iter::once(finding.found.clone()).chain(remedy) {
            for line in wrapped(&paragraph, WIDTH - INDENT) {
                let line = format!("{before}{line}");
                // Writing to a text cannot fail.
                writeln!(text, "{}", line.trim_end()).ok();
                before = " ".repeat(INDENT);
            }
        }
    }
    let [ok, warnings, failed, not] = counts(findings);
    let ending = if warnings == 1 { "" } else { "s" };
    writeln!(text, "\n{failed} failed, {warnings} warning{ending}, {ok} ok, {not} not looked at")
        .ok();
    text
}

/// For programs.
pub(super) fn json(findings: &[Finding]) -> Value {
    let [ok, warnings, failed, not] = counts(findings);
    json!({
        "findings": findings,
        "failed": failed, "warnings": warnings, "ok": ok, "not_looked_at": not,
    })
}

fn counts(findings: &[Finding]) -> [usize; 4] {
    let states = [State::Ok, State::Warning, State::Failed, State::NotLookedAt];
    states.map(|state| findings.iter().filter(|finding| finding.state == state).count())
}

/// Lines of at most so many characters, broken between words where that is possible.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut filled = 0;
    for word in text.split(' ') {
        let mut word: Vec<char> = word.chars().collect();
        if filled > 0 && filled + 1 + word.len() > width {
            lines.push(String::new());
            filled = 0;
        }
        while filled == 0 && word.len() > width {
            let rest = word.split_off(width);
            lines.insert(lines.len() - 1, word.iter().collect());
            word = rest;
        }
        if let Some(line) = lines.last_mut() {
            if filled > 0 {
                line.push(' ');
                filled += 1;
            }
            line.extend(&word);
            filled += word.len();
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::finding::Check;
    use super::*;

    #[test]
    fn a_row_fits_into_a_terminal() {
        let long = "a word ".repeat(60) + &"/path".repeat(40);
        let findings = [
            Finding::failed(Check::Configuration, long, "REELMILL_X"),
            Finding::ok(Check::Disk, ""),
        ];
        let text = table(&findings);
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        assert!(text.starts_with("failed         configuration  a word a word"), "{text}");
        assert!(text.contains("\n                              remedy: REELMILL_X\n"), "{text}");
        assert!(text.ends_with("\n1 failed, 0 warnings, 1 ok, 0 not looked at\n"), "{text}");
        let joined: String = text.split_whitespace().collect();
        assert!(joined.contains(&"/path".repeat(40)), "{text}");
    }
}
