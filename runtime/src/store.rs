//! What survives a restart.
//!
//! One file: a head of our own, and behind it what redb keeps. That has a table with all values, the key of
//! which is a [`Slot`] in postcard, and one with the number of the last commit.
//!
//! The file is made under another name and renamed once it is whole. So a file that is empty, or has no head, is a
//! damaged one, and not a first start that was cut off: it may have held all that this peer knew.

mod head;

use head::{Body, FORMAT, Head};
use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use weft_core::codec;
use weft_core::saved::{Change, Saved, Slot};

const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("weft");

/// How many commits there were. The head says how many of them were confirmed.
const COMMITS: TableDefinition<'_, (), u64> = TableDefinition::new("commits");

/// Where a node's saved state is kept.
pub trait Store: Send + 'static {
    /// All that was committed.
    ///
    /// # Errors
    /// When it cannot be read, with what to do about it.
    fn load(&mut self) -> Result<Saved, StoreError>;

    /// Makes all of `changes` durable, or none of them.
    fn commit(
        &mut self,
        changes: Vec<Change>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// Why saved state cannot be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Somebody else has it open.
    #[error("{} is open in another weft: stop that one first, or give this one another --state-dir", .0.display())]
    InUse(PathBuf),
    /// What is there is no database of ours.
    #[error("{} is damaged ({why}): put back a copy, or start afresh with `weft reset --force`; what this peer owned then stays unused until another peer runs `weft rmpeer` for its old id, which `weft status ipam` lists there", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Written by an earlier weft.
    #[error("{} was written by an earlier weft (format {found}, known is {FORMAT}): install that one, or have it leave with `weft reset` and launch this one anew", .path.display())]
    Earlier {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u8,
    },
    /// Written by a later weft.
    #[error("{} was written by a later weft (format {found}, known is {FORMAT}): install that one", .path.display())]
    Later {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u8,
    },
    /// The disk or the folder does not let us.
    #[error("cannot keep state in {}: {why}", .path.display())]
    Disk {
        /// The file.
        path: PathBuf,
        /// The system's words, and what to do.
        why: String,
    },
}

/// A store in one file, one synced transaction per commit.
#[derive(Clone, Debug)]
pub struct RedbStore {
    path: PathBuf,
    file: Arc<File>,
    database: Arc<Database>,
}

impl RedbStore {
    /// Opens the file at `path`, or makes it, readable for its owner only. All of it is read.
    ///
    /// # Errors
    /// When another daemon has it open, it is damaged, lacks what was committed, or cannot be made.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        loop {
            match OpenOptions::new().read(true).write(true).open(path) {
                Ok(file) => return Self::found(path, file),
                Err(why) if why.kind() == ErrorKind::NotFound => {}
                Err(why) => return Err(unkept(path, &why)),
            }
            if let Some(store) = Self::made(path)? {
                return Ok(store);
            }
        }
    }

    /// Makes the file at `path`; `None` when another process has just done so.
    fn made(path: &Path) -> Result<Option<Self>, StoreError> {
        let disk = |why: io::Error| unkept(path, &why);
        let unfinished = unfinished(path);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&unfinished).map_err(disk)?;
        lock(path, &file)?;
        // Who had the lock before us may have renamed it since we opened it.
        let is_same = std::fs::metadata(&unfinished)
            .is_ok_and(|there| file.metadata().is_ok_and(|ours| ours.ino() == there.ino()));
        if !is_same {
            return Ok(None);
        }
        if path.exists() {
            std::fs::remove_file(&unfinished).map_err(disk)?;
            return Ok(None);
        }
        let file = Arc::new(file);
        let made = || {
            // What a first start left that was cut off.
            file.set_len(0).map_err(disk)?;
            let database = Arc::new(opened(path, Body(file.clone()))?);
            head::confirm(&file, 0).and_then(|()| file.sync_all()).map_err(disk)?;
            std::fs::rename(&unfinished, path).and_then(|()| synced_folder(path)).map_err(disk)?;
            Ok(Self { path: path.into(), file: file.clone(), database })
        };
        let made = made();
        if made.is_err() {
            // On a full disk it would be in the way of others.
            let _ = std::fs::remove_file(&unfinished);
        }
        made.map(Some)
    }

    /// The store in `file`, which is at `path`.
    fn found(path: &Path, file: File) -> Result<Self, StoreError> {
        let disk = |why: io::Error| unkept(path, &why);
        lock(path, &file)?;
        if file.metadata().map_err(disk)?.len() == 0 {
            return Err(damaged(path, &"it is empty"));
        }
        let confirmed = match Head::read(&file).map_err(disk)? {
            Head::Confirmed(confirmed) => confirmed,
            Head::Blank | Head::Damaged => {
                return Err(damaged(path, &"its head is not what was written"));
            }
            Head::Foreign(found) => {
                let path = path.into();
                let is_earlier = found < FORMAT;
                return Err(if is_earlier {
                    StoreError::Earlier { path, found }
                } else {
                    StoreError::Later { path, found }
                });
            }
        };
        let file = Arc::new(file);
        let database = Arc::new(opened(path, Body(file.clone()))?);
        let store = Self { path: path.into(), file, database };
        let commits = store.commits()?;
        if confirmed > commits {
            let why = format!("of {confirmed} commits {commits} are left");
            return Err(damaged(path, &why));
        }
        // Also of one that was cut off when all of it was written: from here on it is believed.
        head::confirm(&store.file, commits).map_err(disk)?;
        Ok(store)
    }

    fn commits(&self) -> Result<u64, StoreError> {
        let fail = |why: &dyn std::fmt::Display| damaged(&self.path, why);
        let transaction = self.database.begin_read().map_err(|why| fail(&why))?;
        match transaction.open_table(COMMITS) {
            Ok(table) => {
                let commits = table.get(()).map_err(|why| fail(&why))?;
                Ok(commits.map_or(0, |commits| commits.value()))
            }
            Err(redb::TableError::TableDoesNotExist(_)) => Ok(0),
            Err(why) => Err(fail(&why)),
        }
    }

    fn read(&self) -> Result<Saved, StoreError> {
        let mut saved = Saved::default();
        let fail = |why: &dyn std::fmt::Display| damaged(&self.path, why);
        let transaction = self.database.begin_read().map_err(|why| fail(&why))?;
        let table = match transaction.open_table(TABLE) {
            Ok(table) => table,
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(saved),
            Err(why) => return Err(fail(&why)),
        };
        for row in table.iter().map_err(|why| fail(&why))? {
            let (key, value) = row.map_err(|why| fail(&why))?;
            let slot = codec::decode::<Slot>(key.value()).map_err(|why| fail(&why))?;
            saved.slots.insert(slot, value.value().to_vec());
        }
        Ok(saved)
    }

    fn write(&self, changes: &[Change]) -> Result<(), redb::Error> {
        let transaction = self.database.begin_write()?;
        let commits = {
            let mut table = transaction.open_table(TABLE)?;
            for change in changes {
                let key = codec::encode(&change.slot);
                match &change.value {
                    Some(bytes) => table.insert(key.as_slice(), bytes.as_slice())?,
                    None => table.remove(key.as_slice())?,
                };
            }
            let mut table = transaction.open_table(COMMITS)?;
            let commits = table.get(())?.map_or(0, |commits| commits.value()) + 1;
            table.insert((), commits)?;
            commits
        };
        transaction.commit()?;
        head::confirm(&self.file, commits)?;
        Ok(())
    }
}

/// The database in `body`, the file of which is at `path`.
fn opened(path: &Path, body: Body) -> Result<Database, StoreError> {
    // Without the check redb believes a file that it closed itself, and may panic on what it reads there.
    let open = || Database::builder().set_check_integrity_on_open(true).create_with_backend(body);
    match std::panic::catch_unwind(open) {
        Ok(Ok(database)) => Ok(database),
        Ok(Err(DatabaseError::Storage(redb::StorageError::Io(why))))
            if why.kind() != ErrorKind::InvalidData && why.kind() != ErrorKind::UnexpectedEof =>
        {
            Err(StoreError::Disk { path: path.into(), why: advised(&why) })
        }
        Ok(Err(why)) => Err(damaged(path, &why)),
        Err(_) => Err(damaged(path, &"it cannot be made sense of")),
    }
}

/// What the disk complains of, and what to do about it.
pub(crate) fn advised(why: &io::Error) -> String {
    let is_full = matches!(why.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
    let remedy = if is_full { "free some space there" } else { "check that disk" };
    format!("{why}; {remedy}")
}

/// What a commit comes to that failed.
fn unwritten(path: &Path, why: redb::Error) -> StoreError {
    if let redb::Error::Corrupted(why) = why {
        return damaged(path, &why);
    }
    let why = if let redb::Error::Io(why) = why { why } else { io::Error::other(why) };
    StoreError::Disk { path: path.into(), why: advised(&why) }
}

/// What comes of it when the system does not let us keep state at `path`.
fn unkept(path: &Path, why: &io::Error) -> StoreError {
    StoreError::Disk { path: path.into(), why: advised(why) }
}

/// Takes the lock of `file`, which is or becomes the one at `path`.
fn lock(path: &Path, file: &File) -> Result<(), StoreError> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(path.into())),
        Err(TryLockError::Error(why)) => Err(unkept(path, &why)),
    }
}

/// Where the file of `path` is while it is made.
pub(crate) fn unfinished(path: &Path) -> PathBuf {
    path.with_extension("new")
}

/// Makes durable that the file at `path` is called so.
pub(crate) fn synced_folder(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

fn damaged(path: &Path, why: &dyn std::fmt::Display) -> StoreError {
    StoreError::Damaged { path: path.into(), why: why.to_string() }
}

impl Store for RedbStore {
    fn load(&mut self) -> Result<Saved, StoreError> {
        self.read()
    }

    async fn commit(&mut self, changes: Vec<Change>) -> Result<(), StoreError> {
        let store = self.clone();
        let written = tokio::task::spawn_blocking(move || store.write(&changes)).await;
        match written {
            Ok(written) => written.map_err(|why| unwritten(&self.path, why)),
            // It panics at what it reads back.
            Err(why) => Err(damaged(&self.path, &why)),
        }
    }
}

/// A store that forgets when its last clone is dropped: for tests, which keep one to restart with.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    saved: Arc<Mutex<Saved>>,
}

impl Store for MemoryStore {
    fn load(&mut self) -> Result<Saved, StoreError> {
        Ok(self.saved.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    async fn commit(&mut self, changes: Vec<Change>) -> Result<(), StoreError> {
        let mut saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
        changes.into_iter().for_each(|change| saved.apply(change));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;
    use weft_core::id::ContainerId;

    #[tokio::test]
    async fn what_was_committed_is_there_when_the_file_is_opened_again() {
        let dir = TempDir::new();
        let path = dir.join("weft.redb");
        let mut store = RedbStore::open(&path).unwrap();
        assert_eq!(store.load(), Ok(Saved::default()));
        store
            .commit(vec![Change::put(Slot::Names(0), "a"), Change::put(Slot::Targets, "b")])
            .await
            .unwrap();
        store.commit(vec![Change::remove(Slot::Names(0))]).await.unwrap();
        drop(store);
        let saved = RedbStore::open(&path).unwrap().load().unwrap();
        assert_eq!(saved.get::<String>(&Slot::Targets), Ok(Some("b".to_string())));
        assert_eq!(saved.slots.len(), 1);
    }

    #[test]
    fn only_the_owner_may_read_the_file() {
        use std::os::unix::fs::PermissionsExt;
        let dir = TempDir::new();
        let path = dir.join("weft.redb");
        let _store = RedbStore::open(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn an_empty_file_is_damage_and_no_first_start() {
        let dir = TempDir::new();
        let path = dir.join("weft.redb");
        for bytes in [&[][..], &[0; 100], &[0; 4096], &[0; 8192]] {
            std::fs::write(&path, bytes).unwrap();
            let why = RedbStore::open(&path).unwrap_err();
            assert!(matches!(why, StoreError::Damaged { .. }), "{} zeros: {why:?}", bytes.len());
            assert_eq!(std::fs::read(&path).unwrap(), bytes, "it is left as it is");
            let advice = "put back a copy, or start afresh with `weft reset --force`";
            assert!(why.to_string().contains(advice), "{why}");
            assert!(why.to_string().contains("until another peer runs `weft rmpeer`"), "{why}");
        }
    }

    #[test]
    fn a_first_start_that_was_cut_off_is_a_first_start_again() {
        let dir = TempDir::new();
        let path = dir.join("weft.redb");
        std::fs::write(unfinished(&path), [0x5a; 10_000]).unwrap();
        let store = RedbStore::open(&path).unwrap();
        assert!(!unfinished(&path).exists());
        drop(store);
        assert_eq!(reopened(&path), Ok(Saved::default()));
    }

    #[test]
    fn of_several_that_start_for_the_first_time_together_one_has_the_store() {
        let dir = TempDir::new();
        let path = dir.join("weft.redb");
        let opened: Vec<_> = std::thread::scope(|scope| {
            let all: Vec<_> = (0..8).map(|_| scope.spawn(|| RedbStore::open(&path))).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert_eq!(opened.iter().filter(|one| one.is_ok()).count(), 1);
        let others = opened.iter().filter_map(|one| one.as_ref().err());
        assert!(others.into_iter().all(|why| *why == StoreError::InUse(path.clone())));
    }

    #[test]
    fn a_second_opener_is_refused() {
        let dir = TempDir::new();
        let path = dir.join("weft.redb");
        let _first = RedbStore::open(&path).unwrap();
        assert_eq!(RedbStore::open(&path).unwrap_err(), StoreError::InUse(path));
    }

    #[test]
    fn a_file_of_another_format_says_which_weft_can_read_it() {
        let dir = TempDir::new();
        let path = dir.join("weft.redb");
        let [earlier, later] = [FORMAT - 1, FORMAT + 1].map(|format| head::encoded(format, 0));
        for (found, bytes) in
            [(3, &b"redb\x1a\x0a\xa9\x0d\x0a"[..]), (FORMAT - 1, &earlier), (FORMAT + 1, &later)]
        {
            std::fs::write(&path, bytes).unwrap();
            let why = RedbStore::open(&path).unwrap_err();
            assert_eq!(std::fs::read(&path).unwrap(), bytes, "it is left as it is");
            let path = path.clone();
            let expected = if found < FORMAT {
                StoreError::Earlier { path, found }
            } else {
                StoreError::Later { path, found }
            };
            assert_eq!(why, expected);
        }
    }

    #[tokio::test]
    async fn a_damaged_file_is_reported_as_damaged() {
        let dir = TempDir::new();
        let path = dir.join("weft.redb");
        RedbStore::open(&path)
            .unwrap()
            .commit(vec![Change::put(Slot::Names(0), "a")])
            .await
            .unwrap();
        let whole = std::fs::read(&path).unwrap();
        let garbage = vec![0x5a; whole.len()];
        for bytes in [&garbage[..], &garbage[..100], &whole[..whole.len() / 2]] {
            std::fs::write(&path, bytes).unwrap();
            let result = RedbStore::open(&path).and_then(|mut store| store.load());
            assert!(matches!(result, Err(StoreError::Damaged { .. })), "{result:?}");
        }
    }

    #[test]
    fn a_commit_that_fails_says_what_to_do() {
        let said = |why| unwritten(Path::new("weft.redb"), why).to_string();
        let damage = said(redb::Error::Corrupted("a page".into()));
        assert!(damage.contains("is damaged (a page): put back a copy"), "{damage}");
        for why in [redb::Error::PreviousIo, redb::Error::Io(io::Error::other("no"))] {
            let disk = said(why);
            assert!(disk.ends_with("; check that disk"), "{disk}");
        }
    }

    /// A file as a killed process leaves it: thirty values, five of them removed, one commit for each.
    async fn killed(path: &Path) -> (Vec<u8>, Saved) {
        let mut store = RedbStore::open(path).unwrap();
        let slot = |at| Slot::Holding(format!("k{at}").parse::<ContainerId>().unwrap());
        for at in 0..30_u8 {
            store.commit(vec![Change::put(slot(at), &at)]).await.unwrap();
        }
        for at in 0..5 {
            store.commit(vec![Change::remove(slot(at))]).await.unwrap();
        }
        (std::fs::read(path).unwrap(), store.load().unwrap())
    }

    fn reopened(path: &Path) -> Result<Saved, StoreError> {
        RedbStore::open(path)?.load()
    }

    #[tokio::test]
    async fn a_killed_daemon_finds_all_that_was_confirmed_or_is_refused_whichever_bit_was_damaged()
    {
        let dir = TempDir::new();
        let (bytes, saved) = killed(&dir.join("killed.redb")).await;
        let path = dir.join("weft.redb");
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(reopened(&path), Ok(saved.clone()), "nothing is damaged");

        // All bits of what says which commit counts; of the rest of the heads, ours and that of redb, one of
        // each byte; and of all else that is not zero some.
        let switches =
            (0..29).chain(4096..4096 + 16).flat_map(|at| (0..8).map(move |bit| (at, bit)));
        let heads = (4096..4096 + 320).map(|at| (at, at % 8));
        let others = (4096 + 320..bytes.len()).filter(|at| bytes[*at] != 0);
        let others = others.step_by(479).map(|at| (at, at % 8));
        let mut refused = 0;
        for (at, bit) in switches.chain(heads).chain(others) {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            std::fs::write(&path, &flipped).unwrap();
            let Err(why) = reopened(&path).map(|found| assert_eq!(found, saved, "{at}.{bit}"))
            else {
                continue;
            };
            assert!(matches!(why, StoreError::Damaged { .. }), "{at}.{bit}: {why}");
            assert!(reopened(&path).is_err(), "{at}.{bit}: the second start believes it");
            refused += 1;
        }
        assert!(refused > 0, "not even damage to the last commit is noticed");
    }

    #[tokio::test]
    async fn a_commit_that_was_cut_off_is_forgotten_without_a_word() {
        let dir = TempDir::new();
        let (before, saved) = killed(&dir.join("killed.redb")).await;
        let path = dir.join("weft.redb");
        std::fs::write(&path, &before).unwrap();
        let mut store = RedbStore::open(&path).unwrap();
        let opened = std::fs::read(&path).unwrap();
        store.commit(vec![Change::put(Slot::Names(0), "a")]).await.unwrap();
        let mut torn = std::fs::read(&path).unwrap();
        drop(store);
        // The head of redb was written, and neither our own nor any other page.
        torn[..4096].copy_from_slice(&opened[..4096]);
        torn[8192..].copy_from_slice(&opened[8192..]);
        std::fs::write(&path, &torn).unwrap();
        assert_eq!(reopened(&path), Ok(saved));
    }
}
