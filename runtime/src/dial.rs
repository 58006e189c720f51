//! How a target becomes a stream: its name is looked up, and its addresses are tried in turn.

use crate::net::Net;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::{Instant, timeout};
use weft_core::io::{DialFailure, Target};

/// A dial, with the look-up of its name, may take this long; one that waits longer finds a host
/// that drops packets, and the core's own back-off is the better judge of when to try again.
const DIAL_MAX: Duration = Duration::from_secs(5);

/// Addresses of one name that are tried in one dial.
const DIAL_ADDRESSES_MAX: usize = 4;

/// Looks the target up and tries its addresses in turn.
pub(crate) async fn dial<N: Net>(
    net: &N,
    target: &Target,
) -> Result<(N::Stream, SocketAddr), DialFailure> {
    let unknown = |why: String| DialFailure::Resolve { host: target.host.clone(), why };
    let started = Instant::now();
    let addresses = match timeout(DIAL_MAX, net.resolve(&target.host)).await {
        Ok(Ok(addresses)) if !addresses.is_empty() => addresses,
        Ok(Ok(_)) => return Err(unknown("no address".to_string())),
        Ok(Err(why)) => return Err(unknown(why.to_string())),
        Err(_) => return Err(unknown("no answer in time".to_string())),
    };
    let tried = addresses.len().min(DIAL_ADDRESSES_MAX);
    let mut last = io::Error::from(io::ErrorKind::TimedOut);
    for (index, address) in addresses.into_iter().take(tried).enumerate() {
        let remote = SocketAddr::new(address, target.port);
        // What time is left is shared by the addresses that are left: one dead one costs no more.
        let left = DIAL_MAX.saturating_sub(started.elapsed());
        let share = left / u32::try_from(tried - index).unwrap_or(u32::MAX);
        match timeout(share, net.dial(remote)).await {
            Ok(Ok(stream)) => return Ok((stream, remote)),
            Ok(Err(why)) => last = why,
            Err(_) => last = io::Error::from(io::ErrorKind::TimedOut),
        }
    }
    Err(DialFailure::Connect(last.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::TokioNet;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn a_host_name_without_an_address_is_named_in_the_failure() {
        let target = Target { host: "no-such-host.invalid".to_string(), port: 1 };
        let failure = dial(&TokioNet, &target).await.unwrap_err();
        assert!(matches!(failure, DialFailure::Resolve { host, .. } if host == target.host));
    }

    #[tokio::test]
    async fn a_port_where_nobody_listens_is_a_failure_to_connect() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let target = Target { host: "127.0.0.1".to_string(), port };
        let failure = dial(&TokioNet, &target).await.unwrap_err();
        assert!(matches!(failure, DialFailure::Connect(_)));
    }
}
