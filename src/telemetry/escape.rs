//! The one escaper for text of outside origin on its way to a log line, a terminal or a service manager. A
//! mail's subject, a file's name or an answer's words may carry line ends, terminal commands or invisible
//! characters that turn the reading direction around; none of them may forge or hide what an operator reads.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::limits::MAX_SAID_CHARS;

/// `text` with everything invisible or commanding written out as `\u{…}`, cut at
/// [`MAX_SAID_CHARS`] with a `…` to show it. Borrows when nothing had to change.
pub fn clean(text: &str) -> Cow<'_, str> {
    if text.len() <= MAX_SAID_CHARS && !text.chars().any(misleading) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len().min(MAX_SAID_CHARS));
    for (n, c) in text.chars().enumerate() {
        if n == MAX_SAID_CHARS {
            out.push('…');
            break;
        }
        push(c, &mut out);
    }
    Cow::Owned(out)
}

/// The same for text of several lines and any length: line ends stay.
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(|c| c != '\n' && misleading(c)) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    text.chars().for_each(|c| if c == '\n' { out.push(c) } else { push(c, &mut out) });
    Cow::Owned(out)
}

fn push(c: char, out: &mut String) {
    if misleading(c) {
        let _ = write!(out, "\\u{{{:x}}}", u32::from(c)); // a String takes every write
    } else {
        out.push(c);
    }
}

/// Control characters (C0, DEL, C1), line and paragraph separators, zero-width and direction marks
/// (reliability threat T13), and characters that are no text at all.
pub fn misleading(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_text_is_left_alone_and_not_copied() {
        assert!(matches!(clean("größer, 日本語, 🙂"), Cow::Borrowed("größer, 日本語, 🙂")));
    }

    #[test]
    fn terminal_commands_line_ends_and_direction_marks_become_visible() {
        assert_eq!(clean("a\u{1b}[2Jb\nc"), "a\\u{1b}[2Jb\\u{a}c");
        assert_eq!(clean("evil\u{202e}fdp.exe"), "evil\\u{202e}fdp.exe");
        assert_eq!(clean("\u{9b}31m"), "\\u{9b}31m");
    }

    #[test]
    fn several_lines_stay_lines() {
        assert!(matches!(visible("a\nb"), Cow::Borrowed("a\nb")));
        assert_eq!(visible("a\u{1b}]0;x\u{7}\nb\u{202e}"), "a\\u{1b}]0;x\\u{7}\nb\\u{202e}");
    }

    #[test]
    fn long_text_is_cut_and_says_so() {
        let said = clean(&"ä".repeat(MAX_SAID_CHARS + 1)).into_owned();
        assert_eq!(said.chars().count(), MAX_SAID_CHARS + 1);
        assert!(said.ends_with('…'));
    }

    proptest! {
        #[test]
        fn nothing_misleading_survives_and_length_is_bounded(text in "\\PC{0,40}|[\\x00-\\x1f\u{80}-\u{9f}a\u{200b}-\u{202f}]{0,900}") {
            let said = clean(&text);
            prop_assert!(!said.chars().any(misleading));
            prop_assert!(said.len() <= MAX_SAID_CHARS * 10 + 3);
        }
    }
}
