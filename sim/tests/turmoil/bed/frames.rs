//! The data path of one host: the forwarder that runs in production, over turmoil's UDP.

use std::io;
use std::net::SocketAddr;
use tokio::sync::mpsc;
use turmoil::net::UdpSocket;
use weft::clock::Clock;
use weft::driver::Frames;
use weft_core::forward::{Forwarder, ForwardingChange, Sink};
use weft_core::id::PeerName;
use weft_core::io::Input;

/// What waits for the driver, at most.
const QUEUE_MAX: usize = 256;

/// Longest datagram.
const DATAGRAM_LEN_MAX: usize = 65_536;

/// What the driver wants of the data path.
#[derive(Debug)]
pub(super) enum Wish {
    Apply(ForwardingChange),
    Send(SocketAddr, Vec<u8>),
}

/// Hands wishes to the task that has forwarder and socket.
#[derive(Debug)]
pub(super) struct TaskFrames(mpsc::UnboundedSender<Wish>);

impl Frames for TaskFrames {
    fn apply(&mut self, change: ForwardingChange) {
        // The task ends only with the host.
        let _ = self.0.send(Wish::Apply(change));
    }
    fn send(&mut self, to: SocketAddr, datagram: &[u8]) {
        let _ = self.0.send(Wish::Send(to, datagram.to_vec()));
    }
}

/// The other end of [`TaskFrames`].
#[derive(Debug)]
pub(super) struct DataPath {
    wishes: mpsc::UnboundedReceiver<Wish>,
    told: mpsc::Sender<Input>,
}

/// What the driver is told by the data path.
pub(super) type Told = mpsc::Receiver<Input>;

/// Both ends of a data path that does not run yet.
pub(super) fn data_path() -> (TaskFrames, Told, DataPath) {
    let (wish, wishes) = mpsc::unbounded_channel();
    let (told, from_frames) = mpsc::channel(QUEUE_MAX);
    (TaskFrames(wish), from_frames, DataPath { wishes, told })
}

impl DataPath {
    /// Forwards until the driver is gone.
    pub(super) async fn run(
        mut self,
        mut forwarder: Forwarder,
        socket: UdpSocket,
        clock: Clock,
    ) -> io::Result<()> {
        let mut buffer = vec![0; DATAGRAM_LEN_MAX];
        loop {
            let mut collected = Collected::default();
            tokio::select! {
                biased;
                wish = self.wishes.recv() => match wish {
                    Some(Wish::Apply(change)) => forwarder.apply(change),
                    Some(Wish::Send(to, bytes)) => collected.sent.push((to, bytes)),
                    None => return Ok(()),
                },
                received = socket.recv_from(&mut buffer) => {
                    let (len, from) = received?;
                    let bytes = buffer.get(..len).unwrap_or_default();
                    forwarder.datagram(clock.now().mono, from, bytes, &mut collected);
                }
            }
            for (to, bytes) in collected.sent {
                socket.send_to(&bytes, to).await?;
            }
            for input in collected.told {
                // A full queue loses datagrams, as a socket's does.
                let _ = self.told.try_send(input);
            }
        }
    }
}

/// Collects what a forwarder wants, for a task that can wait for the socket.
#[derive(Debug, Default)]
struct Collected {
    sent: Vec<(SocketAddr, Vec<u8>)>,
    told: Vec<Input>,
}

impl Sink for Collected {
    fn send(&mut self, to: SocketAddr, datagram: &[u8]) {
        self.sent.push((to, datagram.to_vec()));
    }
    fn deliver(&mut self, _frame: &[u8]) {}
    fn probe(&mut self, from: SocketAddr, datagram: &[u8]) {
        self.told.push(Input::Datagram { from, bytes: datagram.to_vec() });
    }
    fn wants(&mut self, peer: PeerName) {
        self.told.push(Input::Wanted { peer });
    }
}
