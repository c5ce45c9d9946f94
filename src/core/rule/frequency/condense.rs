//! What becomes of a window that holds more than its bound: buckets for plain counts, the newest of each value for
//! distinct ones. Both say less than there was, never more.

use hashbrown::HashTable;

use crate::core::rule::table::Small;
use crate::core::time::Time;

use super::judge::Judge;
use super::window::{CONDENSED, Entry, FOUND, UNLESS, Window};

/// Windows are exact up to this many entries.
pub const EXACT: usize = 64;
/// How far a list may outgrow that before it is condensed, so that condensing is paid for by many events.
pub const SLACK: usize = 8;
/// The newest entries are never condensed.
const NEWEST: usize = 4;
/// A distinct count above this many values is not kept; rules that ask for more are refused when they load.
pub const MOST_DISTINCT: usize = 4_096;

impl Judge {
    pub fn condense(&mut self, window: &mut Window, settled: Time) {
        if window.entries.len() < self.most {
            return;
        }
        self.forget(window, settled);
        let most = self.most - SLACK + NEWEST;
        if window.entries.len() > most {
            if self.distinct {
                self.drop_repeated(&mut window.entries);
            } else {
                self.merge_into_buckets(&mut window.entries);
            }
        }
        if window.entries.len() > most {
            self.drop_oldest(&mut window.entries, most);
        }
    }

    /// Entries of one bucket become one at the earliest time among them, so that it never claims more than there was.
    /// What was found and what was not stay apart, so that the first finding of a stretch can still be withdrawn.
    fn merge_into_buckets(&self, entries: &mut Small<Entry, 3>) {
        let width = (self.window.as_millis() / EXACT as i64).max(1);
        let exact = entries.len() - NEWEST;
        let mut kept: usize = 0;
        for position in 0..entries.len() {
            let Some(entry) = entries.get(position).copied() else { break };
            let before = kept.checked_sub(1).and_then(|before| entries.get_mut(before));
            if let Some(before) = before
                && position < exact
                && before.is(UNLESS) == entry.is(UNLESS)
                && before.is(FOUND) == entry.is(FOUND)
                && before.time().as_millis().div_euclid(width) == entry.time().as_millis().div_euclid(width)
            {
                if entry.is(UNLESS) {
                    *before = entry;
                } else {
                    before.mark += entry.mark;
                    before.stamp |= CONDENSED;
                }
                continue;
            }
            if let Some(place) = entries.get_mut(kept) {
                *place = entry;
            }
            kept += 1;
        }
        entries.truncate(kept);
    }

    /// Of each distinct value the newest occurrence is enough for the present.
    fn drop_repeated(&mut self, entries: &mut Small<Entry, 3>) {
        self.values.clear();
        let mut repeated = Vec::new();
        for (position, entry) in entries.iter().enumerate().rev() {
            if !entry.is(UNLESS) && !self.values.insert(entry.mark) {
                repeated.push(position);
            }
        }
        let mut position = 0;
        entries.retain(|_| {
            let keep = repeated.last() != Some(&position);
            if !keep {
                repeated.pop();
            }
            position += 1;
            keep
        });
    }

    /// First what only an event out of order could need, then the far edge of the window itself.
    fn drop_oldest(&mut self, entries: &mut Small<Entry, 3>, most: usize) {
        let newest = entries.last().map_or(Time::MIN, |entry| entry.time());
        let outside = entries.partition_point(|entry| entry.time() <= newest - self.window);
        let dropped = outside.max(entries.len().saturating_sub(most));
        entries.drop_front(dropped);
        self.given_up += (dropped - outside) as u64;
        if let Some(first) = entries.first_mut().filter(|first| !first.is(UNLESS)) {
            first.stamp |= CONDENSED;
        }
    }
}

/// A set of values that is filled anew for each count.
#[derive(Debug, Default)]
pub struct DistinctValues {
    few: Vec<u64>,
    many: HashTable<u64>,
}

impl DistinctValues {
    /// Up to here comparing one by one is cheaper than a table.
    const FEW: usize = 32;

    pub fn clear(&mut self) {
        self.few.clear();
        self.many.clear();
    }

    pub fn insert(&mut self, value: u64) -> bool {
        if self.few.contains(&value) {
            return false;
        }
        if self.few.len() < Self::FEW {
            self.few.push(value);
            return true;
        }
        let entry = self.many.entry(value, |other| *other == value, |other| *other);
        let new = matches!(entry, hashbrown::hash_table::Entry::Vacant(_));
        entry.or_insert(value);
        new
    }
}
