//! Work that may never come back: the question for a name whose server is silent, a write into a pipe that nobody reads
//! or onto a file system that hangs, a client library that waits by itself. Each piece has a thread of its own for as
//! long as it takes, so that it holds up nobody but who waits for it. The runtime's few threads, which everybody
//! shares, are for work that ends by itself.

use std::io;
use std::thread::Builder;

use tokio::sync::oneshot;

/// Begins `work` and goes on.
///
/// # Errors
/// The system gives no more threads (systemd: `TasksMax=`); nothing was begun.
pub fn begin(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let told =
        |error: io::Error| io::Error::new(error.kind(), format!("no thread could be started: {error}"));
    Builder::new().name("apart".to_owned()).spawn(work).map(drop).map_err(told)
}

/// What `work` gives. Who stops waiting leaves it to itself: it goes on to its end.
///
/// # Errors
/// As [`begin`]; or `work` panicked.
pub async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let (give, given) = oneshot::channel();
    begin(move || drop(give.send(work())))?; // nobody may be waiting any more
    given.await.map_err(|_| io::Error::other("the thread that did it has died"))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn what_hangs_holds_up_nobody_else() {
        let (hold, held) = mpsc::channel::<()>();
        let held = std::sync::Arc::new(std::sync::Mutex::new(held));
        for _ in 0..20 {
            let held = held.clone();
            begin(move || assert!(held.lock().unwrap().recv().is_err())).unwrap();
        }
        assert_eq!(apart(|| 7).await.unwrap(), 7);
        drop(hold);
    }

    #[tokio::test]
    async fn a_panic_is_an_error() {
        let died = apart(|| assert_eq!(1, 2)).await.unwrap_err();
        assert_eq!(died.to_string(), "the thread that did it has died");
    }
}
