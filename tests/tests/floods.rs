//! Attacks by number: what comes too often, from too many, or a second time.

use anyhow::{Context as _, Result, ensure};
use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore as _, SeedableRng as _};
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};
use weft_core::codec;
use weft_core::handshake::stretch;
use weft_core::id::{Identity, Incarnation, PeerId};
use weft_core::ipam::{Part, Space};
use weft_core::mesh::Message;
use weft_core::names::NamesRecord;
use weft_core::record::{Key, Record, Signature, Version};
use weft_core::topology::PeerRecord;
use weft_tests::member::Member;
use weft_tests::raw::{self, RawSocket};
use weft_tests::siege::{PASSWORD, Siege};
use weft_tests::stranger;
use weft_tests::{outcome, wait_until};

const PATIENCE: Duration = Duration::from_secs(20);

/// How soon a newcomer is linked, whatever goes on.
const JOINED: Duration = Duration::from_secs(5);

/// Streams of strangers that a daemon has open at most: 64 that shake hands, 256 that it accepted and
/// has not looked at yet, with one more on the way between, and 128 that it has ended and that are not
/// closed yet: after so many turns tokio lets the tasks have theirs that close them. All else of a
/// daemon with three links has less than 40 files and sockets.
const DESCRIPTORS: usize = 64 + 256 + 1 + 128 + 40;

/// What these streams may cost in memory: 16 KiB to read into and less than 8 KiB for the handshake
/// and two tasks, each; and a newcomer's link.
const STRANGERS: u64 = 16 << 20;

/// Whoever does not live on the wire of the siege: what is sent there stays unanswered.
fn nobody(n: u32) -> SocketAddrV4 {
    let last = u8::try_from(140 + n % 100).unwrap_or(140);
    let port = u16::try_from(1024 + n / 100 % 60_000).unwrap_or(1024);
    SocketAddrV4::new(Ipv4Addr::new(192, 168, 50, last), port)
}

#[test]
fn ten_thousand_half_open_and_as_many_silent_streams_keep_nobody_out_and_take_little() -> Result<()>
{
    stranger::allow_streams(12_000)?;
    let siege = Siege::begin()?;
    let (to, from) = (siege.victim().port(), siege.attackers());
    let (over, knocked, most) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let knock = || {
        let (socket, mut rng) = (RawSocket::open()?, ChaCha20Rng::from_seed([1; 32]));
        while !over.load(Ordering::Relaxed) {
            let n = knocked.fetch_add(1, Ordering::Relaxed);
            socket.send(*to.ip(), &raw::syn(nobody(u32::try_from(n)?), to, rng.next_u32()))?;
            if n % 10 == 0 {
                // Ten thousand in a second or two, and so on.
                thread::sleep(Duration::from_millis(1));
            }
        }
        Ok(())
    };
    let watch = || -> Result<()> {
        while !over.load(Ordering::Relaxed) {
            let open = u64::try_from(siege.descriptors()?)?;
            most.fetch_max(open, Ordering::Relaxed);
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    };
    let (joined, ended) = thread::scope(|scope| {
        let knocking = scope.spawn(|| siege.attacker().within(knock));
        let watching = scope.spawn(watch);
        let attack = || -> Result<Duration> {
            let held = siege.attacker().within(|| stranger::hold(&from, to, 10_000))?;
            let knocks = || knocked.load(Ordering::Relaxed) >= 10_000;
            wait_until("ten thousand have knocked", PATIENCE, knocks)?;
            let joined = siege.newcomer_joins();
            drop(held);
            joined
        };
        let joined = attack();
        over.store(true, Ordering::Relaxed);
        (joined, [knocking.join(), watching.join()])
    });
    for ended in ended {
        outcome(ended)?;
    }
    let joined = joined?;
    ensure!(joined < JOINED, "a newcomer was linked only after {joined:?}");
    let most = usize::try_from(most.into_inner())?;
    ensure!(most <= DESCRIPTORS, "{most} files and sockets were open");
    siege.end()?.within(STRANGERS)
}

#[test]
fn a_flood_of_datagrams_from_spoofed_sources_moves_no_path_and_takes_nothing() -> Result<()> {
    let (siege, capture) = Siege::captured()?;
    let (to, friend) = (siege.victim().port(), siege.friend().port());
    // What an honest datagram begins with, as anybody on the wire can see it.
    let seen: Vec<_> = capture.datagrams.iter().filter(|it| it.to == to).collect();
    ensure!(!seen.is_empty(), "no datagrams were captured");
    let headers: Vec<_> = seen.iter().filter_map(|it| it.payload.get(..5)).collect();
    let flood = || {
        let (socket, mut rng) = (RawSocket::open()?, ChaCha20Rng::from_seed([1; 32]));
        let (until, mut sent) = (Instant::now() + Duration::from_secs(4), 0u32);
        while Instant::now() < until {
            for _ in 0..100 {
                let len = usize::try_from(rng.next_u32())? % raw::UDP_LEN_MAX;
                let mut noise = vec![0; len];
                rng.fill_bytes(&mut noise);
                // Half are for a session that there is: kind and index, and a counter that is new.
                let head = headers[usize::try_from(sent)? % headers.len()];
                if sent % 2 == 0 && len > head.len() + 8 {
                    noise[..head.len()].copy_from_slice(head);
                }
                // Some in the name of the neighbour itself.
                let from = if sent % 4 < 2 { nobody(sent) } else { friend };
                socket.send(*to.ip(), &raw::datagram(from, to, &noise))?;
                sent += 1;
            }
        }
        Ok(sent)
    };
    let sent = siege.attacker().within(flood)?;
    ensure!(sent > 20_000, "only {sent} datagrams in 4 s");
    let links = siege.victim().weft(&["status", "connections", "--json"])?.ok()?;
    let place = format!("\"datagrams_to\": \"{friend}\"");
    ensure!(links.contains(&place), "the path has moved: {links}");
    ensure!(siege.newcomer_joins()? < JOINED);
    // Nothing is kept of them but what waits in the socket, which is the kernel's.
    siege.end()?.within(STRANGERS)
}

#[test]
fn a_handshake_that_was_recorded_makes_no_link_however_it_is_replayed() -> Result<()> {
    let (siege, capture) = Siege::captured()?;
    let to = siege.victim().port();
    let stream = capture.stream_to(to)?;
    let before = siege.logged("control link up");
    siege.attacker().within(|| {
        let from = siege.attacker().addresses[0];
        // Word for word, at once and in pieces: it is answered once, by a fresh message, and then
        // what follows does not fit.
        for piece in [stream.dialer.len(), 1000, 37] {
            let mut socket = stranger::open(from, to)?;
            for piece in stream.dialer.chunks(piece) {
                // It may have hung up already.
                let _ = socket.write_all(piece);
            }
            let answer = stranger::hear_out(&mut socket)?;
            ensure!(answer.len() < 600, "{} bytes of answer", answer.len());
            let is_same = !answer.is_empty() && stream.listener.starts_with(&answer);
            ensure!(!is_same, "a handshake was answered as the one before it");
        }
        Ok(())
    })?;
    // The other way round: the daemon dials, and hears what another daemon said once.
    let listener = siege.attacker().within(|| Ok(TcpListener::bind(siege.attacker().port())?))?;
    let answer = thread::scope(|scope| {
        let replay = scope.spawn(|| -> Result<Vec<u8>> {
            let (mut socket, _) = listener.accept()?;
            socket.set_read_timeout(Some(PATIENCE))?;
            socket.write_all(&stream.listener)?;
            stranger::hear_out(&mut socket)
        });
        siege.victim().weft(&["connect", &siege.attacker().address()])?.ok()?;
        outcome(replay.join())
    })?;
    ensure!(answer.len() < 600, "{} bytes of answer", answer.len());
    siege.victim().weft(&["forget", &siege.attacker().address()])?.ok()?;
    ensure!(siege.logged("control link up") == before, "a link came up: {}", siege.victim().log());
    ensure!(siege.newcomer_joins()? < JOINED);
    siege.end()?.within(STRANGERS)
}

#[test]
fn datagrams_that_were_recorded_are_taken_in_once_and_move_no_path() -> Result<()> {
    let (siege, capture) = Siege::captured()?;
    let [victim, friend] = [siege.victim().port(), siege.friend().port()];
    ensure!(capture.datagrams.len() > 30, "{} datagrams were captured", capture.datagrams.len());
    siege.attacker().within(|| {
        let socket = RawSocket::open()?;
        let attacker = siege.attacker().port();
        for _ in 0..50 {
            for datagram in &capture.datagrams {
                // Again to whom it was for, from whom it was and from elsewhere; and back to whom it
                // was from.
                let (from, to) = (datagram.from, datagram.to);
                for (from, to) in [(from, to), (attacker, to), (to, from)] {
                    socket.send(*to.ip(), &raw::datagram(from, to, &datagram.payload))?;
                }
            }
        }
        Ok(())
    })?;
    for (host, other) in [(siege.victim(), friend), (siege.friend(), victim)] {
        let links = host.weft(&["status", "connections", "--json"])?.ok()?;
        let place = format!("\"datagrams_to\": \"{other}\"");
        ensure!(links.contains(&place), "the path has moved: {links}");
    }
    let toll = siege.end()?;
    // Each ping came to the container once; one more may have left after the count.
    ensure!(toll.arrived.abs_diff(toll.sent) <= 2, "{toll:?}");
    toll.within(STRANGERS)
}

/// Records that a member announces; three for each peer that it makes up.
const ANNOUNCED: u32 = 1_000_002;

/// Of which so many go in one message: with 200 bytes each they fit into the longest one twice.
const BATCH: u32 = 2_400;

/// What a daemon keeps of others: 75,000 records (three quarters of `records_max` of
/// `weft_core::config`), each with its places in five tables about 1 KiB, also where it is a few bytes
/// on the wire; what waits to be passed on to two neighbours; and messages of up to a mebibyte on
/// their way in, as bytes and as records.
const RECORDS: u64 = 128 << 20;

/// So many of them are signed as they should be, which is work: more than there is room for.
const SIGNED: u32 = 120_000;

/// Three records of the `n`th peer that there is not.
fn made_up(n: u32) -> [Record; 3] {
    let mut seed = [0xa5; 32];
    for (to, from) in seed.iter_mut().zip(n.to_be_bytes()) {
        *to = from;
    }
    let is_signed = n * 3 < SIGNED;
    let peer = is_signed.then(|| Identity::from_seed(seed));
    let id = peer.as_ref().map_or(PeerId(seed), Identity::id);
    let incarnation = Incarnation(1);
    let body = PeerRecord {
        name: id.default_name(),
        nickname: "nobody".to_owned(),
        incarnation,
        links: Vec::new(),
        addresses: Vec::new(),
        part: Part::FULL,
        run: NonZeroU32::MIN,
        rival: None,
    };
    let bodies = [
        (Key::Peer(id), codec::encode(&body)),
        (Key::Names(id, 0), codec::encode(&NamesRecord::default())),
        (Key::Space(id), codec::encode(&Space { free_log2: [7; 2] })),
    ];
    let version = Version { incarnation, sequence: 1 };
    bodies.map(|(key, body)| {
        if let Some(peer) = &peer {
            return Record::sign(peer, key, version, body);
        }
        let signature = Signature(seed, seed);
        Record { key, version, body, writer: id, signature }
    })
}

#[test]
fn a_member_that_announces_a_million_records_is_listened_to_as_far_as_there_is_room() -> Result<()>
{
    let siege = Siege::begin()?;
    let (to, secret) = (siege.victim().port(), stretch(PASSWORD));
    let (tell, told) = mpsc::sync_channel(4);
    let batches = ANNOUNCED.div_ceil(BATCH);
    let announced = thread::scope(|scope| {
        // To sign is more work than to be listened to.
        for first in 0..2 {
            let tell = tell.clone();
            scope.spawn(move || {
                for batch in (first..batches).step_by(2) {
                    let peers = batch * BATCH / 3..((batch + 1) * BATCH).min(ANNOUNCED) / 3;
                    let records = peers.flat_map(made_up).collect();
                    if tell.send(Message::Records(records)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(tell);
        siege.attacker().within(move || {
            let mut member = Member::join(to, &secret, [9; 32])?;
            let mut announced = 0;
            for message in told {
                if let Message::Records(records) = &message {
                    announced += records.len();
                }
                member.say(&message)?;
                ensure!(member.attend(Duration::ZERO)?, "hung up after {announced} records");
            }
            // Whoever answers has heard all that was said before.
            member.attend(Duration::from_secs(1))?;
            Ok(announced)
        })
    })?;
    ensure!(announced == usize::try_from(ANNOUNCED)?);
    let refused = || -> Result<u64> {
        let report: serde_json::Value = serde_json::from_str(&siege.victim().get("/report")?)?;
        report["Router"]["RecordsRefused"].as_u64().context("no count of refused records")
    };
    let all = || refused().is_ok_and(|refused| refused >= 900_000);
    wait_until("most are refused", PATIENCE, all).with_context(|| format!("{:?}", refused()))?;
    ensure!(siege.logged("no room for") > 0, "{}", siege.victim().log());
    ensure!(siege.newcomer_joins()? < JOINED);
    siege.end()?.within(RECORDS)
}
