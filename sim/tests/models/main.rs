//! Complete searches: small worlds in which every order of events is tried, over the core's own
//! functions. Where the simulator draws histories of the whole node, these leave none out.
//!
//! Each search prints how much there was to see. A rule that cannot be broken proves nothing, so
//! beside each search there is one of a world with a fault planted in the model (never in the
//! core), in which the checker must find the rule broken.
#![expect(clippy::unwrap_used, reason = "a model that cannot go on is a failed test")]

mod eviction;
mod founding;
mod ledger;
mod letter;
mod shared;

use stateright::report::{ReportData, ReportDiscovery, Reporter};
use stateright::{Checker, CheckerBuilder, HasDiscoveries, Model};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use weft_core::id::PeerId;

/// Threads of one search; there is one search at a time.
const THREADS: usize = 2;

static TURN: Mutex<()> = Mutex::new(());

/// The nth peer. Peers are told apart, and ordered, by `n`.
fn peer(n: usize) -> PeerId {
    PeerId([u8::try_from(n).unwrap(); 32])
}

/// Looks at every state that there is, and asserts that all rules hold and that what should be
/// possible is.
fn search<M>(name: &str, model: M)
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync + 'static,
    M::Action: Clone + Debug + PartialEq + Send + Sync + 'static,
{
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let checker = builder(model).spawn_dfs().report(&mut Printer(name));
    assert!(checker.is_done());
    checker.assert_properties();
}

/// Asserts that a world with a fault in it breaks the rule `broken`, and prints the shortest way.
fn search_for<M>(name: &str, model: M, broken: &'static str)
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync + 'static,
    M::Action: Clone + Debug + PartialEq + Send + Sync + 'static,
{
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let finish = HasDiscoveries::AnyOf([broken].into());
    let checker = builder(model).finish_when(finish).spawn_bfs().report(&mut Printer(name));
    checker.assert_any_discovery(broken);
}

fn builder<M>(model: M) -> CheckerBuilder<M>
where
    M: Model + Send + Sync + 'static,
    M::State: Hash + Send + Sync,
{
    model.checker().threads(THREADS)
}

struct Printer<'a>(&'a str);

#[expect(clippy::print_stdout, reason = "the size of the search is part of its result")]
impl<M: Model> Reporter<M> for Printer<'_> {
    fn report_checking(&mut self, data: ReportData) {
        if data.done {
            let (unique, total) = (data.unique_states, data.total_states);
            let (depth, time) = (data.max_depth, data.duration);
            println!(
                "{}: {unique} states, {total} ways into them, depth {depth}, {time:.1?}",
                self.0
            );
        }
    }

    fn report_discoveries(&mut self, _: &M, discoveries: BTreeMap<&'static str, ReportDiscovery<M>>)
    where
        M::Action: Debug + PartialEq,
        M::State: Debug + Hash + PartialEq,
    {
        for (rule, found) in discoveries {
            let actions = found.path.into_actions();
            println!(
                "{}: {}: {rule:?} in {} steps: {actions:?}",
                self.0,
                found.classification,
                actions.len()
            );
        }
    }

    fn delay(&self) -> Duration {
        Duration::from_millis(10)
    }
}
