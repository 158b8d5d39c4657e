//! What operators asked for and is being done, one after the other, beside everything else: however long a job takes,
//! signals, reloads and the next request are heard meanwhile.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::Mutex;
use tokio::task::{JoinError, JoinSet};

use super::board::Board;
use super::positions;
use super::requests::{self, Answer, Request};
use crate::config::Settings;
use crate::limits::MAX_JOBS;
use crate::setup_error::ExitCode;

/// The jobs of a running daemon.
#[derive(Default)]
pub struct Jobs {
    running: JoinSet<Done>,
    /// Whose answers are owed, in the order in which they asked.
    names: Vec<String>,
    /// Held by the job that is being done; the others wait in line.
    turn: Arc<Mutex<()>>,
}

/// A job that was done.
pub struct Done {
    /// Of its asker.
    pub name: String,
    pub answer: Answer,
    /// The scope of the feeds whose positions it set: they have a reason to ask at once.
    pub moved: Option<String>,
}

impl Jobs {
    /// Puts a request in line; an answer at once when the line is too long. `name` is its asker's.
    pub fn begin(
        &mut self,
        board: &Arc<Board>,
        settings: &Settings,
        name: &str,
        request: Request,
    ) -> Option<Answer> {
        if self.names.len() >= MAX_JOBS {
            let text =
                format!("the daemon is still busy with {MAX_JOBS} requests like this one; try again later\n");
            return Some(Answer { exit: ExitCode::TryLater as u8, text, data: Value::Null });
        }
        self.names.push(name.to_owned());
        let (board, settings, turn) = (board.clone(), settings.clone(), self.turn.clone());
        let name = name.to_owned();
        self.running.spawn(async move {
            let _turn = turn.lock().await;
            let now = board.clock.now();
            let answer = positions::carry_out(&board.store, &settings, now, &request).await;
            let moved = request.moves().filter(|_| answer.exit != ExitCode::Usage as u8).map(str::to_owned);
            Done { name, answer, moved }
        });
        None
    }

    /// The next job that is done. Never completes while there is none.
    ///
    /// # Errors
    /// It panicked.
    pub async fn next(&mut self) -> Result<Done, JoinError> {
        let Some(done) = self.running.join_next().await else { return std::future::pending().await };
        if let Ok(done) = &done {
            self.names.retain(|known| *known != done.name);
        }
        done
    }

    /// Breaks every job off, between two of its transactions, and tells whoever asked.
    pub async fn stop(&mut self, state_dir: &Path) {
        self.running.shutdown().await;
        let text =
            "the daemon stops before this was done to its end; what was done of it stays done: ask again\n";
        let answer = Answer { exit: ExitCode::TryLater as u8, text: text.to_owned(), data: Value::Null };
        self.names.drain(..).for_each(|name| requests::answer(state_dir, &name, &answer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, Time};
    use crate::store::{Options, Pick, Store};

    async fn daemon(dir: &Path) -> (Arc<Board>, Settings) {
        let config = dir.join("mimecollectd.toml");
        let text = format!(
            "state_dir = {dir:?}\n[tenants.acme]\napi = \"2.0\"\nregion = \"us\"\nclient_id = \"x\"\n\
             client_secret = \"x\"\n[sinks.out]\ntype = \"stdout\"\n"
        );
        std::fs::write(&config, text).unwrap();
        let settings = crate::config::load(&config, &super::super::known_feeds()).unwrap();
        let clock = Clock::manual(Time(10_000));
        let options = Options::new(1 << 30, std::time::Duration::from_secs(60), clock.clone());
        let store = Store::open(dir, &options).await.unwrap();
        requests::prepare(dir).unwrap();
        (Board::new(store, clock, None), settings)
    }

    fn drop_all() -> Request {
        Request::DeadLettersDrop { pick: Pick::default() }
    }

    fn answered(dir: &Path, name: &str) -> Option<Answer> {
        let text = std::fs::read_to_string(dir.join("requests/answers").join(name)).ok()?;
        Some(serde_json::from_str(&text).unwrap())
    }

    #[tokio::test]
    async fn jobs_are_done_in_the_order_of_asking_and_never_more_wait_than_may() {
        let dir = tempfile::tempdir().unwrap();
        let (board, settings) = daemon(dir.path()).await;
        let mut jobs = Jobs::default();
        let names: Vec<String> = (0..MAX_JOBS).map(|n| format!("ask-{n:02}")).collect();
        for name in &names {
            assert_eq!(jobs.begin(&board, &settings, name, drop_all()), None);
        }
        let refused = jobs.begin(&board, &settings, "one more", drop_all()).unwrap();
        assert_eq!(refused.exit, ExitCode::TryLater as u8, "{refused:?}");
        let mut done = Vec::new();
        for _ in &names {
            let Done { name, answer, .. } = jobs.next().await.unwrap();
            assert_eq!(answer.exit, 0, "{answer:?}");
            done.push(name);
        }
        assert_eq!(done, names);
        assert_eq!(jobs.begin(&board, &settings, "one more", drop_all()), None, "there is room again");
    }

    #[tokio::test]
    async fn a_stop_waits_for_no_job_and_leaves_nobody_without_an_answer() {
        let dir = tempfile::tempdir().unwrap();
        let (board, settings) = daemon(dir.path()).await;
        let mut jobs = Jobs::default();
        let held = jobs.turn.clone();
        let held = held.lock().await; // a job that never ends
        for name in ["first", "second"] {
            assert_eq!(jobs.begin(&board, &settings, name, drop_all()), None);
        }
        jobs.stop(dir.path()).await;
        for name in ["first", "second"] {
            let answer = answered(dir.path(), name).unwrap();
            assert!(
                answer.exit == ExitCode::TryLater as u8 && answer.text.contains("ask again"),
                "{answer:?}"
            );
        }
        drop(held);
    }

    #[tokio::test]
    async fn a_scope_that_names_nothing_is_refused_and_told_what_there_is() {
        let dir = tempfile::tempdir().unwrap();
        let (board, settings) = daemon(dir.path()).await;
        let key = crate::cursor::FeedKey { tenant: "acme".into(), feed: "audit" };
        board.store.register_feed(&key).await.unwrap();
        for (scope, words) in [("acme/adit", "there are: acme/audit"), ("amce", "there are: acme")] {
            let pick = Pick { scope: scope.into(), ..Pick::default() };
            for request in [
                Request::Backfill { scope: scope.into() },
                Request::CursorReset { scope: scope.into(), again: false },
                Request::QuarantineAgain { pick },
            ] {
                let answer = positions::carry_out(&board.store, &settings, Time(0), &request).await;
                assert!(answer.exit == ExitCode::Usage as u8 && answer.text.contains(words), "{answer:?}");
            }
        }
        let part = |scope: &str| super::super::scopes::no_part(&settings, scope);
        assert!(["acme", "*", "acme/a*", "sink:out", "sink:*", "host:h"].iter().all(|s| part(s).is_none()));
        for scope in ["", "nobody", "sink:", "sink:in", "host:", "acme/x"] {
            let why = part(scope).unwrap();
            assert!(why.contains("there are: acme"), "{why}");
        }
    }
}
