//! Questions over TCP: only so many streams at once, of all and of each asker, and none that is idle,
//! so that no container can use up the daemon's file descriptors.

use super::handler::Handler;
use hickory_server::net::xfer::Protocol;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Streams at once; more are closed as they come. Far below the 1024 descriptors that a process has
/// at least on Linux, with those of questions to other name servers on top.
const STREAMS_MAX: usize = 128;

/// Streams at once of one asker: resolvers use one or two.
const STREAMS_OF_ONE_MAX: usize = 16;

/// Who neither asks nor takes its answer for this long is hung up on.
const IDLE_MAX: Duration = Duration::from_secs(10);

/// A listener that fails (out of file descriptors) is asked again after this long.
const ACCEPT_WAIT: Duration = Duration::from_millis(100);

/// How many streams each asker has.
type Places = Arc<Mutex<BTreeMap<IpAddr, usize>>>;

/// The right of one asker to one stream, until it is dropped.
struct Place {
    places: Places,
    asker: IpAddr,
}

impl Place {
    /// A place for one more stream of `asker`, if there is one.
    fn take(places: &Places, asker: IpAddr) -> Option<Self> {
        let mut taken = places.lock().unwrap_or_else(PoisonError::into_inner);
        let own = taken.get(&asker).copied().unwrap_or(0);
        if own >= STREAMS_OF_ONE_MAX || taken.values().sum::<usize>() >= STREAMS_MAX {
            return None;
        }
        taken.insert(asker, own + 1);
        Some(Self { places: Arc::clone(places), asker })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.get_mut(&self.asker) {
            Some(own) if *own > 1 => *own -= 1,
            Some(_) | None => {
                taken.remove(&self.asker);
            }
        }
    }
}

/// Answers what comes to `listener`, until this is dropped.
pub(super) async fn serve(listener: TcpListener, handler: Arc<Handler>) {
    let places = Places::default();
    let mut streams = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = streams.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, from)) => {
                    // Without a place it is closed by being dropped.
                    if let Some(place) = Place::take(&places, from.ip()) {
                        let handler = Arc::clone(&handler);
                        streams.spawn(async move {
                            let _place = place;
                            if let Err(why) = converse(stream, from, &handler).await {
                                tracing::debug!(%from, %why, "a DNS stream broke");
                            }
                        });
                    }
                }
                Err(why) => {
                    tracing::debug!(%why, "cannot accept a DNS stream");
                    sleep(ACCEPT_WAIT).await;
                }
            },
        }
    }
}

/// Question and answer in turn, until the other side ends or says nothing.
async fn converse(mut stream: TcpStream, from: SocketAddr, handler: &Handler) -> io::Result<()> {
    loop {
        let question = timeout(IDLE_MAX, read(&mut stream)).await??;
        let Some(answer) = handler.answer(question, from, Protocol::Tcp).await else {
            return Ok(());
        };
        let len = u16::try_from(answer.len()).map_err(io::Error::other)?;
        let framed: Vec<u8> = len.to_be_bytes().into_iter().chain(answer).collect();
        timeout(IDLE_MAX, stream.write_all(&framed)).await??;
    }
}

/// One message, after its length (RFC 1035 section 4.2.2).
async fn read(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut message = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_asker_takes_all_places_and_those_that_end_are_free_again() {
        let places = Places::default();
        let asker = |n: u8| IpAddr::from([10, 32, 0, n]);
        let take = |n: u8| std::iter::from_fn(|| Place::take(&places, asker(n))).collect();
        let mut all: Vec<Vec<Place>> = (1..=20).map(take).collect();
        assert_eq!(all[0].len(), STREAMS_OF_ONE_MAX);
        assert_eq!(all.iter().map(Vec::len).sum::<usize>(), STREAMS_MAX);
        all.remove(0);
        assert!(Place::take(&places, asker(99)).is_some());
        all.clear();
        assert!(places.lock().unwrap().is_empty());
    }
}
