//! What befalls the disks of a world.

use super::World;
use crate::host::disk::{Disk, DiskError, Flaw, Rot};
use crate::peer::Peer;

impl World {
    /// Empties the disk of `host`, and kills its node.
    pub fn lose_disk(&mut self, host: usize) {
        self.swap_disk(host, &Disk::EMPTY);
        self.note(Some(host), "FAULT", format_args!("its disk is empty"));
    }

    /// Kills the node of `host`, and removes what it has written: its containers live on.
    pub(super) fn lose_state(&mut self, host: usize) {
        self.judge_so_far();
        self.crash(host, false);
        self.hosts[host].losses += 1;
        self.hosts[host].disk.copy_of(&Disk::EMPTY);
        self.hosts[host].follow_names();
        self.touched.insert(host);
        self.note(Some(host), "FAULT", format_args!("its state folder is gone"));
    }

    /// Remembers what is on the disk of `host` under `name`.
    pub fn snapshot(&mut self, host: usize, name: &str) {
        let there = &mut self.hosts[host];
        there.snapshots.insert(name.to_owned(), there.disk.clone());
    }

    /// Puts the disk of `host` back to what it was when the snapshot `name` was taken, and kills its
    /// node; without that snapshot, nothing happens.
    pub fn restore(&mut self, host: usize, name: &str) {
        let Some(disk) = self.hosts[host].snapshots.get(name).cloned() else { return };
        self.swap_disk(host, &disk);
        self.note(Some(host), "FAULT", format_args!("its disk is what it was at `{name}`"));
    }

    /// Gives `to` a copy of the disk of `from`, and kills the node of `to`.
    pub fn clone_disk(&mut self, from: usize, to: usize) {
        let disk = self.hosts[from].disk.clone();
        self.swap_disk(to, &disk);
        self.note(Some(to), "FAULT", format_args!("its disk is a copy of that of {}", Peer(from)));
    }

    /// Has the rules see what was written before it is gone: others may have heard of it.
    fn judge_so_far(&mut self) {
        if let Err(violation) = self.judge() {
            self.breach.get_or_insert(violation);
        }
    }

    fn swap_disk(&mut self, host: usize, disk: &Disk) {
        self.judge_so_far();
        // The machine is switched off for it.
        self.crash(host, true);
        self.hosts[host].losses += 1;
        self.hosts[host].disk.copy_of(disk);
        self.hosts[host].follow_disk();
        self.touched.insert(host);
    }

    /// Has the disk of `host` forget what it is given from here on when its power goes.
    pub fn lying_disk(&mut self, host: usize) {
        self.hosts[host].disk.lie();
        self.note(Some(host), "FAULT", format_args!("its disk says what it does not do"));
    }

    /// Lets `more` writes of the disk of `host` succeed, and none after them.
    pub fn fail_disk(&mut self, host: usize, more: u64) {
        self.hosts[host].disk.fail(more);
        self.note(Some(host), "FAULT", format_args!("its disk fails after {more} writes"));
    }

    /// Damages what the disk of `host` holds in one place, if it holds anything there.
    pub(super) fn rot_disk(&mut self, host: usize, what: Rot, how: Flaw) {
        self.judge_so_far();
        if self.hosts[host].disk.rot(what, how) {
            self.hosts[host].losses += 1;
            self.note(Some(host), "FAULT", format_args!("its disk is damaged ({what:?}, {how:?})"));
        }
    }

    /// Makes the disk of `host` a sound one.
    pub fn mend_disk(&mut self, host: usize) {
        self.hosts[host].mend_disk();
        self.note(Some(host), "HEAL", format_args!("its disk is sound"));
    }

    /// A node whose disk fails stops: to go on would be to break promises later.
    pub(super) fn stop_for(&mut self, host: usize, why: DiskError) {
        self.note(Some(host), "FAULT", format_args!("stops: {why}"));
        self.crash(host, false);
    }
}
