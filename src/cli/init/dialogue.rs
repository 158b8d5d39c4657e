//! Asking a person: a question says why it is asked and offers an answer; a secret is typed without echo. Answers
//! can as well come line by line from a pipe.

use std::io::{BufRead, IsTerminal, Write};
use std::os::fd::AsFd;

use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::limits::MAX_SECRET_BYTES;
use crate::secret::Secret;
use crate::setup_error::{ExitCode, SetupError};

/// One thing to be known.
#[derive(Clone)]
pub struct Question {
    pub ask: String,
    /// Why, or where to find it.
    pub why: String,
    /// Taken when nothing is answered.
    pub default: Option<String>,
    /// The flag that answers it on the command line.
    pub flag: &'static str,
}

impl Question {
    pub fn new(flag: &'static str, ask: impl Into<String>, why: impl Into<String>) -> Self {
        Question { ask: ask.into(), why: why.into(), default: None, flag }
    }
    pub fn or(mut self, default: impl Into<String>) -> Self {
        self.default = Some(default.into());
        self
    }
}

/// Who answers.
pub struct Dialogue {
    /// A terminal: a wrong answer is asked for again.
    pub terminal: bool,
}

impl Dialogue {
    /// Standard input, whatever it is.
    pub fn open() -> Dialogue {
        Dialogue { terminal: std::io::stdin().is_terminal() }
    }

    /// Says something on standard error, where the questions are.
    pub fn say(&self, text: &str) {
        let _ = writeln!(std::io::stderr(), "{text}"); // nobody there to read it: nothing to do
    }

    fn prompt(&self, question: &Question) {
        let mut out = std::io::stderr().lock();
        let shown = question.default.as_deref().filter(|default| !default.is_empty());
        let default = shown.map(|default| format!(" [{default}]")).unwrap_or_default();
        // nobody there to read it: the answer will be missing, which is told
        let _ = write!(out, "\n{}\n{}{default}: ", question.why, question.ask).and_then(|()| out.flush());
    }

    /// One line, without blanks around it; the default where it is empty.
    ///
    /// # Errors
    /// The answers have ended, and there is no default.
    pub fn line(&self, question: &Question) -> Result<String, SetupError> {
        loop {
            self.prompt(question);
            let mut text = String::new();
            let read = std::io::stdin().lock().read_line(&mut text).map_err(|why| broken(&why))?;
            let answer = text.trim();
            match (&question.default, answer.is_empty()) {
                (_, false) => return Ok(answer.to_owned()),
                (Some(default), true) => return Ok(default.clone()),
                (None, true) if read == 0 => return Err(ended(question)),
                (None, true) => self.say("  an answer is needed here"),
            }
        }
    }

    /// One line that is not shown while it is typed.
    ///
    /// # Errors
    /// The answers have ended, or the person gave up (Ctrl-C).
    pub fn secret(&self, question: &Question) -> Result<Secret, SetupError> {
        loop {
            // before the question, or what is typed at once would be shown
            let hidden = if self.terminal { Some(Hidden::begin()?) } else { None };
            self.prompt(question);
            let mut text = Zeroizing::new(Vec::with_capacity(MAX_SECRET_BYTES as usize)); // one place to wipe
            let end = read_hidden(&mut std::io::stdin().lock(), &mut text).map_err(|why| broken(&why))?;
            drop(hidden);
            if self.terminal {
                self.say("");
            }
            let answer = String::from_utf8_lossy(&text).trim().to_owned();
            match end {
                End::Interrupted => return Err(SetupError::failed("given up; nothing was written")),
                _ if !answer.is_empty() => return Ok(Secret::new(answer)),
                End::Closed => return Err(ended(question)),
                End::Line => self.say("  an answer is needed here"),
            }
        }
    }
}

fn broken(why: &std::io::Error) -> SetupError {
    SetupError::failed(format!("failed to read an answer: {why}; nothing was written"))
}

/// A person who is not there, or a pipe with too few lines.
pub fn ended(question: &Question) -> SetupError {
    let text = format!(
        "the answers ended before \"{}\"; add a line, or say it with {}; nothing was written",
        question.ask, question.flag
    );
    SetupError::new(ExitCode::Usage, text)
}

enum End {
    Line,
    Closed,
    Interrupted,
}

/// Reads up to the end of the line as a terminal's line editing would, which is off.
fn read_hidden(input: &mut dyn BufRead, text: &mut Vec<u8>) -> std::io::Result<End> {
    const INTERRUPT: u8 = 3;
    const END: u8 = 4;
    const BACKSPACE: u8 = 8;
    const ERASE_LINE: u8 = 21;
    const DELETE: u8 = 127;
    loop {
        let mut byte = [0];
        if input.read(&mut byte)? == 0 {
            return Ok(End::Closed);
        }
        let [byte] = byte;
        match byte {
            b'\n' | b'\r' => return Ok(End::Line),
            INTERRUPT => return Ok(End::Interrupted),
            END => return Ok(End::Closed),
            BACKSPACE | DELETE => drop(text.pop()),
            ERASE_LINE => text.clear(),
            other if (text.len() as u64) < MAX_SECRET_BYTES => text.push(other),
            _ => {} // longer than any secret: cut here, and refused by whoever checks it
        }
    }
}

/// While this lives, the terminal shows nothing of what is typed and passes every key on.
struct Hidden(Termios);

impl Hidden {
    fn begin() -> Result<Hidden, SetupError> {
        let stdin = std::io::stdin();
        let failed = |why| SetupError::failed(format!("failed to switch the terminal's echo off: {why}"));
        let before = tcgetattr(stdin.as_fd()).map_err(failed)?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
        // each key as it comes
        quiet.special_codes[SpecialCodeIndex::VMIN] = 1;
        quiet.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(stdin.as_fd(), OptionalActions::Now, &quiet).map_err(failed)?;
        Ok(Hidden(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // what cannot be put back was not taken away either
        let _ = tcsetattr(std::io::stdin().as_fd(), OptionalActions::Now, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hidden_line_is_edited_like_any_other() {
        let typed = |keys: &[u8]| {
            let mut text = Vec::new();
            let end = read_hidden(&mut &keys[..], &mut text).unwrap();
            let end = match end {
                End::Line => "line",
                End::Closed => "closed",
                End::Interrupted => "interrupted",
            };
            (String::from_utf8(text).unwrap(), end)
        };
        assert_eq!(typed(b"hunter3\x7f2\rnext"), ("hunter2".to_owned(), "line"));
        assert_eq!(typed(b"wrong\x15hunter2\n"), ("hunter2".to_owned(), "line"));
        assert_eq!(typed(b"hunt\x03er2\n"), ("hunt".to_owned(), "interrupted"));
        assert_eq!(typed(b"hunter2"), ("hunter2".to_owned(), "closed"));
        assert_eq!(typed(&[b'a'; 100_000]).0.len() as u64, MAX_SECRET_BYTES);
    }
}
