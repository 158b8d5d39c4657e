//! Syslog over UDP (RFC 5426): one message a datagram, sent and forgotten. Nobody confirms a datagram, so an
//! acknowledgement is worth nothing (level 0) and the configuration has to say that losses are accepted. What this
//! machine can notice is told all the same: a name that does not resolve, no route, a port where nobody listens.
//!
//! A receiver that is too slow loses what does not fit into its buffer. Batches are therefore small: between two of
//! them lies a transaction of the store.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::dial::Dialer;
use super::peer::transport;
use super::plan::UdpPlan;
use super::{Batch, Sent, Undelivered, Window};
use crate::fault::{Code, Fault, Kind, Origin};
use crate::limits;
use crate::setup_error::SetupError;

/// The code of a closed port in the recovery table.
const REFUSED: &str = "udp_refused";
/// A datagram was sent; nobody confirms it.
pub const LEVEL: u8 = 0;

/// A few datagrams at a time.
pub const WINDOW: Window = Window {
    max_events: limits::UDP_BATCH_EVENTS,
    max_bytes: limits::SINK_BATCH_BYTES,
    wait: Duration::ZERO,
    concurrency: 1,
    confirm_every: 0,
};

/// One receiver.
#[derive(Debug)]
pub struct Udp {
    dialer: Dialer,
    open: Mutex<Option<Open>>,
}

#[derive(Debug)]
struct Open {
    socket: UdpSocket,
    since: Instant,
}

impl Udp {
    pub fn new(plan: &UdpPlan) -> Result<Self, SetupError> {
        let dialer = Dialer::new(&plan.host, plan.port, None, plan.connect_timeout)?;
        Ok(Udp { dialer, open: Mutex::default() })
    }

    /// Sends each event as one datagram. Of a closed port one may hear in time, and then all of the batch is sent
    /// again (recovery row S14).
    ///
    /// # Errors
    /// The name does not resolve, there is no way, or nobody listens there; nothing of the batch counts.
    pub async fn send(&self, batch: &Batch) -> Result<Sent, Fault> {
        let mut slot = self.open.lock().await;
        // looked up anew now and then: no error tells that a name has moved
        let open = match slot.take().filter(|open| open.since.elapsed() < limits::UDP_RESOLVE_EVERY) {
            Some(open) => open,
            None => self.connect().await?,
        };
        let mut rest = Vec::new();
        for n in 0..batch.len() {
            let record = batch.record(n).unwrap_or_default();
            let Err(err) = open.socket.send(record).await else { continue };
            if is_too_long(&err) {
                let text = format!("{}: failed to send a datagram: {err}", self.dialer.peer());
                rest.push(Undelivered::one(n, Fault::new(Origin::Sink, Kind::TooLarge, text)));
                continue;
            }
            return Err(self.fault(&err)); // which of the datagrams before was meant nobody can tell
        }
        if let Ok(Some(err)) = open.socket.take_error() {
            return Err(self.fault(&err));
        }
        *slot = Some(open);
        Ok(Sent::of(batch.len(), LEVEL, rest))
    }

    /// Resolves the name and finds a way to it; returns level 0. Whether somebody listens there nobody can tell.
    ///
    /// # Errors
    /// The name does not resolve, or there is no way.
    pub async fn probe(&self) -> Result<u8, Fault> {
        self.connect().await.map(|_| LEVEL)
    }

    fn fault(&self, err: &io::Error) -> Fault {
        let fault = transport(self.dialer.peer(), "send a datagram", err);
        let refused = err.kind() == io::ErrorKind::ConnectionRefused;
        Fault { code: if refused { Code::new(REFUSED) } else { None }, ..fault }
    }

    async fn connect(&self) -> Result<Open, Fault> {
        let mut last = Fault::new(Origin::Sink, Kind::Dns, format!("{}: no address", self.dialer.peer()));
        for address in self.dialer.addresses().await? {
            match connected(address).await {
                Ok(socket) => return Ok(Open { socket, since: Instant::now() }),
                Err(err) => last = transport(self.dialer.peer(), "find a way there", &err),
            }
        }
        Err(last)
    }
}

async fn connected(address: SocketAddr) -> io::Result<UdpSocket> {
    let any = match address {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(address).await?; // so that "nobody listens there" comes back as an error
    Ok(socket)
}

fn is_too_long(err: &io::Error) -> bool {
    err.raw_os_error() == Some(rustix::io::Errno::MSGSIZE.raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventId;

    fn batch(messages: &[Vec<u8>]) -> Batch {
        let mut batch = Batch::default();
        for message in messages {
            assert!(batch.push(EventId([0; 16]), |out| out.extend_from_slice(message)));
        }
        batch
    }

    fn to(port: u16) -> Udp {
        Udp::new(&UdpPlan { host: "127.0.0.1".into(), port, connect_timeout: Duration::from_secs(5) })
            .unwrap()
    }

    #[tokio::test]
    async fn each_event_is_a_datagram_and_one_that_is_too_long_for_any_is_named() {
        let receiver = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let sink = to(receiver.local_addr().unwrap().port());
        assert_eq!(sink.probe().await.unwrap(), 0);
        let sent = sink.send(&batch(&[b"one".to_vec(), vec![b'x'; 70_000], b"two".to_vec()])).await.unwrap();
        let Sent::Partly(receipt, rest) = sent else { panic!("{sent:?}") };
        assert_eq!((receipt.events(), receipt.level()), (2, 0));
        let (places, fault) = (rest[0].events.clone(), rest[0].fault.clone().unwrap());
        assert_eq!((places.into_iter().flatten().collect::<Vec<_>>(), fault.kind), (vec![1], Kind::TooLarge));
        let mut space = [0; 100];
        for expected in [b"one", b"two"] {
            let length = receiver.recv(&mut space).await.unwrap();
            assert_eq!(&space[..length], expected);
        }
    }

    #[tokio::test]
    async fn a_port_where_nobody_listens_is_heard_of_on_this_machine() {
        let port = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let fault = to(port).send(&batch(&[b"one".to_vec()])).await.unwrap_err();
        assert_eq!((fault.kind, fault.code_str()), (Kind::Connect, "udp_refused"), "{fault}");
    }
}
