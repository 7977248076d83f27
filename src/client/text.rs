//! How figures and other people's words are printed.

use api::can_mislead;

/// Without control characters and the like: a title must not command the terminal, nor read
/// otherwise than it is.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|c| if can_mislead(c) { ' ' } else { c }).collect()
}

/// `m:ss.mmm`
pub(crate) fn clock(ms: i64) -> String {
    let ms = ms.max(0);
    format!("{}:{:02}.{:03}", ms / 60_000, ms / 1000 % 60, ms % 1000)
}

/// Seconds with one digit.
pub(crate) fn seconds(ms: i64) -> String {
    format!("{}.{} s", ms / 1000, ms % 1000 / 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_like_a_players() {
        assert_eq!(clock(0), "0:00.000");
        assert_eq!(clock(61_005), "1:01.005");
        assert_eq!(clock(3_600_000), "60:00.000");
        assert_eq!(seconds(12_345), "12.3 s");
    }

    #[test]
    fn a_title_cannot_command_the_terminal() {
        assert_eq!(plain("a\u{1b}[2J\nb"), "a [2J b");
        assert_eq!(plain("\u{202e}4pm.exe"), " 4pm.exe");
    }
}
