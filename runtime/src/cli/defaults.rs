//! What holds unless `weft launch` is told otherwise.

/// Bridge of a daemon that was not asked for another one.
pub(super) const BRIDGE: &str = "weft";

/// Domain of names unless another one is asked for.
pub(super) const DOMAIN: &str = "weft.local";

/// Largest packet that containers may send unless told otherwise, in bytes: what is left of 1460,
/// the smallest common cloud network's, once it is sealed and sent over IPv6.
pub(super) const MTU: u32 = 1354;

/// Longest name of a bridge, in bytes: it and `-tap` are a link's name, which has at most 15.
const BRIDGE_LEN_MAX: usize = 11;

/// Checks the name of a bridge, which is that of the TAP device beside it too.
pub(super) fn bridge_name(text: &str) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let fits = (1..=BRIDGE_LEN_MAX).contains(&text.len()) && text.bytes().all(is_plain);
    if fits && text.bytes().any(|byte| byte != b'.') {
        Ok(text.to_owned())
    } else {
        Err(format!("expected 1 to {BRIDGE_LEN_MAX} letters, digits, '-', '_' or '.'"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tap_name;
    use weft_core::forward::ENVELOPE_LEN;

    #[test]
    fn the_largest_packet_of_a_container_fits_the_smallest_common_network_over_ipv6() {
        // The headers of IPv6 and UDP are 48 bytes.
        assert_eq!(usize::try_from(MTU).unwrap() + ENVELOPE_LEN + 48, 1460);
    }

    #[test]
    fn the_name_of_a_bridge_leaves_room_for_the_one_beside_it() {
        for good in ["weft", "br-0.1_x", "abcdefghijk"] {
            assert_eq!(bridge_name(good).as_deref(), Ok(good));
            assert_eq!(tap_name(good), format!("{good}-tap"));
        }
        for bad in ["", ".", "..", "a/b", "a b", "br%d", "höst", "abcdefghijkl"] {
            assert!(bridge_name(bad).is_err(), "{bad:?} was accepted");
        }
    }
}
