//! Rules about datagrams, judged where they are sent and taken: `sleeve.unique-nonce`,
//! `sleeve.no-replay`, `sleeve.only-sent`, `sleeve.on-demand`, `sleeve.fresh-keys`,
//! `sleeve.rekey-loses-nothing`, `forward.hops`.
//!
//! A datagram is read and opened here by the layout alone that [`weft_core::sleeve`] draws.

use super::renewals::Renewals;
use crypto_box::aead::AeadInPlace;
use crypto_box::{ChaChaBox, Nonce, PublicKey, SecretKey, Tag};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;
use weft_core::forward::ForwardingChange;
use weft_core::id::PeerName;
use weft_core::record::Fingerprint;
use weft_core::time::Instant;

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
/// The keys of a link that works are changed in time.
const FRESH_KEYS: &str = "sleeve.fresh-keys";
/// Whoever changes them still takes what was sealed under those before.
const REKEY_LOSES_NOTHING: &str = "sleeve.rekey-loses-nothing";
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
/// What was on its way for longer may come too late for a session that has ended: a third of the time
/// that this takes, for a clock that goes three times as fast, and a little less.
const ON_ITS_WAY_MAX: Duration = Duration::from_millis(1_500);
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
    renewals: Renewals,
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
    under_way: BTreeMap<u64, (Fingerprint, Instant)>,
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
        now: Instant,
        (host, name): (usize, PeerName),
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
                if *is_link {
                    self.renewals.up(now, (host, session.0), peer);
                }
            }
            // What was sent before may still arrive.
            ForwardingChange::SessionDown { session } => self.renewals.down((host, session.0)),
            ForwardingChange::SessionMoved { .. }
            | ForwardingChange::Direct { .. }
            | ForwardingChange::Routes(_) => {}
        }
        Ok(())
    }

    /// The node of `host` runs no more.
    pub fn ended(&mut self, host: usize) {
        self.renewals.gone(host);
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
        now: Instant,
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
            flow.under_way.insert(counter, (Fingerprint::of(bytes), now));
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
    pub fn taken(&mut self, now: Instant, host: usize, bytes: &[u8]) -> Result<(), Fault> {
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
        let there = sender.map(|sender| (*sender, end.theirs));
        let flow = there.and_then(|(sender, label)| {
            Some(((sender, label), self.lanes.get_mut(&(sender, label, datagram.kind))?))
        });
        let Some((there, flow)) = flow else {
            let detail = format!("n{} took a datagram of a peer that sent it none", host + 1);
            return Err((ONLY_SENT, detail));
        };
        match flow.under_way.remove(&counter) {
            Some((print, _)) if print == Fingerprint::of(bytes) => {
                let heard = self.renewals.heard(now, (host, datagram.label), there);
                heard.map_err(|why| (FRESH_KEYS, why))
            }
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

impl Wire {
    /// `host`, called `name`, refused a datagram.
    ///
    /// # Errors
    /// It was sealed by a peer for one session of a link of which `host` takes in only others.
    pub fn refused(
        &self,
        now: Instant,
        (host, name): (usize, PeerName),
        bytes: &[u8],
    ) -> Result<(), Fault> {
        let Some(datagram) = Datagram::read(bytes) else { return Ok(()) };
        if self.renewals.all_up(host).any(|label| label == datagram.label) {
            return Ok(());
        }
        let is_from = |sender: usize, ours: u32| {
            let flow = self.lanes.get(&(sender, ours, datagram.kind));
            let sent = flow.and_then(|flow| flow.under_way.get(&datagram.counter));
            sent.is_some_and(|(print, at)| {
                now.since(*at) <= ON_ITS_WAY_MAX && *print == Fingerprint::of(bytes)
            })
        };
        let facing = self.facing.iter().filter(|((_, label), _)| *label == datagram.label);
        let senders = facing.flat_map(|((sender, _), all)| all.iter().map(|ours| (*sender, *ours)));
        let mut senders = senders.filter(|(sender, ours)| {
            self.ends.get(&(*sender, *ours)).is_some_and(|end| end.peer == name)
                && is_from(*sender, *ours)
        });
        let Some((sender, ours)) = senders.next() else { return Ok(()) };
        let stands = self.renewals.all_up(host).any(|label| {
            self.ends.get(&(host, label)).is_some_and(|end| {
                self.chosen.get(&(end.peer, end.theirs)) == Some(&sender)
                    && self.renewals.are_of_one((sender, ours), (sender, end.theirs))
            })
        });
        if stands {
            let detail = format!(
                "n{} refused a datagram that n{} sealed for another session of their link",
                host + 1,
                sender + 1
            );
            return Err((REKEY_LOSES_NOTHING, detail));
        }
        Ok(())
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
pub(super) mod tests;
