//! What tcpdump has written: the datagrams and the streams that crossed a wire.

use anyhow::{Context as _, Result, ensure};
use std::net::{Ipv4Addr, SocketAddrV4};

/// The first bytes of a file, in the order of this machine, with times in microseconds. Source:
/// pcap-savefile(5).
const MAGIC: u32 = 0xa1b2_c3d4;
const FILE_HEADER_LEN: usize = 24;
const PACKET_HEADER_LEN: usize = 16;
const ETHERNET_HEADER_LEN: usize = 14;
const IPV4: [u8; 2] = [8, 0];
/// Protocol numbers in the header of IPv4.
const TCP: u8 = 6;
const UDP: u8 = 17;
/// Flags in the header of TCP.
const SYN: u8 = 1 << 1;
const ACK: u8 = 1 << 4;

/// All of it that is IPv4.
#[derive(Clone, Debug, Default)]
pub struct Capture {
    /// In the order in which they were seen.
    pub datagrams: Vec<Datagram>,
    segments: Vec<Segment>,
}

/// One datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Whose.
    pub from: SocketAddrV4,
    /// For whom.
    pub to: SocketAddrV4,
    /// What was in it.
    pub payload: Vec<u8>,
}

/// A piece of a stream.
#[derive(Clone, Debug)]
struct Segment {
    from: SocketAddrV4,
    to: SocketAddrV4,
    flags: u8,
    sequence: u32,
    payload: Vec<u8>,
}

/// What both ends of a stream have written.
#[derive(Clone, Debug)]
pub struct Stream {
    /// The end that opened it.
    pub dialer: Vec<u8>,
    /// The other one.
    pub listener: Vec<u8>,
}

impl Capture {
    /// Reads `file`, as tcpdump wrote it on an Ethernet.
    ///
    /// # Errors
    /// When it is no such file, or cut in the middle of a packet.
    pub fn read(file: &[u8]) -> Result<Self> {
        let (head, mut left) = file.split_at_checked(FILE_HEADER_LEN).context("no capture")?;
        ensure!(head.starts_with(&MAGIC.to_ne_bytes()), "no capture with times in microseconds");
        let mut capture = Self::default();
        while !left.is_empty() {
            let (head, rest) = left.split_at_checked(PACKET_HEADER_LEN).context("a cut capture")?;
            let len = head.get(8..12).and_then(|len| len.try_into().ok()).map(u32::from_ne_bytes);
            let len = usize::try_from(len.unwrap_or_default())?;
            let (frame, rest) = rest.split_at_checked(len).context("a cut capture")?;
            capture.add(frame);
            left = rest;
        }
        Ok(capture)
    }

    /// The first stream to `listener`.
    ///
    /// # Errors
    /// When there is none, or something of it was not captured.
    pub fn stream_to(&self, listener: SocketAddrV4) -> Result<Stream> {
        let is_first =
            |segment: &&Segment| segment.to == listener && segment.flags & (SYN | ACK) == SYN;
        let first = self.segments.iter().find(is_first).context("no stream was opened")?;
        Ok(Stream {
            dialer: self.written(first.from, first.to)?,
            listener: self.written(first.to, first.from)?,
        })
    }

    fn written(&self, from: SocketAddrV4, to: SocketAddrV4) -> Result<Vec<u8>> {
        let all = || self.segments.iter().filter(|part| part.from == from && part.to == to);
        let first = all().find(|part| part.flags & SYN != 0).context("a stream without a head")?;
        let mut bytes: Vec<u8> = Vec::new();
        for part in all().filter(|part| !part.payload.is_empty()) {
            let at = part.sequence.wrapping_sub(first.sequence).wrapping_sub(1);
            let at = usize::try_from(at)?;
            ensure!(at <= bytes.len(), "a piece of the stream was not captured");
            // What was sent again is the same.
            let known = bytes.len() - at;
            bytes.extend(part.payload.iter().skip(known));
        }
        Ok(bytes)
    }

    fn add(&mut self, frame: &[u8]) {
        let Some((ethernet, packet)) = frame.split_at_checked(ETHERNET_HEADER_LEN) else { return };
        if ethernet.ends_with(&IPV4) {
            // What is cut or of another kind is not what tests look for.
            let _ = self.add_packet(packet);
        }
    }

    fn add_packet(&mut self, packet: &[u8]) -> Option<()> {
        let header_len = usize::from(packet.first()? & 0xf) * 4;
        let len = usize::from(u16::from_be_bytes(packet.get(2..4)?.try_into().ok()?));
        let address = |at: usize| -> Option<Ipv4Addr> {
            let octets: [u8; 4] = packet.get(at..at + 4)?.try_into().ok()?;
            Some(octets.into())
        };
        let body = packet.get(header_len..len)?;
        let port = |at: usize| -> Option<u16> {
            Some(u16::from_be_bytes(body.get(at..at + 2)?.try_into().ok()?))
        };
        let from = SocketAddrV4::new(address(12)?, port(0)?);
        let to = SocketAddrV4::new(address(16)?, port(2)?);
        match *packet.get(9)? {
            UDP => {
                let payload = body.get(8..)?.to_vec();
                self.datagrams.push(Datagram { from, to, payload });
            }
            TCP => {
                let sequence = u32::from_be_bytes(body.get(4..8)?.try_into().ok()?);
                let header_len = usize::from(body.get(12)? >> 4) * 4;
                let (flags, payload) = (*body.get(13)?, body.get(header_len..)?.to_vec());
                self.segments.push(Segment { from, to, flags, sequence, payload });
            }
            _ => {}
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raw;

    /// A file of tcpdump with `packets` in it.
    fn file(packets: &[Vec<u8>]) -> Vec<u8> {
        let mut file = MAGIC.to_ne_bytes().to_vec();
        file.resize(FILE_HEADER_LEN, 0);
        for packet in packets {
            let len = u32::try_from(ETHERNET_HEADER_LEN + packet.len()).unwrap();
            file.extend([0; 8]);
            file.extend([len.to_ne_bytes(), len.to_ne_bytes()].concat());
            file.extend([&[0; 12][..], &IPV4, packet].concat());
        }
        file
    }

    fn end(n: u8) -> SocketAddrV4 {
        SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, n), 6783)
    }

    /// A segment of TCP with these flags.
    fn segment((from, to): (u8, u8), flags: u8, sequence: u32, payload: &[u8]) -> Vec<u8> {
        let mut packet = raw::syn(end(from), end(to), sequence);
        packet.extend(payload);
        let len = u16::try_from(packet.len()).unwrap().to_be_bytes();
        packet[2..4].copy_from_slice(&len);
        packet[20 + 13] = flags;
        packet
    }

    #[test]
    fn a_datagram_is_what_it_was() {
        let packet = raw::datagram(end(1), end(2), b"hi");
        let capture = Capture::read(&file(&[packet])).unwrap();
        let payload = b"hi".to_vec();
        assert_eq!(capture.datagrams, [Datagram { from: end(1), to: end(2), payload }]);
    }

    #[test]
    fn a_stream_is_put_together_from_pieces_that_were_sent_twice() {
        let pieces = [
            segment((1, 2), SYN, u32::MAX, b""),
            segment((2, 1), SYN | ACK, 7, b""),
            segment((1, 2), ACK, 0, b"hel"),
            segment((2, 1), ACK, 8, b"yes"),
            segment((1, 2), ACK, 0, b"hello"),
        ];
        let stream = Capture::read(&file(&pieces)).unwrap().stream_to(end(2)).unwrap();
        assert_eq!((&stream.dialer[..], &stream.listener[..]), (&b"hello"[..], &b"yes"[..]));
        let lacking = [pieces[0].clone(), pieces[1].clone(), segment((1, 2), ACK, 3, b"lo")];
        assert!(Capture::read(&file(&lacking)).unwrap().stream_to(end(2)).is_err());
    }

    #[test]
    fn a_file_that_ends_in_a_packet_is_refused() {
        let whole = file(&[raw::datagram(end(1), end(2), b"hi")]);
        assert!(Capture::read(&whole[..whole.len() - 1]).is_err());
        assert!(Capture::read(b"GIF89a").is_err());
    }
}
