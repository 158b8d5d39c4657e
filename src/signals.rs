//! What the service manager and the operator tell the process, and what it tells the service manager.
//!
//! SIGTERM and SIGINT ask for an orderly stop; a second one ends the process at once. SIGHUP asks for a reload.

use std::io;
use std::os::unix::net::UnixStream as Pipe;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use sd_notify::NotifyState;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::{flag, low_level};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::net::UnixStream;

/// What is asked of the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Finish what is under way and exit.
    Stop,
    /// Read the configuration again.
    Reload,
}

/// The signals of this process, as a stream. Each kind of signal writes to a pipe of its own, which tokio reads:
/// nothing runs inside the signal handler but one `send`, and no thread waits.
pub struct Signals {
    stop: UnixStream,
    reload: UnixStream,
}

impl Signals {
    /// Takes over SIGTERM, SIGINT and SIGHUP for the rest of the process's life. Must run inside tokio.
    ///
    /// # Errors
    /// The system has no descriptors left.
    pub fn listen() -> io::Result<Signals> {
        let (stop, stop_write) = pipe()?;
        let (reload, reload_write) = pipe()?;
        let stopping = Arc::new(AtomicBool::new(false));
        for signal in [SIGTERM, SIGINT] {
            // In this order: the first signal finds the flag down, goes on and raises it; the second finds it up.
            flag::register_conditional_shutdown(signal, FORCED_EXIT, Arc::clone(&stopping))?;
            flag::register(signal, Arc::clone(&stopping))?;
            low_level::pipe::register(signal, stop_write.try_clone()?)?;
        }
        low_level::pipe::register(SIGHUP, reload_write)?;
        Ok(Signals { stop, reload })
    }

    /// The next request. Several signals of a kind that come together count once; a stop comes before a reload.
    pub async fn next(&mut self) -> Signal {
        next(&mut self.stop, &mut self.reload).await
    }
}

/// The exit code of a stop that was not orderly (contract §5: failed).
const FORCED_EXIT: i32 = 1;

fn pipe() -> io::Result<(UnixStream, Pipe)> {
    let (read, write) = Pipe::pair()?;
    read.set_nonblocking(true)?;
    write.set_nonblocking(true)?;
    Ok((UnixStream::from_std(read)?, write))
}

async fn next(stop: &mut (impl AsyncRead + Unpin), reload: &mut (impl AsyncRead + Unpin)) -> Signal {
    // One read empties the pipe of all that came together. A pipe whose other end is gone ends in a stop:
    // a daemon that can no longer be told to stop should.
    let (mut stops, mut reloads) = ([0; 64], [0; 64]);
    tokio::select! {
        biased;
        _ = stop.read(&mut stops) => Signal::Stop,
        _ = reload.read(&mut reloads) => Signal::Reload,
    }
}

/// What the process tells systemd. Without a service manager every call does nothing.
pub mod service {
    use super::{Duration, NotifyState, io};

    /// Everything is bound and running.
    pub fn ready(status: &str) -> io::Result<()> {
        sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(&line(status))])
    }
    /// The line that `systemctl status` shows.
    pub fn status(status: &str) -> io::Result<()> {
        sd_notify::notify(&[NotifyState::Status(&line(status))])
    }
    /// A reload begins; [`ready`] ends it. The time is what systemd 253 and later require.
    pub fn reloading() -> io::Result<()> {
        sd_notify::notify(&[NotifyState::Reloading, NotifyState::monotonic_usec_now()?])
    }
    /// Draining begins.
    pub fn stopping() -> io::Result<()> {
        sd_notify::notify(&[NotifyState::Stopping, NotifyState::Status("draining")])
    }
    /// The process is alive and its runtime turns.
    pub fn alive() -> io::Result<()> {
        sd_notify::notify(&[NotifyState::Watchdog])
    }
    /// How often to call [`alive`]: half of what the unit's `WatchdogSec=` allows. `None` without a watchdog.
    pub fn watchdog_interval() -> Option<Duration> {
        sd_notify::watchdog_enabled().map(|limit| limit / 2)
    }

    /// The protocol is one assignment a line: a line end in the text would start another.
    fn line(text: &str) -> String {
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
    }

    #[cfg(test)]
    mod tests {
        #[test]
        fn a_status_cannot_smuggle_in_another_assignment() {
            assert_eq!(super::line("a\nMAINPID=1"), "a MAINPID=1");
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    #[tokio::test]
    async fn signals_of_a_kind_that_come_together_count_once_and_stop_comes_first() {
        let (mut stop, mut stop_write) = UnixStream::pair().unwrap();
        let (mut reload, mut reload_write) = UnixStream::pair().unwrap();
        reload_write.write_all(b"xxx").await.unwrap();
        assert_eq!(next(&mut stop, &mut reload).await, Signal::Reload);
        reload_write.write_all(b"x").await.unwrap();
        stop_write.write_all(b"xx").await.unwrap();
        assert_eq!(next(&mut stop, &mut reload).await, Signal::Stop);
        assert_eq!(next(&mut stop, &mut reload).await, Signal::Reload);
    }

    #[tokio::test]
    async fn a_real_hangup_is_a_reload() {
        let mut signals = Signals::listen().unwrap();
        signal_hook::low_level::raise(SIGHUP).unwrap();
        assert_eq!(signals.next().await, Signal::Reload);
    }
}
