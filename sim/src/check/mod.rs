//! The oracle: named rules over a [`View`] of all nodes at once.
//!
//! A rule is judged on plain data that is read off the world, never with the core's own ways of
//! deciding, and each has a test below its code that shows it can fail, and an example in `broken.rs`
//! without which a test fails.

mod addresses;
mod answers;
mod apart;
mod bounds;
#[cfg(test)]
mod broken;
mod catalogue;
mod deaths;
mod durable;
mod evictions;
mod founding;
mod gate;
mod greeting;
mod leaving;
mod ledgers;
mod links;
#[cfg(test)]
mod made_up;
mod mesh;
mod names;
mod papers;
mod quiet;
mod refusals;
mod renewals;
mod silence;
mod steady;
mod trust;
mod versions;
mod view;
mod wire;

pub use addresses::none_left;
pub use answers::{Answers, SERVED_IN_TIME, could_be_met};
pub use apart::{AUTHENTIC, Hello, NO_MIXING, authentic, belong_together};
pub use catalogue::{CATALOGUE, ELSEWHERE, OTHERS, Property};
pub use deaths::{Deaths, NO_FALSE_DEATH};
pub use durable::{
    PERSIST_BEFORE_REPLY, PERSIST_BEFORE_SEND, given_is_noted, released_is_gone, said_in_order,
};
pub use evictions::Taken;
pub use greeting::{Greeting, NO_DOWNGRADE, newest_of_both};
pub use links::all_linked;
pub use papers::{Paper, Says};
pub use steady::Steady;
pub use trust::trust_each_other;
pub use view::{Glimpse, Linked, Owned, PeerView, Takeover, Told, View, Waiting};
pub use wire::{Fault, Wire};

use std::fmt;
use weft_core::time::Instant;

/// When a rule must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// After every event.
    Always,
    /// Every half second: what depends on time.
    Regularly,
    /// When hosts have become steady ([`View::steady`]).
    Steady,
    /// Some time after the last fault and the last command.
    Settled,
    /// In a settled mesh, 2 s after the last command.
    Told,
    /// In a settled mesh, at the begin and at the end of a time in which nothing happens.
    Quiet,
}

/// A rule that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which rule.
    pub rule: &'static str,
    /// When, on the world's clock.
    pub at: Instant,
    /// Who and what.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FAIL {} at {}: {}", self.rule, self.at, self.detail)
    }
}

impl std::error::Error for Violation {}

/// One rule.
pub trait Invariant: fmt::Debug + Send {
    /// What people call it.
    fn name(&self) -> &'static str;
    /// When it must hold.
    fn when(&self) -> When;
    /// Judges `view`.
    ///
    /// # Errors
    /// Says who breaks the rule and how.
    fn check(&mut self, view: &View) -> Result<(), String>;
}

/// A rule without memory: its name, its time and a function.
#[derive(Clone, Copy, Debug)]
struct Rule {
    name: &'static str,
    when: When,
    judge: fn(&View) -> Result<(), String>,
}

impl Invariant for Rule {
    fn name(&self) -> &'static str {
        self.name
    }
    fn when(&self) -> When {
        self.when
    }
    fn check(&mut self, view: &View) -> Result<(), String> {
        (self.judge)(view)
    }
}

/// Every rule over views. ([`ELSEWHERE`] names those that are judged where nodes are called and where
/// datagrams pass.)
pub fn all() -> Vec<Box<dyn Invariant>> {
    let rule = |name, when, judge: fn(&View) -> Result<(), String>| -> Box<dyn Invariant> {
        Box::new(Rule { name, when, judge })
    };
    vec![
        rule("ipam.one-holder", When::Always, addresses::one_holder),
        rule("ipam.one-owner", When::Always, addresses::one_owner),
        rule("ipam.tiles", When::Always, addresses::tiles),
        rule("ipam.conserved", When::Always, addresses::conserved),
        rule("ipam.reserved", When::Always, addresses::reserved),
        rule("ipam.evicted-are-fenced", When::Always, addresses::evicted_are_fenced),
        rule("ipam.no-stuck-request", When::Always, addresses::no_stuck_request),
        Box::new(addresses::OneFounding::default()),
        Box::new(founding::Valid::default()),
        Box::new(founding::PromiseKept::default()),
        Box::new(durable::SeenWasStored::default()),
        Box::new(ledgers::ByGrant::default()),
        Box::new(ledgers::RestsOnRecords::default()),
        Box::new(ledgers::SameLedger::default()),
        Box::new(ledgers::NeverBack::default()),
        Box::new(gate::Gate::default()),
        Box::new(refusals::TrueRefusal::default()),
        rule(NO_MIXING, When::Always, apart::no_mixing),
        Box::new(versions::OwnVersionOnly::default()),
        Box::new(versions::TrueSum::default()),
        Box::new(versions::NewLife::default()),
        Box::new(versions::NamesNeverBack::default()),
        Box::new(founding::InTime::default()),
        rule("mesh.dead-noticed", When::Regularly, links::dead_noticed),
        Box::new(links::Healed::default()),
        rule("mesh.view-in-time", When::Steady, steady::same_view),
        rule("ipam.ledger-in-time", When::Steady, steady::same_ledger),
        Box::new(evictions::AtOnce::default()),
        rule("ipam.taken-over-in-time", When::Steady, evictions::everywhere),
        Box::new(evictions::Ends::default()),
        Box::new(leaving::ToSomebody::default()),
        rule("bounds.tables", When::Always, bounds::changed_tables),
        rule("bounds.tables", When::Regularly, bounds::tables),
        rule("bounds.records", When::Regularly, bounds::records),
        rule("ipam.same-ledger", When::Settled, addresses::same_ledger),
        rule("ipam.strays-return", When::Settled, addresses::strays_return),
        rule("mesh.same-view", When::Settled, mesh::same_view),
        rule("mesh.one-conn", When::Settled, mesh::one_conn),
        rule("mesh.unicast-arrives", When::Settled, mesh::unicast_arrives),
        rule("mesh.broadcast-once", When::Settled, mesh::broadcast_once),
        rule("dns.same-answer", When::Settled, names::same_answer),
        Box::new(names::Answers::default()),
        rule("dns.no-ghosts", When::Settled, names::no_ghosts),
        rule("dns.seen-everywhere", When::Told, names::seen_everywhere),
        rule("dns.gone-everywhere", When::Told, names::gone_everywhere),
        rule("bounds.tables", When::Quiet, bounds::baseline),
        rule("gossip.same-records", When::Quiet, quiet::same_records),
        Box::new(quiet::Quiet::default()),
    ]
}

/// Judges all of `rules` that are meant for `when`.
///
/// # Errors
/// The first that does not hold.
pub fn judge(rules: &mut [Box<dyn Invariant>], when: When, view: &View) -> Result<(), Violation> {
    rules.iter_mut().filter(|rule| rule.when() == when).try_for_each(|rule| {
        let verdict = rule.check(view);
        verdict.map_err(|detail| Violation { rule: rule.name(), at: view.at, detail })
    })
}
