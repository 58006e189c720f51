//! Standing claims: addresses that something on this host answers to, and that this peer does not hold for it. They
//! are claimed again ahead of whatever else is to be given, so that nothing on this host is given them.

use ipnet::IpNet;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OwnedRwLockReadGuard, RwLock, oneshot};
use weft_core::id::ContainerId;
use weft_core::io::{Command, CommandError, Reply};

type Answer = oneshot::Sender<Result<Reply, CommandError>>;

/// All standing claims of a node; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Standing(Arc<Mutex<BTreeMap<(ContainerId, IpNet), Claim>>>);

#[derive(Clone, Debug, Default)]
struct Claim {
    /// Why it came to nothing so far, if it has.
    why: Option<CommandError>,
    /// Held by each time that it is made.
    made: Arc<RwLock<()>>,
}

/// A claim that is being made.
#[derive(Debug)]
pub(crate) struct Made {
    whose: (ContainerId, IpNet),
    answer: oneshot::Receiver<Result<Reply, CommandError>>,
    _guard: OwnedRwLockReadGuard<()>,
}

impl Standing {
    /// Something answers to `address` for `id`.
    pub(crate) fn add(&self, id: &ContainerId, address: IpNet) {
        self.all(|all| {
            all.entry((id.clone(), address)).or_default();
        });
    }

    /// Nothing of `id` answers to any address any longer, or to this one. Returns once none of its claims is
    /// being made: one of them may have come true.
    pub(crate) async fn forget(&self, id: &ContainerId, address: Option<IpNet>) {
        let is_meant = |(whose, net): &(ContainerId, IpNet)| {
            whose == id && address.is_none_or(|address| *net == address)
        };
        let forgotten: Vec<Claim> = self.all(|all| {
            let meant: Vec<_> = all.keys().filter(|key| is_meant(key)).cloned().collect();
            meant.iter().filter_map(|key| all.remove(key)).collect()
        });
        for claim in forgotten {
            drop(claim.made.write().await);
        }
    }

    /// What `id` answers to and does not hold.
    pub(crate) fn of(&self, id: &ContainerId) -> Vec<IpNet> {
        let of_id = |all: &mut BTreeMap<(ContainerId, IpNet), Claim>| {
            all.keys().filter(|(whose, _)| whose == id).map(|(_, net)| *net).collect()
        };
        self.all(of_id)
    }

    /// Whose they are, and why each of them came to nothing so far.
    pub fn list(&self) -> Vec<(ContainerId, IpNet, Option<CommandError>)> {
        self.all(|all| {
            let one = |((id, net), claim): (&(ContainerId, IpNet), &Claim)| {
                (id.clone(), *net, claim.why.clone())
            };
            all.iter().map(one).collect()
        })
    }

    /// All of them as commands, to be given ahead of others, and what hears of their outcome.
    pub(crate) fn ahead(&self) -> (Vec<(Command, Answer)>, Vec<Made>) {
        let one = |((id, address), claim): (&(ContainerId, IpNet), &Claim)| {
            // Whoever forgets it has it out of the list by then: it is free.
            let guard = Arc::clone(&claim.made).try_read_owned().ok()?;
            let (reply, answer) = oneshot::channel();
            let command = Command::Claim { id: id.clone(), address: *address };
            let whose = (id.clone(), *address);
            Some(((command, reply), Made { whose, answer, _guard: guard }))
        };
        self.all(|all| all.iter().filter_map(one).unzip())
    }

    /// Waits for what the claims `made` come to, and notes it.
    pub(crate) async fn hear(&self, made: Vec<Made>) {
        for Made { whose, answer, _guard } in made {
            let Ok(outcome) = answer.await else { continue };
            let (id, address) = &whose;
            self.all(|all| match outcome {
                Ok(_) => {
                    if all.remove(&whose).is_some() {
                        tracing::info!(%id, %address, "an address that is in use here is held again");
                    }
                }
                Err(why) => {
                    let Some(claim) = all.get_mut(&whose) else { return };
                    if claim.why.as_ref() != Some(&why) {
                        tracing::warn!(%id, %address, %why, "an address is in use here, and not held");
                    }
                    claim.why = Some(why);
                }
            });
        }
    }

    fn all<T>(&self, look: impl FnOnce(&mut BTreeMap<(ContainerId, IpNet), Claim>) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
