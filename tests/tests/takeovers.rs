//! The four takeovers of `docs/takeovers.md`, as they are written there.

use anyhow::{Context as _, Result};
use weft_tests::play::{self, Stage};

const DOCUMENT: &str = include_str!("../../docs/takeovers.md");

fn story(title: &str) -> Result<()> {
    let (begin, stories) = play::stories(DOCUMENT)?;
    let (_, typed) = stories.into_iter().find(|(it, _)| it == title).context("no such story")?;
    let mut stage = Stage::new(3)?;
    for typed in begin.iter().chain(&typed) {
        stage.play(typed).with_context(|| title.to_owned())?;
    }
    stage.finish()
}

#[test]
fn a_dead_peer_is_removed_at_two_others() -> Result<()> {
    story("A dead peer is removed at two others")
}

#[test]
fn a_peer_is_removed_whose_last_gift_is_known_to_one_other_alone() -> Result<()> {
    story("A peer is removed whose last gift is known to one other alone")
}

#[test]
fn a_peer_is_removed_that_lives() -> Result<()> {
    story("A peer is removed that lives")
}

#[test]
fn a_removed_peer_comes_back_with_its_old_disk() -> Result<()> {
    story("A removed peer comes back with its old disk")
}

#[test]
fn every_story_of_the_document_is_played() -> Result<()> {
    let (_, stories) = play::stories(DOCUMENT)?;
    assert_eq!(stories.len(), 4, "{stories:?}");
    play::some(&stories)
}
