//! The flight recorder: writes down what a node is told, for `sim replay`.
//!
//! The recording goes to a file of at most a given length, and its key to another one beside it,
//! both for their owner alone. Those of the launch before are kept beside them as `FILE.old`. What is
//! no recording is never moved or overwritten. A recorder that cannot write gives up; the node goes
//! on.

use crate::probe::Probe;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use weft_core::config::Config;
use weft_core::flight::{FlightKey, MAGIC, Recorder};
use weft_core::io::{Input, Output};
use weft_core::node::{Node, Seed};
use weft_core::saved::Saved;
use weft_core::time::Now;

/// Length of a [`FlightKey`] in its file, in bytes.
const KEY_LEN: u64 = 32;

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
    /// When there is anything but a recording at `FILE` or `FILE.old`, or a key without a
    /// recording: nothing was touched then. When a file cannot be made or moved.
    pub fn create(path: &Path, len_max: usize, key: FlightKey) -> io::Result<Self> {
        let old = with_ending(path, ".old");
        let [has, had] = [is_recording(path)?, is_recording(&old)?];
        let [has_key, had_key] = [is_key(&key_file(path))?, is_key(&key_file(&old))?];
        // Cut short below, a launch may have moved the key and not yet its recording.
        let is_half_moved = has && !has_key;
        if has_key && !has {
            return Err(refused(&key_file(path), "is there without its recording"));
        }
        if had_key && !had && !is_half_moved {
            return Err(refused(&key_file(&old), "is there without its recording"));
        }
        // The key goes first and comes last: whenever this is cut short, no key is left alone.
        if has {
            for (from, to) in [(key_file(path), key_file(&old)), (path.into(), old)] {
                match fs::rename::<PathBuf, PathBuf>(from, to) {
                    Err(why) if why.kind() != ErrorKind::NotFound => return Err(why),
                    Ok(()) | Err(_) => {}
                }
            }
        }
        let make =
            |path: &Path| OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let file = make(path)?;
        make(&key_file(path))?.write_all(&key.0)?;
        Ok(Self { path: path.into(), file, key, len_max, recorder: None })
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

/// Whether there is a recording at `path`, or an empty file, from which nothing can be lost.
///
/// # Errors
/// When something else is there, of whatever kind.
fn is_recording(path: &Path) -> io::Result<bool> {
    let Some(len) = length_of_file(path)? else { return Ok(false) };
    let mut head = Vec::new();
    File::open(path)?.take(MAGIC.len() as u64).read_to_end(&mut head)?;
    if len == 0 || head == MAGIC { Ok(true) } else { Err(refused(path, "is no recording of ours")) }
}

/// Whether there is what may be the key of a recording at `path`.
///
/// # Errors
/// When something else is there.
fn is_key(path: &Path) -> io::Result<bool> {
    match length_of_file(path)? {
        None => Ok(false),
        // An empty one was cut short.
        Some(0 | KEY_LEN) => Ok(true),
        Some(_) => Err(refused(path, "is no key of a recording")),
    }
}

/// The length of the file at `path`; `None` when nothing is there. Links are not followed.
fn length_of_file(path: &Path) -> io::Result<Option<u64>> {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_file() => Ok(Some(meta.len())),
        Ok(_) => Err(refused(path, "is no regular file")),
        Err(why) if why.kind() == ErrorKind::NotFound => Ok(None),
        Err(why) => Err(why),
    }
}

fn refused(path: &Path, why: &str) -> io::Error {
    io::Error::new(ErrorKind::AlreadyExists, format!("{} {why}, and is left alone", path.display()))
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
    use std::collections::BTreeMap;
    use std::os::unix::fs::PermissionsExt;

    /// Puts something into a folder.
    type Arrange<'a> = &'a dyn Fn(&Path);

    fn record(path: &Path, key: u8) -> io::Result<FlightRecorder> {
        FlightRecorder::create(path, 1 << 20, FlightKey([key; 32]))
    }

    /// Everything in a folder, with what is in it.
    fn contents(dir: &Path) -> BTreeMap<String, Vec<u8>> {
        let entry = |entry: io::Result<fs::DirEntry>| {
            let entry = entry.unwrap();
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, fs::read(entry.path()).unwrap_or_default())
        };
        fs::read_dir(dir).unwrap().map(entry).collect()
    }

    #[test]
    fn a_recording_is_for_its_owner_alone_and_the_one_before_is_kept() {
        let dir = TempDir::new();
        let path = dir.join("flight");
        for key in [1, 2, 3] {
            record(&path, key).unwrap().file.write_all(MAGIC).unwrap();
        }
        for file in [path.clone(), key_file(&path)] {
            assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(fs::read(key_file(&path)).unwrap(), [3; 32]);
        assert_eq!(fs::read(dir.join("flight.old.key")).unwrap(), [2; 32]);
        assert_eq!(contents(&dir).len(), 4);
    }

    #[test]
    fn what_is_no_recording_is_refused_and_left_as_it_was() {
        let text = |name: &'static str| {
            move |dir: &Path| {
                fs::write(dir.join("flight"), MAGIC).unwrap();
                fs::write(dir.join(name), "precious").unwrap();
            }
        };
        let folder = |dir: &Path| fs::create_dir(dir.join("flight")).unwrap();
        let link = |dir: &Path| {
            fs::write(dir.join("elsewhere"), "precious").unwrap();
            std::os::unix::fs::symlink("elsewhere", dir.join("flight")).unwrap();
        };
        let device = |dir: &Path| {
            let mode = nix::sys::stat::Mode::from_bits_truncate(0o600);
            nix::unistd::mkfifo(&dir.join("flight"), mode).unwrap();
        };
        let lone_key = |dir: &Path| fs::write(dir.join("flight.key"), [7; 32]).unwrap();
        let cases: [(&str, Arrange<'_>); 8] = [
            ("flight", &text("flight")),
            ("flight.old", &text("flight.old")),
            ("flight.key", &text("flight.key")),
            ("flight.old.key", &text("flight.old.key")),
            ("flight", &folder),
            ("flight", &link),
            ("flight", &device),
            ("flight.key", &lone_key),
        ];
        for (culprit, arrange) in cases {
            let dir = TempDir::new();
            arrange(&dir);
            let names = |dir: &Path| fs::read_dir(dir).unwrap().count();
            let before = names(&dir);
            let why = record(&dir.join("flight"), 9).unwrap_err().to_string();
            assert!(why.contains(&format!("/{culprit} is")), "{culprit}: {why}");
            assert_eq!(names(&dir), before, "{culprit}");
            // What else may stand in the place of a recording does not end when it is read.
            if culprit != "flight"
                && let Ok(left) = fs::read(dir.join(culprit))
            {
                assert!(left == b"precious" || left == [7; 32], "{culprit}");
            }
        }
    }

    #[test]
    fn a_launch_that_was_cut_short_while_it_made_the_files_keeps_none_from_recording() {
        for files in [&["flight"][..], &["flight", "flight.key"], &["flight", "flight.old.key"]] {
            let dir = TempDir::new();
            for file in files {
                fs::write(dir.join(file), "").unwrap();
            }
            if let Err(why) = record(&dir.join("flight"), 1) {
                panic!("{files:?}: {why}");
            }
        }
    }
}
