//! One connection to a syslog receiver: written to and listened to at the same time, because what a peer has
//! to say (a TLS 1.3 alert about our certificate, a reset) arrives while we write and would otherwise be seen
//! only after the batch was taken for delivered.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::limits;

/// The stream of a connection.
#[derive(Debug)]
pub enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

impl Stream {
    fn duplex(&mut self) -> Pin<&mut dyn Duplex> {
        match self {
            Stream::Plain(stream) => Pin::new(stream),
            Stream::Tls(stream) => Pin::new(&mut **stream),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.get_mut().duplex().poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().duplex().poll_write(cx, buf)
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().duplex().poll_flush(cx)
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().duplex().poll_shutdown(cx)
    }
}

/// How a peer answered the end of our stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Farewell {
    /// TLS `close_notify`, sent after ours.
    Notified,
    /// The end of its stream, without a reset.
    Closed,
}

/// A connection and what was heard on it.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    heard: usize,
}

impl Connection {
    pub fn new(stream: Stream) -> Self {
        Connection { stream, heard: 0 }
    }

    fn duplex(&mut self) -> Pin<&mut dyn Duplex> {
        self.stream.duplex()
    }

    /// Writes all of `bytes`. Fails as soon as the peer closes, resets or sends an alert, even if the kernel
    /// would still take bytes.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        poll_fn(|cx| {
            self.poll_heard(cx)?;
            while !rest.is_empty() {
                let written = match ready!(self.duplex().poll_write(cx, rest)) {
                    Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    Ok(written) => written,
                    // An alert that explains the broken pipe may be waiting to be read.
                    Err(err) => return Poll::Ready(Err(self.poll_heard(cx).err().unwrap_or(err))),
                };
                rest = rest.get(written..).unwrap_or_default();
            }
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// Reads whatever the peer has said so far and forgets it; its end is an error here, for we are not done.
    fn poll_heard(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        loop {
            match self.poll_read(cx) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(0)) => {
                    let why = "the peer closed the connection before the batch was complete";
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why));
                }
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(err)) => return Err(err),
            }
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut space = [0; 1024];
        let mut buf = ReadBuf::new(&mut space);
        ready!(self.duplex().poll_read(cx, &mut buf))?;
        let read = buf.filled().len();
        self.heard += read;
        if self.heard > limits::MAX_CHATTER_BYTES {
            let why = "the peer sends data and does not stop; this is not a syslog receiver";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::FileTooLarge, why)));
        }
        Poll::Ready(Ok(read))
    }

    /// Ends our stream and waits for the peer's end of its own. The caller bounds the time.
    pub async fn farewell(mut self) -> io::Result<Farewell> {
        poll_fn(|cx| {
            self.poll_heard(cx)?;
            self.duplex().poll_flush(cx)
        })
        .await?;
        poll_fn(|cx| self.duplex().poll_shutdown(cx)).await?;
        loop {
            match poll_fn(|cx| self.poll_read(cx)).await {
                Ok(0) => break,
                Ok(_) => {}
                // What rustls says when TCP ends without close_notify.
                Err(err) if err.kind() == io::ErrorKind::UnexpectedEof => return Ok(Farewell::Closed),
                Err(err) => return Err(err),
            }
        }
        match self.stream {
            Stream::Plain(_) => Ok(Farewell::Closed),
            Stream::Tls(stream) => not_reset(stream.into_inner().0).await.map(|()| Farewell::Notified),
        }
    }
}

/// A peer that stops of its own accord says `close_notify` too, without having read our batch; then its
/// kernel resets the connection when it closes it. So the end of TCP is awaited as well, but not for long.
async fn not_reset(mut tcp: TcpStream) -> io::Result<()> {
    let mut space = [0; 256];
    let ended = async {
        while tcp.read(&mut space).await? > 0 {}
        Ok(())
    };
    tokio::time::timeout(limits::FAREWELL_GRACE, ended).await.unwrap_or(Ok(()))
}
