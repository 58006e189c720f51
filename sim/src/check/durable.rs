//! Nothing is said before it is durable: `persist-before-send`, `persist-before-reply`.

use super::papers::Paper;
use super::{Invariant, View, When};
use ipnet::IpNet;
use std::collections::{BTreeMap, BTreeSet};
use weft_core::id::PeerId;
use weft_core::io::Output;
use weft_core::record::{Key, Version};

/// The name of both rules about what other peers hear.
pub const PERSIST_BEFORE_SEND: &str = "persist-before-send";

/// The name of the rule about what operators hear.
pub const PERSIST_BEFORE_REPLY: &str = "persist-before-reply";

/// When a container is told that it was given `given`, these are among those that the disk has as
/// `noted` for it.
///
/// # Errors
/// What a crash would undo.
pub fn given_is_noted(noted: &[IpNet], given: &[IpNet]) -> Result<(), String> {
    match given.iter().find(|net| !noted.contains(net)) {
        None => Ok(()),
        Some(lost) => Err(format!("gave {lost}, and the disk has {noted:?}")),
    }
}

/// When a container is told that `given` were taken back from it, none is among those that the disk
/// has as `noted` for it: what is noted is held again after the next start, by nobody.
///
/// # Errors
/// What a crash would undo.
pub fn released_is_gone(noted: &[IpNet], given: &[IpNet]) -> Result<(), String> {
    match given.iter().find(|net| noted.contains(net)) {
        None => Ok(()),
        Some(kept) => Err(format!("took {kept} back, and the disk has {noted:?}")),
    }
}

/// What one call makes durable comes before all that others hear of that call.
///
/// # Errors
/// What is said too soon.
pub fn said_in_order<'a>(outputs: impl Iterator<Item = &'a Output>) -> Result<(), String> {
    let mut said = None;
    for output in outputs {
        match (output, said) {
            (Output::Persist(_), Some(said)) => {
                return Err(format!("{said} before what it rests on is durable"));
            }
            (Output::Write { .. }, None) => said = Some("writes to a stream"),
            (Output::Datagram { .. }, None) => said = Some("sends a datagram"),
            (Output::Reply { .. }, None) => said = Some("answers"),
            (
                Output::Persist(_)
                | Output::Write { .. }
                | Output::Datagram { .. }
                | Output::Reply { .. }
                | Output::Dial { .. }
                | Output::Close { .. }
                | Output::Forwarding(_)
                | Output::Event(_),
                _,
            ) => {}
        }
    }
    Ok(())
}

/// A founding, grant or vote that any other peer holds has been on the disk of who wrote it.
#[derive(Debug, Default)]
pub(super) struct SeenWasStored {
    stored: BTreeMap<PeerId, BTreeSet<(Key, Version)>>,
    /// What was looked up already.
    found: BTreeSet<(PeerId, Key, Version)>,
}

impl Invariant for SeenWasStored {
    fn name(&self) -> &'static str {
        PERSIST_BEFORE_SEND
    }
    fn when(&self) -> When {
        When::Always
    }
    fn check(&mut self, view: &View) -> Result<(), String> {
        for (_, peer) in view.changed() {
            if let (Some(id), Some(stored)) = (peer.id, &peer.stored) {
                let papers = stored.iter().map(|(key, paper)| (*key, paper.version));
                let written = peer.written.iter().copied();
                self.stored.entry(id).or_default().extend(papers.chain(written));
            }
        }
        for (host, peer) in view.changed().filter(|(_, peer)| peer.live) {
            for (key, Paper { writer, version, .. }) in &peer.papers {
                let is_known = self.found.contains(&(*writer, *key, *version));
                if is_known || Some(*writer) == peer.id {
                    continue;
                }
                // Of writers without a disk here nothing can be told.
                let Some(stored) = self.stored.get(writer) else { continue };
                if !stored.contains(&(*key, *version)) {
                    return Err(format!(
                        "n{} holds {key:?} of {}, whose disk has never had it",
                        host + 1,
                        view.label(*writer)
                    ));
                }
                self.found.insert((*writer, *key, *version));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::made_up::{changed, fails, grant, holds, pair, vote};
    use super::*;
    use weft_core::io::{ConnId, Reply, RequestId};

    #[test]
    fn said_in_order_fails_when_something_is_said_before_the_disk_has_it() {
        let persist = || Output::Persist(Vec::new());
        let write = || Output::Write { conn: ConnId::dialed(1), bytes: vec![1] };
        let reply = || Output::Reply { request: RequestId(1), result: Ok(Reply::Done) };
        assert_eq!(said_in_order([persist(), write(), reply()].iter()), Ok(()));
        for outputs in [[write(), persist()], [reply(), persist()]] {
            assert!(said_in_order(outputs.iter()).is_err());
        }
    }

    #[test]
    fn persist_before_reply_fails_when_an_address_is_not_on_the_disk_or_still_there() {
        let [one, other]: [IpNet; 2] =
            ["10.0.0.1/28", "10.0.0.2/28"].map(|net| net.parse().unwrap());
        assert_eq!(given_is_noted(&[one, other], &[other]), Ok(()));
        assert!(given_is_noted(&[one], &[one, other]).is_err());
        assert_eq!(released_is_gone(&[one], &[other]), Ok(()));
        assert!(released_is_gone(&[one, other], &[other]).is_err());
    }

    #[test]
    fn persist_before_send_fails_when_another_peer_has_what_was_never_on_the_disk() {
        holds::<SeenWasStored>(&[pair()]);
        for paper in [grant(1, 2, (0, 4), 1), vote(1, 3, &[1])] {
            let heard = |view: &mut View| view.peers[1].papers.extend([paper.clone()]);
            fails::<SeenWasStored>(&[changed(heard)]);
            let stored = |view: &mut View| {
                view.peers[0].stored.as_mut().unwrap().extend([paper.clone()]);
            };
            // It may be gone again by then.
            holds::<SeenWasStored>(&[changed(stored), changed(heard)]);
            let unknown = changed(|view| {
                heard(view);
                view.peers[0].stored = None;
            });
            holds::<SeenWasStored>(&[unknown]);
        }
    }
}
