//! The two tasks of one control stream: one reads, one writes.

use std::convert::Infallible;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};
use weft_core::io::{CloseReason, ConnId};

/// What happened to a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ConnEvent {
    /// Bytes came.
    Received(Vec<u8>),
    /// The outstanding write is with the kernel.
    Written,
    /// It is over. May be said twice, once by each task.
    Closed(CloseReason),
}

/// Bytes taken from a stream at once.
const READ_LEN: usize = 16 * 1024;

/// What was written before a close has this long to leave.
const LINGER_MAX: Duration = Duration::from_secs(5);

/// A running stream. Dropping it stops reading at once, and ends the stream after what was written.
#[derive(Debug)]
pub(crate) struct ConnIo {
    writes: mpsc::Sender<Vec<u8>>,
    reader: AbortHandle,
    /// Its end tells the writer that nobody waits for it any longer.
    _open: oneshot::Sender<Infallible>,
}

impl ConnIo {
    /// Starts both tasks; they tell `events`, and wait when it is full.
    pub(crate) fn start<S>(
        conn: ConnId,
        stream: S,
        events: mpsc::Sender<(ConnId, ConnEvent)>,
    ) -> Self
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (read_half, write_half) = tokio::io::split(stream);
        // One write is outstanding at most, so one place is enough.
        let (writes, to_write) = mpsc::channel(1);
        let reader = tokio::spawn(read(conn, read_half, events.clone())).abort_handle();
        let (open, closing) = oneshot::channel();
        tokio::spawn(write(conn, write_half, to_write, closing, events));
        Self { writes, reader, _open: open }
    }

    /// Sends `bytes`; answered by [`ConnEvent::Written`] or [`ConnEvent::Closed`]. Returns whether
    /// the core kept to one write at a time.
    pub(crate) fn write(&self, bytes: Vec<u8>) -> bool {
        // A closed channel is a stream that has ended, of which the core hears anyway.
        !matches!(self.writes.try_send(bytes), Err(mpsc::error::TrySendError::Full(_)))
    }
}

impl Drop for ConnIo {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

async fn read<R: AsyncRead + Unpin>(
    conn: ConnId,
    mut stream: R,
    events: mpsc::Sender<(ConnId, ConnEvent)>,
) {
    let mut buffer = vec![0; READ_LEN];
    loop {
        let event = match stream.read(&mut buffer).await {
            Ok(0) => ConnEvent::Closed(CloseReason::Ended),
            Ok(len) => ConnEvent::Received(buffer.iter().take(len).copied().collect()),
            Err(why) => ConnEvent::Closed(CloseReason::Lost(why.to_string())),
        };
        let last = matches!(event, ConnEvent::Closed(_));
        if events.send((conn, event)).await.is_err() || last {
            return;
        }
    }
}

async fn write<W: AsyncWrite + Unpin>(
    conn: ConnId,
    mut stream: W,
    mut writes: mpsc::Receiver<Vec<u8>>,
    closing: oneshot::Receiver<Infallible>,
    events: mpsc::Sender<(ConnId, ConnEvent)>,
) {
    let lingered = async {
        let _ = closing.await;
        sleep(LINGER_MAX).await;
    };
    tokio::pin!(lingered);
    while let Some(bytes) = writes.recv().await {
        let writing = async {
            stream.write_all(&bytes).await?;
            stream.flush().await
        };
        let written = tokio::select! {
            biased;
            written = writing => written,
            () = &mut lingered => return,
        };
        let event = match written {
            Ok(()) => ConnEvent::Written,
            Err(why) => ConnEvent::Closed(CloseReason::Lost(why.to_string())),
        };
        let last = matches!(event, ConnEvent::Closed(_));
        if events.send((conn, event)).await.is_err() || last {
            return;
        }
    }
    let _ = timeout(LINGER_MAX, stream.shutdown()).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONN: ConnId = ConnId::dialed(1);

    #[tokio::test]
    async fn bytes_come_and_go_and_an_end_is_told_once_by_the_reader() {
        let (ours, mut theirs) = tokio::io::duplex(64);
        let (events, mut happened) = mpsc::channel(4);
        let io = ConnIo::start(CONN, ours, events);
        assert!(io.write(b"ping".to_vec()));
        assert_eq!(happened.recv().await, Some((CONN, ConnEvent::Written)));
        let mut got = [0; 4];
        theirs.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"ping");
        theirs.write_all(b"pong").await.unwrap();
        assert_eq!(happened.recv().await, Some((CONN, ConnEvent::Received(b"pong".to_vec()))));
        drop(theirs);
        let end = ConnEvent::Closed(CloseReason::Ended);
        assert_eq!(happened.recv().await, Some((CONN, end)));
    }

    #[tokio::test]
    async fn what_was_written_before_a_close_still_arrives() {
        let (ours, mut theirs) = tokio::io::duplex(2);
        let (events, _happened) = mpsc::channel(4);
        let io = ConnIo::start(CONN, ours, events);
        assert!(io.write(b"farewell".to_vec()));
        drop(io);
        let mut got = Vec::new();
        theirs.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, b"farewell");
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_stream_whose_other_end_reads_nothing_is_dropped_in_the_end() {
        let (ours, theirs) = tokio::io::duplex(2);
        let (events, mut happened) = mpsc::channel(4);
        let io = ConnIo::start(CONN, ours, events);
        assert!(io.write(b"farewell".to_vec()));
        drop(io);
        // Both tasks hold a sender; the channel ends when they do.
        assert_eq!(happened.recv().await, None);
        drop(theirs);
    }
}
