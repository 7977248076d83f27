//! The table in `docs/inputs.md`, section by section.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use media::{AudioOutcome, MediaError};

use super::menu::{Input, WORDS};
use crate::support::Film;

/// One line of a section.
pub(super) struct Row {
    cells: Vec<String>,
}

impl Row {
    pub(super) fn whole(input: &Input, films: &[Film]) -> Self {
        let probe = &films[0].plan.probe;
        let copied: u32 =
            films.iter().flat_map(|film| &film.masked).map(|part| part.copied_frames).sum();
        let render = match (probe.smart_ok, copied) {
            (true, 0) => "smart",
            (true, _) => "smart, groups copied",
            (false, _) => "full",
        };
        let sound = match films[0].report.audio {
            AudioOutcome::None => "none",
            AudioOutcome::Copied => "copied",
            AudioOutcome::Transcoded => "transcoded",
        };
        let result = format!("whole: {} frames", probe.frames);
        Self::new(input.what, input.made_by, result, render, sound, input.note)
    }

    pub(super) fn refused(input: &Input, error: &MediaError) -> Self {
        let result = format!("refused: `{}`", error.reason());
        let detail = error.to_string();
        Self::new(input.what, input.made_by, result, "", "", &detail)
    }

    /// How damaged files end, one a seed.
    pub(super) fn damaged(what: &str, made_by: &str, damage: &str, outcomes: &str) -> Self {
        let made_by = format!("`{made_by}`");
        Self { cells: [what, &made_by, damage, outcomes].map(str::to_owned).into() }
    }

    /// A word of the arguments.
    fn word(word: &str, arguments: &str) -> Self {
        Self { cells: vec![word.to_owned(), format!("`{arguments}`")] }
    }

    fn new(
        what: &str,
        made_by: &[&str],
        result: String,
        render: &str,
        sound: &str,
        note: &str,
    ) -> Self {
        let calls: Vec<String> =
            made_by.iter().map(|call| format!("`{}`", call.replace('|', "\\|"))).collect();
        let cells = [what, &calls.join("<br>"), &result, render, sound, note];
        Self { cells: cells.map(str::to_owned).into() }
    }

    fn to_line(&self) -> String {
        format!("| {} |\n", self.cells.join(" | "))
    }
}

/// Compares a section's rows with the table, or writes them into it.
pub(super) fn check(section: &str, rows: &[Row]) {
    static WRITING: Mutex<()> = Mutex::new(());
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/inputs.md");
    let lines: String = rows.iter().map(Row::to_line).collect();
    if std::env::var_os("REELMILL_WRITE_TABLES").is_some() {
        let _one_at_a_time = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
        let text = std::fs::read_to_string(&path).unwrap();
        let (before, _, after) = split(&text, section);
        std::fs::write(&path, format!("{before}{lines}{after}")).unwrap();
        return;
    }
    let text = std::fs::read_to_string(&path).unwrap();
    let (_, written, _) = split(&text, section);
    // How many damaged files decode depends on the bytes that the encoder of a machine makes.
    let kept = |lines: &str| -> Vec<String> {
        let is_damage = section.starts_with("damaged");
        let ends = |line: &str| if is_damage { line.rfind(" | ") } else { None };
        lines.lines().map(|line| line[..ends(line).unwrap_or(line.len())].to_owned()).collect()
    };
    assert_eq!(
        kept(written),
        kept(&lines),
        "docs/inputs.md is not what happens; run the tests with REELMILL_WRITE_TABLES=1"
    );
}

/// The text before, in and after a section's rows: those between the line under the table's head
/// and the section's end mark.
fn split<'a>(text: &'a str, section: &str) -> (&'a str, &'a str, &'a str) {
    let begin = format!("<!-- {section} -->\n");
    let end = format!("<!-- end of {section} -->");
    let after_mark = text.find(&begin).expect(section) + begin.len();
    let head = text[after_mark..].split_inclusive('\n').take(2).map(str::len).sum::<usize>();
    let start = after_mark + head;
    let stop = start + text[start..].find(&end).expect(section);
    (&text[..start], &text[start..stop], &text[stop..])
}

#[test]
fn the_words_of_the_table_are_those_of_the_tests() {
    let rows: Vec<Row> = WORDS.iter().map(|(word, arguments)| Row::word(word, arguments)).collect();
    check("words", &rows);
}
