//! The addresses of a name, from the system's resolver, which knows no way but to wait: glibc asks a silent server for
//! ten seconds and longer. Each name is asked for once at a time, apart from everything else, and all who want it get the
//! one answer. The names of Mimecast's hosts are counted by themselves, so that no number of dead receivers keeps
//! events from being collected.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::apart;
use crate::limits::MAX_NAMES_ASKED;

/// Whose name it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Whose {
    /// The API's, a file host's, or that of a proxy on the way there.
    Mimecast,
    /// A sink's or an alert receiver's.
    Receiver,
}

/// All addresses, with port 0; or why there is none: completes "the name does not resolve: ".
pub type Found = Result<Vec<SocketAddr>, String>;

/// Asks the system, for `limit` at most. An address, as text, is its own answer. Who asks again after the limit waits for the
/// question that is still open.
pub async fn look_up(whose: Whose, name: &str, limit: Duration) -> Found {
    SYSTEM.look_up(whose, name, limit).await
}

/// What of the time for a whole connection its name may take: a silent DNS server is to be told as one, not as a host
/// that does not accept.
pub fn name_limit(connect: Duration) -> Duration {
    connect * 2 / 3
}

static SYSTEM: Names = Names { ask: system, asked: Mutex::new(BTreeMap::new()) };

fn system(name: &str) -> io::Result<Vec<SocketAddr>> {
    Ok((name, 0).to_socket_addrs()?.collect())
}

type Waiting = Vec<oneshot::Sender<Found>>;

struct Names {
    ask: fn(&str) -> io::Result<Vec<SocketAddr>>,
    /// Open questions, and who waits for each.
    asked: Mutex<BTreeMap<(Whose, String), Waiting>>,
}

impl Names {
    async fn look_up(&'static self, whose: Whose, name: &str, limit: Duration) -> Found {
        if let Ok(address) = name.parse::<std::net::IpAddr>() {
            return Ok(vec![SocketAddr::new(address, 0)]);
        }
        let (tell, told) = oneshot::channel();
        self.ask_for(whose, name, tell)?;
        match timeout(limit, told).await {
            Ok(Ok(found)) => found,
            Ok(Err(_)) => Err("the question for it broke off".to_owned()),
            Err(_) => Err(format!("no answer of the DNS within {limit:?}")),
        }
    }

    fn ask_for(&'static self, whose: Whose, name: &str, tell: oneshot::Sender<Found>) -> Result<(), String> {
        let key = (whose, name.to_owned());
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waiting) = asked.get_mut(&key) {
            waiting.retain(|tell| !tell.is_closed());
            waiting.push(tell);
            return Ok(());
        }
        if asked.keys().filter(|(theirs, _)| *theirs == whose).count() >= MAX_NAMES_ASKED {
            return Err(format!("{MAX_NAMES_ASKED} other names are being looked up and none is answered"));
        }
        let open = key.clone();
        let work = move || {
            let found = (self.ask)(&open.1).map_err(|error| error.to_string());
            let waiting = self.asked.lock().unwrap_or_else(PoisonError::into_inner).remove(&open);
            waiting.into_iter().flatten().for_each(|tell| drop(tell.send(found.clone()))); // some gave up
        };
        apart::begin(work).map_err(|error| error.to_string())?;
        asked.insert(key, vec![tell]); // under the lock, which its thread needs to end
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Condvar;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;

    use super::*;

    const SOON: Duration = Duration::from_millis(1);
    const PATIENCE: Duration = Duration::from_secs(60);

    fn names(ask: fn(&str) -> io::Result<Vec<SocketAddr>>) -> &'static Names {
        Box::leak(Box::new(Names { ask, asked: Mutex::new(BTreeMap::new()) }))
    }

    #[tokio::test]
    async fn names_that_nobody_answers_hold_up_no_other_and_are_asked_for_once() {
        static DEAD_ASKED: AtomicUsize = AtomicUsize::new(0);
        static GATE: (Mutex<bool>, Condvar) = (Mutex::new(false), Condvar::new());
        let names = names(|name| {
            if name.starts_with("dead") {
                DEAD_ASKED.fetch_add(1, Ordering::SeqCst);
                let open = GATE.0.lock().unwrap();
                drop(GATE.1.wait_while(open, |open| !*open).unwrap());
            }
            Ok(vec![SocketAddr::from(([127, 0, 0, 1], 0))])
        });
        let dead: Vec<String> = (0..MAX_NAMES_ASKED).map(|n| format!("dead{n}")).collect();
        for _ in 0..3 {
            let looks = dead.iter().map(|name| names.look_up(Whose::Receiver, name, SOON));
            for found in join_all(looks).await {
                assert_eq!(found.unwrap_err(), "no answer of the DNS within 1ms");
            }
        }
        assert!(names.look_up(Whose::Mimecast, "api", PATIENCE).await.is_ok(), "Mimecast's never wait");
        let full = names.look_up(Whose::Receiver, "one more", PATIENCE).await.unwrap_err();
        assert!(full.contains("other names are being looked up"), "{full}");
        let late = names.look_up(Whose::Receiver, "dead0", PATIENCE);
        let open = async { *GATE.0.lock().unwrap() = true };
        let (late, ()) = tokio::join!(late, open_after(open));
        assert!(late.is_ok(), "who asks again gets the answer to the open question");
        assert_eq!(DEAD_ASKED.load(Ordering::SeqCst), MAX_NAMES_ASKED);
        for name in &dead {
            assert!(names.look_up(Whose::Receiver, name, PATIENCE).await.is_ok());
        }
        assert!(names.look_up(Whose::Receiver, "one more", PATIENCE).await.is_ok());

        async fn open_after(open: impl Future<Output = ()>) {
            open.await;
            GATE.1.notify_all();
        }
    }

    #[tokio::test]
    async fn addresses_are_answers_and_what_the_system_says_is_passed_on() {
        let found = look_up(Whose::Mimecast, "::1", SOON).await.unwrap();
        assert_eq!(found, [SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 0))]);
        let found = look_up(Whose::Receiver, "localhost", PATIENCE).await.unwrap();
        assert!(!found.is_empty() && found.iter().all(|at| at.ip().is_loopback()), "{found:?}");
        let refused = names(|_| Err(io::Error::other("no such name")));
        assert_eq!(refused.look_up(Whose::Receiver, "a", PATIENCE).await, Err("no such name".to_owned()));
        let empty = names(|_| Ok(Vec::new())).look_up(Whose::Receiver, "a", PATIENCE).await;
        assert_eq!(empty, Ok(Vec::new()));
    }
}
