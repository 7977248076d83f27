//! The table of planted bugs in the documentation.

use std::{env, fmt::Write, fs, path::PathBuf};

/// Writes the table where asked to, else checks that it is what was just found: a change of the engine
/// or of the simulated world draws other courses of events, and so other seeds.
pub(crate) fn check(worlds: u64, within: u64, rows: &[(&str, &str, u64)]) {
    let at = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/simulation.md");
    let found = page(worlds, within, rows);
    if env::var_os("REELMILL_WRITE_TABLES").is_some_and(|on| on == "1") {
        return fs::write(&at, found).unwrap();
    }
    let written = fs::read_to_string(&at).unwrap();
    assert!(written == found, "{} is old: REELMILL_WRITE_TABLES=1 writes it anew", at.display());
}

fn page(worlds: u64, within: u64, rows: &[(&str, &str, u64)]) -> String {
    let mut page = format!(
        "{}\n{} bugs, each found within {within} worlds. Seeds count from 0.\n\n",
        include_str!("page.md").replace("{worlds}", &worlds.to_string()),
        rows.len()
    );
    page += "| planted bug | the rule that it breaks first | first seed |\n|--|--|--|\n";
    for (what, rule, seed) in rows {
        writeln!(page, "| {what} | {rule} | {seed} |").unwrap();
    }
    page
}
