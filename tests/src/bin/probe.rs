//! Small network programs for the tests: one line in, one line out, nothing else to install.
//!
//! * `probe hear ADDR:PORT [GROUP]`: prints `ready`, then each datagram as `TEXT from ADDR`.
//! * `probe say LOCAL ADDR:PORT TEXT`: sends one datagram, to a broadcast or multicast address too.
//! * `probe hold ADDR:PORT`: occupies the TCP and the UDP port and prints `ready`.
//! * `probe flood ADDR:PORT COUNT`: opens COUNT streams and says nothing on them, prints `ready`, and
//!   opens those that are closed again and again.
//! * `probe dns ADDR:PORT ANSWER`: answers every DNS question over UDP with that IPv4 address.

use anyhow::{Context as _, Result, bail};
use std::io::{Read as _, Write as _, stdout};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["hear", at] => hear(&UdpSocket::bind(at)?),
        ["hear", at, group] => {
            let socket = UdpSocket::bind(("0.0.0.0", port(at)?))?;
            let own: Ipv4Addr = at.split(':').next().unwrap_or_default().parse()?;
            socket.join_multicast_v4(&group.parse()?, &own)?;
            hear(&socket)
        }
        ["say", from, to, text] => {
            // Bound to the sender's address, so that the kernel picks its interface for multicast.
            let socket = UdpSocket::bind((*from, 0))?;
            socket.set_broadcast(true)?;
            socket.send_to(text.as_bytes(), to).with_context(|| format!("cannot send to {to}"))?;
            Ok(())
        }
        ["hold", at] => {
            let _held = (TcpListener::bind(at)?, UdpSocket::bind(at)?);
            say("ready")?;
            loop {
                std::thread::park();
            }
        }
        ["flood", at, count] => flood(at, count.parse()?),
        ["dns", at, answer] => answer_all(&UdpSocket::bind(at)?, answer.parse()?),
        words => bail!("unknown: {words:?}; see the head of probe.rs"),
    }
}

fn port(address: &str) -> Result<u16> {
    Ok(address.rsplit(':').next().unwrap_or_default().parse()?)
}

fn say(line: &str) -> Result<()> {
    let mut out = stdout();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

fn hear(socket: &UdpSocket) -> Result<()> {
    say("ready")?;
    let mut buffer = vec![0; 65_536];
    loop {
        let (len, from) = socket.recv_from(&mut buffer)?;
        let text = String::from_utf8_lossy(buffer.get(..len).unwrap_or_default());
        say(&format!("{text} from {}", from.ip()))?;
    }
}

fn flood(at: &str, count: usize) -> Result<()> {
    let open = || -> Result<TcpStream> {
        let stream = TcpStream::connect(at)?;
        stream.set_nonblocking(true)?;
        Ok(stream)
    };
    let mut streams = (0..count).map(|_| open()).collect::<Result<Vec<_>>>()?;
    say("ready")?;
    loop {
        for stream in &mut streams {
            // Zero bytes or an error other than "nothing yet" is its end.
            let read = stream.read(&mut [0; 64]);
            let is_open = matches!(&read, Err(e) if e.kind() == std::io::ErrorKind::WouldBlock);
            if !is_open && let Ok(again) = open() {
                *stream = again;
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Answers as an authority would; the question is repeated and an A record follows for type A.
fn answer_all(socket: &UdpSocket, address: Ipv4Addr) -> Result<()> {
    say("ready")?;
    let mut buffer = vec![0; 4096];
    loop {
        let (len, from) = socket.recv_from(&mut buffer)?;
        let query = buffer.get(..len).unwrap_or_default();
        if let Some(answer) = answer(query, address) {
            socket.send_to(&answer, from)?;
        }
    }
}

/// The answer to `query`, or `None` when it is not one question (RFC 1035 section 4.1).
fn answer(query: &[u8], address: Ipv4Addr) -> Option<Vec<u8>> {
    let (head, rest) = query.split_at_checked(12)?;
    let id = head.get(..2)?;
    let mut at = 0;
    while *rest.get(at)? != 0 {
        at += 1 + usize::from(*rest.get(at)?);
    }
    let question = rest.get(..at + 5)?;
    let is_a = question.get(at + 1..at + 3)? == [0, 1];
    // Response, recursion desired and available, no error; one question, no other sections.
    let mut bytes = [id, &[0x81, 0x80, 0, 1, 0, u8::from(is_a), 0, 0, 0, 0], question].concat();
    if is_a {
        // The name by pointer to the question, A, IN, 60 s, four bytes.
        bytes.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        bytes.extend(address.octets());
    }
    Some(bytes)
}
