//! Which characters of other people's names are shown.

/// Whether a character does something else than stand in its line: controls, ends of lines and
/// paragraphs, and Unicode's embeddings, overrides and isolates, which let `4pm.exe` read as
/// `exe.mp4` (UAX 9, 2.1 to 2.4). Marks that Arabic, Hebrew and emoji are written with are none.
#[must_use]
pub fn can_mislead(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// One line of text that is shown as it is read.
pub(crate) fn printable(text: &str) -> String {
    let text: String = text.chars().map(|c| if can_mislead(c) { ' ' } else { c }).collect();
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_commands_a_terminal_or_turns_a_line_around_becomes_a_space() {
        assert_eq!(printable("a\u{1b}[2Jb\n"), "a [2Jb");
        assert_eq!(printable("\u{202e}4pm.exe\u{2028}x"), "4pm.exe x");
    }

    #[test]
    fn words_of_every_script_stay_whole() {
        for text in ["مقابلة ۱", "עברית\u{200f}!", "Pru\u{308}fung", "👩\u{200d}🏫", "映画"]
        {
            assert_eq!(printable(text), text);
        }
    }
}
