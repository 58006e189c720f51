//! The first page of the file of a store: how far its commits were confirmed.
//!
//! ```text
//! file   head ‖ zeros, up to 4096 ‖ what redb keeps
//! head   "weft" ‖ format (1) ‖ commits that were confirmed (8) ‖ check (16)
//! ```
//! redb goes back to the commit before when the last one does not check out: one that a crash cut off looks
//! to it like one that was damaged once it was whole. Only the first may be forgotten, since nobody was told
//! of it. So each commit has a number, which the head has as well before anybody is told.
//!
//! The head is written without a sync of its own, and becomes durable with the next commit, or when the
//! system writes it back, half a minute later at most. A killed process loses none of it. Where a machine
//! loses power just then, what is lost is the word that would show a damaged last commit, not that commit.

use redb::StorageBackend;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use weft_core::record::Fingerprint;

/// Format of all there is in the file. A daemon refuses to read another one.
pub(super) const FORMAT: u8 = 5;

/// The last format without a head: there the file was redb's.
const FORMAT_HEADLESS: u8 = 3;

/// What a file of redb begins with.
const MAGIC_HEADLESS: &[u8] = b"redb";

const MAGIC: &[u8; 4] = b"weft";

/// Less than a sector, which a disk writes as a whole.
const LEN: usize = 4 + 1 + 8 + 16;

/// Where redb's part begins: pages of redb stay pages of the file.
const BODY_AT: u64 = 4096;

/// The head, as it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Head {
    /// There is none yet.
    Blank,
    /// So many commits were confirmed.
    Confirmed(u64),
    /// Of another format.
    Foreign(u8),
    /// Not as it was written.
    Damaged,
}

impl Head {
    pub(super) fn read(file: &File) -> io::Result<Self> {
        let mut bytes = [0; LEN];
        // Of a file that is shorter only so much is read.
        file.read_at(&mut bytes, 0)?;
        Ok(Self::decoded(&bytes))
    }

    fn decoded(bytes: &[u8; LEN]) -> Self {
        if bytes.starts_with(MAGIC_HEADLESS) {
            return Self::Foreign(FORMAT_HEADLESS);
        }
        if *bytes == [0; LEN] {
            return Self::Blank;
        }
        let Some((body, check)) = bytes.split_last_chunk::<16>() else { return Self::Damaged };
        match body.split_first_chunk::<4>() {
            Some((MAGIC, [format, count @ ..])) if Fingerprint::of(body).0 == *check => {
                match count.try_into() {
                    Ok(count) if *format == FORMAT => Self::Confirmed(u64::from_be_bytes(count)),
                    Ok(_) | Err(_) => Self::Foreign(*format),
                }
            }
            Some(_) | None => Self::Damaged,
        }
    }
}

/// Notes in the head that `commits` of them were confirmed.
pub(super) fn confirm(file: &File, commits: u64) -> io::Result<()> {
    file.write_all_at(&encoded(FORMAT, commits), 0)
}

pub(super) fn encoded(format: u8, commits: u64) -> Vec<u8> {
    let body = [&MAGIC[..], &[format], &commits.to_be_bytes()].concat();
    [&body[..], &Fingerprint::of(&body).0].concat()
}

/// What lies behind the head, which is redb's. Whoever makes one holds the lock of the file.
#[derive(Debug)]
pub(super) struct Body(pub(super) Arc<File>);

impl StorageBackend for Body {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len().saturating_sub(BODY_AT))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(out, placed(offset)?)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(placed(len)?)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_all_at(data, placed(offset)?)
    }
}

/// An offset that a damaged file makes redb ask for may be any.
fn placed(offset: u64) -> io::Result<u64> {
    offset.checked_add(BODY_AT).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_what_was_written_or_damaged_when_any_bit_of_it_is_not() {
        let whole: [u8; LEN] = encoded(FORMAT, 0x0102).try_into().unwrap();
        assert_eq!(whole[..13], *b"weft\x05\0\0\0\0\0\0\x01\x02");
        assert_eq!(Head::decoded(&whole), Head::Confirmed(0x0102));
        for bit in 0..LEN * 8 {
            let mut flipped = whole;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Head::decoded(&flipped), Head::Damaged, "bit {bit}");
        }
    }
}
