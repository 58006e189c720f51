//! Finds what a neighbour's store has and ours lacks, in messages that grow with the difference.
//!
//! One side asks, the other answers from its store alone and keeps nothing. Each side pulls for
//! itself, so after both pulls both stores are joined. In sync: one sum there, `Same` back.

use super::prefix::{Item, KeyHash, Prefix, Print, hash_of};
use super::store::Records;
use crate::mark::{Mark, mark};
use crate::record::{Key, Record};
use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// What the side that pulls asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Question {
    /// All that I hold adds up to this: what about you?
    Compare(Print),
    /// What is in these ranges? At most [`Question::RANGES_MAX`].
    Expand(Vec<Prefix>),
    /// Please send these. At most [`Question::KEYS_MAX`].
    Want(Vec<KeyHash>),
}

impl Question {
    /// Most ranges in one question: the answer stays under 24 kB.
    pub const RANGES_MAX: usize = 64;
    /// Most keys in one question.
    pub const KEYS_MAX: usize = 1024;

    /// Whether it keeps to its limits.
    pub fn is_sound(&self) -> bool {
        match self {
            Self::Compare(_) => true,
            Self::Expand(ranges) => {
                ranges.len() <= Self::RANGES_MAX && ranges.iter().all(|range| range.is_sound())
            }
            Self::Want(keys) => keys.len() <= Self::KEYS_MAX,
        }
    }
}

/// What the other side answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// I hold just the same.
    Same,
    /// What the ranges hold.
    Ranges(Vec<RangeAnswer>),
    /// As many of the wanted records as fit, at least one unless all are lacking.
    Found {
        /// The records.
        records: Vec<Record>,
        /// Wanted, but no longer here.
        lacking: Vec<KeyHash>,
    },
}

/// What one range holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RangeAnswer {
    /// Which.
    pub range: Prefix,
    /// Its content.
    pub content: Content,
}

/// The content of a range.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// Few: all of them.
    Items(Vec<Item>),
    /// Many: the sums of its 16 parts.
    Parts(Box<[Print; 16]>),
}

/// A range with at most so many records is told item by item.
const ITEMS_MAX: usize = 16;
/// Bytes of records in one answer.
const FOUND_LEN: usize = 64 * 1024;
/// Most ranges that one pull keeps open, at depth-first order: 16 levels of a full question's parts.
const OPEN_MAX: usize = 16 * 16 * Question::RANGES_MAX;

/// The answer to a sound `question`, from `records` alone.
pub(crate) fn answer(records: &Records, question: &Question) -> Answer {
    match question {
        Question::Compare(print) if records.sum(Prefix::ROOT).1 == *print => Answer::Same,
        Question::Compare(_) => Answer::Ranges(alloc::vec![content(records, Prefix::ROOT)]),
        Question::Expand(ranges) => {
            Answer::Ranges(ranges.iter().map(|range| content(records, *range)).collect())
        }
        Question::Want(hashes) => {
            let mut keys: BTreeSet<Key> = BTreeSet::new();
            let mut lacking = Vec::new();
            for hash in hashes {
                let before = keys.len();
                keys.extend(records.keys(*hash));
                if keys.len() == before {
                    lacking.push(*hash);
                }
            }
            Answer::Found { records: records.batch(&mut keys, FOUND_LEN), lacking }
        }
    }
}

fn content(records: &Records, range: Prefix) -> RangeAnswer {
    let (count, _) = records.sum(range);
    if count <= ITEMS_MAX || range.is_single() {
        let items = records.items(range).collect();
        return RangeAnswer { range, content: Content::Items(items) };
    }
    let mut parts = [Print::default(); 16];
    for (to, part) in parts.iter_mut().zip(range.parts()) {
        *to = records.sum(part).1;
    }
    RangeAnswer { range, content: Content::Parts(Box::new(parts)) }
}

/// One pull under way: what is still to be asked. At most one question is open at a time.
#[derive(Clone, Debug, Default)]
pub struct Pull {
    open: BTreeSet<Prefix>,
    want: BTreeSet<KeyHash>,
    /// Something came that there was no room for.
    is_short: bool,
}

/// How a pull goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Ask this next.
    Ask(Question),
    /// All that the other side held when it answered is held here.
    Complete,
    /// All was asked for, but for some of what came there was no room.
    Short,
    /// The answer does not fit the question: give up this pull.
    Broken,
}

impl Pull {
    /// Begins a pull; the first question.
    pub fn start(records: &Records) -> (Self, Question) {
        let root = Prefix::ROOT;
        let pull = Self { open: BTreeSet::from([root]), ..Self::default() };
        (pull, Question::Compare(records.sum(root).1))
    }

    /// How many ranges and records are still to be asked for.
    pub fn left(&self) -> usize {
        let Self { open, want, is_short: _ } = self;
        open.len() + want.len()
    }

    /// Something that came about ownership was refused for want of room: what this pull brought is
    /// not all that the other side knows.
    pub const fn fell_short(&mut self) {
        self.is_short = true;
    }

    /// Takes in an answer, whose records were taken into `records` before.
    pub fn answered(&mut self, records: &Records, answer: &Answer) -> Progress {
        match answer {
            Answer::Same if self.open.contains(&Prefix::ROOT) => {
                mark(Mark::PullSame);
                self.open.clear();
            }
            Answer::Same => return Progress::Broken,
            Answer::Ranges(ranges) => {
                for RangeAnswer { range, content } in ranges {
                    if !self.open.remove(range) {
                        return Progress::Broken;
                    }
                    self.compare(records, *range, content);
                }
                // An honest answer to a full question names no more than one question may want.
                let is_too_much =
                    self.open.len() > OPEN_MAX || self.want.len() > Question::KEYS_MAX;
                if ranges.is_empty() || is_too_much {
                    return Progress::Broken;
                }
            }
            Answer::Found { records: found, lacking } => {
                let before = self.want.len();
                for record in found {
                    self.want.remove(&hash_of(&record.key));
                }
                for hash in lacking {
                    mark(Mark::PullLacking);
                    self.want.remove(hash);
                }
                if self.want.len() == before {
                    return Progress::Broken;
                }
            }
        }
        self.next()
    }

    fn compare(&mut self, records: &Records, range: Prefix, content: &Content) {
        match content {
            Content::Items(items) => {
                mark(Mark::PullItems);
                let ours: BTreeSet<Item> = records.items(range).collect();
                let news = items.iter().filter(|item| !ours.contains(item));
                self.want.extend(news.map(|item| item.key));
            }
            Content::Parts(prints) => {
                mark(Mark::PullParts);
                for (part, print) in range.parts().zip(prints.iter()) {
                    // Nothing there is nothing to pull, whatever we have.
                    if *print != Print::default() && records.sum(part).1 != *print {
                        self.open.insert(part);
                    }
                }
            }
        }
    }

    fn next(&self) -> Progress {
        if !self.want.is_empty() {
            let keys = self.want.iter().take(Question::KEYS_MAX).copied().collect();
            Progress::Ask(Question::Want(keys))
        } else if !self.open.is_empty() {
            // Deepest first: what is open stays little.
            let ranges = self.open.iter().rev().take(Question::RANGES_MAX).copied().collect();
            Progress::Ask(Question::Expand(ranges))
        } else if self.is_short {
            Progress::Short
        } else {
            Progress::Complete
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::store::tests::{record, with_room};
    use super::*;
    use crate::codec;
    use proptest::prelude::*;

    /// Pulls all of `from` into `into`; returns rounds and bytes sent both ways.
    fn pull(into: &mut Records, from: &Records) -> (usize, usize) {
        let (mut pull, mut question) = Pull::start(into);
        let (mut rounds, mut bytes) = (0, 0);
        loop {
            assert!(question.is_sound());
            let answer = answer(from, &question);
            rounds += 1;
            bytes += codec::encode(&question).len() + codec::encode(&answer).len();
            if let Answer::Found { records, .. } = &answer {
                for record in records {
                    into.accept(record.clone(), false).unwrap();
                }
            }
            match pull.answered(into, &answer) {
                Progress::Ask(next) => question = next,
                Progress::Complete => return (rounds, bytes),
                Progress::Short | Progress::Broken => panic!("an honest answer broke the pull"),
            }
        }
    }

    fn store(made: &[(u8, u8, u64)]) -> Records {
        let mut records = with_room(10_000);
        for (writer, kind, sequence) in made {
            records.accept(record(*writer, *kind, *sequence), false).unwrap();
        }
        records
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn two_stores_that_pull_from_each_other_hold_the_same(
            common in proptest::collection::vec((0u8..8, 0u8..3, 0u64..200), 0..40),
            one in proptest::collection::vec((0u8..8, 0u8..3, 0u64..200), 0..40),
            two in proptest::collection::vec((0u8..8, 0u8..3, 0u64..200), 0..40),
        ) {
            let (mut one, mut two) =
                (store(&[common.clone(), one].concat()), store(&[common, two].concat()));
            pull(&mut one, &two);
            pull(&mut two, &one);
            prop_assert!(one.iter().eq(two.iter()));
            prop_assert_eq!(pull(&mut one, &two).0, 1);
        }
    }

    #[test]
    fn the_cost_follows_the_difference_and_not_the_size() {
        let many: Vec<(u8, u8, u64)> = (0..1_500).map(|n| (1, 2, n)).collect();
        let mut behind = store(&many);
        let mut ahead = behind.clone();
        let (rounds, bytes) = pull(&mut behind, &ahead);
        assert_eq!(rounds, 1);
        assert!(bytes <= 32, "{bytes} bytes in sync");
        assert!(ahead.accept(record(9, 1, 1), false).unwrap());
        let (rounds, bytes) = pull(&mut behind, &ahead);
        assert!(rounds <= 5 && bytes < 2_000, "{rounds} rounds, {bytes} bytes");
        assert!(behind.iter().eq(ahead.iter()));
    }

    #[test]
    fn answers_that_do_not_fit_the_question_end_the_pull() {
        let empty = with_room(9);
        let bad = [
            Answer::Ranges(Vec::new()),
            Answer::Found { records: Vec::new(), lacking: std::vec![7] },
        ];
        for answer in bad {
            let (mut pull, _) = Pull::start(&empty);
            assert_eq!(pull.answered(&empty, &answer), Progress::Broken);
        }
        let (mut pull, _) = Pull::start(&empty);
        assert_eq!(pull.answered(&empty, &Answer::Same), Progress::Complete);
        assert_eq!(pull.answered(&empty, &Answer::Same), Progress::Broken);
    }

    #[test]
    fn a_pull_that_brought_more_than_there_is_room_for_is_not_complete() {
        let empty = with_room(9);
        let (mut pull, _) = Pull::start(&empty);
        pull.fell_short();
        assert_eq!(pull.answered(&empty, &Answer::Same), Progress::Short);
    }

    #[test]
    fn an_answer_with_more_items_than_a_question_may_want_ends_the_pull() {
        let empty = with_room(9);
        let many = |count: usize| {
            let items = (0..count as u64).map(|n| Item::new(n, 1)).collect();
            let content = Content::Items(items);
            Answer::Ranges(std::vec![RangeAnswer { range: Prefix::ROOT, content }])
        };
        let (mut pull, _) = Pull::start(&empty);
        assert_eq!(pull.answered(&empty, &many(Question::KEYS_MAX + 1)), Progress::Broken);
        let (mut pull, _) = Pull::start(&empty);
        assert!(matches!(pull.answered(&empty, &many(Question::KEYS_MAX)), Progress::Ask(_)));
    }

    #[test]
    fn a_range_that_no_peer_would_name_is_refused() {
        for bytes in [&[1u8, 1, 17, 0][..], &[1, 1, 1, 1]] {
            let question: Question = codec::decode(bytes).unwrap();
            assert!(!question.is_sound());
        }
    }
}
