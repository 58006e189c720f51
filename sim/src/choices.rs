//! Where the generator's choices come from: a seed, or bytes that a fuzzer or proptest made up.

use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use std::fmt;

/// A stream of choices.
pub struct Choices(Source);

enum Source {
    Seeded(Box<ChaCha20Rng>),
    /// What is left of them, last first.
    Bytes(Vec<u8>),
}

impl fmt::Debug for Choices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Source::Seeded(_) => "Choices of a seed",
            Source::Bytes(_) => "Choices of bytes",
        })
    }
}

/// A child generator of `seed`, one per purpose.
pub fn rng_for(seed: u64, purpose: u64) -> ChaCha20Rng {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&purpose.to_le_bytes());
    ChaCha20Rng::from_seed(bytes)
}

impl Choices {
    /// Those that follow from a seed, without end.
    pub fn seeded(seed: u64) -> Self {
        Self(Source::Seeded(Box::new(rng_for(seed, u64::MAX))))
    }

    /// Those that follow from bytes; once they are used up, every choice is the first one. So
    /// shorter bytes are simpler worlds, which is how fuzzers and proptest shrink.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self(Source::Bytes(bytes.iter().rev().copied().collect()))
    }

    /// Whether no further choice can differ from the first one.
    pub const fn is_used_up(&self) -> bool {
        match &self.0 {
            Source::Seeded(_) => false,
            Source::Bytes(left) => left.is_empty(),
        }
    }

    /// A number below `below`; 0 when that is 0.
    pub fn below(&mut self, below: u64) -> u64 {
        match &mut self.0 {
            _ if below == 0 => 0,
            Source::Seeded(rng) => rng.next_u64() % below,
            Source::Bytes(left) => {
                // As many bytes as the number has, so that one byte of input is one small choice.
                let mut number = 0;
                let mut most = below - 1;
                while most > 0 {
                    number = number << 8 | u64::from(left.pop().unwrap_or(0));
                    most >>= 8;
                }
                number % below
            }
        }
    }

    /// Yes or no; no comes first.
    pub fn coin(&mut self) -> bool {
        self.below(2) == 1
    }

    /// An index of something that has `len` elements.
    pub fn index(&mut self, len: usize) -> usize {
        let below = u64::try_from(len).unwrap_or(u64::MAX);
        usize::try_from(self.below(below)).unwrap_or(0)
    }

    /// One of `of`, or `None` when that is empty.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        of.get(self.index(of.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_make_equal_choices() {
        let draw = |seed| {
            let mut choices = Choices::seeded(seed);
            [0; 8].map(|_| choices.below(1000))
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn bytes_are_used_one_for_each_small_choice_and_then_the_first_is_chosen() {
        let mut choices = Choices::from_bytes(&[7, 1, 2]);
        assert_eq!(choices.below(10), 7);
        assert_eq!(choices.below(65_536), 258);
        assert!(choices.is_used_up());
        assert_eq!(choices.below(10), 0);
    }
}
