//! Questions over UDP: those that are plain are answered one after the other as they come, without a task or a
//! copy of anything; each of the others has a task, since it may have to wait for somebody else.

use super::handler::Handler;
use super::payload::PAYLOAD_MAX;
use super::zone::Room;
use hickory_server::net::xfer::Protocol;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Questions that are not plain and under way at once; more are dropped, as a full socket would. Twice as many as may
/// wait for other servers, so that those who may not are told so.
const TASKS_MAX: usize = 1024;

/// A socket that fails is asked again after this long.
const ERROR_WAIT: Duration = Duration::from_millis(100);

/// Answers what comes to `socket`, until this is dropped.
pub(super) async fn serve(socket: UdpSocket, handler: Arc<Handler>) {
    let socket = Arc::new(socket);
    let mut tasks = JoinSet::new();
    let mut buffer = vec![0; usize::from(PAYLOAD_MAX)];
    let mut room = Room::default();
    loop {
        let (question, from) = match socket.recv_from(&mut buffer).await {
            Ok((len, from)) => (buffer.get(..len).unwrap_or_default(), from),
            Err(why) => {
                tracing::debug!(%why, "cannot receive DNS questions");
                sleep(ERROR_WAIT).await;
                continue;
            }
        };
        if !can_be_answered(from) {
            continue;
        }
        if let Some(answer) = handler.answer_plain(question, &mut room) {
            note(from, socket.send_to(answer, from).await);
            continue;
        }
        while tasks.try_join_next().is_some() {}
        if tasks.len() >= TASKS_MAX {
            tracing::debug!(%from, "too many DNS questions at once");
            continue;
        }
        let (question, handler, socket) =
            (question.to_vec(), Arc::clone(&handler), Arc::clone(&socket));
        tasks.spawn(async move {
            if let Some(answer) = handler.answer(question, from, Protocol::Udp).await {
                note(from, socket.send_to(&answer, from).await);
            }
        });
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

fn note(to: SocketAddr, sent: io::Result<usize>) {
    if let Err(why) = sent {
        tracing::debug!(%to, %why, "cannot send a DNS answer");
    }
}
