//! Questions over UDP. A thread of its own answers those that are plain one after the other as they come,
//! without a copy of anything; each of the others has a task, since it may have to wait for somebody else.
//!
//! The thread sleeps in the call that receives. A socket that tasks wait for costs an `epoll_wait` for each question
//! beside it.

use super::handler::Handler;
use super::payload::PAYLOAD_MAX;
use super::zone::Room;
use hickory_server::net::xfer::Protocol;
use nix::sys::socket::{MsgFlags, Shutdown, SockaddrStorage, sendto, shutdown};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

/// Questions that are not plain and under way at once; more are dropped, as a full socket would. Twice as many as may
/// wait for other servers, so that those who may not are told so.
const TASKS_MAX: usize = 1024;

/// A socket that fails is asked again after this long.
const ERROR_WAIT: Duration = Duration::from_millis(100);

/// A thread that answers questions; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Answering {
    socket: Arc<UdpSocket>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Answering {
    /// Answers what comes to `socket` by what `handler` says. What has to wait does so in the runtime that this
    /// is called in.
    ///
    /// # Errors
    /// When there can be no thread.
    pub(super) fn start(socket: UdpSocket, handler: Arc<Handler>) -> io::Result<Self> {
        let socket = Arc::new(socket);
        let is_over = Arc::<AtomicBool>::default();
        let (runtime, answers, told) =
            (Handle::current(), Arc::clone(&socket), Arc::clone(&is_over));
        let thread = thread::Builder::new().name("dns".to_owned());
        let thread = thread.spawn(move || serve(&answers, &handler, &runtime, &told))?;
        Ok(Self { socket, is_over, thread: Some(thread) })
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        // Wakes whoever receives, and says that there is no other end, which a socket like this never has.
        let _ = shutdown(self.socket.as_raw_fd(), Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            // Its port is free from here on. If it panicked, that was said.
            let _ = thread.join();
        }
    }
}

/// Answers what comes to `socket`, until that `is_over`.
fn serve(socket: &Arc<UdpSocket>, handler: &Arc<Handler>, runtime: &Handle, is_over: &AtomicBool) {
    let mut tasks = JoinSet::new();
    let mut buffer = vec![0; usize::from(PAYLOAD_MAX)];
    let mut room = Room::default();
    loop {
        let received = socket.recv_from(&mut buffer);
        if is_over.load(Ordering::SeqCst) {
            return;
        }
        let (question, from) = match received {
            Ok((len, from)) => (buffer.get(..len).unwrap_or_default(), from),
            Err(why) if why.kind() == io::ErrorKind::Interrupted => continue,
            Err(why) => {
                tracing::debug!(%why, "cannot receive DNS questions");
                thread::sleep(ERROR_WAIT);
                continue;
            }
        };
        if !can_be_answered(from) {
            continue;
        }
        if let Some(answer) = handler.answer_plain(question, &mut room) {
            send(socket, answer, from);
            continue;
        }
        while tasks.try_join_next().is_some() {}
        if tasks.len() >= TASKS_MAX {
            tracing::debug!(%from, "too many DNS questions at once");
            continue;
        }
        let (question, handler, socket) =
            (question.to_vec(), Arc::clone(handler), Arc::clone(socket));
        let answer = async move {
            if let Some(answer) = handler.answer(question, from, Protocol::Udp).await {
                send(&socket, &answer, from);
            }
        };
        tasks.spawn_on(answer, runtime);
    }
}

/// Whether `from` is an address of one host. Who forges another one must not have us speak to all.
fn can_be_answered(from: SocketAddr) -> bool {
    let is_host = match from.ip() {
        IpAddr::V4(v4) => !v4.is_unspecified() && !v4.is_broadcast(),
        IpAddr::V6(v6) => !v6.is_unspecified(),
    };
    is_host && from.port() != 0
}

/// Sends `answer`, unless the socket has no room: nobody is kept waiting for one who takes nothing.
fn send(socket: &UdpSocket, answer: &[u8], to: SocketAddr) {
    let address = SockaddrStorage::from(to);
    if let Err(why) = sendto(socket.as_raw_fd(), answer, &address, MsgFlags::MSG_DONTWAIT) {
        tracing::debug!(%to, %why, "cannot send a DNS answer");
    }
}
