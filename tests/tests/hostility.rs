//! What strangers on the network may do to a daemon, and members that break the rules: little.
//!
//! In each, two containers go on talking, a newcomer gets in, and the daemon's memory stays below a
//! bound. What is said of the protocol itself (`sim` has an insider with forty lies) is not said again:
//! here are real sockets, and what only those have.

use anyhow::{Context as _, Result, ensure};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use std::fs;
use std::time::{Duration, Instant};
use weft_core::config::NetworkSecret;
use weft_core::handshake::{Channel, stretch};
use weft_core::id::Identity;
use weft_core::mesh::Message;
use weft_tests::lab::{Lab, binary};
use weft_tests::member::{Member, greeting};
use weft_tests::outcome;
use weft_tests::siege::{PASSWORD, Siege};
use weft_tests::stranger::{self, Drip};

const PATIENCE: Duration = Duration::from_secs(20);

/// How soon a newcomer is linked, whatever goes on.
const JOINED: Duration = Duration::from_secs(3);

/// A handshake may take so long (`handshake_max` of `weft_core::config`), and a busy machine a little
/// longer.
const HANDSHAKE: Duration = Duration::from_secs(6);

/// What strangers may cost in memory: 64 of them, each with 16 KiB to read into and no more than
/// 4 KiB of a handshake, are a little over 1 MiB; some more that are accepted and not yet looked at,
/// and what the allocator keeps. A newcomer is another link.
const STRANGERS: u64 = 16 << 20;

/// What is told of a secret that nobody has.
const GUESS: NetworkSecret = NetworkSecret::Password([7; 32]);

#[test]
fn nonsense_of_every_kind_is_answered_by_nothing_and_harms_nobody() -> Result<()> {
    let siege = Siege::begin()?;
    let (to, from) = (siege.victim().port(), siege.attackers());
    let mut rng = ChaCha20Rng::from_seed([1; 32]);
    let (_, first) = greeting(&Identity::from_seed([1; 32]), &GUESS, [1; 32]);
    let kinds = stranger::nonsense(&mut rng, &first);
    let until = Instant::now() + Duration::from_secs(4);
    let mut told = 0;
    siege.attacker().within(|| {
        for from in from.iter().cycle() {
            for (what, bytes) in &kinds {
                let answer = stranger::tell(*from, to, bytes).with_context(|| what.to_string())?;
                ensure!(answer.is_empty(), "{what} is answered by {} bytes", answer.len());
                told += 1;
            }
            // The greeting itself, cut wherever a stream may be cut.
            let cut = &first[..told % first.len()];
            ensure!(stranger::tell(*from, to, cut)?.is_empty(), "a part of a greeting");
            if Instant::now() > until {
                break;
            }
        }
        Ok(())
    })?;
    ensure!(told >= 500, "only {told} streams with nonsense");
    ensure!(siege.newcomer_joins()? < JOINED);
    let lines = siege.victim().log().lines().count();
    ensure!(lines < 80, "{lines} lines of log: {}", siege.victim().log());
    ensure!(siege.logged("not a weft peer") > 0, "{}", siege.victim().log());
    siege.end()?.within(STRANGERS)
}

#[test]
fn handshakes_that_drip_are_cut_off_in_time_and_keep_nobody_out() -> Result<()> {
    let siege = Siege::begin()?;
    let (to, from) = (siege.victim().port(), siege.attackers());
    let (_, first) = greeting(&Identity::from_seed([1; 32]), &GUESS, [1; 32]);
    // One third says the greeting byte by byte; one has it answered and goes on to the last message
    // like that; one announces a frame of which nothing follows.
    let last = [&first[..], &[0, 200, 1], &[0; 200]].concat();
    let announced = [&[0x10, 0, 1][..], &[0; 4096]].concat();
    let kinds = [(first.clone(), 0), (last, first.len()), (announced, 3)];
    let drip = || -> Result<Vec<Drip>> {
        let mut drips = Vec::new();
        for (n, from) in from.iter().cycle().take(200).enumerate() {
            let (bytes, at_once) = kinds[n % 3].clone();
            drips.push(Drip::open(*from, to, bytes, at_once)?);
        }
        let end = Instant::now() + HANDSHAKE + Duration::from_secs(1);
        while Instant::now() < end {
            drips.iter_mut().for_each(Drip::fall);
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(drips)
    };
    let (drips, joined) = std::thread::scope(|scope| {
        let drips = scope.spawn(|| siege.attacker().within(drip));
        std::thread::sleep(Duration::from_secs(1));
        (drips.join(), siege.newcomer_joins())
    });
    let drips = outcome(drips)?;
    let joined = joined?;
    ensure!(joined < JOINED, "a newcomer was linked only after {joined:?}");
    let borne: Vec<_> = drips.iter().map(|drip| drip.borne).collect();
    let longest = borne.iter().max().copied().flatten();
    ensure!(borne.iter().all(|it| it.is_some_and(|it| it < HANDSHAKE)), "borne for {longest:?}");
    let is_late = |it: &Option<Duration>| it.is_some_and(|it| it > Duration::from_secs(4));
    ensure!(borne.iter().any(is_late), "none was cut off for being slow: {borne:?}");
    siege.end()?.within(STRANGERS)
}

#[test]
fn a_member_that_breaks_the_rules_of_the_stream_loses_its_link_and_nobody_else_does() -> Result<()>
{
    /// What it does to its link.
    type Crime = fn(&mut Member) -> Result<()>;
    let crimes: [(&str, Crime, &str); 8] = [
        ("noise", |it| it.write(&[0xa5; 3000]), "a sealed record did not open"),
        ("a record that is too long", |it| it.write(&[0x40, 0x11, 3]), "did not open"),
        ("a handshake in the clear", |it| it.write(&[0, 1, 1, 0]), "did not open"),
        (
            "a changed record",
            |it| {
                let mut sealed = it.channel.seal(&Message::Heartbeat.encode())?;
                *sealed.last_mut().context("no record")? ^= 1;
                it.write(&sealed)
            },
            "did not open",
        ),
        (
            "a record twice",
            |it| {
                let sealed = it.channel.seal(&Message::Heartbeat.encode())?;
                it.write(&[&sealed[..], &sealed].concat())
            },
            "did not open",
        ),
        (
            "a message that is too long",
            |it| {
                let len = u32::try_from(Channel::MESSAGE_LEN_MAX)? + 1;
                let sealed = it.channel.seal_records(&len.to_be_bytes())?;
                it.write(&sealed)
            },
            "over the limit",
        ),
        (
            "a message of noise",
            |it| {
                let sealed = it.channel.seal(&vec![0x7f; Channel::MESSAGE_LEN_MAX])?;
                it.write(&sealed)
            },
            "does not decode",
        ),
        (
            "an empty message",
            |it| {
                let sealed = it.channel.seal(&[])?;
                it.write(&sealed)
            },
            "does not decode",
        ),
    ];
    let siege = Siege::begin()?;
    let (to, secret) = (siege.victim().port(), stretch(PASSWORD));
    let mut seeds = (1..=u8::MAX).map(|n| [n; 32]);
    let mut join = || Member::join(to, &secret, seeds.next().context("no seed")?);
    let held = siege.attacker().within(|| {
        for (what, crime, _) in &crimes {
            let mut member = join()?;
            ensure!(member.attend(Duration::from_millis(20))?, "no link before {what}");
            crime(&mut member)?;
            let start = Instant::now();
            while member.attend(Duration::from_millis(100)).unwrap_or(false) {
                ensure!(start.elapsed() < PATIENCE, "the link stands after {what}");
            }
        }
        // Messages of which the end does not come: the daemon keeps what there is of each.
        let mut held = Vec::new();
        for _ in 0..20 {
            let mut member = join()?;
            let mut part = u32::try_from(Channel::MESSAGE_LEN_MAX)?.to_be_bytes().to_vec();
            part.resize(Channel::MESSAGE_LEN_MAX, 0);
            let sealed = member.channel.seal_records(&part)?;
            member.write(&sealed)?;
            held.push(member);
        }
        Ok(held)
    })?;
    for (what, _, why) in &crimes {
        ensure!(siege.logged(why) > 0, "nothing of {what} in the {}", siege.victim().log());
    }
    ensure!(siege.newcomer_joins()? < JOINED);
    // To say more would end the messages that it said in part.
    let links = siege.victim().weft(&["status", "connections"])?.ok()?;
    let stand = links.lines().filter(|line| line.contains("(member)")).count();
    ensure!(stand == held.len(), "links were given up for half a message: {links}");
    drop(held);
    // Twenty members with a message of 1 MiB in part, each of which the stream may hold twice while
    // it grows.
    siege.end()?.within(STRANGERS + (40 << 20))
}

#[test]
fn a_thousand_silent_connections_keep_no_peer_out_and_fill_no_log() -> Result<()> {
    let lab = Lab::full(4)?;
    let [one, two, three, four] = [1, 2, 3, 4].map(|n| lab.host(n));
    let first = one.address();
    let join = ["--password", "behind doors", &first];
    one.launch(&join[..2])?;
    two.launch(&join)?;
    one.wait_linked(1)?;
    let mut flood = three.command(binary("probe")?);
    let flood = lab.background(flood.args(["flood", "192.168.50.1:6783", "1000"]))?;
    flood.wait_for("ready", PATIENCE)?;
    // From a host that takes no part in it, and from the very address that it comes from.
    for (links, newcomer) in [(2, four), (3, three)] {
        let start = Instant::now();
        newcomer.launch(&join)?;
        one.wait_linked(links).with_context(|| flood.text())?;
        let took = start.elapsed();
        ensure!(took < Duration::from_secs(3), "linked only after {took:?}");
    }
    let log = fs::read_to_string(one.run_dir.join("weft.log"))?;
    ensure!(log.lines().count() < 60, "{} lines of log: {log:.5000}", log.lines().count());
    ensure!(!log.contains("nothing heard"), "a link was given up: {log}");
    drop(flood);
    one.weft(&["stop"])?.ok()?;
    let log = fs::read_to_string(one.run_dir.join("weft.log"))?;
    ensure!(log.contains("more in the last minute"), "{log}");
    lab.finish()
}
