//! Each rule against a history that keeps it, and one that does not.

use super::*;

const A: &str = "10.32.0.1";
const B: &str = "10.32.0.2";

fn at(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn holds(address: &str) -> Told {
    Told::Holds(address.parse().unwrap())
}

fn refused(why: &str) -> Told {
    Told::Refused(400, why.to_owned())
}

fn lost() -> Told {
    Told::Nothing("patience ended".to_owned())
}

fn claim(address: &str) -> Ask {
    Ask::Claim(IpNet::new(address.parse().unwrap(), 12).unwrap())
}

/// A history of calls of one daemon: who, what, from when to when, and what came of it.
fn history(calls: &[(&str, Ask, u64, u64, Told)]) -> History {
    let call = |(id, ask, start, end, told): &(&str, Ask, u64, u64, Told)| Call {
        host: 1,
        id: (*id).to_owned(),
        ask: *ask,
        start: at(*start),
        end: at(*end),
        told: told.clone(),
    };
    History { calls: calls.iter().map(call).collect(), ..History::default() }
}

fn broken(history: &History) -> Vec<&'static str> {
    history.judge().into_iter().map(|breach| breach.rule).collect()
}

#[test]
fn an_address_goes_from_one_container_to_the_next() {
    let mut kept = history(&[
        ("c", Ask::Allocate, 0, 10, holds(A)),
        ("c", Ask::Release, 20, 30, Told::Released),
        // Given as soon as the release was carried out, which is before it was answered.
        ("d", Ask::Allocate, 15, 29, holds(A)),
        ("d", Ask::Allocate, 40, 50, holds(A)),
    ]);
    assert_eq!(broken(&kept), [""; 0]);
    kept.calls.reverse();
    assert_eq!(broken(&kept), [""; 0], "in whatever order they are noted");
}

#[test]
fn two_containers_that_hold_one_address_are_seen() {
    let both = history(&[
        ("c", Ask::Allocate, 0, 10, holds(A)),
        ("d", claim(A), 12, 20, holds(A)),
        ("c", Ask::Release, 30, 40, Told::Released),
    ]);
    assert_eq!(broken(&both), [ONE_HOLDER]);
    assert_eq!(both.judge()[0].calls.len(), 2);
    let again = History {
        calls: both.calls.iter().cloned().map(|call| Call { id: "c".to_owned(), ..call }).collect(),
        ..both
    };
    assert_eq!(broken(&again), [""; 0], "one container may ask twice");
}

#[test]
fn an_address_of_two_daemons_is_seen_though_the_containers_have_one_name() {
    let mut both =
        history(&[("c", Ask::Allocate, 0, 10, holds(A)), ("c", Ask::Allocate, 5, 15, holds(A))]);
    both.calls[1].host = 2;
    assert_eq!(broken(&both), [ONE_HOLDER]);
}

#[test]
fn what_was_given_while_another_held_it_is_seen_though_it_may_have_been_lost_at_once() {
    let mut given = history(&[
        ("c", Ask::Allocate, 0, 10, holds(A)),
        ("d", Ask::Release, 0, 5, lost()),
        ("d", Ask::Allocate, 12, 20, holds(A)),
    ]);
    assert_eq!(broken(&given), [ONE_HOLDER]);
    given.calls[2].start = at(6);
    assert_eq!(broken(&given), [""; 0], "it may have been given back before the other one got it");
    given.calls[2].start = at(12);
    given.calls.extend(history(&[("c", Ask::Release, 15, 30, Told::Released)]).calls);
    assert_eq!(broken(&given), [""; 0], "it was free in between");
}

#[test]
fn a_release_that_was_not_answered_may_be_carried_out_until_the_daemon_is_dead() {
    let mut calls = history(&[
        ("c", Ask::Allocate, 0, 10, holds(A)),
        ("c", Ask::Release, 20, 30, lost()),
        ("c", Ask::Allocate, 50, 60, holds(A)),
        ("d", Ask::Allocate, 70, 80, holds(A)),
    ]);
    assert_eq!(broken(&calls), [""; 0], "the release came after the second allocation");
    calls.launches = vec![(1, at(40))];
    assert_eq!(broken(&calls), [ONE_HOLDER], "nobody was left to carry it out");
    for launches in [vec![(2, at(40))], vec![(1, at(25))], vec![(1, at(55))]] {
        calls.launches = launches;
        assert_eq!(broken(&calls), [""; 0], "another daemon, too soon, too late");
    }
}

#[test]
fn who_asks_again_is_told_the_same() {
    let mut again = history(&[
        ("c", Ask::Allocate, 0, 10, holds(A)),
        ("c", Ask::Allocate, 20, 30, lost()),
        ("c", Ask::Allocate, 40, 50, holds(A)),
    ]);
    assert_eq!(broken(&again), [""; 0]);
    again.calls[2].told = holds(B);
    assert_eq!(broken(&again), [SAME_AGAIN]);
    again.calls[1].ask = Ask::Release;
    assert_eq!(broken(&again), [""; 0], "it may have been given back");
    again.calls[0].told = lost();
    assert_eq!(broken(&again), [""; 0], "it may never have had the first");
}

#[test]
fn who_holds_an_address_is_not_told_otherwise() {
    let why = "c holds no address here: `weft ps` lists what is attached";
    let mut forgotten =
        history(&[("c", claim(A), 0, 10, holds(A)), ("c", Ask::Release, 20, 30, refused(why))]);
    assert_eq!(broken(&forgotten), [KEPT]);
    forgotten.calls[0].told = lost();
    assert_eq!(broken(&forgotten), [""; 0], "it may never have had it");
    let taken = format!("address {A} is taken by d: choose another");
    let mut taken =
        history(&[("c", claim(A), 0, 10, holds(A)), ("c", claim(A), 20, 30, refused(&taken))]);
    assert_eq!(broken(&taken), [KEPT]);
    taken.calls[0].id = "d".to_owned();
    assert_eq!(broken(&taken), [""; 0]);
}

#[test]
fn a_refusal_fits_what_was_asked() {
    let fits = [
        (Ask::Allocate, "no free address in 10.32.0.0/12: 4 belong to this peer"),
        (claim(A), "address 10.32.0.1 is taken: choose another"),
        (Ask::Release, "c holds no address here"),
        (Ask::Release, "weft is stopping"),
    ];
    let misfits = [
        (Ask::Release, "no free address in 10.32.0.0/12: 4 belong to this peer"),
        (Ask::Allocate, "address 10.32.0.1 is taken: choose another"),
        (claim(A), "c holds no address here"),
        (Ask::Allocate, "index out of bounds"),
    ];
    for (ask, why) in fits {
        assert_eq!(broken(&history(&[("c", ask, 0, 1, refused(why))])), [""; 0], "{why}");
        let told = Told::Refused(500, why.to_owned());
        assert_eq!(broken(&history(&[("c", ask, 0, 1, told)])), [REASONS], "{why}");
    }
    for (ask, why) in misfits {
        assert_eq!(broken(&history(&[("c", ask, 0, 1, refused(why))])), [REASONS], "{why}");
    }
}

#[test]
fn nobody_waits_for_long_unless_the_daemon_was_frozen() {
    let late = Told::Refused(504, "weft could not do this within 10s".to_owned());
    let mut waits = history(&[
        ("c", Ask::Allocate, 0, 10_400, holds(A)),
        ("d", Ask::Allocate, 0, 10_600, lost()),
        ("e", Ask::Allocate, 0, 10_000, late),
    ]);
    assert_eq!(broken(&waits), [IN_TIME, REASONS]);
    waits.outages = vec![(2, at(0), at(20_000)), (1, at(10_700), at(20_000))];
    assert_eq!(broken(&waits), [IN_TIME, REASONS]);
    waits.outages = vec![(1, at(3_000), at(4_000))];
    assert_eq!(broken(&waits), [""; 0]);
}

#[test]
fn calls_are_counted_by_what_came_of_them() {
    let counts = history(&[
        ("c", Ask::Allocate, 0, 1, holds(A)),
        ("d", Ask::Allocate, 0, 1, lost()),
        ("c", Ask::Release, 2, 3, Told::Released),
        ("d", Ask::Release, 2, 3, refused("d holds no address here: `weft ps` …")),
    ])
    .counts();
    let lines: Vec<_> = counts.iter().map(|(what, count)| format!("{what} {count}")).collect();
    assert_eq!(
        lines,
        [
            "allocate: done 1",
            "allocate: no answer 1",
            "release: done 1",
            "release: holds no address here 1"
        ]
    );
}
