//! What the terminal can show.

use std::io::IsTerminal;
use std::os::fd::AsFd;

use crate::admin::TextLook;

/// How standard output is best written to.
pub fn look() -> TextLook {
    let terminal = std::io::stdout().is_terminal();
    TextLook { colour: terminal && may_paint(), width: size().map(|(columns, _)| columns) }
}

/// Columns and lines of the terminal on standard output; `None` when it is none.
pub fn size() -> Option<(usize, usize)> {
    let stdout = std::io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(stdout.as_fd()).ok()?;
    // a terminal that does not know says 0
    (size.ws_col > 0 && size.ws_row > 0).then_some((usize::from(size.ws_col), usize::from(size.ws_row)))
}

/// Unless the reader said no (<https://no-color.org>), or the terminal cannot.
fn may_paint() -> bool {
    let refuses = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !refuses && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}
