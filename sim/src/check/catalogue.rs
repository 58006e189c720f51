//! Which rules judge which property: the list that reports and guides quote.

/// A property that weft must have, as the reference for its verification numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Property {
    /// `S` for what must hold at every moment, `L` for what must come about in the end.
    pub id: &'static str,
    /// What it says.
    pub says: &'static str,
    /// The rules that judge it, by their names.
    pub rules: &'static [&'static str],
    /// What must be built before all of it can be judged, if anything.
    pub waits: Option<&'static str>,
}

const fn judged(id: &'static str, says: &'static str, rules: &'static [&'static str]) -> Property {
    Property { id, says, rules, waits: None }
}

/// All properties, in order.
pub const CATALOGUE: [Property; 36] = [
    judged("S1", "no address is held by two containers", &["ipam.one-holder"]),
    judged("S2", "at most one peer would allocate from an address", &["ipam.one-owner"]),
    judged("S3", "every ledger tiles the universe", &["ipam.tiles"]),
    judged(
        "S4",
        "merging is a join: equal records make equal ledgers, and nothing goes back",
        &["ipam.same-records-same-ledger", "ipam.never-back"],
    ),
    judged(
        "S5",
        "an owner changes by the founding, by a grant of the owner before, or by a takeover",
        &["ipam.owner-changes-by-grant", "ipam.rests-on-records", "ipam.left-to-somebody"],
    ),
    judged(
        "S6",
        "a peer allocates inside what it owns, behind an open boot gate",
        &["ipam.conserved", "ipam.gate", "ipam.evicted-are-fenced", "ipam.strays-return"],
    ),
    judged("S7", "no two peers decide different foundings", &["ipam.one-founding"]),
    judged(
        "S8",
        "a founding was proposed, and has only peers that took part",
        &["ipam.founding-valid"],
    ),
    judged(
        "S9",
        "what was promised and decided survives every start",
        &["ipam.promise-kept", "ipam.never-back"],
    ),
    judged(
        "S10",
        "peers of other universes or foundings share nothing about ownership",
        &["mesh.no-mixing"],
    ),
    judged("S11", "what is owned is free or held, and nothing else is held", &["ipam.conserved"]),
    judged("S12", "what containers have is reserved from the start", &["ipam.reserved"]),
    judged(
        "S13",
        "only a peer itself raises its versions",
        &["gossip.own-version-only", "gossip.new-life"],
    ),
    judged(
        "S14",
        "no frame goes further than its hops, and each reaches each peer once",
        &["forward.hops", "mesh.unicast-arrives", "mesh.broadcast-once"],
    ),
    Property {
        id: "S15",
        says: "no frame crosses from one subnet to another, or comes under a foreign address",
        rules: &[],
        waits: Some("isolation of subnets and anti-spoofing in the data path"),
    },
    judged(
        "S16",
        "a deleted name does not come back, and none of the dead is answered",
        &["dns.never-back", "dns.no-ghosts"],
    ),
    judged("S17", "no key is used with one nonce twice", &["sleeve.unique-nonce"]),
    judged("S18", "nothing sealed is taken twice", &["sleeve.no-replay"]),
    judged("S19", "what is taken was sent by whom it is taken to be from", &["sleeve.only-sent"]),
    judged(
        "S20",
        "no link without the password, with another peer than is believed, or in an older version than both speak",
        &["mesh.authentic", "mesh.no-downgrade"],
    ),
    judged(
        "S21",
        "nothing is said before it is durable",
        &["persist-before-send", "persist-before-reply"],
    ),
    judged(
        "S22",
        "every table has a limit, and is small again at rest",
        &["bounds.tables", "bounds.records"],
    ),
    judged("S23", "no input makes a node panic", &["sim.panic"]),
    judged("S24", "the same seed makes the same run", &["sim.same-run"]),
    judged(
        "L1",
        "peers that can be connected know each other alike, 5 s after their links stand",
        &["mesh.view-in-time", "mesh.same-view", "gossip.same-records", "gossip.true-sum"],
    ),
    judged(
        "L2",
        "they have the same ledger, as soon",
        &["ipam.ledger-in-time", "ipam.same-ledger"],
    ),
    judged(
        "L3",
        "a quorum that is connected founds the mesh within 10 s",
        &["ipam.founded-in-time"],
    ),
    judged(
        "L4",
        "an allocation is answered in time, with an address while there is one",
        &["ipam.no-stuck-request", "ipam.serves", "ipam.true-refusal", "ipam.served-in-time"],
    ),
    judged(
        "L5",
        "addresses of a peer that was evicted are free within 10 s",
        &["ipam.taken-over-in-time"],
    ),
    judged(
        "L6",
        "a name is answered everywhere, and nowhere any more, within 2 s",
        &["dns.seen-everywhere", "dns.gone-everywhere", "dns.same-answer"],
    ),
    judged(
        "L7",
        "a link that broke is there again within 10 s, or later where many dial",
        &["mesh.healed-link"],
    ),
    judged(
        "L8",
        "a dead peer is noticed within 15 s, and one that lives is hardly ever taken for dead",
        &["mesh.dead-noticed", "mesh.no-false-death"],
    ),
    judged("L9", "a mesh in which nothing happens is quiet", &["mesh.quiet"]),
    Property {
        id: "L10",
        says: "the search for the largest datagram ends within 3 s",
        rules: &[],
        waits: Some("the search for the MTU of a path"),
    },
    judged(
        "L11",
        "new keys come into use in time, and without loss of frames",
        &["sleeve.fresh-keys", "sleeve.rekey-loses-nothing"],
    ),
    judged(
        "L12",
        "a takeover that was begun is finished or undone within 30 s",
        &["ipam.eviction-ends"],
    ),
];

/// Rules that are not judged on views, and where they are.
pub const ELSEWHERE: [(&str, &str); 24] = [
    ("contract", "after each call of a node"),
    ("persist-before-reply", "where an address is handed out, and where one is given back"),
    ("persist-before-send", "after each call of a node, besides"),
    ("mesh.authentic", "where a link comes up"),
    ("mesh.no-downgrade", "where a link comes up"),
    ("mesh.no-mixing", "where a link comes up, besides"),
    (
        "mesh.no-false-death",
        "where a peer is said to be down, in each world and over all of a swarm",
    ),
    ("sleeve.unique-nonce", "where a datagram is sent"),
    ("sleeve.no-replay", "where a datagram is taken"),
    ("sleeve.only-sent", "where a datagram is taken"),
    ("sleeve.on-demand", "where a data path is told of a session"),
    ("sleeve.fresh-keys", "where a datagram is taken"),
    ("sleeve.rekey-loses-nothing", "where a datagram is refused"),
    ("forward.hops", "where a datagram is sent"),
    ("ipam.serves", "at the end of a scenario"),
    ("ipam.served-in-time", "where an allocation is answered, over all of a swarm"),
    ("sim.panic", "around a run"),
    ("log.no-error", "when the daemons of the turmoil bed have run"),
    (
        "sim.same-run",
        "by running seeds and scenarios twice (sim/tests/swarm.rs, sim/tests/scenarios.rs)",
    ),
    ("sim.pending", "when a mesh does not settle"),
    ("sim.starts", "when a node starts"),
    ("sim.contract", "before each call of a node"),
    ("sim.answer", "where a command is answered"),
    ("sim.attach", "where a container is attached"),
];

/// Rules that no property of the list asks for, and why they are there.
pub const OTHERS: [(&str, &str); 9] = [
    ("mesh.one-conn", "of two links with one peer one is kept: else records and probes go twice"),
    (
        "sleeve.on-demand",
        "a host holds sessions with its neighbours and with those that it talks to, however large the mesh",
    ),
    ("contract", "what the core promises to whoever drives it"),
    ("log.no-error", "nothing is told as an error that is none, and no error happens"),
    ("sim.pending", "a settled mesh owes nobody an answer, and everybody a link"),
    ("sim.starts", "a node starts on every disk that it left behind"),
    ("sim.contract", "what the simulator itself promises to nodes"),
    ("sim.answer", "scripts and tests wait for answers in vain"),
    ("sim.attach", "scripts and tests attach containers"),
];

#[cfg(test)]
mod tests {
    use super::super::all;
    use super::*;
    use std::collections::BTreeSet;

    fn judged_somewhere() -> BTreeSet<&'static str> {
        let elsewhere = ELSEWHERE.iter().map(|(rule, _)| *rule);
        all().iter().map(|rule| rule.name()).chain(elsewhere).collect()
    }

    #[test]
    fn every_rule_that_the_catalogue_names_is_judged() {
        let known = judged_somewhere();
        for property in CATALOGUE {
            for rule in property.rules {
                assert!(known.contains(rule), "{}: no rule is called {rule}", property.id);
            }
        }
    }

    #[test]
    fn every_rule_stands_in_the_catalogue_or_among_the_others() {
        let mut named: BTreeSet<&str> = OTHERS.iter().map(|(rule, _)| *rule).collect();
        named.extend(CATALOGUE.iter().flat_map(|property| property.rules));
        let nameless: Vec<_> =
            judged_somewhere().into_iter().filter(|rule| !named.contains(rule)).collect();
        assert!(nameless.is_empty(), "{nameless:?}");
    }

    #[test]
    fn every_property_is_judged_or_says_what_it_waits_for() {
        let ids: Vec<String> =
            (1..=24).map(|n| format!("S{n}")).chain((1..=12).map(|n| format!("L{n}"))).collect();
        assert_eq!(CATALOGUE.map(|property| property.id).to_vec(), ids);
        for property in CATALOGUE {
            assert!(!property.rules.is_empty() || property.waits.is_some(), "{}", property.id);
        }
    }

    #[test]
    fn the_guide_names_every_property_and_every_rule() {
        let guide = include_str!("../../SCENARIOS.md");
        for property in CATALOGUE {
            assert!(guide.contains(&format!("| {} |", property.id)), "{}", property.id);
        }
        for rule in judged_somewhere() {
            assert!(
                guide.contains(&format!("`{rule}`")),
                "sim/SCENARIOS.md says nothing of {rule}"
            );
        }
    }
}
