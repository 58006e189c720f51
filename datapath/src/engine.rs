//! The thread that moves frames between the bridge and the mesh.
//!
//! It waits for three things: frames on the TAP device, datagrams on the UDP socket, and commands.
//! What becomes of each frame is the [`Forwarder`]'s decision; this thread only carries it out.

use crate::tap::Tap;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time;
use weft_core::forward::{Counters, Forwarder, ForwardingChange, Sink};
use weft_core::id::PeerName;
use weft_core::io::Input;
use weft_core::time::Instant;

/// Most frames and most datagrams taken before the other side has its turn.
const TURN_MAX: usize = 64;

/// Commands that wait for the thread. Who has more to tell waits, which is short: it takes all of
/// them once a turn. Datagrams beyond it are lost, as on a full socket.
const COMMANDS_MAX: usize = 1024;

/// Longest frame or datagram that the kernel can hand us, in bytes.
const BUFFER_LEN: usize = 1 << 16;

/// A running engine; stops when dropped.
#[derive(Debug)]
pub struct Engine {
    shared: Arc<Shared>,
    commands: mpsc::SyncSender<Command>,
    thread: Option<JoinHandle<()>>,
}

/// What was decided but could not be carried out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Datagrams that the kernel did not take: full buffers, no route.
    pub datagrams: u64,
    /// Frames that the bridge did not take.
    pub frames: u64,
}

#[derive(Debug)]
struct Shared {
    wake: EventFd,
    counters: Mutex<Counters>,
    lost_datagrams: AtomicU64,
    lost_frames: AtomicU64,
}

#[derive(Debug)]
enum Command {
    Apply(ForwardingChange),
    Send(SocketAddr, Vec<u8>),
    Tap(Tap),
    Stop,
}

impl Engine {
    /// Starts the thread. `on_input` is called on it with what the node is to be told, and must not
    /// wait.
    ///
    /// # Errors
    /// When the kernel has no thread or descriptor left.
    pub fn start(
        tap: Tap,
        udp: UdpSocket,
        forwarder: Forwarder,
        on_input: impl FnMut(Input) + Send + 'static,
    ) -> io::Result<Self> {
        udp.set_nonblocking(true)?;
        let shared = Arc::new(Shared {
            wake: EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?,
            counters: Mutex::default(),
            lost_datagrams: AtomicU64::new(0),
            lost_frames: AtomicU64::new(0),
        });
        let (commands, inbox) = mpsc::sync_channel(COMMANDS_MAX);
        let is_v6 = udp.local_addr()?.is_ipv6();
        let ports = Ports { tap, udp, is_v6, shared: Arc::clone(&shared), on_input };
        let moving =
            Moving { ports, forwarder, inbox, start: time::Instant::now(), tap_gone: false };
        let thread =
            thread::Builder::new().name("weft-engine".into()).spawn(move || moving.run())?;
        Ok(Self { shared, commands, thread: Some(thread) })
    }

    /// Tells the forwarder; changes and datagrams are carried out in the order of these calls.
    pub fn apply(&self, change: ForwardingChange) {
        self.command(Command::Apply(change));
    }

    /// Sends a datagram of the node's, or loses it when the thread has more to do than it can.
    pub fn send(&self, to: SocketAddr, datagram: Vec<u8>) {
        match self.commands.try_send(Command::Send(to, datagram)) {
            Ok(()) => self.wake(),
            Err(mpsc::TrySendError::Full(_) | mpsc::TrySendError::Disconnected(_)) => {
                self.shared.lost_datagrams.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Goes on with `tap`, in place of the one before.
    pub fn replace_tap(&self, tap: Tap) {
        self.command(Command::Tap(tap));
    }

    /// Whether the thread has ended by itself, so that no frame moves any more.
    pub fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// What was counted up to the end of the last turn.
    pub fn counters(&self) -> Counters {
        self.shared.counters.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What was lost on the way to the kernel.
    pub fn losses(&self) -> Losses {
        Losses {
            datagrams: self.shared.lost_datagrams.load(Ordering::Relaxed),
            frames: self.shared.lost_frames.load(Ordering::Relaxed),
        }
    }

    /// Ends the thread and waits for it. The TAP device and the socket are closed then.
    pub fn stop(mut self) {
        self.end();
    }

    fn command(&self, command: Command) {
        // The receiver is gone only after the thread has ended, which it said in its log.
        if self.commands.send(command).is_ok() {
            self.wake();
        }
    }

    fn wake(&self) {
        // Fails only when the counter is full, and then the thread is awake anyway.
        let _ = self.shared.wake.write(1);
    }

    fn end(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        self.command(Command::Stop);
        if thread.join().is_err() {
            tracing::error!("the forwarding thread ended by a panic");
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.end();
    }
}

/// What the thread owns.
struct Moving<P> {
    ports: Ports<P>,
    forwarder: Forwarder,
    inbox: mpsc::Receiver<Command>,
    start: time::Instant,
    tap_gone: bool,
}

/// The two sides, as a forwarder sees them.
struct Ports<P> {
    tap: Tap,
    udp: UdpSocket,
    is_v6: bool,
    shared: Arc<Shared>,
    on_input: P,
}

impl<P: FnMut(Input)> Moving<P> {
    fn run(mut self) {
        let mut buffer = vec![0; BUFFER_LEN];
        loop {
            if let Err(why) = self.wait() {
                tracing::error!(%why, "cannot wait for frames: forwarding has ended");
                return;
            }
            if !self.obey() {
                return;
            }
            self.take_frames(&mut buffer);
            self.take_datagrams(&mut buffer);
            let counted = self.forwarder.counters();
            self.ports
                .shared
                .counters
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone_from(counted);
        }
    }

    fn now(&self) -> Instant {
        let nanos = self.start.elapsed().as_nanos();
        Instant::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    fn wait(&self) -> io::Result<()> {
        let mut fds = vec![
            PollFd::new(self.ports.shared.wake.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.ports.udp.as_fd(), PollFlags::POLLIN),
        ];
        if !self.tap_gone {
            fds.push(PollFd::new(self.ports.tap.as_fd(), PollFlags::POLLIN));
        }
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(why) => Err(why.into()),
        }
    }

    /// Carries out all commands; says whether to go on.
    fn obey(&mut self) -> bool {
        // Emptied before the inbox, so that a command which comes meanwhile wakes us again.
        let _ = self.ports.shared.wake.read();
        loop {
            match self.inbox.try_recv() {
                Ok(Command::Apply(change)) => self.forwarder.apply(change),
                Ok(Command::Send(to, datagram)) => self.ports.send(to, &datagram),
                Ok(Command::Tap(tap)) => {
                    self.ports.tap = tap;
                    self.tap_gone = false;
                }
                Ok(Command::Stop) | Err(mpsc::TryRecvError::Disconnected) => return false,
                Err(mpsc::TryRecvError::Empty) => return true,
            }
        }
    }

    fn take_frames(&mut self, buffer: &mut [u8]) {
        if self.tap_gone {
            return;
        }
        for _ in 0..TURN_MAX {
            match self.ports.tap.read_frame(buffer) {
                Ok(len) => {
                    let now = self.now();
                    let frame = buffer.get(..len).unwrap_or_default();
                    self.forwarder.frame(now, frame, &mut self.ports);
                }
                Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
                Err(why) if why.kind() == io::ErrorKind::WouldBlock => return,
                Err(why) => {
                    tracing::error!(%why, "the TAP device is gone");
                    self.tap_gone = true;
                    return;
                }
            }
        }
    }

    fn take_datagrams(&mut self, buffer: &mut [u8]) {
        for _ in 0..TURN_MAX {
            match self.ports.udp.recv_from(buffer) {
                Ok((len, from)) => {
                    let now = self.now();
                    let from = SocketAddr::new(from.ip().to_canonical(), from.port());
                    let datagram = buffer.get(..len).unwrap_or_default();
                    self.forwarder.datagram(now, from, datagram, &mut self.ports);
                }
                Err(why) if why.kind() == io::ErrorKind::WouldBlock => return,
                // An earlier datagram bounced; the next may well arrive.
                Err(why) => tracing::trace!(%why, "datagram"),
            }
        }
    }
}

impl<P: FnMut(Input)> Sink for Ports<P> {
    fn send(&mut self, to: SocketAddr, datagram: &[u8]) {
        let to = match (to.ip(), self.is_v6) {
            (IpAddr::V4(v4), true) => SocketAddr::new(v4.to_ipv6_mapped().into(), to.port()),
            (IpAddr::V4(_) | IpAddr::V6(_), true | false) => to,
        };
        // Waiting would hold up all others; a lost datagram is what a network may do.
        if let Err(why) = self.udp.send_to(datagram, to) {
            tracing::trace!(%to, %why, "datagram lost");
            self.shared.lost_datagrams.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn deliver(&mut self, frame: &[u8]) {
        if let Err(why) = self.tap.write_frame(frame) {
            tracing::trace!(%why, "frame lost");
            self.shared.lost_frames.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn probe(&mut self, from: SocketAddr, datagram: &[u8]) {
        (self.on_input)(Input::Datagram { from, bytes: datagram.to_vec() });
    }

    fn wants(&mut self, peer: PeerName) {
        (self.on_input)(Input::Wanted { peer });
    }
}
