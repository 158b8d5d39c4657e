//! Saying that something takes long: after two seconds one line on standard error, drawn anew, and wiped at the end.
//! Only at a terminal; a log or a pipe gets none of it.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use crate::clock::{Clock, Time};

/// Sooner, a line would only flicker.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two drawings.
const EVERY: Duration = Duration::from_millis(250);

/// One line of progress.
pub struct Progress {
    words: String,
    began: Time,
    patience: Duration,
    drawn: bool,
    terminal: bool,
}

impl Progress {
    /// Nothing is shown yet.
    pub fn begin(words: &str) -> Progress {
        Progress::with(words, PATIENCE)
    }

    /// Of work whose steps cannot be watched, because each blocks: every one is shown when it begins.
    pub fn of_steps() -> Progress {
        Progress::with("", Duration::ZERO)
    }

    fn with(words: &str, patience: Duration) -> Progress {
        let terminal = std::io::stderr().is_terminal();
        Progress { words: words.to_owned(), began: Clock::System.now(), patience, drawn: false, terminal }
    }

    /// What is being done now; shown once the work has taken two seconds.
    pub fn step(&mut self, words: &str) {
        self.words = words.to_owned();
        self.draw();
    }

    fn draw(&mut self) {
        let taken = Clock::System.now().since(self.began);
        if !self.terminal || taken < self.patience {
            return;
        }
        self.drawn = true;
        let _ = write!(std::io::stderr(), "\r\x1b[K{}", line(&self.words, taken)); // nobody there to see it
    }

    /// Waits for `work`, and says how long it has taken so far.
    pub async fn watch<T>(mut self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        let mut tick = tokio::time::interval(EVERY);
        loop {
            tokio::select! {
                done = &mut work => return done,
                _ = tick.tick() => self.draw(),
            }
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.drawn {
            let _ = write!(std::io::stderr(), "\r\x1b[K"); // nobody there to see it
        }
    }
}

fn line(words: &str, taken: Duration) -> String {
    format!("{words} … {} s", taken.as_secs())
}
