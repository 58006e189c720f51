//! What operators, containers and plugins want.

use super::Node;
use crate::event::Event;
use crate::io::CloseReason;
use crate::io::{Command, CommandError, Outbox, Output, Reply, RequestId, Target};
use crate::mark::{Mark, mark};
use crate::mesh::{ConnFault, Way};
use crate::names::{NameEntry, TooManyNames};
use crate::saved::{Change, Slot};
use crate::time::Instant;
use alloc::vec::Vec;

impl Node {
    pub(super) fn command(
        &mut self,
        at: Instant,
        request: RequestId,
        command: Command,
        out: &mut Outbox,
    ) {
        if self.is_stopped {
            mark(Mark::CommandAfterStop);
            let result = Err(CommandError::Stopping);
            return out.push(Output::Reply { request, result });
        }
        let result = match command {
            Command::Connect { targets, replace } => {
                self.dialer.connect(at, &targets, replace);
                self.targets_changed(at, out);
                Ok(Reply::Done)
            }
            Command::Forget { targets } => {
                self.dialer.forget(&targets);
                self.targets_changed(at, out);
                Ok(Reply::Done)
            }
            Command::Register { id, name, value } => {
                self.register(NameEntry { name, value, id }, out)
            }
            Command::Unregister { id, name, value } => {
                let removed = self.unregister(
                    |entry| {
                        id.as_ref().is_none_or(|id| *id == entry.id)
                            && name.as_ref().is_none_or(|name| *name == entry.name)
                            && value.as_ref().is_none_or(|value| *value == entry.value)
                    },
                    out,
                );
                Ok(Reply::Removed(removed))
            }
            Command::Trust(trust) => {
                self.trust(at, trust, out).map(|()| Reply::Done).map_err(CommandError::from)
            }
            Command::Allocate { .. }
            | Command::Claim { .. }
            | Command::Hold { .. }
            | Command::Release { .. }
            | Command::Prime
            | Command::OpenGate
            | Command::Evict { .. } => return self.ipam_command(at, request, command, out),
            Command::Leave => {
                self.ipam_command(at, request, command, out);
                if self.ipam.has_left() {
                    self.unregister(|_| true, out);
                }
                return;
            }
            Command::Stop => {
                self.ipam_command(at, request, command, out);
                return self.stop(at, out);
            }
        };
        out.push(Output::Reply { request, result });
    }

    fn ipam_command(
        &mut self,
        at: Instant,
        request: RequestId,
        command: Command,
        out: &mut Outbox,
    ) {
        let mut acts = Vec::new();
        self.ipam.command(at, request, command, &mut acts);
        self.act(acts, out);
    }

    fn targets_changed(&mut self, at: Instant, out: &mut Outbox) {
        let targets: Vec<Target> =
            self.dialer.targets().map(|(target, _)| target.clone()).collect();
        self.turn.changes.push(Change::put(Slot::Targets, &targets));
        self.count_targets(at, out);
    }

    /// Tells IPAM how many targets there are, and how many of them are not known to be ourselves:
    /// often all peers are given the same list.
    pub(super) fn count_targets(&mut self, at: Instant, out: &mut Outbox) {
        let others = self.dialer.targets().filter(|(_, attempt)| !attempt.is_self).count();
        let mut acts = Vec::new();
        self.ipam.targets(at, self.dialer.targets().count(), others, &mut acts);
        self.act(acts, out);
    }

    fn register(&mut self, entry: NameEntry, out: &mut Outbox) -> Result<Reply, CommandError> {
        let page = self
            .names
            .register(entry.clone())
            .map_err(|TooManyNames(count)| CommandError::TooManyNames(count))?;
        if let Some(page) = page {
            mark(Mark::NamesAdded);
            self.page_changed(page);
            let NameEntry { name, value, .. } = entry;
            out.push(Output::Event(Event::NameAdded { name, value }));
        } else {
            mark(Mark::NamesAgain);
        }
        Ok(Reply::Done)
    }

    fn unregister(&mut self, gone: impl Fn(&NameEntry) -> bool, out: &mut Outbox) -> usize {
        let (removed, changed) = self.names.remove(gone);
        if removed.is_empty() {
            mark(Mark::NamesNone);
        } else {
            mark(Mark::NamesRemoved);
            changed.into_iter().for_each(|page| self.page_changed(page));
        }
        let count = removed.len();
        for NameEntry { name, value, .. } in removed {
            out.push(Output::Event(Event::NameRemoved { name, value }));
        }
        count
    }

    /// Closes all conns; nothing is due from here on.
    fn stop(&mut self, at: Instant, out: &mut Outbox) {
        // What was decided before leaves before the streams end.
        self.flush(at, out);
        let conns: Vec<_> = self.conns.keys().copied().collect();
        for conn in conns {
            let fault = ConnFault::Closed(CloseReason::Ended);
            self.end(at, conn, fault, Way::Ours(Vec::new()), out);
        }
        self.drop_directs(out);
        self.is_stopped = true;
        mark(Mark::CommandStop);
    }
}
