//! Which containers have an interface on the bridge, and where: a small file beside the database,
//! so that after a crash or a boot it is known whose interfaces should be there.

use crate::namespace::Namespace;
use crate::store::synced_folder;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use weft_core::id::ContainerId;

/// Where a container's interface is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) namespace: Namespace,
    pub(crate) interface: String,
    /// MAC inside; unknown while it is being attached, and of one that is found until it was looked for.
    pub(crate) mac: Option<String>,
    /// What was held for it already when it began to be attached: that stays if this never ends.
    #[serde(default)]
    pub(crate) before: Vec<IpNet>,
}

/// All places, in memory and in a file.
#[derive(Debug)]
pub struct Places {
    path: PathBuf,
    places: Mutex<BTreeMap<ContainerId, Place>>,
}

impl Places {
    /// Reads `path`; a file that is missing is an empty one.
    ///
    /// # Errors
    /// When it cannot be read, or is not what we write.
    pub fn open(path: PathBuf) -> io::Result<Self> {
        let places = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)?,
            Err(why) if why.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(why) => return Err(why),
        };
        Ok(Self { path, places: Mutex::new(places) })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn ids(&self) -> Vec<ContainerId> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    pub(crate) fn place(&self, id: &ContainerId) -> Option<Place> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// Puts `place` down for `id`, or strikes it out; the file is replaced whole.
    ///
    /// # Errors
    /// When the file cannot be written; then nothing changed.
    pub(crate) fn note(&self, id: &ContainerId, place: Option<Place>) -> io::Result<()> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if places.get(id) == place.as_ref() {
            return Ok(());
        }
        let mut noted = places.clone();
        match place {
            Some(place) => noted.insert(id.clone(), place),
            None => noted.remove(id),
        };
        let beside = self.path.with_extension("tmp");
        let replaced = write(&beside, &serde_json::to_vec(&noted)?)
            .and_then(|()| std::fs::rename(&beside, &self.path))
            .and_then(|()| synced_folder(&self.path));
        if replaced.is_err() {
            // On a full disk it would be in the way of others.
            let _ = std::fs::remove_file(&beside);
        }
        replaced.map(|()| *places = noted)
    }
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
