//! One subject's sums over all shards, and the steps at which it fires.
//!
//! Per step the newest cumulative value of every shard is kept as long as it can change; what can't is folded into one
//! sum. The steps at which the rule's test holds are kept as intervals, again as long as they can change, so that a late
//! event re-judges the steps from its own on and nothing else.

use std::collections::VecDeque;

use super::Partial;
use super::catalog::STRETCHES;
use super::encoding::{number, read_subject, write_subject};
use super::held::{Frame, Held};
use super::onset::Seen;
use super::ratio::Counts;
use super::summed::Summed;
use crate::core::codec::{CorruptState, Reader, Writer};
use crate::core::effect::Subject;
use crate::core::event::Symbol;
use crate::core::rule::samples::Reading;

/// What one shard, or all of them together, say of one step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sums {
    among: i32,
    of: i32,
    seen: u32,
    seen_of: u32,
}

#[derive(Clone, Debug)]
struct Cell {
    step: i64,
    total: Sums,
    shards: Vec<(u32, Sums)>,
}

/// Steps at which the subject fires: from the first until before the second ([`i64::MAX`]: nothing that is known ends it).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Firing {
    from: i64,
    until: i64,
}

/// When a subject may be judged: stretches of steps, each from the first until before the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgeable([Option<(i64, i64)>; STRETCHES]);

impl Default for Judgeable {
    fn default() -> Self {
        Self::one(i64::MIN, i64::MAX)
    }
}

impl Judgeable {
    pub fn one(from: i64, until: i64) -> Self {
        Self::of([Some((from, until)), None, None, None])
    }

    pub const fn of(stretches: [Option<(i64, i64)>; STRETCHES]) -> Self {
        Self(stretches)
    }

    fn holds(self, step: i64) -> bool {
        self.0.iter().flatten().any(|(from, until)| (*from..*until).contains(&step))
    }

    /// The first step after this one at which it begins or ends.
    fn edge_after(self, step: i64) -> Option<i64> {
        let edges = self.0.into_iter().flatten().flat_map(|(from, until)| [from, until]);
        edges.filter(|edge| *edge > step && *edge < i64::MAX).min()
    }
}

#[derive(Clone, Debug)]
pub struct Aggregate {
    pub symbol: Symbol,
    pub group: u8,
    pub fields: Subject,
    /// The subjects of the rule's wider slices that hold this one, narrowest first.
    pub wider: Vec<Symbol>,
    /// Which of the rule's limits it has.
    pub limit: usize,
    /// The step at which its first event entered; [`None`] until there is one.
    pub first: Option<i64>,
    /// What was so before a silence after which it counts as new: its first step and its last. A late event may show that
    /// there was none.
    before_silence: Option<(i64, i64)>,
    /// The last step at which anything changes.
    pub last: i64,
    /// The sum of everything up to `folded`.
    base: Counts,
    folded: i64,
    cells: VecDeque<Cell>,
    /// The events of folded steps, which may still show when trouble began.
    recent: VecDeque<Seen>,
    /// Through this step `firing` is up to date.
    pub evaluated: i64,
    firing: Vec<Firing>,
    /// The step at which it is looked at next.
    pub due: Option<i64>,
    pub unsaved: bool,
    pub saved_before: bool,
    /// Of kinds whose windows are summed up, what they hold.
    pub held: Option<Box<Held>>,
}

impl Aggregate {
    /// A subject without events, judged through `evaluated`, of which everything through `folded` is final.
    pub fn new(
        symbol: Symbol,
        group: u8,
        fields: Subject,
        (evaluated, folded): (i64, i64),
        frame: Option<Frame>,
    ) -> Self {
        Self {
            held: frame.map(Held::new).map(Box::new),
            symbol,
            group,
            fields,
            wider: Vec::new(),
            limit: 0,
            first: None,
            before_silence: None,
            last: evaluated,
            base: Counts::default(),
            folded,
            cells: VecDeque::new(),
            recent: VecDeque::new(),
            evaluated,
            firing: Vec::new(),
            due: None,
            unsaved: true,
            saved_before: false,
        }
    }

    /// Takes what a shard says of a step, in place of what it said before. Returns whether that changes anything; what is
    /// final already does not change. After a silence of more than `remembered` steps the subject is as good as new.
    pub fn merge(&mut self, shard: u32, partial: Partial<'_>, remembered: i64) -> bool {
        let Partial { step, among, of, seen, seen_of, part, .. } = partial;
        if step <= self.folded {
            return false;
        }
        if let Some(held) = &mut self.held {
            let changed = held.merge(shard, step, seen, part);
            self.unsaved |= changed;
            self.last = self.last.max(held.last_change(step));
            return changed;
        }
        let position = self.cells.partition_point(|cell| cell.step < step);
        if self.cells.get(position).is_none_or(|cell| cell.step != step) {
            self.cells.insert(position, Cell { step, total: Sums::default(), shards: Vec::new() });
        }
        let Some(cell) = self.cells.get_mut(position) else { return false };
        let new = Sums { among, of, seen, seen_of };
        let known = match cell.shards.iter_mut().find(|(known, _)| *known == shard) {
            Some((_, sums)) => std::mem::replace(sums, new),
            None => {
                cell.shards.push((shard, new));
                Sums::default()
            }
        };
        if known == new {
            return false;
        }
        cell.total.among += new.among - known.among;
        cell.total.of += new.of - known.of;
        cell.total.seen = (cell.total.seen + new.seen).saturating_sub(known.seen);
        cell.total.seen_of = (cell.total.seen_of + new.seen_of).saturating_sub(known.seen_of);
        if seen > 0 {
            self.first = Some(self.first_with(step, remembered));
        }
        self.last = self.last.max(step);
        self.unsaved = true;
        true
    }

    fn first_with(&mut self, step: i64, remembered: i64) -> i64 {
        let Some(first) = self.first else { return step };
        if step > self.last.saturating_add(remembered) {
            self.before_silence = Some((first, self.last));
            return step;
        }
        match self.before_silence {
            Some((earlier, last)) if step < first && step <= last.saturating_add(remembered) => {
                self.before_silence = None;
                earlier.min(step)
            }
            _ => first.min(step),
        }
    }

    /// What the window of a step holds. For a step that is not yet final.
    pub fn counts(&self, step: i64) -> Counts {
        let mut counts = self.base;
        for cell in self.cells.iter().take_while(|cell| cell.step <= step) {
            counts.among += i64::from(cell.total.among);
            counts.of += i64::from(cell.total.of);
        }
        counts
    }

    /// The events by step, later ones last.
    pub fn seen(&self) -> impl DoubleEndedIterator<Item = Seen> + Clone {
        let cells = self.cells.iter().filter(|cell| cell.total.seen > 0);
        let cells =
            cells.map(|cell| Seen { step: cell.step, among: cell.total.seen, of: cell.total.seen_of });
        self.recent.iter().copied().chain(cells)
    }

    /// The events of the steps from one through another.
    pub fn seen_between(&self, from: i64, through: i64) -> Counts {
        let seen = self.seen().filter(|seen| (from..=through).contains(&seen.step));
        seen.fold(Counts::default(), |sum, seen| Counts {
            among: sum.among + i64::from(seen.among),
            of: sum.of + i64::from(seen.of),
        })
    }

    /// Judges the steps after `evaluated` through `target`.
    pub fn evaluate(&mut self, target: i64, judgeable: Judgeable, fires: impl Fn(Counts) -> bool) {
        let start = self.evaluated + 1;
        if start > target {
            return;
        }
        self.reopen(start);
        let mut counts = self.counts(start);
        let mut cells = self.cells.iter().skip_while(|cell| cell.step <= start).peekable();
        let mut step = start;
        while step <= target {
            note(&mut self.firing, step, judgeable.holds(step) && fires(counts));
            let next_cell = cells.peek().map(|cell| cell.step);
            let Some(next) = judgeable.edge_after(step).into_iter().chain(next_cell).min() else { break };
            if next_cell == Some(next)
                && let Some(cell) = cells.next()
                && next <= target
            {
                counts.among += i64::from(cell.total.among);
                counts.of += i64::from(cell.total.of);
            }
            step = next;
        }
        self.evaluated = target;
        self.unsaved = true;
    }

    /// [`Aggregate::evaluate`] by what the windows come to.
    pub fn evaluate_summed(&mut self, target: i64, summed: &Summed) {
        let start = self.evaluated + 1;
        if start > target {
            return;
        }
        self.reopen(start);
        if let Some(held) = &self.held {
            let changes = held.changes(start).into_iter().take_while(|step| *step <= target);
            for step in std::iter::once(start).chain(changes) {
                let reading = summed.read(&held.tallies(summed.agg, step), held.limit_of);
                note(&mut self.firing, step, reading.holds);
            }
        }
        self.evaluated = target;
        self.unsaved = true;
    }

    /// What the windows of a step come to. For a step that is not yet final.
    pub fn reading(&self, step: i64, summed: &Summed) -> Reading {
        let held = self.held.as_ref();
        held.map_or_else(Reading::default, |held| summed.read(&held.tallies(summed.agg, step), held.limit_of))
    }

    /// Forgets at which steps from here on it fires.
    fn reopen(&mut self, start: i64) {
        self.firing.retain(|firing| firing.from < start);
        if let Some(last) = self.firing.last_mut() {
            last.until = last.until.min(start);
        }
    }

    /// The next step after `evaluated` at which anything may change.
    pub fn next_change(&self, judgeable: Judgeable) -> Option<i64> {
        if let Some(held) = &self.held {
            return held.changes(self.evaluated).first().copied();
        }
        let position = self.cells.partition_point(|cell| cell.step <= self.evaluated);
        let cell = self.cells.get(position).map(|cell| cell.step);
        judgeable.edge_after(self.evaluated).into_iter().chain(cell).min()
    }

    pub fn fires_at(&self, step: i64) -> bool {
        self.firing.iter().any(|firing| (firing.from..firing.until).contains(&step))
    }

    /// The first step after this one at which it fires.
    pub fn fires_next(&self, after: i64) -> Option<i64> {
        let later = self.firing.iter().filter(|firing| firing.until > after + 1);
        later.map(|firing| firing.from.max(after + 1)).min()
    }

    /// Makes final what no event can change any more, and forgets events further back than `remembered` steps.
    pub fn settle(&mut self, settled: i64, remembered: i64) {
        if let Some(held) = &mut self.held
            && let Some(folded) = held.settle(settled, self.evaluated)
        {
            self.folded = folded;
            self.unsaved = true;
        }
        while let Some(cell) =
            self.cells.pop_front_if(|cell| cell.step < settled && cell.step <= self.evaluated)
        {
            self.base.among += i64::from(cell.total.among);
            self.base.of += i64::from(cell.total.of);
            self.folded = cell.step;
            if cell.total.seen > 0 {
                self.recent.push_back(Seen {
                    step: cell.step,
                    among: cell.total.seen,
                    of: cell.total.seen_of,
                });
            }
            self.unsaved = true;
        }
        while self.recent.pop_front_if(|seen| seen.step < settled - remembered).is_some() {
            self.unsaved = true;
        }
        self.forget_firing(settled);
    }

    /// Forgets at which final steps it fired. Returns whether none is left.
    pub fn forget_firing(&mut self, settled: i64) -> bool {
        let known = self.firing.len();
        self.firing.retain(|firing| firing.until >= settled);
        self.unsaved |= self.firing.len() != known;
        self.firing.is_empty()
    }

    pub fn has_fired(&self) -> bool {
        !self.firing.is_empty()
    }

    /// Whether everything that it holds is final and over.
    pub fn is_over(&self, settled: i64) -> bool {
        let holds = self.held.as_ref().is_some_and(|held| !held.is_empty());
        self.cells.is_empty() && !holds && self.firing.is_empty() && self.last < settled
    }

    pub fn bytes(&self) -> usize {
        let shards: usize =
            self.cells.iter().map(|cell| cell.shards.capacity() * size_of::<(u32, Sums)>()).sum();
        size_of::<Self>()
            + self.held.as_ref().map_or(0, |held| held.bytes())
            + shards
            + self.cells.capacity() * size_of::<Cell>()
            + self.recent.capacity() * size_of::<Seen>()
    }

    pub fn write(&self, writer: &mut Writer<'_>) {
        writer.unsigned(self.group.into());
        write_subject(writer, &self.fields);
        writer.unsigned(u64::from(self.first.is_some()));
        for value in [self.first.unwrap_or_default(), self.last, self.base.among, self.base.of, self.folded] {
            writer.signed(value);
        }
        writer.unsigned(self.cells.len() as u64);
        let mut before = self.folded;
        for cell in &self.cells {
            writer.signed(cell.step.wrapping_sub(before));
            before = cell.step;
            writer.unsigned(cell.shards.len() as u64);
            for (shard, sums) in &cell.shards {
                writer.unsigned(u64::from(*shard));
                for value in [sums.among.into(), sums.of.into(), sums.seen.into(), sums.seen_of.into()] {
                    writer.signed(value);
                }
            }
        }
        writer.unsigned(self.recent.len() as u64);
        for seen in &self.recent {
            for value in [seen.step, seen.among.into(), seen.of.into()] {
                writer.signed(value);
            }
        }
        writer.signed(self.evaluated);
        writer.option(self.before_silence, |writer, (first, last)| {
            writer.signed(first);
            writer.signed(last);
        });
        writer.unsigned(self.firing.len() as u64);
        for firing in &self.firing {
            writer.signed(firing.from);
            writer.signed(firing.until);
        }
        if let Some(held) = &self.held {
            held.write(writer);
        }
    }

    pub fn read(symbol: Symbol, frame: Option<Frame>, reader: &mut Reader<'_>) -> Result<Self, CorruptState> {
        let group = u8::try_from(reader.unsigned()?).map_err(|_| CorruptState)?;
        let mut aggregate = Self::new(symbol, group, read_subject(reader)?, (0, 0), None);
        let started = reader.unsigned()? == 1;
        aggregate.first = Some(reader.signed()?).filter(|_| started);
        aggregate.last = reader.signed()?;
        aggregate.base = Counts { among: reader.signed()?, of: reader.signed()? };
        aggregate.folded = reader.signed()?;
        let mut before = aggregate.folded;
        for _ in 0..reader.count()? {
            let step = before.wrapping_add(reader.signed()?);
            before = step;
            let mut cell = Cell { step, total: Sums::default(), shards: Vec::new() };
            for _ in 0..reader.count()? {
                let shard = u32::try_from(reader.unsigned()?).map_err(|_| CorruptState)?;
                let (among, of) = (number(reader)?, number(reader)?);
                let sums = Sums { among, of, seen: number(reader)?, seen_of: number(reader)? };
                cell.total.among = cell.total.among.wrapping_add(sums.among);
                cell.total.of = cell.total.of.wrapping_add(sums.of);
                cell.total.seen = cell.total.seen.wrapping_add(sums.seen);
                cell.total.seen_of = cell.total.seen_of.wrapping_add(sums.seen_of);
                cell.shards.push((shard, sums));
            }
            aggregate.cells.push_back(cell);
        }
        for _ in 0..reader.count()? {
            let step = reader.signed()?;
            aggregate.recent.push_back(Seen { step, among: number(reader)?, of: number(reader)? });
        }
        aggregate.evaluated = reader.signed()?;
        aggregate.before_silence = reader.option(|reader| Ok((reader.signed()?, reader.signed()?)))?;
        for _ in 0..reader.count()? {
            aggregate.firing.push(Firing { from: reader.signed()?, until: reader.signed()? });
        }
        aggregate.held = frame.map(|frame| Held::read(frame, reader)).transpose()?.map(Box::new);
        aggregate.unsaved = false;
        aggregate.saved_before = true;
        Ok(aggregate)
    }
}

/// Notes whether it fires at a step, after all steps before it.
fn note(firing: &mut Vec<Firing>, step: i64, fires: bool) {
    match firing.last_mut() {
        Some(last) if fires && last.until >= step => last.until = i64::MAX,
        Some(last) if last.until == i64::MAX && !fires => last.until = step,
        _ if fires => firing.push(Firing { from: step, until: i64::MAX }),
        _ => {}
    }
}
