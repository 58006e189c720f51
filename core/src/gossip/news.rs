//! What is news to one neighbour, and how it is told.
//!
//! All that is relayed flows down a tree: along its links records are pushed, along the others it is
//! only announced that there are some, from the hash of the key and the version. Who was announced
//! something and lacks it a little later asks for it, and that link becomes part of the tree; who is
//! pushed what it holds asks for announcements from then on. What a peer says of itself, and what
//! somebody may be waiting for, is pushed along all links.
//!
//! Source: Leitão, Pereira and Rodrigues, "Epidemic Broadcast Trees", SRDS 2007 (Plumtree).

use super::prefix::{Have, KeyHash, hash_of};
use super::reconcile::Question;
use super::store::Records;
use crate::mark::{Mark, mark};
use crate::record::{Key, Record};
use crate::time::Instant;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::time::Duration;
use serde::{Deserialize, Serialize};

/// What neighbours say to each other about the tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TreeMessage {
    /// I hold these. At most [`Question::KEYS_MAX`].
    Have(Vec<Have>),
    /// Please push these, which I lack, and from now on all that you relay. At most
    /// [`Question::KEYS_MAX`].
    Graft(Vec<KeyHash>),
    /// Please announce what you relay: I had what you pushed.
    Prune,
}

impl TreeMessage {
    /// Whether it keeps to its limits.
    pub const fn is_sound(&self) -> bool {
        match self {
            Self::Have(have) => have.len() <= Question::KEYS_MAX,
            Self::Graft(keys) => keys.len() <= Question::KEYS_MAX,
            Self::Prune => true,
        }
    }
}

/// Least time between two pushes to one neighbour of what is not urgent. A lone change goes at once;
/// when many come, as while a mesh gathers, those of this time go in one message, and what the
/// neighbour has sent us by then does not go back. Ten hops of it are a tenth of a second.
const PUSH_WAIT: Duration = Duration::from_millis(10);

/// What is only announced waits so long for more: mostly the neighbour announces it meanwhile, or has it
/// pushed by others.
const ANNOUNCE_WAIT: Duration = Duration::from_millis(50);

/// Bytes of pushed records in one write.
const BATCH_LEN: usize = 64 * 1024;

/// What is news to one neighbour. Only keys: however long a write takes, the newest version of each
/// goes next.
#[derive(Debug)]
pub(crate) struct News {
    /// What we say of ourselves, to be pushed before all else, whatever the neighbour knows.
    introduction: Option<Key>,
    /// To be pushed.
    push: BTreeSet<Key>,
    /// What is not urgent is not pushed before this.
    push_at: Instant,
    /// To be announced.
    announce: BTreeSet<Key>,
    /// Not before this.
    announce_at: Instant,
    /// Whether the link is part of the tree.
    is_eager: bool,
    /// What the neighbour is asked to push.
    graft: BTreeSet<KeyHash>,
    /// The neighbour is asked to announce only.
    prune: bool,
}

impl News {
    /// Of a neighbour that was met `now`.
    pub(crate) const fn new(now: Instant) -> Self {
        Self {
            introduction: None,
            push: BTreeSet::new(),
            push_at: now,
            announce: BTreeSet::new(),
            announce_at: now,
            is_eager: true,
            graft: BTreeSet::new(),
            prune: false,
        }
    }

    /// What we say of ourselves is the record of `key`.
    pub(crate) const fn introduce(&mut self, key: Key) {
        self.introduction = Some(key);
    }

    /// The record of `key` is news of our own.
    pub(crate) fn tell(&mut self, key: Key) {
        self.announce.remove(&key);
        self.push.insert(key);
    }

    /// The record of `key`, which came `now` from another neighbour, is news.
    pub(crate) fn relay(&mut self, now: Instant, key: Key) {
        if self.is_eager || is_urgent(&key) {
            return self.tell(key);
        }
        if self.announce.is_empty() {
            self.announce_at = now + ANNOUNCE_WAIT;
        }
        if !self.push.contains(&key) {
            self.announce.insert(key);
        }
    }

    /// The neighbour holds the record of `key` that we do.
    pub(crate) fn knows(&mut self, key: &Key) {
        if self.push.remove(key) | self.announce.remove(key) {
            mark(Mark::GossipKnown);
        }
    }

    /// We lack the record of `key` that the neighbour has announced.
    pub(crate) fn graft(&mut self, key: KeyHash) {
        mark(Mark::TreeLacking);
        self.is_eager = true;
        self.prune = false;
        // Who announces without end and reads nothing is asked for no more than one message names.
        if self.graft.len() < Question::KEYS_MAX {
            self.graft.insert(key);
        }
    }

    /// All that the neighbour pushed was held already. While it is asked for something, the link stays
    /// part of the tree.
    pub(crate) fn prune(&mut self) {
        if self.graft.is_empty() {
            self.is_eager = false;
            self.prune = true;
        }
    }

    /// The neighbour says something about the tree that it expects us to follow. It lacks what it
    /// grafts.
    pub(crate) fn grafted(&mut self, keys: &[KeyHash], records: &Records) {
        mark(Mark::TreeGrafted);
        self.is_eager = true;
        for key in keys.iter().flat_map(|hash| records.keys(*hash)) {
            self.tell(key);
        }
    }

    /// The neighbour holds what we push.
    pub(crate) fn pruned(&mut self) {
        mark(Mark::TreePruned);
        self.is_eager = false;
    }

    /// How many records are news to it.
    pub(crate) fn len(&self) -> usize {
        self.push.len() + self.announce.len()
    }

    /// When something is to be told, if anything is.
    pub(crate) fn due_at(&self) -> Option<Instant> {
        let pushes = self
            .push
            .first()
            .map(|first| if is_urgent(first) { Instant::ZERO } else { self.push_at });
        let announces = (!self.announce.is_empty()).then_some(self.announce_at);
        let asks = (self.prune || !self.graft.is_empty()).then_some(Instant::ZERO);
        let introduces = self.introduction.map(|_| Instant::ZERO);
        [introduces, pushes, announces, asks].into_iter().flatten().min()
    }

    /// What is due: records to push, and what to say about the tree.
    pub(crate) fn take(
        &mut self,
        now: Instant,
        records: &Records,
    ) -> (Vec<Record>, Vec<TreeMessage>) {
        let introduction = self.introduction.take().and_then(|key| records.get(&key)).cloned();
        let mut pushed: Vec<Record> = introduction.into_iter().collect();
        for record in &pushed {
            self.push.remove(&record.key);
        }
        let most_urgent = self.push.first();
        if most_urgent.is_some_and(|key| is_urgent(key) || self.push_at <= now) {
            pushed.extend(records.batch(&mut self.push, BATCH_LEN));
            // What did not fit goes as soon as this is written.
            if self.push.is_empty() {
                self.push_at = now + PUSH_WAIT;
            }
        }
        let mut said = Vec::new();
        if core::mem::take(&mut self.prune) {
            said.push(TreeMessage::Prune);
        }
        if !self.graft.is_empty() {
            let keys = core::mem::take(&mut self.graft);
            said.push(TreeMessage::Graft(keys.into_iter().collect()));
        }
        if !self.announce.is_empty() && self.announce_at <= now {
            let first_left = self.announce.iter().nth(Question::KEYS_MAX).copied();
            let left = first_left.map(|first| self.announce.split_off(&first));
            let keys = core::mem::replace(&mut self.announce, left.unwrap_or_default());
            let held = keys.iter().filter_map(|key| records.get(key));
            let have = held.map(|held| Have { key: hash_of(&held.key), version: held.version });
            said.push(TreeMessage::Have(have.collect()));
        }
        (pushed, said)
    }
}

/// Whether somebody may be waiting for it: a container for its address, a mesh for its founding.
pub(crate) const fn is_urgent(key: &Key) -> bool {
    match key {
        Key::Founding(_) | Key::Grant(_) | Key::Voter(_) | Key::Freeze(_) => true,
        Key::Peer(_) | Key::Names(..) | Key::Space(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::store::tests::{record, with_room};
    use super::*;
    use crate::id::PeerId;

    const NOW: Instant = Instant::ZERO;

    /// A store with one record, and its key.
    fn store() -> (Records, Key) {
        let mut records = with_room(9);
        let held = record(1, 1, 1);
        let key = held.key;
        records.put(held);
        (records, key)
    }

    /// What is said at `now`: how many records, and what about the tree.
    fn said(news: &mut News, now: Instant, records: &Records) -> (usize, Vec<TreeMessage>) {
        let (pushed, said) = news.take(now, records);
        (pushed.len(), said)
    }

    fn have(key: &Key) -> TreeMessage {
        let version = record(1, 1, 1).version;
        TreeMessage::Have(alloc::vec![Have { key: hash_of(key), version }])
    }

    #[test]
    fn a_link_of_the_tree_is_pushed_at_once_and_another_one_is_announced_later() {
        let (records, key) = store();
        let mut news = News::new(NOW);
        news.relay(NOW, key);
        assert_eq!(said(&mut news, NOW, &records), (1, Vec::new()));
        news.pruned();
        news.relay(NOW, key);
        assert_eq!(said(&mut news, NOW, &records), (0, Vec::new()));
        let then = NOW + ANNOUNCE_WAIT;
        assert_eq!(news.due_at(), Some(then));
        assert_eq!(said(&mut news, then, &records), (0, alloc::vec![have(&key)]));
        assert_eq!(news.due_at(), None);
    }

    #[test]
    fn what_a_neighbour_tells_meanwhile_is_not_announced_to_it() {
        let (records, key) = store();
        let mut news = News::new(NOW);
        news.pruned();
        news.relay(NOW, key);
        news.knows(&key);
        assert_eq!(said(&mut news, NOW + ANNOUNCE_WAIT, &records), (0, Vec::new()));
    }

    #[test]
    fn our_own_news_and_urgent_news_are_pushed_along_every_link() {
        let (mut records, key) = store();
        let grant = record(1, 2, 1);
        let mut news = News::new(NOW);
        news.pruned();
        news.tell(key);
        news.relay(NOW, grant.key);
        records.put(grant);
        assert_eq!(said(&mut news, NOW, &records), (2, Vec::new()));
    }

    #[test]
    fn who_grafts_is_pushed_that_and_what_follows() {
        let (records, key) = store();
        let mut news = News::new(NOW);
        news.pruned();
        news.grafted(&[hash_of(&key), 7], &records);
        assert_eq!(said(&mut news, NOW, &records), (1, Vec::new()));
        news.relay(NOW, key);
        assert_eq!(said(&mut news, NOW + PUSH_WAIT, &records), (1, Vec::new()));
    }

    #[test]
    fn what_is_lacking_is_asked_for_in_one_message_that_keeps_to_its_limit() {
        let (records, _) = store();
        let mut news = News::new(NOW);
        news.prune();
        let count = u64::try_from(Question::KEYS_MAX).unwrap() + 1;
        (0..count).for_each(|key| news.graft(key));
        // The link is part of the tree again, and stays so.
        news.prune();
        let (_, said) = said(&mut news, NOW, &records);
        assert!(matches!(&said[..], [one @ TreeMessage::Graft(_)] if one.is_sound()), "{said:?}");
    }

    #[test]
    fn what_is_announced_beyond_one_message_goes_in_the_next() {
        let mut records = Records::new(9_999, usize::MAX);
        let mut news = News::new(NOW);
        news.pruned();
        for sequence in 0..=Question::KEYS_MAX as u64 {
            // Only the key and the version are told: nobody looks at the signature.
            let mut held = record(1, 0, 1);
            let writer = core::array::from_fn(|at| {
                sequence.to_be_bytes().get(at).copied().unwrap_or_default()
            });
            held.key = Key::Names(PeerId(writer), 0);
            news.relay(NOW, held.key);
            records.put(held);
        }
        let mut told = || match &said(&mut news, NOW + ANNOUNCE_WAIT, &records).1[..] {
            [TreeMessage::Have(have)] => have.len(),
            _ => 0,
        };
        assert_eq!([told(), told(), told()], [Question::KEYS_MAX, 1, 0]);
    }

    #[test]
    fn we_introduce_ourselves_whatever_the_neighbour_knows() {
        let (records, key) = store();
        let mut news = News::new(NOW);
        news.introduce(key);
        assert_eq!(news.due_at(), Some(Instant::ZERO));
        news.tell(key);
        news.knows(&key);
        assert_eq!(said(&mut news, NOW, &records), (1, Vec::new()));
        assert_eq!(news.due_at(), None);
    }
}
