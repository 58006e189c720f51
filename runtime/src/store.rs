//! What survives a restart.
//!
//! One redb file with one table: the key is a [`Slot`] in postcard, the value is a byte with the
//! format's version, then the bytes that the core gave.

use redb::backends::FileBackend;
use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition};
use std::fs::OpenOptions;
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use weft_core::codec;
use weft_core::saved::{Change, Saved, Slot};

/// Format of keys and values. A daemon refuses to read a later one.
const FORMAT: u8 = 3;

const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("weft");

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
    #[error("{} is damaged ({why}): put back a copy, or start afresh with `weft reset --force`", .path.display())]
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
    database: Arc<Database>,
}

impl RedbStore {
    /// Opens the file at `path`, or makes it, readable for its owner only.
    ///
    /// # Errors
    /// When another daemon has it open, it is damaged, or cannot be made.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let disk = |why: io::Error| StoreError::Disk { path: path.into(), why: advised(&why) };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(disk)?;
        // redb trusts what it reads; on a file of garbage it may panic where it should complain.
        let opened = std::panic::catch_unwind(|| {
            FileBackend::new(file).and_then(|file| Database::builder().create_with_backend(file))
        });
        let database = match opened {
            Ok(Ok(database)) => database,
            Ok(Err(DatabaseError::DatabaseAlreadyOpen)) => {
                return Err(StoreError::InUse(path.into()));
            }
            Ok(Err(DatabaseError::Storage(redb::StorageError::Io(why))))
                if why.kind() != ErrorKind::InvalidData
                    && why.kind() != ErrorKind::UnexpectedEof =>
            {
                return Err(disk(why));
            }
            Ok(Err(why)) => return Err(damaged(path, &why)),
            Err(_) => return Err(damaged(path, &"it cannot be made sense of")),
        };
        Ok(Self { path: path.into(), database: Arc::new(database) })
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
            match value.value().split_first() {
                Some((&FORMAT, bytes)) => saved.slots.insert(slot, bytes.to_vec()),
                Some((&found, _)) if found < FORMAT => {
                    return Err(StoreError::Earlier { path: self.path.clone(), found });
                }
                Some((&found, _)) => {
                    return Err(StoreError::Later { path: self.path.clone(), found });
                }
                None => return Err(fail(&"an empty value")),
            };
        }
        Ok(saved)
    }

    fn write(&self, changes: &[Change]) -> Result<(), redb::Error> {
        let transaction = self.database.begin_write()?;
        {
            let mut table = transaction.open_table(TABLE)?;
            for change in changes {
                let key = codec::encode(&change.slot);
                match &change.value {
                    Some(bytes) => {
                        let value: Vec<u8> = [FORMAT].iter().chain(bytes).copied().collect();
                        table.insert(key.as_slice(), value.as_slice())?;
                    }
                    None => {
                        table.remove(key.as_slice())?;
                    }
                }
            }
        }
        transaction.commit()?;
        Ok(())
    }
}

/// What the disk complains of, and what to do about it.
pub(crate) fn advised(why: &io::Error) -> String {
    let is_full = matches!(why.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
    let remedy = if is_full { "free some space there" } else { "check that disk" };
    format!("{why}; {remedy}")
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
        let failed = |why: String| StoreError::Disk { path: self.path.clone(), why };
        match written {
            Ok(Ok(())) => Ok(()),
            Ok(Err(redb::Error::Io(why))) => Err(failed(advised(&why))),
            Ok(Err(why)) => Err(failed(why.to_string())),
            Err(why) => Err(failed(why.to_string())),
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

    #[tokio::test]
    async fn what_was_committed_is_there_when_the_file_is_opened_again() {
        let dir = TempDir::new();
        let path = dir.join("weft.redb");
        let mut store = RedbStore::open(&path).unwrap();
        assert_eq!(store.load(), Ok(Saved::default()));
        store
            .commit(vec![Change::put(Slot::Names, "a"), Change::put(Slot::Targets, "b")])
            .await
            .unwrap();
        store.commit(vec![Change::remove(Slot::Names)]).await.unwrap();
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
        for found in [FORMAT - 1, FORMAT + 1] {
            let store = RedbStore::open(&path).unwrap();
            let transaction = store.database.begin_write().unwrap();
            let key = codec::encode(&Slot::Names);
            let value: &[u8] = &[found, 0];
            transaction.open_table(TABLE).unwrap().insert(key.as_slice(), value).unwrap();
            transaction.commit().unwrap();
            let path = path.clone();
            let expected = if found < FORMAT {
                StoreError::Earlier { path, found }
            } else {
                StoreError::Later { path, found }
            };
            assert_eq!(store.read(), Err(expected));
        }
    }

    #[tokio::test]
    async fn a_damaged_file_is_reported_as_damaged() {
        let dir = TempDir::new();
        let path = dir.join("weft.redb");
        RedbStore::open(&path).unwrap().commit(vec![Change::put(Slot::Names, "a")]).await.unwrap();
        let whole = std::fs::read(&path).unwrap();
        let garbage = vec![0x5a; whole.len()];
        for bytes in [&garbage[..], &garbage[..100], &whole[..whole.len() / 2]] {
            std::fs::write(&path, bytes).unwrap();
            let result = RedbStore::open(&path).and_then(|mut store| store.load());
            assert!(matches!(result, Err(StoreError::Damaged { .. })), "{result:?}");
        }
    }
}
