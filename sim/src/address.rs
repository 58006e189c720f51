//! Addresses and ranges in scenario files: `10.32.0.7`, `10.32.0.0/24`. What is none is named.

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, de};
use std::net::IpAddr;
use std::str::FromStr;
use weft_core::addr::Universe;

/// A text that is no address, or no range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no {what}")]
pub struct BadAddress {
    text: String,
    /// What it is not, and what one looks like.
    what: &'static str,
}

/// What can be written so.
pub trait Written: FromStr {
    /// What it is called, and what one looks like.
    const WHAT: &'static str;
}

impl Written for IpAddr {
    const WHAT: &'static str = "address: write for example `10.32.0.7`";
}

impl Written for IpNet {
    const WHAT: &'static str = "range: write for example `10.32.0.0/24`, with up to 32 bits after the slash, or 128 in IPv6";
}

/// Reads what a person writes.
///
/// # Errors
/// A text that is none.
pub fn parse<T: Written>(text: &str) -> Result<T, BadAddress> {
    text.parse().map_err(|_| BadAddress { text: text.to_owned(), what: T::WHAT })
}

/// Reads one range, or two with a comma between them.
///
/// # Errors
/// Which of them is none, or why they can be no universe.
pub fn universe(text: &str) -> Result<Universe, String> {
    let blocks: Result<Vec<IpNet>, _> = text.split(',').map(parse).collect();
    Universe::of(&blocks.map_err(|why| why.to_string())?).map_err(|why| why.to_string())
}

/// Reads what a person writes.
///
/// # Errors
/// Those of `deserializer`, and a text that is none.
pub fn deserialize<'de, T: Written, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
}

/// The same where there may be none.
///
/// # Errors
/// Those of `deserializer`, and a text that is none.
pub fn optional<'de, T: Written, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_address_and_no_range_is_named() {
        for text in ["10.32.0.256", "10.32.0.7/24", "", "n1"] {
            let bad = parse::<IpAddr>(text).unwrap_err().to_string();
            assert!(bad.starts_with(&format!("`{text}` is no address: ")), "{bad}");
        }
        for text in ["10.0.0.0/33", "10.32.0.256/24", "10.32.0.7", "::/129"] {
            let bad = parse::<IpNet>(text).unwrap_err().to_string();
            assert!(bad.starts_with(&format!("`{text}` is no range: ")), "{bad}");
        }
        assert!(parse::<IpAddr>("fd00::7").is_ok() && parse::<IpNet>("fd00::/64").is_ok());
    }
}
