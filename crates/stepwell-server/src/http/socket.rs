//! A socket that limits how long it waits for a client that does not read, and passes on no head that can be read in
//! two ways.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use crate::http::framing::Framing;

/// Bytes that a client has to take within the limit, when it lets the server wait.
const WORTH: usize = 16 << 10;

/// A stream whose writes fail once a client has let the server wait too long.
#[derive(Debug)]
pub(crate) struct Patient<S> {
    stream: S,
    limit: Duration,
    /// Runs since the client first let the server wait, until it has taken [`WORTH`] bytes or all there are.
    waiting: Option<Pin<Box<Sleep>>>,
    taken: usize,
    framing: Framing,
}

impl<S> Patient<S> {
    /// A stream whose client has `limit` for every 16 KiB.
    pub(crate) fn new(stream: S, limit: Duration) -> Self {
        Self { stream, limit, waiting: None, taken: 0, framing: Framing::default() }
    }

    fn settle(&mut self, written: Poll<io::Result<usize>>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(bytes)) => {
                self.taken += bytes;
                if self.taken >= WORTH {
                    self.rest();
                }
                written
            }
            Poll::Ready(Err(_)) => written,
            Poll::Pending => {
                if self.waiting.is_none() {
                    self.taken = 0;
                }
                let limit = self.limit;
                ready!(self.waiting.get_or_insert_with(|| Box::pin(sleep(limit))).as_mut().poll(cx));
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes no answer")))
            }
        }
    }

    fn rest(&mut self) {
        self.waiting = None;
        self.taken = 0;
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let own = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut own.stream).poll_read(cx, buf))?;
        own.framing.look(buf.filled_mut().get_mut(before..).unwrap_or_default());
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let own = self.get_mut();
        let written = Pin::new(&mut own.stream).poll_write(cx, buf);
        own.settle(written, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let own = self.get_mut();
        let written = Pin::new(&mut own.stream).poll_write_vectored(cx, bufs);
        own.settle(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let own = self.get_mut();
        // All that was to be written is with the kernel: the client has kept up.
        own.rest();
        Pin::new(&mut own.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn who_takes_nothing_is_let_go() {
        let (ours, theirs) = tokio::io::duplex(64);
        let mut socket = Patient::new(ours, Duration::from_millis(50));
        let error = socket.write_all(&[0; 1000]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(theirs);
    }

    #[tokio::test]
    async fn who_takes_little_is_let_go_and_who_takes_all_is_served() {
        let (ours, mut theirs) = tokio::io::duplex(64);
        let mut socket = Patient::new(ours, Duration::from_millis(200));
        let reader = tokio::spawn(async move {
            let mut got = 0;
            while theirs.read_u8().await.is_ok() {
                got += 1;
                sleep(Duration::from_millis(1)).await;
            }
            got
        });
        assert_eq!(socket.write_all(&[0; 1 << 20]).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(socket);
        assert!(reader.await.unwrap() < WORTH);
        let (ours, mut theirs) = tokio::io::duplex(64);
        let mut socket = Patient::new(ours, Duration::from_secs(60));
        let reader = tokio::spawn(async move {
            let mut all = Vec::new();
            theirs.read_to_end(&mut all).await.map(|_| all.len())
        });
        socket.write_all(&[0; 1 << 20]).await.unwrap();
        socket.flush().await.unwrap();
        drop(socket);
        assert_eq!(reader.await.unwrap().unwrap(), 1 << 20);
    }
}
