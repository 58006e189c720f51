//! What a name stands for: an address, a service (SRV, RFC 2782) or a text (TXT, RFC 1035 section 3.3.14).

use super::{Name, ParseNameError};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::num::NonZeroU16;
use core::str::FromStr;
use serde::{Deserialize, Serialize};

/// What one entry says of its name. In order: addresses, then services, then texts.
///
/// The kinds of address are the first two, so that an entry of one is on the wire what [`IpAddr`] alone would be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum NameValue {
    /// An address of IPv4.
    V4(Ipv4Addr),
    /// An address of IPv6.
    V6(Ipv6Addr),
    /// Where a service is.
    Service(Service),
    /// What there is to say of it.
    Text(Text),
}

impl NameValue {
    /// The address, if it is one.
    pub const fn address(&self) -> Option<IpAddr> {
        match self {
            Self::V4(address) => Some(IpAddr::V4(*address)),
            Self::V6(address) => Some(IpAddr::V6(*address)),
            Self::Service(_) | Self::Text(_) => None,
        }
    }
}

impl From<IpAddr> for NameValue {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => Self::V6(address),
        }
    }
}

impl fmt::Display for NameValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Through `IpAddr`, which fills columns.
            Self::V4(address) => fmt::Display::fmt(&IpAddr::V4(*address), f),
            Self::V6(address) => fmt::Display::fmt(&IpAddr::V6(*address), f),
            Self::Service(service) => write!(f, "SRV {service}"),
            Self::Text(text) => write!(f, "TXT {text}"),
        }
    }
}

/// Where a service is. Clients take those of the lowest priority that they can reach, and of several
/// each as often as its weight says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Service {
    /// The lower, the earlier it is tried.
    pub priority: u16,
    /// Its share among those of the same priority; 0 where there is nothing to choose.
    pub weight: u16,
    /// Its port.
    pub port: NonZeroU16,
    /// The host, which need not be one of ours.
    pub target: Name,
}

/// As in a zone file: priority, weight, port and host.
impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { priority, weight, port, target } = self;
        write!(f, "{priority} {weight} {port} {target}")
    }
}

/// Where a service is, as people say it: `PORT`, or `HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The host, if it is said.
    pub host: Option<Name>,
    /// The port.
    pub port: NonZeroU16,
}

/// Why a text is no place of a service.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParsePlaceError {
    /// The port is none.
    #[error(
        "'{0}' is no place of a service: expected PORT or HOST:PORT, with a port from 1 to 65535"
    )]
    Port(String),
    /// The host is none.
    #[error(transparent)]
    Host(#[from] ParseNameError),
    /// No host is said, and none follows from the name.
    #[error("'{0}' says no host: give the place of the service as HOST:PORT")]
    NoHost(String),
}

impl FromStr for Place {
    type Err = ParsePlaceError;

    fn from_str(text: &str) -> Result<Self, ParsePlaceError> {
        let (host, port) =
            text.rsplit_once(':').map_or((None, text), |(host, port)| (Some(host), port));
        // A number as it is printed: no sign.
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().ok().filter(|_| digits);
        let port = port.ok_or_else(|| ParsePlaceError::Port(text.into()))?;
        Ok(Self { host: host.map(str::parse).transpose()?, port })
    }
}

impl Place {
    /// A service that is found at this place. Where no host was said it is the one that `name` speaks of:
    /// `web.weft.local`, for `_http._tcp.web.weft.local`.
    ///
    /// # Errors
    /// When there is neither.
    pub fn service(
        self,
        name: Option<&Name>,
        priority: u16,
        weight: u16,
    ) -> Result<Service, ParsePlaceError> {
        let target = match (self.host, name) {
            (Some(host), _) => host,
            (None, Some(name)) => {
                let labels = name.as_str().split_inclusive('.');
                let host: String = labels.skip_while(|label| label.starts_with('_')).collect();
                host.parse().map_err(|_| ParsePlaceError::NoHost(name.as_str().into()))?
            }
            (None, None) => return Err(ParsePlaceError::NoHost(String::new())),
        };
        Ok(Service { priority, weight, port: self.port, target })
    }
}

/// The strings of one TXT record: one or more, each of at most 255 bytes, without control characters,
/// since they are shown on terminals.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Text(Vec<String>);

impl Text {
    /// Longest string, in bytes: its length is one byte (RFC 1035 section 3.3).
    pub const STRING_LEN_MAX: usize = 255;

    /// Most bytes of all strings, each with one for its length: so much fits an answer of 1232 bytes, the most
    /// that usual clients ask for, also under the longest name, which the answer has twice.
    pub const LEN_MAX: usize = 640;

    /// The strings, in their order.
    pub fn strings(&self) -> &[String] {
        &self.0
    }
}

/// Why strings are no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// There is none.
    #[error("a text needs a string, which may be empty")]
    NoString,
    /// One is too long.
    #[error(
        "a string of {0} bytes is too long: at most {max} are possible; give the rest as another string",
        max = Text::STRING_LEN_MAX
    )]
    StringTooLong(usize),
    /// All together are too long.
    #[error("a text of {0} bytes is too long: at most {max} are possible, one more for each string included", max = Text::LEN_MAX)]
    TooLong(usize),
    /// A terminal would not show it.
    #[error("a text has no control characters: found U+{0:04X}")]
    Control(u32),
}

impl TryFrom<Vec<String>> for Text {
    type Error = TextError;

    fn try_from(strings: Vec<String>) -> Result<Self, TextError> {
        if strings.is_empty() {
            return Err(TextError::NoString);
        }
        if let Some(long) = strings.iter().find(|it| it.len() > Self::STRING_LEN_MAX) {
            return Err(TextError::StringTooLong(long.len()));
        }
        let len = strings.iter().map(|it| it.len() + 1).sum();
        if len > Self::LEN_MAX {
            return Err(TextError::TooLong(len));
        }
        if let Some(control) = strings.iter().flat_map(|it| it.chars()).find(|it| it.is_control()) {
            return Err(TextError::Control(control.into()));
        }
        Ok(Self(strings))
    }
}

impl From<Text> for Vec<String> {
    fn from(text: Text) -> Self {
        text.0
    }
}

/// As in a zone file: each string in quotes.
impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, string) in self.0.iter().enumerate() {
            f.write_str(if at == 0 { "\"" } else { " \"" })?;
            for char in string.chars() {
                if matches!(char, '"' | '\\') {
                    f.write_str("\\")?;
                }
                write!(f, "{char}")?;
            }
            f.write_str("\"")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec;
    use alloc::string::ToString;
    use alloc::vec;

    fn text(strings: &[&str]) -> Result<Text, TextError> {
        strings.iter().map(ToString::to_string).collect::<Vec<_>>().try_into()
    }

    fn service() -> NameValue {
        NameValue::Service(Service {
            priority: 1,
            weight: 300,
            port: NonZeroU16::new(8080).unwrap(),
            target: "web.weft.local".parse().unwrap(),
        })
    }

    #[test]
    fn values_have_these_bytes_and_an_address_those_of_itself() {
        for address in ["10.32.0.1", "fd00::1"] {
            let address: IpAddr = address.parse().unwrap();
            let bytes = codec::encode(&address);
            assert_eq!(codec::encode(&NameValue::from(address)), bytes);
            assert_eq!(codec::decode_canonical(&bytes), Ok(NameValue::from(address)));
        }
        let golden: [(NameValue, &[u8]); 2] = [
            (service(), b"\x02\x01\xac\x02\x90\x3f\x0eweb.weft.local"),
            (NameValue::Text(text(&["a=b", ""]).unwrap()), b"\x03\x02\x03a=b\x00"),
        ];
        for (value, bytes) in golden {
            assert_eq!(codec::encode(&value), bytes);
            assert_eq!(codec::decode_canonical(bytes), Ok(value));
        }
    }

    #[test]
    fn values_are_read_as_in_a_zone_file() {
        assert_eq!(service().to_string(), "SRV 1 300 8080 web.weft.local");
        let quoted = NameValue::Text(text(&["say \"hi\"", "\\"]).unwrap());
        assert_eq!(quoted.to_string(), r#"TXT "say \"hi\"" "\\""#);
        let address = NameValue::V4(Ipv4Addr::new(10, 32, 0, 1));
        assert_eq!(std::format!("{address:<12}|"), "10.32.0.1   |");
    }

    #[test]
    fn a_service_is_where_it_is_said_to_be_or_on_the_host_of_its_name() {
        let service = |place: &str, name: &str| {
            let name = name.parse().unwrap();
            let service = place.parse::<Place>()?.service(Some(&name), 1, 2)?;
            Ok::<_, ParsePlaceError>(service.to_string())
        };
        let name = "_http._tcp.web.weft.local";
        assert_eq!(service("80", name).unwrap(), "1 2 80 web.weft.local");
        assert_eq!(service("80", "web.weft.local").unwrap(), "1 2 80 web.weft.local");
        assert_eq!(service("DB.example.:5432", name).unwrap(), "1 2 5432 db.example");
        for bad in ["", "0", "65536", "+1", "web", "web:", ":80", "a b:80", "::1"] {
            assert!(service(bad, name).is_err(), "{bad:?} was accepted");
        }
        assert!(matches!(service("80", "_http._tcp"), Err(ParsePlaceError::NoHost(_))));
    }

    #[test]
    fn what_is_too_long_or_upsets_a_terminal_is_no_text_also_when_it_comes_from_afar() {
        let string = |len| "x".repeat(len);
        assert_eq!(text(&[]), Err(TextError::NoString));
        assert!(text(&[&string(255)]).is_ok());
        assert_eq!(text(&[&string(256)]), Err(TextError::StringTooLong(256)));
        assert!(text(&[&*string(159); 4]).is_ok());
        assert_eq!(text(&[&*string(160); 4]), Err(TextError::TooLong(644)));
        assert_eq!(text(&["a\u{1b}[2J"]), Err(TextError::Control(0x1b)));
        assert!(text(&["schlüssel=wert"]).is_ok());
        for bad in [vec![], vec!["\n".to_string()], vec![string(256)]] {
            let bytes = codec::encode(&(3_u8, bad));
            assert!(codec::decode::<NameValue>(&bytes).is_err());
        }
        // A service without a port.
        assert!(codec::decode::<NameValue>(b"\x02\x00\x00\x00\x01a").is_err());
    }
}
