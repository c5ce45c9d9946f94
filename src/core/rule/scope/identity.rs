//! The hash of what is a hash already.

use std::hash::{BuildHasherDefault, Hasher};

/// Symbols are hashes of text, so tables over them use them as they are. The order of such a table decides nothing.
pub type SymbolHash = BuildHasherDefault<Identity>;

#[derive(Clone, Copy, Debug, Default)]
pub struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}
