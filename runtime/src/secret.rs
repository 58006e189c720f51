//! The secret of a mesh as operators give it: a password, or a key file of `weft genkey`.

use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use weft_core::config::NetworkSecret;
use weft_core::handshake;
use weft_core::id::from_hex;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Longest password, in bytes: more is a file given by mistake.
const PASSWORD_LEN_MAX: usize = 4096;

/// In front of the 64 hex digits of a key, so that no other file is taken for one.
const KEY_PREFIX: &str = "weft-key-1:";

/// A secret as it was given.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub enum Secret {
    /// As typed; 1 to 4096 bytes.
    Password(String),
    /// From a key file.
    Key([u8; 32]),
}

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Nothing was given.
    #[error("the password is empty: give one, or leave the option out")]
    Empty,
    /// More than anybody types.
    #[error("the password has {0} bytes: give one of at most {PASSWORD_LEN_MAX}")]
    TooLong(usize),
    /// The file is of no use.
    #[error("cannot read the {what} from {path}: {why}; expected {expected}")]
    File {
        /// What should be in it.
        what: &'static str,
        /// Which file.
        path: String,
        /// What is wrong with it.
        why: String,
        /// What should be there.
        expected: &'static str,
    },
}

impl Secret {
    /// `text` as a password.
    ///
    /// # Errors
    /// When it is empty or too long.
    pub fn password(text: String) -> Result<Self, SecretError> {
        let secret = Self::Password(text);
        secret.check().map(|()| secret)
    }

    /// The password on the first line of a file.
    ///
    /// # Errors
    /// When it cannot be read or is no password.
    pub fn password_of(path: &Path) -> Result<Self, SecretError> {
        let bad = |why: String| SecretError::File {
            what: "password",
            path: path.display().to_string(),
            why,
            expected: "a text file with the secret on its first line",
        };
        let mut text = read(path).map_err(bad)?;
        if text.starts_with(KEY_PREFIX) {
            return Err(bad("it is a key file: give it with --key-file".to_owned()));
        }
        Self::password(core::mem::take(&mut *text))
    }

    /// The key in a file of `weft genkey`.
    ///
    /// # Errors
    /// When it cannot be read or holds no key.
    pub fn key_of(path: &Path) -> Result<Self, SecretError> {
        let bad = |why: String| SecretError::File {
            what: "key",
            path: path.display().to_string(),
            why,
            expected: "a file made by `weft genkey`",
        };
        let text = read(path).map_err(bad)?;
        let digits = text.strip_prefix(KEY_PREFIX);
        let digits = digits.ok_or_else(|| bad(format!("it does not begin with {KEY_PREFIX}")))?;
        let key = from_hex(digits.trim_end());
        key.map(Self::Key).ok_or_else(|| bad("its key is damaged".to_owned()))
    }

    /// Holds a secret to its limits, wherever it comes from.
    ///
    /// # Errors
    /// When it is a password that is empty or too long.
    pub const fn check(&self) -> Result<(), SecretError> {
        match self {
            Self::Password(text) if text.is_empty() => Err(SecretError::Empty),
            Self::Password(text) if text.len() > PASSWORD_LEN_MAX => {
                Err(SecretError::TooLong(text.len()))
            }
            Self::Password(_) | Self::Key(_) => Ok(()),
        }
    }

    /// What peers prove to each other. Takes a good part of a tenth of a second for a password.
    pub fn stretched(&self) -> NetworkSecret {
        match self {
            Self::Password(text) => handshake::stretch(text),
            Self::Key(key) => NetworkSecret::Key(*key),
        }
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The first line of a file that is not too long.
fn read(path: &Path) -> Result<Zeroizing<String>, String> {
    let mut text = Zeroizing::new(String::new());
    let opened = File::open(path).map_err(|why| why.to_string())?;
    // One byte more than it may have, to see that it has more.
    let limit = u64::try_from(PASSWORD_LEN_MAX).unwrap_or(u64::MAX).saturating_add(1);
    opened.take(limit).read_to_string(&mut text).map_err(|why| why.to_string())?;
    if text.len() > PASSWORD_LEN_MAX {
        return Err(format!("it has more than {PASSWORD_LEN_MAX} bytes"));
    }
    let end = text.find(['\r', '\n']).unwrap_or(text.len());
    let mut rest = text.split_off(end);
    rest.zeroize();
    Ok(text)
}

/// A new key, as the line of a key file.
///
/// # Errors
/// When the kernel gives no random bytes.
pub fn draw_key() -> io::Result<Zeroizing<String>> {
    let mut key = Zeroizing::new([0; 32]);
    File::open("/dev/urandom")?.read_exact(&mut *key)?;
    let mut line = Zeroizing::new(String::with_capacity(KEY_PREFIX.len() + 65));
    line.push_str(KEY_PREFIX);
    for byte in *key {
        for half in [byte >> 4, byte & 15] {
            line.extend(char::from_digit(half.into(), 16));
        }
    }
    line.push('\n');
    Ok(line)
}

/// Writes `line` to a file that is not there yet, for its owner alone.
///
/// # Errors
/// When it is there already, or cannot be made.
pub fn write_key(path: &Path, line: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let written = file.write_all(line.as_bytes()).and_then(|()| file.sync_all());
    if written.is_err() {
        // Half a key is no use.
        let _ = std::fs::remove_file(path);
    }
    written
}

/// Whether others than its owner may read a file; that it is gone is for its reader to say.
pub fn is_open_to_others(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o077 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;
    use std::fs;

    #[test]
    fn a_password_file_is_read_up_to_its_first_line_and_refused_when_it_is_too_long() {
        let dir = TempDir::new();
        let read = |content: &[u8]| {
            fs::write(dir.join("password"), content).unwrap();
            Secret::password_of(&dir.join("password"))
        };
        let of = |text: &str| Secret::Password(text.to_owned());
        assert!(read(b"secret\r\nnote\n").unwrap() == of("secret"));
        assert!(read(&[b'a'; 4096]).unwrap() == of(&"a".repeat(4096)));
        for bad in [&[b'a'; 4097][..], &[b"secret\n", &[b'a'; 4097][..]].concat(), &[0xff, 0xfe]] {
            let why = read(bad).unwrap_err().to_string();
            assert!(why.contains("/password: ") && why.contains("; expected a text file"), "{why}");
        }
        assert!(read(b"\n").unwrap_err().to_string().contains("empty"));
    }

    #[test]
    fn a_key_is_drawn_written_once_for_its_owner_alone_and_read_again() {
        let dir = TempDir::new();
        let path = dir.join("key");
        let line = draw_key().unwrap();
        write_key(&path, &line).unwrap();
        assert!(!is_open_to_others(&path));
        assert_eq!(write_key(&path, &line).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        let Secret::Key(key) = Secret::key_of(&path).unwrap() else { panic!("no key") };
        let digits: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(*line, format!("weft-key-1:{digits}\n"));
        assert_ne!(*draw_key().unwrap(), *line);
        let why = Secret::password_of(&path).unwrap_err().to_string();
        assert!(why.contains("--key-file"), "{why}");
    }

    #[test]
    fn what_is_no_key_file_is_refused() {
        let dir = TempDir::new();
        let path = dir.join("key");
        let half = "ab".repeat(16);
        for bad in ["", "secret\n", "weft-key-1:\n", &format!("weft-key-1:{half}"), &half] {
            fs::write(&path, bad).unwrap();
            let why = Secret::key_of(&path).unwrap_err().to_string();
            assert!(why.contains("weft genkey"), "{bad:?}: {why}");
        }
        assert!(Secret::key_of(&dir.join("none")).is_err());
    }
}
