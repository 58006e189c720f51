//! Rules about datagrams, judged where they are sent and taken: `sleeve.unique-nonce`,
//! `sleeve.no-replay`, `sleeve.only-sent`, `sleeve.on-demand`, `forward.hops`.
//!
//! A datagram is read and opened here by the layout alone that [`weft_core::sleeve`] draws.

use crypto_box::aead::AeadInPlace;
use crypto_box::{ChaChaBox, Nonce, PublicKey, SecretKey, Tag};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use weft_core::forward::ForwardingChange;
use weft_core::id::PeerName;
use weft_core::record::Fingerprint;

/// What is wrong: the name of the rule, and how.
pub type Fault = (&'static str, String);

/// No key is used with one nonce twice.
const UNIQUE_NONCE: &str = "sleeve.unique-nonce";
/// No datagram is taken twice.
const NO_REPLAY: &str = "sleeve.no-replay";
/// What is taken was sent, byte for byte, by the peer that it is taken to be from.
const ONLY_SENT: &str = "sleeve.only-sent";
/// A session that no link brings is only with whom frames for one peer were exchanged.
const ON_DEMAND: &str = "sleeve.on-demand";
/// No frame is relayed more often than it may be.
const HOPS: &str = "forward.hops";

/// Bytes behind a sealed payload.
const TAG_LEN: usize = 16;
/// First byte of a datagram that carries frames.
const DATA: u8 = 0x10;
/// First byte of a probe.
const PROBE: u8 = 0x11;
/// Of probes, the first few of each direction are opened, and then one of so many: it is the same
/// code that seals all of them.
const OPENED_FIRST: u64 = 4;
const OPENED_OF: u64 = 32;
/// Datagrams of one direction that may still be taken; of those before them nothing is told.
const UNDER_WAY_MAX: usize = 16_384;

/// All sessions of a run.
#[derive(Debug, Default)]
pub struct Wire {
    ends: BTreeMap<(usize, u32), End>,
    /// Which session of which host a key was made for.
    made_for: BTreeMap<[u8; 32], (usize, u32)>,
    /// The labels that a host chose, by itself and the label of the other side: two others may have
    /// chosen one label.
    facing: BTreeMap<(usize, u32), Vec<u32>>,
    /// Who chose a label, by it and the host's name.
    chosen: BTreeMap<(PeerName, u32), usize>,
    /// Labels that insiders chose, with the names that they gave: what they seal is not known here.
    insiders: BTreeSet<(PeerName, u32)>,
    lanes: BTreeMap<Lane, Flow>,
    /// Hosts by their names.
    hosts: BTreeSet<PeerName>,
    /// Who has sent whom a frame that was for it alone.
    talked: BTreeSet<(PeerName, PeerName)>,
    /// How often a frame could still be relayed when it came to a host: by host, source and frame.
    hops: BTreeMap<(usize, PeerName, Fingerprint), u8>,
}

/// Who sends, in the session with which label of its own, and what kind.
type Lane = (usize, u32, u8);

/// What one host knows of a session.
struct End {
    /// The label that the other side chose.
    theirs: u32,
    /// Who is there.
    peer: PeerName,
    /// Whether this side dialed.
    dialed: bool,
    /// `None` where payloads are not sealed.
    cipher: Option<ChaChaBox>,
}

impl fmt::Debug for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("End")
            .field("theirs", &self.theirs)
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

/// What went one way.
#[derive(Debug, Default)]
struct Flow {
    last: Option<u64>,
    /// Sent and not yet taken, by counter.
    under_way: BTreeMap<u64, Fingerprint>,
}

/// A datagram as its layout has it.
struct Datagram<'a> {
    kind: u8,
    label: u32,
    counter: u64,
    body: &'a [u8],
}

impl<'a> Datagram<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let (&[kind], rest) = bytes.split_first_chunk()?;
        let (label, rest) = rest.split_first_chunk()?;
        let (counter, body) = rest.split_first_chunk()?;
        let (label, counter) = (u32::from_be_bytes(*label), u64::from_be_bytes(*counter));
        (kind == DATA || kind == PROBE).then_some(Self { kind, label, counter, body })
    }
}

impl End {
    /// The payload of `datagram`, which this side has sealed if `is_ours`, or else the other one.
    fn open(&self, datagram: &Datagram<'_>, is_ours: bool) -> Option<Vec<u8>> {
        let Some(cipher) = &self.cipher else { return Some(datagram.body.to_vec()) };
        let (sealed, tag) =
            datagram.body.split_at_checked(datagram.body.len().checked_sub(TAG_LEN)?)?;
        let mut nonce = [0; 24];
        nonce[0] = u8::from(is_ours == self.dialed);
        nonce[1] = datagram.kind;
        nonce[16..].copy_from_slice(&datagram.counter.to_be_bytes());
        let (nonce, mut payload) = (Nonce::from(nonce), sealed.to_vec());
        let opened =
            cipher.decrypt_in_place_detached(&nonce, &[], &mut payload, Tag::from_slice(tag));
        opened.is_ok().then_some(payload)
    }
}

impl Wire {
    /// The node of `host`, called `name`, tells its data path of a session.
    ///
    /// # Errors
    /// Its key was another session's already, whose nonces then come again.
    pub fn forwarding(
        &mut self,
        host: usize,
        name: PeerName,
        change: &ForwardingChange,
    ) -> Result<(), Fault> {
        match change {
            ForwardingChange::SessionUp { session, remote, peer, is_link, keys, .. } => {
                self.hosts.insert(name);
                let have_talked =
                    self.talked.contains(&(name, *peer)) || self.talked.contains(&(*peer, name));
                // What an insider asks for is granted.
                if !is_link && self.hosts.contains(peer) && !have_talked {
                    let detail = format!(
                        "n{} has a session with {peer}, to which no link leads and with which it \
                         exchanged no frame",
                        host + 1
                    );
                    return Err((ON_DEMAND, detail));
                }
                let ours = SecretKey::from(keys.ours).public_key().to_bytes();
                let first = *self.made_for.entry(ours).or_insert((host, session.0));
                if keys.sealed && first != (host, session.0) {
                    let detail = format!(
                        "n{} seals under a key that n{} had for another session",
                        host + 1,
                        first.0 + 1
                    );
                    return Err((UNIQUE_NONCE, detail));
                }
                let cipher = keys.sealed.then(|| {
                    ChaChaBox::new(&PublicKey::from(keys.theirs), &SecretKey::from(keys.ours))
                });
                let (theirs, peer, dialed) = (remote.0, *peer, keys.dialed);
                self.ends.insert((host, session.0), End { theirs, peer, dialed, cipher });
                let facing = self.facing.entry((host, theirs)).or_default();
                if !facing.contains(&session.0) {
                    facing.push(session.0);
                }
                self.chosen.insert((name, session.0), host);
            }
            // What was sent before may still arrive.
            ForwardingChange::SessionMoved { .. }
            | ForwardingChange::SessionDown { .. }
            | ForwardingChange::Direct { .. }
            | ForwardingChange::Routes(_) => {}
        }
        Ok(())
    }

    /// Somebody who is no host, and says that it is called `name`, has a session under `label`.
    pub fn insider(&mut self, name: PeerName, label: u32) {
        self.insiders.insert((name, label));
    }

    /// `host`, called `name`, sends a datagram.
    ///
    /// # Errors
    /// A rule that it breaks.
    pub fn sent(
        &mut self,
        host: usize,
        (name, hops_max): (PeerName, u8),
        bytes: &[u8],
    ) -> Result<(), Fault> {
        let Some(datagram) = Datagram::read(bytes) else { return Ok(()) };
        let counter = datagram.counter;
        let Some(ours) = self.sealed_in(host, &datagram) else { return Ok(()) };
        let Some(end) = self.ends.get(&(host, ours)) else { return Ok(()) };
        let flow = self.lanes.entry((host, ours, datagram.kind)).or_default();
        if flow.last.replace(counter).is_some_and(|last| counter <= last) && end.cipher.is_some() {
            let detail = format!("n{} sealed two datagrams under counter {counter}", host + 1);
            return Err((UNIQUE_NONCE, detail));
        }
        let is_data = datagram.kind == DATA;
        let is_opened = is_data || counter < OPENED_FIRST || counter.is_multiple_of(OPENED_OF);
        let payload = is_opened.then(|| end.open(&datagram, true));
        if payload == Some(None) {
            let detail = format!(
                "n{} sealed datagram {counter} under another nonce than its direction, kind and \
                 counter make",
                host + 1
            );
            return Err((UNIQUE_NONCE, detail));
        }
        if end.cipher.is_some() {
            flow.under_way.insert(counter, Fingerprint::of(bytes));
            if flow.under_way.len() > UNDER_WAY_MAX {
                flow.under_way.pop_first();
            }
        }
        let payload = payload.flatten().filter(|_| is_data).unwrap_or_default();
        for (source, destination, hops, frame) in parcels(&payload) {
            if source == name && destination != PeerName::default() {
                self.talked.insert((source, destination));
            }
            let before = self.hops.get(&(host, source, Fingerprint::of(frame))).copied();
            let most = if source == name {
                Some(hops_max)
            } else {
                before.and_then(|hops| hops.checked_sub(1))
            };
            if most.is_none_or(|most| hops > most) {
                let detail = format!(
                    "n{} sent on a frame that may be relayed {hops} more times, which came with \
                     {before:?}",
                    host + 1
                );
                return Err((HOPS, detail));
            }
        }
        Ok(())
    }

    /// The label of `host` for the session in which it sealed `datagram`: of several to one label of
    /// others, that whose key opens it.
    fn sealed_in(&self, host: usize, datagram: &Datagram<'_>) -> Option<u32> {
        let facing = self.facing.get(&(host, datagram.label))?;
        let opens = |ours: &&u32| {
            self.ends.get(&(host, **ours)).is_some_and(|end| end.open(datagram, true).is_some())
        };
        match &facing[..] {
            [only] => Some(*only),
            several => several.iter().rev().find(opens).or_else(|| several.last()).copied(),
        }
    }

    /// `host` took a datagram as one of its sessions.
    ///
    /// # Errors
    /// A rule that this breaks.
    pub fn taken(&mut self, host: usize, bytes: &[u8]) -> Result<(), Fault> {
        let Some(datagram) = Datagram::read(bytes) else { return Ok(()) };
        let counter = datagram.counter;
        let Some(end) = self.ends.get(&(host, datagram.label)) else { return Ok(()) };
        if datagram.kind == DATA
            && let Some(payload) = end.open(&datagram, false)
        {
            for (source, _, hops, frame) in parcels(&payload) {
                let most = self.hops.entry((host, source, Fingerprint::of(frame))).or_default();
                *most = hops.max(*most);
            }
        }
        // What is not sealed can be made by anybody.
        if end.cipher.is_none() {
            return Ok(());
        }
        if self.insiders.contains(&(end.peer, end.theirs)) {
            return Ok(());
        }
        let sender = self.chosen.get(&(end.peer, end.theirs));
        let lane = sender.map(|sender| (*sender, end.theirs, datagram.kind));
        let flow = lane.and_then(|lane| self.lanes.get_mut(&lane));
        let Some(flow) = flow else {
            let detail = format!("n{} took a datagram of a peer that sent it none", host + 1);
            return Err((ONLY_SENT, detail));
        };
        match flow.under_way.remove(&counter) {
            Some(print) if print == Fingerprint::of(bytes) => Ok(()),
            Some(_) => {
                let detail =
                    format!("n{} took datagram {counter} otherwise than it was sent", host + 1);
                Err((ONLY_SENT, detail))
            }
            None if flow.last.is_some_and(|last| counter <= last) => {
                Err((NO_REPLAY, format!("n{} took datagram {counter} a second time", host + 1)))
            }
            None => Err((
                ONLY_SENT,
                format!("n{} took datagram {counter}, which nobody sent", host + 1),
            )),
        }
    }
}

/// The frames of a payload: of which peer, for which one (zeros for all), how often each may still be
/// relayed, and its bytes.
fn parcels(payload: &[u8]) -> Vec<(PeerName, PeerName, u8, &[u8])> {
    let mut parcels = Vec::new();
    let mut left = payload;
    while let Some((source, rest)) = left.split_first_chunk::<6>()
        && let Some((destination, rest)) = rest.split_first_chunk::<6>()
        && let Some((&[hops, high, low], rest)) = rest.split_first_chunk::<3>()
        && let Some((frame, rest)) =
            rest.split_at_checked(usize::from(u16::from_be_bytes([high, low])))
    {
        parcels.push((PeerName(*source), PeerName(*destination), hops, frame));
        left = rest;
    }
    parcels
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::broken::Breach;
    use super::*;
    use weft_core::sleeve::{Kind, Session, SessionIndex, SessionKeys};

    const NAMES: [PeerName; 2] = [PeerName([2, 0, 0, 0, 0, 1]), PeerName([2, 0, 0, 0, 0, 2])];
    const HOPS_MAX: u8 = 4;

    fn keys(host: usize) -> SessionKeys {
        let secrets = [[1; 32], [2; 32]];
        let theirs = SecretKey::from(secrets[1 - host]).public_key().to_bytes();
        SessionKeys { ours: secrets[host], theirs, dialed: host == 0, sealed: true }
    }

    fn up(
        session: SessionIndex,
        remote: SessionIndex,
        peer: PeerName,
        keys: SessionKeys,
    ) -> ForwardingChange {
        ForwardingChange::SessionUp { session, remote, peer, is_link: true, keys, to: None }
    }

    /// The label that a host chose.
    fn label(host: usize) -> SessionIndex {
        SessionIndex(u32::try_from(host).unwrap() + 7)
    }

    /// Two hosts with a session, and what seals for each.
    fn pair(kind: Kind) -> (Wire, [Session; 2]) {
        let mut wire = Wire::default();
        for host in [0, 1] {
            let (session, remote, peer) = (label(host), label(1 - host), NAMES[1 - host]);
            let change = up(session, remote, peer, keys(host));
            wire.forwarding(host, NAMES[host], &change).unwrap();
        }
        let session = |host: usize| Session::new(kind, &keys(host), label(1 - host)).unwrap();
        (wire, [session(0), session(1)])
    }

    fn rule(verdict: Result<(), Fault>) -> Option<&'static str> {
        verdict.err().map(|(rule, _)| rule)
    }

    fn send(wire: &mut Wire, host: usize, bytes: &[u8]) -> Option<&'static str> {
        rule(wire.sent(host, (NAMES[host], HOPS_MAX), bytes))
    }

    /// What breaks each of these rules.
    pub(in super::super) const BREACHES: [Breach; 5] = [
        (UNIQUE_NONCE, || {
            let (mut wire, [mut session, _]) = pair(Kind::Probe);
            let datagram = session.seal(b"one").unwrap();
            send(&mut wire, 0, &datagram).or_else(|| send(&mut wire, 0, &datagram))
        }),
        (NO_REPLAY, || {
            let (mut wire, [mut session, _]) = pair(Kind::Probe);
            let datagram = session.seal(b"one").unwrap();
            send(&mut wire, 0, &datagram)
                .or_else(|| rule(wire.taken(1, &datagram)))
                .or_else(|| rule(wire.taken(1, &datagram)))
        }),
        (ONLY_SENT, || {
            let (mut wire, [mut session, _]) = pair(Kind::Probe);
            rule(wire.taken(1, &session.seal(b"one").unwrap()))
        }),
        (ON_DEMAND, || {
            let (mut wire, [mut session, _]) = pair(Kind::Data);
            let to_all = session.seal(&parcel(HOPS_MAX)).unwrap();
            send(&mut wire, 0, &to_all).or_else(|| on_demand(&mut wire, 0))
        }),
        (HOPS, || {
            let (mut wire, [mut session, _]) = pair(Kind::Data);
            send(&mut wire, 0, &session.seal(&parcel(HOPS_MAX + 1)).unwrap())
        }),
    ];

    #[test]
    fn what_is_sent_once_and_taken_once_breaks_no_rule() {
        let (mut wire, mut sessions) = pair(Kind::Probe);
        let datagrams: Vec<Vec<u8>> = (0..9).map(|_| sessions[0].seal(b"probe").unwrap()).collect();
        for datagram in &datagrams {
            assert_eq!(send(&mut wire, 0, datagram), None);
        }
        // In any order, and not all of them.
        for datagram in [&datagrams[8], &datagrams[2], &datagrams[5]] {
            assert_eq!(wire.taken(1, datagram), Ok(()));
        }
        let back = sessions[1].seal(b"answer").unwrap();
        assert_eq!(send(&mut wire, 1, &back), None);
        assert_eq!(wire.taken(0, &back), Ok(()));
    }

    #[test]
    fn unique_nonce_fails_when_a_counter_comes_twice_or_the_nonce_is_another() {
        let (mut wire, mut sessions) = pair(Kind::Probe);
        let datagram = sessions[0].seal(b"one").unwrap();
        assert_eq!(send(&mut wire, 0, &datagram), None);
        let mut restarted = Session::new(Kind::Probe, &keys(0), label(1)).unwrap();
        let again = restarted.seal(b"two").unwrap();
        assert_eq!(send(&mut wire, 0, &again), Some(UNIQUE_NONCE));
        // Sealed as the other side would: both under one nonce.
        let (mut wire, _) = pair(Kind::Probe);
        let wrong = SessionKeys { dialed: false, ..keys(0) };
        let mut wrong = Session::new(Kind::Probe, &wrong, label(1)).unwrap();
        assert_eq!(send(&mut wire, 0, &wrong.seal(b"one").unwrap()), Some(UNIQUE_NONCE));
    }

    #[test]
    fn two_others_may_choose_one_label() {
        let (mut wire, mut sessions) = pair(Kind::Probe);
        let third = SessionKeys {
            ours: [3; 32],
            theirs: SecretKey::from([4; 32]).public_key().to_bytes(),
            ..keys(0)
        };
        let change = up(SessionIndex(50), label(1), PeerName([2, 0, 0, 0, 0, 3]), third.clone());
        wire.forwarding(0, NAMES[0], &change).unwrap();
        let mut to_third = Session::new(Kind::Probe, &third, label(1)).unwrap();
        let first = sessions[0].seal(b"one").unwrap();
        assert_eq!(send(&mut wire, 0, &first), None);
        assert_eq!(send(&mut wire, 0, &to_third.seal(b"one").unwrap()), None);
        assert_eq!(wire.taken(1, &first), Ok(()));
        assert_eq!(send(&mut wire, 0, &first), Some(UNIQUE_NONCE));
    }

    #[test]
    fn unique_nonce_fails_when_a_session_takes_the_key_of_another() {
        let (mut wire, _) = pair(Kind::Probe);
        let mut up = |host: usize, session: u32, keys: SessionKeys| {
            let (session, remote) = (SessionIndex(session), label(1 - host));
            let peer = NAMES[1 - host];
            let change = up(session, remote, peer, keys);
            rule(wire.forwarding(host, NAMES[host], &change))
        };
        // The same session may be told twice.
        assert_eq!(up(0, label(0).0, keys(0)), None);
        assert_eq!(up(0, 99, keys(0)), Some(UNIQUE_NONCE));
        assert_eq!(up(1, 99, keys(0)), Some(UNIQUE_NONCE));
        // In the clear no key is used.
        assert_eq!(up(0, 99, SessionKeys { sealed: false, ..keys(0) }), None);
        assert_eq!(up(0, 99, SessionKeys { ours: [3; 32], ..keys(0) }), None);
    }

    /// A data path is told of a session that no link brings.
    fn on_demand(wire: &mut Wire, host: usize) -> Option<&'static str> {
        let keys = SessionKeys { ours: [40 + u8::try_from(host).unwrap(); 32], ..keys(host) };
        let mut change = up(SessionIndex(50), label(1 - host), NAMES[1 - host], keys);
        if let ForwardingChange::SessionUp { is_link, .. } = &mut change {
            *is_link = false;
        }
        rule(wire.forwarding(host, NAMES[host], &change))
    }

    #[test]
    fn on_demand_fails_when_there_is_a_session_with_whom_nobody_talks() {
        let to_all = [&NAMES[0].0[..], &[0; 6], &[HOPS_MAX, 0, 1], &[9]].concat();
        let to_one = [&NAMES[0].0[..], &NAMES[1].0, &[HOPS_MAX, 0, 1], &[9]].concat();
        for (payload, fault) in [(to_all, Some(ON_DEMAND)), (to_one, None)] {
            let (mut wire, mut sessions) = pair(Kind::Data);
            let frame = sessions[0].seal(&payload).unwrap();
            assert_eq!(send(&mut wire, 0, &frame), None);
            assert_eq!(on_demand(&mut wire, 0), fault);
            assert_eq!(on_demand(&mut wire, 1), fault);
        }
        // What an insider asks for is granted.
        let mut wire = Wire::default();
        assert_eq!(on_demand(&mut wire, 0), None);
    }

    #[test]
    fn no_replay_fails_when_a_datagram_is_taken_again() {
        let (mut wire, mut sessions) = pair(Kind::Probe);
        let datagram = sessions[0].seal(b"probe").unwrap();
        assert_eq!(send(&mut wire, 0, &datagram), None);
        assert_eq!(wire.taken(1, &datagram), Ok(()));
        assert_eq!(rule(wire.taken(1, &datagram)), Some(NO_REPLAY));
    }

    #[test]
    fn only_sent_fails_when_something_is_taken_that_was_not_sent_like_that() {
        let (mut wire, mut sessions) = pair(Kind::Probe);
        let datagram = sessions[0].seal(b"probe").unwrap();
        assert_eq!(rule(wire.taken(1, &datagram)), Some(ONLY_SENT));
        assert_eq!(send(&mut wire, 0, &datagram), None);
        let mut changed = datagram;
        changed[20] ^= 1;
        assert_eq!(rule(wire.taken(1, &changed)), Some(ONLY_SENT));
        let unsent = sessions[0].seal(b"more").unwrap();
        assert_eq!(rule(wire.taken(1, &unsent)), Some(ONLY_SENT));
    }

    /// A parcel of `n1` with a frame of one byte.
    fn parcel(hops: u8) -> Vec<u8> {
        [&NAMES[0].0[..], &[0; 6], &[hops, 0, 1], &[9]].concat()
    }

    #[test]
    fn hops_fails_when_a_frame_is_sent_on_as_far_as_it_came_or_farther_than_it_may() {
        let (mut wire, mut sessions) = pair(Kind::Data);
        let first = sessions[0].seal(&parcel(HOPS_MAX)).unwrap();
        assert_eq!(send(&mut wire, 0, &first), None);
        assert_eq!(wire.taken(1, &first), Ok(()));
        let on = sessions[1].seal(&parcel(HOPS_MAX - 1)).unwrap();
        assert_eq!(send(&mut wire, 1, &on), None);
        let as_far = sessions[1].seal(&parcel(HOPS_MAX)).unwrap();
        assert_eq!(send(&mut wire, 1, &as_far), Some(HOPS));
        let farther = sessions[0].seal(&parcel(HOPS_MAX + 1)).unwrap();
        assert_eq!(send(&mut wire, 0, &farther), Some(HOPS));
        let (mut wire, mut sessions) = pair(Kind::Data);
        let from_nowhere = sessions[1].seal(&parcel(1)).unwrap();
        assert_eq!(send(&mut wire, 1, &from_nowhere), Some(HOPS));
    }
}
