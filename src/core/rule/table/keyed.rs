//! The table of a rule's subjects: one hash lookup per event, states side by side, changes remembered for the next
//! checkpoint, and a sweep that visits a few subjects at a time.

use crate::core::codec::{CorruptState, Reader, Sink, Writer};
use crate::core::event::Symbol;

use super::index::Index;

/// What a table holds per subject.
pub trait State: Default {
    /// Changes whenever what [`State::encode`] writes changes its meaning.
    const VERSION: u8;

    fn encode(&self, to: &mut Writer<'_>);

    fn decode(from: &mut Reader<'_>) -> Result<Self, CorruptState>;

    /// Bytes held besides the state itself.
    fn heap_bytes(&self) -> usize;
}

/// What a visit of [`Table::sweep`] has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    Unchanged,
    Changed,
    /// No event can concern this subject any more.
    Forget,
}

/// Subjects by key. Keys are hashes already and serve as such.
#[derive(Debug)]
pub struct Table<S> {
    index: Index,
    slots: Vec<Slot<S>>,
    free: Vec<u32>,
    /// Slots that changed since the last checkpoint.
    dirty: Bits,
    /// Slots whose key the last checkpoint knows, so that its end must be told.
    stored: Bits,
    gone: Vec<Symbol>,
    cursor: usize,
    /// What sweeping owes for changes since the last sweep, in eighths of a visit.
    owed: usize,
    heap_seen: usize,
    heap_bytes: usize,
}

#[derive(Debug)]
struct Slot<S> {
    /// [`Symbol::MISSING`] while the slot is free.
    key: Symbol,
    state: S,
}

impl<S: State> Default for Table<S> {
    fn default() -> Self {
        Self {
            index: Index::default(),
            slots: Vec::new(),
            free: Vec::new(),
            dirty: Bits::default(),
            stored: Bits::default(),
            gone: Vec::new(),
            cursor: 0,
            owed: 0,
            heap_seen: 0,
            heap_bytes: 0,
        }
    }
}

impl<S: State> Table<S> {
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The slot of a subject. It stays the subject's until it is removed.
    pub fn find(&self, key: Symbol) -> Option<u32> {
        self.index.find(key, |slot| key_of(&self.slots, slot) == key)
    }

    pub fn get(&self, key: Symbol) -> Option<&S> {
        self.find(key).and_then(|slot| self.at(slot))
    }

    /// The state of a subject, to be changed.
    pub fn get_mut(&mut self, key: Symbol) -> Option<&mut S> {
        let slot = self.find(key)?;
        self.change(slot)
    }

    pub fn at(&self, slot: u32) -> Option<&S> {
        self.slots.get(slot as usize).map(|slot| &slot.state)
    }

    pub fn key_at(&self, slot: u32) -> Symbol {
        key_of(&self.slots, slot)
    }

    /// The state in a slot, to be changed in what a checkpoint holds of it.
    pub fn change(&mut self, slot: u32) -> Option<&mut S> {
        self.dirty.set(slot as usize);
        self.slots.get_mut(slot as usize).map(|slot| &mut slot.state)
    }

    /// The state in a slot, to be changed only in what no checkpoint holds (links, caches).
    pub fn touch(&mut self, slot: u32) -> Option<&mut S> {
        self.slots.get_mut(slot as usize).map(|slot| &mut slot.state)
    }

    /// The slot of a subject, a new one if it is not known; and whether it is new. Marks it as changed.
    pub fn find_or_insert(&mut self, key: Symbol) -> (u32, bool) {
        if let Some(slot) = self.find(key) {
            self.dirty.set(slot as usize);
            self.owed += 1;
            return (slot, false);
        }
        let Self { slots, free, dirty, stored, .. } = self;
        let slot = free.pop().unwrap_or_else(|| {
            if slots.len() == slots.capacity() {
                // Room that is not used is a part of what a subject costs: an eighth, not as much again.
                slots.reserve_exact((slots.len() / 8).max(4));
            }
            slots.push(Slot { key: Symbol::MISSING, state: S::default() });
            dirty.grow(slots.len());
            stored.grow(slots.len());
            (slots.len() - 1) as u32
        });
        if let Some(slot) = slots.get_mut(slot as usize) {
            slot.key = key;
        }
        dirty.set(slot as usize);
        self.index.insert(key, slot);
        self.owed += 16;
        (slot, true)
    }

    pub fn remove(&mut self, key: Symbol) -> Option<S> {
        let slot = self.find(key)?;
        self.index.remove(key, slot);
        self.dirty.clear(slot as usize);
        if self.stored.clear(slot as usize) {
            self.gone.push(key);
        }
        self.free.push(slot);
        let slot = self.slots.get_mut(slot as usize)?;
        slot.key = Symbol::MISSING;
        Some(std::mem::take(&mut slot.state))
    }

    /// Visits the next slots, and begins again after the last one: at least so many, two for each subject that is new
    /// since the last sweep (so that what goes keeps pace with what comes), and one for eight changes.
    pub fn sweep(&mut self, least: usize, mut visit: impl FnMut(Symbol, &mut S) -> Keep) {
        let visits = least + std::mem::take(&mut self.owed) / 8;
        for _ in 0..visits.min(self.slots.len()) {
            let position = self.cursor;
            let mut forget = None;
            if let Some(slot) = self.slots.get_mut(position)
                && slot.key != Symbol::MISSING
            {
                match visit(slot.key, &mut slot.state) {
                    Keep::Unchanged => {}
                    Keep::Changed => self.dirty.set(position),
                    Keep::Forget => forget = Some(slot.key),
                }
                self.heap_seen += slot.state.heap_bytes();
            }
            if let Some(key) = forget {
                self.remove(key);
            }
            self.cursor += 1;
            if self.cursor >= self.slots.len() {
                self.cursor = 0;
                self.heap_bytes = std::mem::take(&mut self.heap_seen);
            }
        }
    }

    /// Bytes held: exact for the table, as of the last full sweep for what its states hold besides.
    pub fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Slot<S>>()
            + self.index.bytes()
            + self.free.capacity() * size_of::<u32>()
            + self.gone.capacity() * size_of::<Symbol>()
            + self.dirty.bytes()
            + self.stored.bytes()
            + self.heap_bytes
    }

    /// Hands out what changed, under keys that begin with `tag`, in the order of the slots.
    pub fn drain_changes(&mut self, tag: u8, sink: Sink<'_>) {
        for key in std::mem::take(&mut self.gone) {
            if self.find(key).is_none() {
                sink(&record_key(tag, key), None);
            }
        }
        let mut value = Vec::new();
        let Self { slots, dirty, stored, .. } = self;
        dirty.drain(|position| {
            let Some(slot) = slots.get(position).filter(|slot| slot.key != Symbol::MISSING) else { return };
            value.clear();
            value.push(S::VERSION);
            slot.state.encode(&mut Writer(&mut value));
            sink(&record_key(tag, slot.key), Some(&value));
            stored.set(position);
        });
    }

    /// Puts back one record of a checkpoint (`key` without its tag) and returns the slot.
    pub fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<u32, CorruptState> {
        let mut reader = Reader(key);
        let key = reader.symbol()?;
        reader.end()?;
        let mut reader = Reader(value);
        if reader.byte()? != S::VERSION {
            return Err(CorruptState);
        }
        let state = S::decode(&mut reader)?;
        reader.end()?;
        let (position, _) = self.find_or_insert(key);
        self.heap_bytes += state.heap_bytes();
        if let Some(slot) = self.slots.get_mut(position as usize) {
            slot.state = state;
        }
        self.dirty.clear(position as usize);
        self.stored.set(position as usize);
        Ok(position)
    }

    /// Every subject, in no meaningful order.
    pub fn iter(&self) -> impl Iterator<Item = (Symbol, &S)> {
        self.slots.iter().filter(|slot| slot.key != Symbol::MISSING).map(|slot| (slot.key, &slot.state))
    }
}

fn key_of<S>(slots: &[Slot<S>], slot: u32) -> Symbol {
    slots.get(slot as usize).map_or(Symbol::MISSING, |slot| slot.key)
}

/// The key of a subject in a checkpoint.
fn record_key(tag: u8, key: Symbol) -> [u8; 9] {
    let mut bytes = [tag; 9];
    if let Some(rest) = bytes.last_chunk_mut::<8>() {
        *rest = key.0.to_le_bytes();
    }
    bytes
}

/// One bit per slot, apart from the slots so that setting one seldom touches memory that is not in a cache.
#[derive(Debug, Default)]
struct Bits(Vec<u64>);

impl Bits {
    fn grow(&mut self, slots: usize) {
        if self.0.len() * 64 < slots {
            self.0.push(0);
        }
    }

    fn set(&mut self, position: usize) {
        if let Some(word) = self.0.get_mut(position / 64) {
            *word |= 1 << (position % 64);
        }
    }

    /// Clears a bit and returns what it was.
    fn clear(&mut self, position: usize) -> bool {
        let Some(word) = self.0.get_mut(position / 64) else { return false };
        let bit = 1 << (position % 64);
        let was = *word & bit != 0;
        *word &= !bit;
        was
    }

    /// Clears all bits and visits those that were set, in order.
    fn drain(&mut self, mut visit: impl FnMut(usize)) {
        for (position, word) in self.0.iter_mut().enumerate() {
            let mut rest = std::mem::take(word);
            while rest != 0 {
                visit(position * 64 + rest.trailing_zeros() as usize);
                rest &= rest - 1;
            }
        }
    }

    fn bytes(&self) -> usize {
        self.0.capacity() * size_of::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(Debug, Default, PartialEq)]
    struct Count(u64);

    impl State for Count {
        const VERSION: u8 = 1;

        fn encode(&self, to: &mut Writer<'_>) {
            to.unsigned(self.0);
        }

        fn decode(from: &mut Reader<'_>) -> Result<Self, CorruptState> {
            from.unsigned().map(Self)
        }

        fn heap_bytes(&self) -> usize {
            0
        }
    }

    fn checkpoint(table: &mut Table<Count>, into: &mut BTreeMap<Vec<u8>, Vec<u8>>) -> usize {
        let mut records = 0;
        table.drain_changes(b's', &mut |key, value| {
            records += 1;
            match value {
                Some(value) => drop(into.insert(key.to_vec(), value.to_vec())),
                None => assert!(into.remove(key).is_some(), "the end of a key that was never told of"),
            }
        });
        records
    }

    fn restored(from: &BTreeMap<Vec<u8>, Vec<u8>>) -> BTreeMap<Symbol, u64> {
        let mut table = Table::<Count>::default();
        for (key, value) in from {
            assert_eq!(key[0], b's');
            table.restore(&key[1..], value).unwrap();
        }
        let mut again = BTreeMap::new();
        assert_eq!(checkpoint(&mut table, &mut again), 0, "what was restored has not changed");
        table.iter().map(|(key, count)| (key, count.0)).collect()
    }

    #[test]
    fn it_agrees_with_a_plain_map_and_so_does_every_checkpoint() {
        let mut table = Table::<Count>::default();
        let mut plain = BTreeMap::new();
        let mut stored = BTreeMap::new();
        let mut random = 1_u64;
        for step in 0..20_000_u64 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let key = Symbol((random >> 33) % 300 + 1);
            match random >> 60 {
                0..=9 => {
                    let (slot, new) = table.find_or_insert(key);
                    assert_eq!(new, !plain.contains_key(&key));
                    table.change(slot).unwrap().0 = step;
                    plain.insert(key, step);
                }
                10..=12 => assert_eq!(table.remove(key).map(|count| count.0), plain.remove(&key)),
                13 => assert_eq!(table.get(key).map(|count| count.0), plain.get(&key).copied()),
                14 => table.sweep(10, |_, count| {
                    if count.0 % 5 == 0 {
                        return Keep::Forget;
                    }
                    Keep::Unchanged
                }),
                _ => {
                    checkpoint(&mut table, &mut stored);
                    assert_eq!(restored(&stored).len(), table.len());
                }
            }
            if random >> 60 == 14 {
                plain = table.iter().map(|(key, count)| (key, count.0)).collect();
            }
            assert_eq!(table.len(), plain.len());
        }
        checkpoint(&mut table, &mut stored);
        assert_eq!(restored(&stored), plain);
        assert!(plain.len() > 100);
    }

    #[test]
    fn only_what_changed_is_handed_out() {
        let mut table = Table::<Count>::default();
        let mut stored = BTreeMap::new();
        (1..=1_000).for_each(|key| assert!(table.find_or_insert(Symbol(key)).1));
        assert_eq!(checkpoint(&mut table, &mut stored), 1_000);
        table.get_mut(Symbol(7)).unwrap().0 = 1;
        table.remove(Symbol(8));
        table.find_or_insert(Symbol(2_000));
        table.remove(Symbol(2_000));
        assert_eq!(checkpoint(&mut table, &mut stored), 2, "one changed, one gone, one never told of");
        assert_eq!(checkpoint(&mut table, &mut stored), 0);
    }

    #[test]
    fn a_sweep_visits_a_bounded_number_and_comes_round() {
        let mut table = Table::<Count>::default();
        (1..=100).for_each(|key| assert!(table.find_or_insert(Symbol(key)).1));
        table.sweep(0, |_, _| Keep::Unchanged);
        let mut visited = BTreeMap::new();
        for _ in 0..10 {
            let mut visits = 0;
            table.sweep(10, |key, _| {
                visits += 1;
                *visited.entry(key).or_insert(0) += 1;
                Keep::Unchanged
            });
            assert_eq!(visits, 10);
        }
        assert_eq!(visited.len(), 100);
        table.sweep(1_000, |_, _| Keep::Forget);
        assert!(table.is_empty());
    }

    #[test]
    fn slots_are_used_again() {
        let mut table = Table::<Count>::default();
        for key in 1..=100_000_u64 {
            table.find_or_insert(Symbol(key));
            if key > 10 {
                table.remove(Symbol(key - 10));
            }
        }
        assert!(table.bytes() < 2_000, "{} bytes for {} subjects", table.bytes(), table.len());
    }

    #[test]
    fn damage_is_refused() {
        let mut table = Table::<Count>::default();
        let key = 7_u64.to_le_bytes();
        assert_eq!(table.restore(&key, &[1, 5]), Ok(0));
        for (key, value) in
            [(&key[..7], &[1, 5][..]), (&key, &[]), (&key, &[2, 5]), (&key, &[1]), (&key, &[1, 5, 5])]
        {
            assert_eq!(table.restore(key, value), Err(CorruptState));
        }
    }
}
