//! `distinct`: an account counts once in every window that holds at least one of its events.
//!
//! What an appearance adds to the windows that its neighbours don't cover already is decided here. Of the appearances of
//! an account those are kept that a late event can still come next to: all since the settled step, and the last before it.

use hashbrown::HashMap;

use super::encoding::{key, open, start};
use super::identity::SymbolHash;
use super::steps::Steps;
use crate::core::codec::{CorruptState, Sink};
use crate::core::event::Symbol;

/// The table is cut into so many parts, of which one at a time is swept.
const PARTS: usize = 16;

const PRESENT: u32 = 1;
const OF: u32 = 2;
const UNSAVED: u32 = 4;
const SAVED_BEFORE: u32 = 8;
/// Bits of a step that are kept: 2²⁸ steps of at least a second are eight years, and all that is kept lies within a
/// window and the lateness of the present.
const STEP_SHIFT: u32 = 4;

/// Which windows an appearance adds its account to: from the first step until before the second.
pub type Cover = Option<(i64, i64)>;

/// One appearance: the low bits of its step, above the flags. The first of an account also carries the flags of storage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Packed(u32);

impl Packed {
    fn new(step: i64, of: bool) -> Self {
        Self((step as u32) << STEP_SHIFT | PRESENT | if of { OF } else { 0 })
    }

    /// The step, given one near it.
    fn step(self, near: i64) -> i64 {
        let distance = (self.0 & !0xF).wrapping_sub((near as u32) << STEP_SHIFT) as i32 >> STEP_SHIFT;
        near + i64::from(distance)
    }

    fn has(self, flag: u32) -> bool {
        self.0 & flag != 0
    }
}

/// The appearances of an account before one subject, oldest first: two in place, more on the side.
#[derive(Clone, Debug)]
enum Kept {
    Few([Packed; 2]),
    #[expect(
        clippy::box_collection,
        reason = "most accounts have one or two, and theirs is to take 16 bytes"
    )]
    Many(Box<Vec<Packed>>),
}

impl Kept {
    fn as_slice(&self) -> &[Packed] {
        match self {
            Self::Few(few) => few.get(..few.iter().filter(|one| one.has(PRESENT)).count()).unwrap_or(&[]),
            Self::Many(many) => many,
        }
    }

    fn first_mut(&mut self) -> Option<&mut Packed> {
        match self {
            Self::Few(few) => few.first_mut(),
            Self::Many(many) => many.first_mut(),
        }
    }

    fn store(&mut self, kept: &[Packed]) {
        match (&mut *self, kept) {
            (Self::Many(many), _) if kept.len() > 1 => {
                many.clear();
                many.extend_from_slice(kept);
            }
            (_, []) => *self = Self::Few([Packed::default(); 2]),
            (_, [one]) => *self = Self::Few([*one, Packed::default()]),
            (_, [one, two]) => *self = Self::Few([*one, *two]),
            (_, more) => *self = Self::Many(Box::new(more.to_vec())),
        }
    }
}

/// The recent appearances of all accounts before all subjects of one rule and shard.
#[derive(Debug)]
pub struct Appearances {
    steps: Steps,
    parts: [HashMap<u64, Kept, SymbolHash>; PARTS],
    /// New entries until the next part is swept, and which part that is.
    until_sweep: usize,
    next_part: usize,
    /// Stored entries that are gone since the last checkpoint.
    removed: Vec<u64>,
    scratch: Vec<Packed>,
}

impl Appearances {
    pub fn new(steps: Steps) -> Self {
        Self {
            steps,
            parts: std::array::from_fn(|_| HashMap::default()),
            until_sweep: 1_024,
            next_part: 0,
            removed: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// Adds an appearance and says which windows now hold the account that didn't before: among all, and among those
    /// for which `of` holds.
    pub fn add(
        &mut self,
        subject: Symbol,
        account: Symbol,
        step: i64,
        of: bool,
        settled: i64,
    ) -> (Cover, Cover) {
        let identity = subject.with(account).0;
        let Some(part) = self.parts.get_mut(part_of(identity)) else { return (None, None) };
        let known = part.len();
        let kept = part.entry(identity).or_insert(Kept::Few([Packed::default(); 2]));
        let flags = kept.as_slice().first().map_or(UNSAVED, |first| first.0 & SAVED_BEFORE | UNSAVED);
        let list = &mut self.scratch;
        list.clear();
        list.extend(kept.as_slice().iter().map(|one| Packed(one.0 & !(UNSAVED | SAVED_BEFORE))));

        let among = cover(self.steps, list.iter().copied(), step);
        let of_cover =
            if of { cover(self.steps, list.iter().copied().filter(|one| one.has(OF)), step) } else { None };
        let position = list.partition_point(|one| one.step(step) < step);
        match list.get_mut(position) {
            Some(same) if same.step(step) == step => same.0 |= if of { OF } else { 0 },
            _ => list.insert(position, Packed::new(step, of)),
        }
        prune(list, step, settled);
        if let Some(first) = list.first_mut() {
            first.0 |= flags;
        }
        kept.store(list);
        if part.len() > known {
            self.until_sweep = self.until_sweep.saturating_sub(1);
        }
        if self.until_sweep == 0 {
            self.sweep_part(step, settled);
        }
        (among, of_cover)
    }

    /// Sweeps one part; called once for as many new entries as a part has, so that it costs O(1) for each.
    fn sweep_part(&mut self, near: i64, settled: i64) {
        let Some(part) = self.parts.get_mut(self.next_part) else { return };
        let (steps, removed) = (self.steps, &mut self.removed);
        part.retain(|identity, kept| {
            let list = kept.as_slice();
            let gone = list.last().is_none_or(|last| steps.exit(last.step(near)) <= settled);
            if gone && list.first().is_some_and(|first| first.has(SAVED_BEFORE)) {
                removed.push(*identity);
            }
            !gone
        });
        self.until_sweep = part.len().max(1_024);
        if part.capacity() > 4 * part.len().max(256) {
            part.shrink_to_fit();
        }
        self.next_part = (self.next_part + 1) % PARTS;
    }

    pub fn len(&self) -> usize {
        self.parts.iter().map(HashMap::len).sum()
    }

    pub fn bytes(&self) -> usize {
        self.parts.iter().map(HashMap::allocation_size).sum()
    }

    /// Hands out what changed since the last call.
    pub fn drain_changes(&mut self, tag: u8, near: i64, buffer: &mut Vec<u8>, sink: Sink<'_>) {
        for identity in self.removed.drain(..) {
            let back = self.parts.get(part_of(identity)).is_some_and(|part| part.contains_key(&identity));
            if !back {
                sink(&key(tag, identity), None);
            }
        }
        for (identity, kept) in self.parts.iter_mut().flatten() {
            let Some(first) = kept.first_mut().filter(|first| first.has(UNSAVED)) else { continue };
            first.0 = first.0 & !UNSAVED | SAVED_BEFORE;
            let mut writer = start(buffer);
            let list = kept.as_slice();
            writer.unsigned(list.len() as u64);
            for one in list {
                writer.signed(one.step(near) << 1 | i64::from(one.has(OF)));
            }
            sink(&key(tag, *identity), Some(buffer));
        }
    }

    pub fn restore(&mut self, identity: u64, value: &[u8]) -> Result<(), CorruptState> {
        let mut reader = open(value)?;
        let mut list = Vec::new();
        for _ in 0..reader.count()? {
            let number = reader.signed()?;
            list.push(Packed::new(number >> 1, number & 1 == 1));
        }
        reader.end()?;
        if let Some(first) = list.first_mut() {
            first.0 |= SAVED_BEFORE;
        }
        let mut kept = Kept::Few([Packed::default(); 2]);
        kept.store(&list);
        if let Some(part) = self.parts.get_mut(part_of(identity)) {
            part.insert(identity, kept);
        }
        Ok(())
    }
}

fn part_of(identity: u64) -> usize {
    (identity >> 32) as usize % PARTS
}

/// What an appearance at `step` covers that its neighbours don't.
fn cover(steps: Steps, appearances: impl Iterator<Item = Packed>, step: i64) -> Cover {
    let (mut previous, mut next) = (None, None);
    for other in appearances.map(|one| one.step(step)) {
        if other == step {
            return None;
        }
        if other < step {
            previous = Some(other);
        } else {
            next = Some(other);
            break;
        }
    }
    let from = previous.map_or(step, |previous| steps.exit(previous).max(step));
    let until = next.map_or(steps.exit(step), |next| steps.exit(step).min(next));
    (from < until).then_some((from, until))
}

/// Drops the appearances that no event can come next to: before the settled step all but the last, and of those for which
/// `of` holds all but their last.
fn prune(list: &mut Vec<Packed>, near: i64, settled: i64) {
    if list.len() < 3 {
        return;
    }
    let before = list.partition_point(|one| one.step(near) < settled);
    let last_of = list.iter().take(before).rposition(|one| one.has(OF));
    let mut position = 0;
    list.retain(|_| {
        position += 1;
        position >= before || Some(position - 1) == last_of
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::rule::scope::steps::Edge;
    use crate::core::time::Span;

    const SUBJECT: Symbol = Symbol(3);

    fn appearances() -> Appearances {
        Appearances::new(Steps::new(Span::from_mins(1), Edge::Through))
    }

    #[test]
    fn an_appearance_covers_what_its_neighbours_do_not() {
        let mut appearances = appearances();
        let mut add = |step, of| appearances.add(SUBJECT, Symbol(1), step, of, 0);
        assert_eq!(add(100, false), (Some((100, 160)), None));
        assert_eq!(add(100, false), (None, None), "the same step again");
        assert_eq!(add(130, true), (Some((160, 190)), Some((130, 190))));
        assert_eq!(add(110, true), (None, Some((110, 130))), "between two that cover it");
        assert_eq!(add(300, false), (Some((300, 360)), None), "long after");
        assert_eq!(add(270, true), (Some((270, 300)), Some((270, 330))), "late, before another");
        assert_eq!(add(100, true), (None, Some((100, 110))), "the same step, and now it fails");
    }

    #[test]
    fn accounts_and_subjects_do_not_cover_each_other() {
        let mut appearances = appearances();
        for (subject, account) in [(1, 1), (1, 2), (2, 1)] {
            let (among, _) = appearances.add(Symbol(subject), Symbol(account), 100, false, 0);
            assert_eq!(among, Some((100, 160)), "{account} before {subject}");
        }
    }

    #[test]
    fn what_no_late_event_can_come_next_to_is_forgotten() {
        let mut appearances = appearances();
        for step in 0..100_000 {
            appearances.add(SUBJECT, Symbol(7), step, step % 3 == 0, step - 20);
        }
        let kept = appearances.parts.iter().flatten().map(|(_, kept)| kept.as_slice().len()).max();
        assert_eq!(
            kept,
            Some(22),
            "twenty that are open, the last before them, and the last of them that failed"
        );
    }

    #[test]
    fn accounts_that_are_seen_no_more_are_swept_as_new_ones_come() {
        let mut appearances = appearances();
        for account in 0..400_000i64 {
            let step = account / 100;
            appearances.add(
                SUBJECT,
                Symbol((account as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)),
                step,
                false,
                step - 20,
            );
        }
        // A hundred new ones a step, each of use for eighty steps.
        assert!((8_000..24_000).contains(&appearances.len()), "{}", appearances.len());
        assert!(appearances.bytes() < 2_000_000, "{}", appearances.bytes());
    }

    #[test]
    fn steps_are_told_from_their_low_bits_by_what_is_near() {
        for (step, near) in [
            (0, 0),
            (-5, 7),
            (1 << 28, (1 << 28) + 100),
            (176_000_000, 175_999_000),
            ((1 << 28) - 1, 1 << 28),
        ] {
            assert_eq!(Packed::new(step, true).step(near), step, "{step} near {near}");
        }
    }
}
