//! Where a key lies: eight bytes per entry, so that a lookup waits for memory once before it waits for the state.

use crate::core::event::Symbol;

/// Slots by key, with linear probing. An entry holds half of the key's hash, which alone decides its place, so that
/// neither growth nor removal looks at the slots.
#[derive(Debug, Default)]
pub struct Index {
    /// Half a hash, then the slot plus one; 0 is free. A power of two of them, or none.
    entries: Vec<u64>,
    filled: usize,
}

const FEWEST: usize = 8;

impl Index {
    /// The slot of a key, of which `is_its` says whether it is the key's own.
    pub fn find(&self, key: Symbol, is_its: impl Fn(u32) -> bool) -> Option<u32> {
        let half = half_hash(key);
        let mut position = self.home(half);
        loop {
            let entry = *self.entries.get(position)?;
            if entry == 0 {
                return None;
            }
            let slot = slot_of(entry);
            if half_of(entry) == half && is_its(slot) {
                return Some(slot);
            }
            position = self.after(position);
        }
    }

    /// Puts a key in that is not there yet.
    pub fn insert(&mut self, key: Symbol, slot: u32) {
        // Up to five eighths full, an absent key is recognised after four entries, half a cache line.
        if (self.filled + 1) * 8 > self.entries.len() * 5 {
            let larger = vec![0; (self.entries.len() * 2).max(FEWEST)];
            for entry in std::mem::replace(&mut self.entries, larger) {
                if entry != 0 {
                    self.place(entry);
                }
            }
        }
        self.place(u64::from(half_hash(key)) << 32 | (u64::from(slot) + 1));
        self.filled += 1;
    }

    /// Takes a key out; those behind it move up, so that no gap stands before them.
    pub fn remove(&mut self, key: Symbol, slot: u32) {
        let removed = u64::from(half_hash(key)) << 32 | (u64::from(slot) + 1);
        let mut gap = self.home(half_of(removed));
        while let Some(entry) = self.entries.get(gap).filter(|entry| **entry != removed) {
            if *entry == 0 {
                return;
            }
            gap = self.after(gap);
        }
        let mask = self.entries.len().wrapping_sub(1);
        let mut position = self.after(gap);
        while let Some(entry) = self.entries.get(position).copied().filter(|entry| *entry != 0) {
            let way = position.wrapping_sub(self.home(half_of(entry))) & mask;
            if way >= position.wrapping_sub(gap) & mask {
                self.set(gap, entry);
                gap = position;
            }
            position = self.after(position);
        }
        self.set(gap, 0);
        self.filled = self.filled.saturating_sub(1);
    }

    pub fn bytes(&self) -> usize {
        self.entries.capacity() * size_of::<u64>()
    }

    fn place(&mut self, entry: u64) {
        let mut position = self.home(half_of(entry));
        while self.entries.get(position).is_some_and(|other| *other != 0) {
            position = self.after(position);
        }
        self.set(position, entry);
    }

    fn set(&mut self, position: usize, entry: u64) {
        if let Some(place) = self.entries.get_mut(position) {
            *place = entry;
        }
    }

    /// Where an entry belongs: the upper bits of its half hash.
    fn home(&self, half: u32) -> usize {
        ((u64::from(half) * self.entries.len() as u64) >> 32) as usize
    }

    fn after(&self, position: usize) -> usize {
        (position + 1) & self.entries.len().wrapping_sub(1)
    }
}

/// Keys are hashes, but their bits may have been taken for other uses before.
fn half_hash(key: Symbol) -> u32 {
    (key.0.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as u32
}

const fn half_of(entry: u64) -> u32 {
    (entry >> 32) as u32
}

const fn slot_of(entry: u64) -> u32 {
    (entry as u32).wrapping_sub(1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn it_agrees_with_a_plain_map() {
        // Keys that are dense, keys that differ in their upper half only, and keys whose half hashes are equal.
        let inverse = 0xF1DE_83E1_9937_733D_u64;
        for stretch in [
            |key: u64| key,
            |key| key << 40,
            |key: u64| (((key % 50) << 32) | key).wrapping_mul(0xF1DE_83E1_9937_733D),
        ] {
            let (mut index, mut plain) = (Index::default(), BTreeMap::new());
            let mut random = 7_u64;
            for step in 0..20_000_u32 {
                random =
                    random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let key = Symbol(stretch((random >> 40) % 700));
                let found = index.find(key, |slot| plain.get(&key) == Some(&slot));
                assert_eq!(found, plain.get(&key).copied(), "step {step}");
                match found {
                    None => {
                        index.insert(key, step);
                        plain.insert(key, step);
                    }
                    Some(slot) if random >> 62 == 0 => {
                        index.remove(key, slot);
                        plain.remove(&key);
                    }
                    Some(_) => {}
                }
            }
            assert!(plain.len() > 200);
            for (key, slot) in &plain {
                assert_eq!(index.find(*key, |other| other == *slot), Some(*slot));
            }
            assert_eq!(index.filled, plain.len());
        }
        assert_eq!(inverse.wrapping_mul(0x9E37_79B9_7F4A_7C15), 1);
    }

    #[test]
    fn what_is_empty_or_emptied_finds_nothing() {
        let mut index = Index::default();
        assert_eq!(index.find(Symbol(1), |_| true), None);
        index.remove(Symbol(1), 0);
        for key in 0..1_000 {
            index.insert(Symbol(key), key as u32);
        }
        for key in 0..1_000 {
            index.remove(Symbol(key), key as u32);
        }
        assert_eq!(index.filled, 0);
        assert!(index.entries.iter().all(|entry| *entry == 0));
    }
}
