//! Limits of nodes that differ from those of production, so that small worlds reach them.

use serde::{Deserialize, Serialize};
use std::time::Duration;
use weft_core::config::Config;

/// Limits of a node; what is not given is as in production.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Limits {
    /// Most control links at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conns: Option<usize>,
    /// Most records kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub records: Option<usize>,
    /// Most bytes of records kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub records_len: Option<usize>,
    /// Longest message on a control link, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_len: Option<usize>,
    /// Times that a frame or a message may be relayed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hops: Option<u8>,
    /// Most names registered at one host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub names: Option<usize>,
    /// Most commands that wait at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<usize>,
    /// Most names on one page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub names_page: Option<usize>,
    /// Most peers with which there are data sessions besides those of links.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sessions: Option<usize>,
    /// Longest that an allocation waits.
    #[serde(with = "crate::duration::optional", skip_serializing_if = "Option::is_none")]
    pub allocate: Option<Duration>,
}

impl Limits {
    /// Whether all are as in production.
    pub(super) fn is_usual(&self) -> bool {
        *self == Self::default()
    }

    /// `config` with these limits.
    pub(super) fn apply(self, config: Config) -> Config {
        Config {
            conns_max: self.conns.unwrap_or(config.conns_max),
            records_max: self.records.unwrap_or(config.records_max),
            records_len_max: self.records_len.unwrap_or(config.records_len_max),
            message_len_max: self.message_len.unwrap_or(config.message_len_max),
            hops_max: self.hops.unwrap_or(config.hops_max),
            names_max: self.names.unwrap_or(config.names_max),
            names_page_max: self.names_page.unwrap_or(config.names_page_max),
            waiting_max: self.waiting.unwrap_or(config.waiting_max),
            sessions_max: self.sessions.unwrap_or(config.sessions_max),
            allocate_max: self.allocate.unwrap_or(config.allocate_max),
            ..config
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_host_is_told_goes_before_what_all_are_told() {
        let own = Limits { conns: Some(2), ..Limits::default() };
        let all = Limits { conns: Some(6), hops: Some(3), ..Limits::default() };
        let config = own.apply(all.apply(Config::default()));
        assert_eq!((config.conns_max, config.hops_max), (2, 3));
        assert_eq!(config.records_max, Config::default().records_max);
    }
}
