//! Standard output, whose reader may have gone away.

use std::io::{self, ErrorKind, Write};

/// Whether nobody reads what is written any more: `reelmill completions bash | head`.
#[must_use]
pub fn is_closed(error: &io::Error) -> bool {
    error.kind() == ErrorKind::BrokenPipe
}

/// Tells where a process that goes on can be reached, to whom it concerns: if to nobody any more,
/// it goes on all the same.
pub fn publish(text: &str) -> io::Result<()> {
    let mut out = io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if is_closed(&error) => Ok(()),
        written => written,
    }
}
