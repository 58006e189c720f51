//! Who the peer of this host is, before it ever ran.

use super::{Folders, StartError, start};
use crate::store::{RedbStore, Store};
use weft_core::id::PeerId;
use weft_core::node::{self, Seed};

/// The id of the peer whose state is kept in `folders`, which no daemon has open. A peer that never ran is
/// given one, which it keeps from then on.
///
/// # Errors
/// When its state cannot be read, or not be written.
pub async fn identity(folders: &Folders) -> Result<PeerId, StartError> {
    let failed = |why: &dyn std::fmt::Display| StartError(why.to_string());
    start::folder(&folders.state_dir, "--state-dir")?;
    let mut store = RedbStore::open(&folders.database()).map_err(|why| failed(&why))?;
    let saved = store.load().map_err(|why| failed(&why))?;
    let seed = Seed(start::drawn()?);
    let (identity, kept) = node::identity(&saved, &seed).map_err(|why| failed(&why))?;
    if saved.slots.get(&kept.slot) != kept.value.as_ref() {
        store.commit(vec![kept]).await.map_err(|why| failed(&why))?;
    }
    Ok(identity.id())
}
