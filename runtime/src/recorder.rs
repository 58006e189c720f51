//! The flight recorder: writes down what a node is told, for `sim replay`.
//!
//! The recording goes to a file of at most a given length, and its key to another one beside it,
//! both for their owner alone. Those of the launch before are kept beside them as `FILE.old`. A
//! recorder that cannot write gives up; the node goes on.

use crate::probe::Probe;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use weft_core::config::Config;
use weft_core::flight::{FlightKey, Recorder};
use weft_core::io::{Input, Output};
use weft_core::node::{Node, Seed};
use weft_core::saved::Saved;
use weft_core::time::Now;

/// Records one run of a node.
#[derive(Debug)]
pub struct FlightRecorder {
    path: PathBuf,
    file: File,
    key: FlightKey,
    len_max: usize,
    /// From the start until it is given up.
    recorder: Option<Recorder>,
}

/// Where the key of the recording at `path` is.
pub fn key_file(path: &Path) -> PathBuf {
    with_ending(path, ".key")
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}

impl FlightRecorder {
    /// Makes the files, in place of those of an earlier run, which become `FILE.old` and
    /// `FILE.old.key`. `key` must be a fresh one.
    ///
    /// # Errors
    /// When one of them cannot be made or moved.
    pub fn create(path: &Path, len_max: usize, key: FlightKey) -> io::Result<Self> {
        let old = with_ending(path, ".old");
        // The key goes last: a recording without a key is of no use, the other way round no harm.
        for (from, to) in [(path.into(), old.clone()), (key_file(path), key_file(&old))] {
            match fs::rename::<PathBuf, PathBuf>(from, to) {
                Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(why),
                Ok(()) | Err(_) => {}
            }
        }
        let make =
            |path: &Path| OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        make(&key_file(path))?.write_all(&key.0)?;
        Ok(Self { path: path.into(), file: make(path)?, key, len_max, recorder: None })
    }

    /// Appends what `next` gives. Straight into the file: what the system has taken outlives us.
    fn write(&mut self, next: impl FnOnce(&mut Recorder) -> Vec<u8>) {
        let Some(recorder) = &mut self.recorder else { return };
        let bytes = next(recorder);
        let (is_full, path) = (recorder.is_full(), self.path.display());
        if let Err(why) = self.file.write_all(&bytes) {
            tracing::warn!(%path, %why, "the flight recording ends here");
            self.recorder = None;
        } else if is_full {
            tracing::warn!(%path, "the flight recording is full: what follows is not in it");
            self.recorder = None;
        }
    }
}

impl Probe for FlightRecorder {
    fn start(&mut self, now: Now, config: &Config, saved: &Saved, seed: &Seed) {
        let (recorder, bytes) =
            Recorder::start(self.len_max, &self.key, now, (config, saved, seed));
        self.recorder = Some(recorder);
        self.write(|_| bytes);
    }

    fn before(&mut self, now: Now, input: &Input) {
        self.write(|recorder| recorder.input(now, input));
    }

    fn after(&mut self, _now: Now, _node: &Node, outputs: &[Output]) {
        self.write(|recorder| recorder.outputs(outputs));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_recording_is_for_its_owner_alone_and_the_one_before_is_kept() {
        let dir = TempDir::new();
        let path = dir.join("flight");
        for key in [1, 2, 3] {
            FlightRecorder::create(&path, 1 << 20, FlightKey([key; 32])).unwrap();
        }
        for file in [path.clone(), key_file(&path)] {
            assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(fs::read(key_file(&path)).unwrap(), [3; 32]);
        assert_eq!(fs::read(dir.join("flight.old.key")).unwrap(), [2; 32]);
        assert_eq!(fs::read_dir(&*dir).unwrap().count(), 4);
    }
}
