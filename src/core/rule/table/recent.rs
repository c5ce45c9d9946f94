//! What ended or cleared lately, for keys that hold no state: so that a million healthy accounts cost no table
//! entries, and an event that arrives late still meets the success that came before it.

use std::collections::VecDeque;

use crate::core::codec::{CorruptState, Reader, Sink, Writer};
use crate::core::event::Symbol;
use crate::core::time::Time;

const VERSION: u8 = 1;
/// Marks in one record of a checkpoint: some 40 kB.
const CHUNK: usize = 4_096;
const FEWEST_CHAINS: usize = 1_024;
/// Marks that may wait for their links.
const MOST_UNLINKED: usize = 32;

/// Keys with the times at which they were marked, the newest arrivals up to a bound. Above it the oldest go, counted:
/// an event that is late by more than what is still remembered is then judged as if nothing had ended before it.
///
/// Marks lie in a ring in order of arrival, each linked to the one before it in the chain of its key's hash. The newest few
/// are linked together: each of them would wait for its chain to come from memory, and so they wait at the same time.
#[derive(Debug)]
pub struct Recent {
    marks: VecDeque<Mark>,
    chains: Vec<Chain>,
    /// The number of the first mark in the ring; numbers are never used twice.
    first: u64,
    /// Marks from this number on are in no chain yet.
    unlinked: u64,
    base: i64,
    newest: Time,
    most: usize,
    dropped: u64,
    /// Marks from this number on are not in a checkpoint yet.
    unstored: u64,
    /// The records of the checkpoint: first number and the one after the last.
    stored: VecDeque<(u64, u64)>,
    restored: Vec<(u64, Time, Symbol)>,
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    key: Symbol,
    /// Milliseconds since the base.
    offset: u32,
    /// How far back the one before it in its chain lies; 0: there is none.
    back: u32,
}

/// Keys whose hashes end alike.
#[derive(Clone, Copy, Debug)]
struct Chain {
    /// The low half of the number of the last mark.
    last: u32,
    /// A bit for each key that was ever in the chain while it was not empty: most keys that were not are told at once.
    seen: u32,
}

impl Recent {
    pub fn new(most: usize) -> Self {
        Self {
            marks: VecDeque::new(),
            chains: Vec::new(),
            first: 1,
            unlinked: 1,
            base: 0,
            newest: Time::MIN,
            most: most.max(1),
            dropped: 0,
            unstored: 1,
            stored: VecDeque::new(),
            restored: Vec::new(),
        }
    }

    /// The newest time ever marked: an event after it need not ask.
    pub fn newest(&self) -> Time {
        self.newest
    }

    pub fn len(&self) -> usize {
        self.marks.len() + self.restored.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many marks were given up at the bound.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The time from which on all marks are still there: at the bound that of the oldest one, as far as they came in order.
    pub fn reaches_back_to(&self) -> Time {
        if self.len() < self.most {
            return Time::MIN;
        }
        let restored = self.restored.iter().min().map(|(_, time, _)| *time);
        restored.or_else(|| self.marks.front().map(|mark| self.time_of(mark))).unwrap_or(Time::MIN)
    }

    /// Remembers a key. Marks before `settled` are forgotten on the way.
    pub fn mark(&mut self, key: Symbol, time: Time, settled: Time) {
        self.take_restored();
        self.forget(settled);
        if self.marks.len() >= self.most {
            self.marks.pop_front();
            self.first += 1;
            self.dropped += 1;
        }
        self.newest = self.newest.max(time);
        self.append(key, time);
    }

    /// The times at which a key was marked, the latest arrival first.
    pub fn times(&mut self, key: Symbol) -> impl Iterator<Item = Time> {
        self.take_restored();
        let known = &*self;
        let chain = known.chains.get(known.chain_of(key)).filter(|chain| chain.seen & bit_of(key) != 0);
        let mut at = chain.and_then(|chain| known.position_of(*chain));
        let linked = std::iter::from_fn(move || {
            let mark = known.marks.get(at?)?;
            at = at.and_then(|position| position.checked_sub(mark.back as usize)).filter(|_| mark.back != 0);
            Some(mark)
        });
        let unlinked = known.marks.range(known.linked()..).rev();
        unlinked.chain(linked).filter(move |mark| mark.key == key).map(|mark| known.time_of(mark))
    }

    /// Forgets marks before `settled`, as far as they lie at the old end of the ring.
    pub fn forget(&mut self, settled: Time) {
        while let Some(mark) = self.marks.front()
            && self.time_of(mark) < settled
        {
            self.marks.pop_front();
            self.first += 1;
        }
    }

    pub fn bytes(&self) -> usize {
        self.marks.capacity() * size_of::<Mark>() + self.chains.capacity() * size_of::<Chain>()
    }

    /// Hands out the marks since the last call in records of their own, whose keys begin with `tag`.
    pub fn drain_changes(&mut self, tag: u8, sink: Sink<'_>) {
        self.take_restored();
        while let Some((first, end)) = self.stored.front().copied()
            && end <= self.first
        {
            self.stored.pop_front();
            sink(&record_key(tag, first), None);
        }
        let mut value = Vec::new();
        let mut from = self.unstored.max(self.first);
        let end = self.first + self.marks.len() as u64;
        while from < end {
            let count = ((end - from) as usize).min(CHUNK);
            let start = (from - self.first) as usize;
            value.clear();
            let mut writer = Writer(&mut value);
            writer.byte(VERSION);
            writer.unsigned(count as u64);
            let mut before = 0;
            for mark in self.marks.range(start..start + count) {
                let time = self.time_of(mark).as_millis();
                writer.signed(time - before);
                writer.symbol(mark.key);
                before = time;
            }
            sink(&record_key(tag, from), Some(&value));
            self.stored.push_back((from, from + count as u64));
            from += count as u64;
        }
        self.unstored = end;
    }

    /// Puts back one record (`key` without its tag); records may come in any order.
    pub fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(), CorruptState> {
        let mut reader = Reader(key);
        let first = reader.symbol()?.0;
        reader.end()?;
        let mut reader = Reader(value);
        if reader.byte()? != VERSION {
            return Err(CorruptState);
        }
        let count = reader.count()?;
        let mut time = 0_i64;
        let mut number = first;
        for _ in 0..count {
            time = time.checked_add(reader.signed()?).ok_or(CorruptState)?;
            self.newest = self.newest.max(Time::from_millis(time));
            self.restored.push((number, Time::from_millis(time), reader.symbol()?));
            number = number.checked_add(1).ok_or(CorruptState)?;
        }
        reader.end()?;
        self.stored.push_back((first, number));
        Ok(())
    }

    /// Restored marks wait here until all of them are there.
    fn take_restored(&mut self) {
        if self.restored.is_empty() {
            return;
        }
        let mut restored = std::mem::take(&mut self.restored);
        restored.sort_unstable();
        self.stored.make_contiguous().sort_unstable();
        self.marks.clear();
        self.chains.clear();
        self.first = restored.first().map_or(1, |(number, ..)| *number);
        self.unlinked = self.first;
        for (_, time, key) in restored {
            self.append(key, time);
        }
        self.unstored = self.first + self.marks.len() as u64;
    }

    fn append(&mut self, key: Symbol, time: Time) {
        if self.marks.len() >= self.chains.len() {
            self.link_anew((2 * self.chains.len()).max(FEWEST_CHAINS));
        }
        let offset = self.offset_of(time);
        self.marks.push_back(Mark { key, offset, back: 0 });
        if self.marks.len() - self.linked() >= MOST_UNLINKED {
            self.link();
        }
    }

    /// How many marks at the front of the ring are linked.
    fn linked(&self) -> usize {
        self.unlinked.saturating_sub(self.first) as usize
    }

    /// Links what waits for it. Nothing here depends on what a chain holds but what is written: a branch that did would
    /// wait for each chain by itself.
    fn link(&mut self) {
        let first = self.first as u32;
        for position in self.linked()..self.marks.len() {
            let Some(key) = self.marks.get(position).map(|mark| mark.key) else { break };
            let chain = self.chain_of(key);
            let Some(chain) = self.chains.get_mut(chain) else { break };
            let before = chain.last.wrapping_sub(first);
            let is_there = before < position as u32;
            let back = if is_there { position as u32 - before } else { 0 };
            let seen = if is_there { chain.seen } else { 0 };
            *chain = Chain { last: first.wrapping_add(position as u32), seen: seen | bit_of(key) };
            if let Some(mark) = self.marks.get_mut(position) {
                mark.back = back;
            }
        }
        self.unlinked = self.first + self.marks.len() as u64;
    }

    fn chain_of(&self, key: Symbol) -> usize {
        key.0 as usize & (self.chains.len().wrapping_sub(1))
    }

    /// Where the last mark of a chain lies, unless it is forgotten.
    fn position_of(&self, chain: Chain) -> Option<usize> {
        // Numbers are compared modulo 2³², far more than the ring holds.
        let end = (self.first + self.marks.len() as u64) as u32;
        let age = end.wrapping_sub(chain.last) as usize;
        if age == 0 { None } else { self.marks.len().checked_sub(age) }
    }

    fn link_anew(&mut self, chains: usize) {
        self.chains.clear();
        let first = self.first as u32;
        // The number before the first belongs to no mark.
        self.chains.resize(chains, Chain { last: first.wrapping_sub(1), seen: 0 });
        self.unlinked = self.first;
        self.link();
    }

    fn time_of(&self, mark: &Mark) -> Time {
        Time::from_millis(self.base + i64::from(mark.offset))
    }

    /// The time as it is kept. The base moves when a time is too far from it; what then lies more than 49 days before
    /// the newest is kept as if it were 49 days.
    fn offset_of(&mut self, time: Time) -> u32 {
        const FARTHEST: i64 = u32::MAX as i64;
        let millis = time.as_millis();
        if self.marks.is_empty() {
            self.base = millis.saturating_sub(FARTHEST / 2);
        } else if !(0..=FARTHEST).contains(&(millis - self.base)) {
            let oldest = self.marks.iter().map(|mark| self.time_of(mark)).min().unwrap_or(time).min(time);
            let base = oldest.as_millis().max(self.newest.as_millis() - FARTHEST);
            let moved = base - self.base;
            for mark in self.marks.iter_mut().filter(|_| moved != 0) {
                mark.offset = (i64::from(mark.offset) - moved).clamp(0, FARTHEST) as u32;
            }
            self.base = base;
        }
        (millis - self.base).clamp(0, FARTHEST) as u32
    }
}

fn bit_of(key: Symbol) -> u32 {
    1 << (key.0 >> 59)
}

fn record_key(tag: u8, number: u64) -> [u8; 9] {
    let mut bytes = [tag; 9];
    if let Some(rest) = bytes.last_chunk_mut::<8>() {
        *rest = number.to_le_bytes();
    }
    bytes
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn at(millis: i64) -> Time {
        Time::from_millis(1_790_000_000_000 + millis)
    }

    fn sorted(recent: &mut Recent, key: u64) -> Vec<Time> {
        let mut times: Vec<_> = recent.times(Symbol(key)).collect();
        times.sort_unstable();
        times
    }

    #[test]
    fn it_remembers_every_mark_until_it_is_settled() {
        let mut recent = Recent::new(1 << 20);
        let mut plain: Vec<(i64, u64)> = Vec::new();
        let mut random = 1_u64;
        for step in 0..30_000_i64 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // Some sixteen of them end alike, and begin differently.
            let key = (random >> 33) % 997;
            let key = (key % 61) | ((key / 61) << 59);
            let time = step * 10 - (random >> 20) as i64 % 5_000;
            let settled = step * 10 - 60_000;
            recent.mark(Symbol(key), at(time), at(settled));
            plain.push((time, key));
            if step % 100 == 0 {
                let mut expected: Vec<_> = plain
                    .iter()
                    .filter(|(time, other)| *other == key && *time >= settled)
                    .map(|(time, _)| at(*time))
                    .collect();
                expected.sort_unstable();
                let mut times = sorted(&mut recent, key);
                times.retain(|time| *time >= at(settled));
                assert_eq!(times, expected, "step {step}");
            }
        }
        assert!((5_900..7_000).contains(&recent.len()), "{}", recent.len());
        assert_eq!(recent.newest(), at(plain.iter().map(|(time, _)| *time).max().unwrap()));
        assert_eq!(recent.dropped(), 0);
    }

    #[test]
    fn at_its_bound_the_oldest_marks_go_and_are_counted() {
        let mut recent = Recent::new(100);
        (0..150).for_each(|key| recent.mark(Symbol(key + 1), at(key as i64), Time::MIN));
        assert_eq!((recent.len(), recent.dropped()), (100, 50));
        assert_eq!(sorted(&mut recent, 50), []);
        assert_eq!(sorted(&mut recent, 51), [at(50)]);
        assert_eq!(recent.reaches_back_to(), at(50));
        recent.forget(at(51));
        assert_eq!(recent.reaches_back_to(), Time::MIN, "what went before is not wanted any more");
    }

    #[test]
    fn times_months_apart_are_kept_apart() {
        let mut recent = Recent::new(100);
        let day = 86_400_000;
        (0..20).for_each(|month| recent.mark(Symbol(7), at(month * 30 * day), at((month - 1) * 30 * day)));
        assert_eq!(sorted(&mut recent, 7), [at(18 * 30 * day), at(19 * 30 * day)]);
    }

    #[test]
    fn a_checkpoint_holds_what_the_ring_holds() {
        let mut stored = BTreeMap::new();
        let mut recent = Recent::new(1 << 20);
        let mut next = 0_u64;
        for round in 0..30_i64 {
            for step in 0..1_000 {
                next += 1;
                recent.mark(Symbol(next % 500 + 1), at(round * 1_000 + step), at(round * 1_000 - 5_500));
            }
            recent.drain_changes(b'r', &mut |key, value| match value {
                Some(value) => drop(stored.insert(key.to_vec(), value.to_vec())),
                None => assert!(stored.remove(key).is_some()),
            });
            assert!(stored.len() <= 8, "records of forgotten marks go: {}", stored.len());
            let mut restored = Recent::new(1 << 20);
            for (key, value) in stored.iter().rev() {
                restored.restore(&key[1..], value).unwrap();
            }
            for key in [1, 2, 250, 499, 500] {
                let mut times = sorted(&mut restored, key);
                times.retain(|time| *time >= at(round * 1_000 - 5_000));
                let mut expected = sorted(&mut recent, key);
                expected.retain(|time| *time >= at(round * 1_000 - 5_000));
                assert_eq!(times, expected, "round {round}");
            }
            let mut again = 0;
            restored.drain_changes(b'r', &mut |_, value| again += usize::from(value.is_some()));
            assert_eq!(again, 0, "what was restored has not changed");
            if round % 7 == 3 {
                recent = restored;
            }
        }
    }
}
