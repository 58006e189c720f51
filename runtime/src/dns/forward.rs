//! Domains whose names are asked of servers of their own (split DNS).

use super::address::socket_address;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use weft_core::names::{Name, ParseNameError};

/// A domain, and a server that knows its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// The domain; names below it count as well.
    pub domain: Name,
    /// Who is asked.
    pub server: SocketAddr,
}

/// Why a text says no such thing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseForwardError {
    /// It has no two sides.
    #[error(
        "'{0}' is no domain with its server: expected DOMAIN=SERVER, as in corp.example=10.0.0.53"
    )]
    NoServer(String),
    /// The left side.
    #[error(transparent)]
    Domain(#[from] ParseNameError),
    /// The right side.
    #[error(
        "'{0}' is no server: expected an address, or one with a port as in 10.0.0.53:5353 or [2001:db8::53]:5353"
    )]
    Server(String),
}

impl FromStr for Forward {
    type Err = ParseForwardError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let none = || ParseForwardError::NoServer(text.to_owned());
        let (domain, server) = text.split_once('=').ok_or_else(none)?;
        let none = || ParseForwardError::Server(server.to_owned());
        Ok(Self { server: socket_address(server).ok_or_else(none)?, domain: domain.parse()? })
    }
}

impl fmt::Display for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.domain, self.server)
    }
}

/// The servers of the smallest of the domains in `forwards` that `name` lies in, in order; none, when it lies in none.
/// `name` is in lower case, without the final dot.
pub(super) fn servers_of(forwards: &[Forward], name: &str) -> Vec<SocketAddr> {
    let covers = |domain: &str| {
        name.strip_suffix(domain).is_some_and(|head| head.is_empty() || head.ends_with('.'))
    };
    let of = forwards.iter().map(|it| (it.domain.as_str(), it.server)).filter(|it| covers(it.0));
    let longest = of.clone().map(|(domain, _)| domain.len()).max();
    of.filter(|(domain, _)| Some(domain.len()) == longest).map(|(_, server)| server).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_an_address_with_or_without_a_port() {
        for (text, server) in [
            ("corp.example=10.0.0.53", "10.0.0.53:53"),
            ("Corp.Example.=10.0.0.53:5353", "10.0.0.53:5353"),
            ("corp.example=2001:db8::53", "[2001:db8::53]:53"),
            ("corp.example=[2001:db8::53]", "[2001:db8::53]:53"),
            ("corp.example=[2001:db8::53]:5353", "[2001:db8::53]:5353"),
        ] {
            let forward: Forward = text.parse().unwrap();
            assert_eq!(forward.to_string(), format!("corp.example={server}"), "{text}");
        }
        for (text, why) in [
            ("corp.example", "expected DOMAIN=SERVER"),
            ("=10.0.0.53", "is no host name"),
            ("corp..example=10.0.0.53", "is no host name"),
            ("corp.example=", "is no server"),
            ("corp.example=ns.corp.example", "is no server"),
            ("corp.example=10.0.0.53:99999", "is no server"),
        ] {
            let error = text.parse::<Forward>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn the_smallest_domain_counts_and_a_name_that_only_ends_alike_is_in_none() {
        let forwards = ["example=1.1.1.1", "corp.example=2.2.2.2", "corp.example=3.3.3.3"];
        let forwards = forwards.map(|text| text.parse::<Forward>().unwrap());
        let servers = |name| {
            let servers = servers_of(&forwards, name);
            servers.iter().map(|server| server.ip().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(servers("www.corp.example"), ["2.2.2.2", "3.3.3.3"]);
        assert_eq!(servers("corp.example"), ["2.2.2.2", "3.3.3.3"]);
        assert_eq!(servers("www.example"), ["1.1.1.1"]);
        assert_eq!(servers("www.notcorp.example"), ["1.1.1.1"]);
        assert!(servers("anexample").is_empty() && servers("weft.dev").is_empty());
    }
}
