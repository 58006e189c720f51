//! What records say about ownership and votes, as plain data.

use std::collections::{BTreeMap, BTreeSet};
use weft_core::id::PeerId;
use weft_core::ipam::{Founding, Grant, Voter};
use weft_core::record::{Key, Record, Signature, Version};

/// A record about ownership, or a vote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paper {
    /// Who signed it.
    pub writer: PeerId,
    /// Which version.
    pub version: Version,
    /// The first bytes of its signature.
    pub sign: u64,
    /// What it says.
    pub says: Says,
}

/// What a paper says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Says {
    /// How the universe was first divided.
    Founding(Founding),
    /// Addresses that changed owner.
    Grant(Grant),
    /// What a peer promised and accepted.
    Vote(Voter),
}

impl Paper {
    /// What `record` says; `None` when it is about something else, or says nothing.
    pub fn of(record: &Record) -> Option<Self> {
        let says = match record.key {
            Key::Founding(_) => Says::Founding(record.decode().ok()?),
            Key::Grant(_) => Says::Grant(record.decode().ok()?),
            Key::Voter(_) => Says::Vote(record.decode().ok()?),
            Key::Freeze(_) | Key::Peer(_) | Key::Names(..) | Key::Space(_) => return None,
        };
        Some(Self { writer: record.writer, version: record.version, sign: sign(record), says })
    }
}

/// The first bytes of the signature of `record`.
pub(super) fn sign(record: &Record) -> u64 {
    let Signature([a, b, c, d, e, f, g, h, ..], _) = record.signature;
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// Whether records under `key` are papers. Their keys come before all others.
pub(super) const fn is_paper(key: &Key) -> bool {
    match key {
        Key::Founding(_) | Key::Grant(_) | Key::Voter(_) => true,
        Key::Freeze(_) | Key::Peer(_) | Key::Names(..) | Key::Space(_) => false,
    }
}

/// Makes `papers` those of `records`; what is there already in the same version is not read again.
/// Returns which were read.
pub(super) fn read<'a>(
    papers: &mut BTreeMap<Key, Paper>,
    records: impl Iterator<Item = &'a Record>,
) -> Vec<(Key, Version)> {
    let (mut found, mut fresh) = (BTreeSet::new(), Vec::new());
    for record in records {
        found.insert(record.key);
        let is_known = papers.get(&record.key).is_some_and(|paper| {
            (paper.version, paper.writer, paper.sign)
                == (record.version, record.writer, sign(record))
        });
        if !is_known && let Some(paper) = Paper::of(record) {
            papers.insert(record.key, paper);
            fresh.push((record.key, record.version));
        }
    }
    papers.retain(|key, _| found.contains(key));
    fresh
}

/// The grants among `papers`, with who wrote each.
pub(super) fn grants(papers: &BTreeMap<Key, Paper>) -> impl Iterator<Item = (Key, PeerId, &Grant)> {
    papers.iter().filter_map(|(key, paper)| match &paper.says {
        Says::Grant(grant) => Some((*key, paper.writer, grant)),
        Says::Founding(_) | Says::Vote(_) => None,
    })
}

/// The foundings among `papers`.
pub(super) fn foundings(papers: &BTreeMap<Key, Paper>) -> impl Iterator<Item = (Key, &Founding)> {
    papers.iter().filter_map(|(key, paper)| match &paper.says {
        Says::Founding(founding) => Some((*key, founding)),
        Says::Grant(_) | Says::Vote(_) => None,
    })
}

/// The votes among `papers`, with who cast each.
pub(super) fn votes(papers: &BTreeMap<Key, Paper>) -> impl Iterator<Item = (PeerId, &Voter)> {
    papers.values().filter_map(|paper| match &paper.says {
        Says::Vote(vote) => Some((paper.writer, vote)),
        Says::Founding(_) | Says::Grant(_) => None,
    })
}
