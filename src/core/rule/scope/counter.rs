//! The shard's side of a rule that spans partitions: counts what the rule counts, for every slice, and hands sums over
//! to the owner of the aggregates.

use hashbrown::HashMap;
use rust_decimal::Decimal;

use super::appearances::Appearances;
use super::cells::Cells;
use super::encoding::{key, open, parse_key, read_subject, start, write_subject};
use super::identity::SymbolHash;
use super::part::Keeps;
use super::steps::Steps;
use super::summed::Sampling;
use super::symptoms::Symptoms;
use super::{Expected, Partial, edge_of, slice_key, subject_fields};
use crate::core::calendar::Measure;
use crate::core::codec::{CorruptState, Sink};
use crate::core::effect::Subject;
use crate::core::event::{Event, Facts, Symbol, TextField, TypeSet};
use crate::core::rule::condition::Condition;
use crate::core::rule::verdict::Moment;
use crate::core::rule::{Detect, Rule, cardinality, metric};
use crate::core::time::{Span, Time};

/// More subjects than this are not counted in a slice, and that is counted.
const MOST_SUBJECTS: usize = 100_000;
/// So many subjects are looked at in one sweep.
const SWEPT_AT_ONCE: usize = 256;

const SUBJECT: u8 = 1;
const ACCOUNT: u8 = 2;
const SYMPTOM: u8 = 3;

/// The counts of one rule in one shard.
#[derive(Debug)]
pub struct ScopeCounter {
    counted: Counted,
    groups: Vec<Vec<TextField>>,
    steps: Steps,
    /// In whose time the window is measured.
    calendar: Option<Measure>,
    symptoms_kept: Span,
    subjects: HashMap<Symbol, u32, SymbolHash>,
    slots: Vec<Option<Slot>>,
    free: Vec<u32>,
    /// Slots with something to send.
    unsent: Vec<u32>,
    appearances: Option<Appearances>,
    symptoms: Symptoms,
    /// The subjects of which the last event was a symptom.
    touched: Vec<Symbol>,
    /// The first step that can still change.
    settled: i64,
    newest: i64,
    next_swept: usize,
    removed: Vec<Symbol>,
    figures: CounterFigures,
    buffer: Vec<u8>,
}

/// What the rule counts.
#[derive(Debug)]
struct Counted {
    types: TypeSet,
    filter: Condition,
    among: Condition,
    of: Condition,
    distinct: Option<TextField>,
    /// Of the kinds that are summed beside `ratio` and `flatline`.
    sampling: Option<Sampling>,
    /// Only these values, where a rule lists what it expects.
    listed: Option<Vec<Symbol>>,
}

#[derive(Debug)]
struct Slot {
    symbol: Symbol,
    group: u8,
    fields: Subject,
    cells: Cells,
    unsent: bool,
    unsaved: bool,
    saved_before: bool,
}

/// What is held, what was left out, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CounterFigures {
    /// Events that lack a field of a slice.
    pub without_subject: u64,
    /// Events in a slice beyond the bound of subjects.
    pub beyond_bound: u64,
    /// Events older than what was called settled, though nobody called them late.
    pub overtaken: u64,
    /// Symptoms that were displaced by newer ones before their time.
    pub displaced_symptoms: u64,
    /// Symptoms that are held.
    pub symptoms: usize,
    /// Accounts that are held for `distinct`, once per subject.
    pub accounts: usize,
}

impl ScopeCounter {
    /// [`None`] for a rule of another kind.
    pub fn new(rule: &Rule) -> Option<Self> {
        let mut calendar = None;
        let (window, among, of, distinct, listed) = match &rule.detect {
            Detect::Ratio(ratio) => {
                (ratio.window, ratio.among.clone(), ratio.of.clone(), ratio.distinct, None)
            }
            Detect::Flatline(flatline) => {
                let listed = match &flatline.expect {
                    Expected::Seen | Expected::Catalog => None,
                    Expected::Listed(values) => {
                        let mut listed: Vec<Symbol> = values.iter().map(|value| Symbol::of(value)).collect();
                        listed.sort_unstable();
                        Some(listed)
                    }
                };
                calendar = flatline.calendar.clone().map(Measure::new);
                (flatline.window, Condition::Always, Condition::Never, None, listed)
            }
            Detect::Frequency(detect) => (detect.window, detect.count.clone(), Condition::Never, None, None),
            Detect::Spike(detect) => (detect.window, detect.count.clone(), Condition::Never, None, None),
            Detect::Metric(metric::Metric { window, .. })
            | Detect::Cardinality(cardinality::Cardinality { window, .. }) => {
                (*window, Condition::Always, Condition::Never, None, None)
            }
            _ => return None,
        };
        let sampling = Sampling::new(rule);
        let steps = Steps::new(window, edge_of(&rule.detect));
        let types = rule.topics.and(rule.filter.types()).and(among.types());
        Some(Self {
            counted: Counted { types, filter: rule.filter.clone(), among, of, distinct, sampling, listed },
            groups: rule.groups.clone(),
            steps,
            calendar,
            symptoms_kept: steps.time(steps.lookback()).since(steps.time(0))
                + rule.pending
                + rule.incident.wait,
            subjects: HashMap::default(),
            slots: Vec::new(),
            free: Vec::new(),
            unsent: Vec::new(),
            appearances: distinct.map(|_| Appearances::new(steps)),
            symptoms: Symptoms::default(),
            touched: Vec::new(),
            settled: i64::MIN,
            newest: 0,
            next_swept: 0,
            removed: Vec::new(),
            figures: CounterFigures::default(),
            buffer: Vec::new(),
        })
    }

    /// Takes any event of the shard and counts it if the rule counts it. Returns the subjects of which it was a symptom
    /// (it met `of`), so that an incident which is open for one of them can add the account.
    pub fn observe(&mut self, event: &Event<'_>, moment: Moment) -> &[Symbol] {
        self.touched.clear();
        if moment.late
            || !self.counted.types.contains(event.event_type)
            || !self.counted.concerns(event, &self.groups)
        {
            return &self.touched;
        }
        self.settled = self.settled.max(self.steps.entry(moment.settled));
        let entry = self.steps.entry(event.time);
        if entry < self.settled {
            self.figures.overtaken += 1;
            return &self.touched;
        }
        self.newest = self.newest.max(entry);
        let account = match self.counted.distinct.map(|field| event.symbol(field)) {
            Some(Symbol::MISSING) => return &self.touched,
            account => account,
        };
        let (value, of) = match &self.counted.sampling {
            None => (None, self.counted.of.holds(event)),
            Some(sampling) => match sampling.value(event) {
                None => return &self.touched,
                Some(value) => (Some((sampling.keeps, value)), sampling.is_symptom(event, value)),
            },
        };
        let exit = match &mut self.calendar {
            None => self.steps.exit(entry),
            Some(calendar) => self.steps.exit_within(calendar, event.time),
        };
        for group in 0..self.groups.len() {
            let Some(symbol) = slice_key(&self.groups, group, event) else {
                self.figures.without_subject += 1;
                continue;
            };
            let Some(index) = self.slot_of(symbol, group, event) else {
                self.figures.beyond_bound += 1;
                continue;
            };
            match value {
                Some((keeps, value)) => self.sample(index, entry, keeps, value),
                None => self.count(index, symbol, account, (entry, exit), of),
            }
            if of {
                self.touched.push(symbol);
            }
        }
        if !self.touched.is_empty() {
            self.symptoms.record(event, &self.touched);
        }
        &self.touched
    }

    fn slot_of(&mut self, symbol: Symbol, group: usize, event: &Event<'_>) -> Option<u32> {
        if let Some(index) = self.subjects.get(&symbol) {
            return Some(*index);
        }
        if self.subjects.len() >= MOST_SUBJECTS {
            return None;
        }
        let fields = subject_fields(self.groups.get(group)?, event);
        let slot = Slot {
            symbol,
            group: group as u8,
            fields,
            cells: Cells::default(),
            unsent: false,
            unsaved: true,
            saved_before: false,
        };
        Some(self.put(slot))
    }

    fn put(&mut self, slot: Slot) -> u32 {
        let symbol = slot.symbol;
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            (self.slots.len() - 1) as u32
        });
        if let Some(place) = self.slots.get_mut(index as usize) {
            *place = Some(slot);
        }
        self.subjects.insert(symbol, index);
        index
    }

    fn sample(&mut self, index: u32, entry: i64, keeps: Keeps, value: Decimal) {
        let Some(Some(slot)) = self.slots.get_mut(index as usize) else { return };
        slot.cells.sample(entry, keeps, value);
        self.note_change(index);
    }

    fn note_change(&mut self, index: u32) {
        let Some(Some(slot)) = self.slots.get_mut(index as usize) else { return };
        slot.unsaved = true;
        if !slot.unsent {
            slot.unsent = true;
            self.unsent.push(index);
        }
    }

    /// Counts at the steps from the first to before the second.
    fn count(
        &mut self,
        index: u32,
        symbol: Symbol,
        account: Option<Symbol>,
        (entry, exit): (i64, i64),
        of: bool,
    ) {
        let Some(Some(slot)) = self.slots.get_mut(index as usize) else { return };
        slot.cells.see(entry, of);
        match (&mut self.appearances, account) {
            (Some(appearances), Some(account)) => {
                let (among, of) = appearances.add(symbol, account, entry, of, self.settled);
                if let Some((from, until)) = among {
                    slot.cells.count(from, until, 1, 0);
                }
                if let Some((from, until)) = of {
                    slot.cells.count(from, until, 0, 1);
                }
            }
            _ => slot.cells.count(entry, exit, 1, i32::from(of)),
        }
        self.note_change(index);
    }

    /// Hands out the sums that changed since the last call, each with its subject. They are cumulative: the newest
    /// replaces what was sent before.
    pub fn flush(&mut self, sink: &mut dyn FnMut(&Subject, Partial<'_>)) {
        for index in self.unsent.drain(..) {
            let Some(Some(slot)) = self.slots.get_mut(index as usize) else { continue };
            slot.unsent = false;
            let (group, subject, fields) = (slot.group, slot.symbol, &slot.fields);
            slot.cells.send(|cell| {
                let (step, among, of) = (cell.step, cell.among, cell.of);
                let (seen, seen_of) = (cell.seen, cell.seen_of);
                let part = cell.part.as_deref();
                sink(fields, Partial { group, subject, step, among, of, seen, seen_of, part });
            });
            slot.cells.forget_before(self.settled);
        }
    }

    /// The accounts that showed the symptom of a subject after this moment: each once, by its latest facts.
    pub fn symptoms_after(&self, subject: Symbol, since: Time) -> Vec<Facts> {
        self.symptoms.after(subject, since)
    }

    /// Forgets what no event can concern any more. Looks at a few subjects at a time.
    pub fn sweep(&mut self, moment: Moment) {
        self.settled = self.settled.max(self.steps.entry(moment.settled));
        self.symptoms.sweep(moment.settled - self.symptoms_kept);
        for _ in 0..SWEPT_AT_ONCE.min(self.slots.len()) {
            let index = self.next_swept % self.slots.len();
            self.next_swept = index + 1;
            let Some(place) = self.slots.get_mut(index) else { continue };
            let Some(slot) = place else { continue };
            slot.cells.forget_before(self.settled);
            if slot.cells.is_empty() && !slot.unsent {
                self.subjects.remove(&slot.symbol);
                if slot.saved_before {
                    self.removed.push(slot.symbol);
                }
                *place = None;
                self.free.push(index as u32);
            }
        }
    }

    pub fn subjects(&self) -> usize {
        self.subjects.len()
    }

    pub fn figures(&self) -> CounterFigures {
        CounterFigures {
            displaced_symptoms: self.symptoms.displaced(),
            symptoms: self.symptoms.len(),
            accounts: self.appearances.as_ref().map_or(0, Appearances::len),
            ..self.figures
        }
    }

    /// Bytes of memory held, tables included.
    pub fn bytes(&self) -> usize {
        let cells: usize = self.slots.iter().flatten().map(|slot| slot.cells.bytes() + 64).sum();
        let tables = self.subjects.allocation_size() + self.slots.capacity() * size_of::<Option<Slot>>();
        cells + tables + self.symptoms.bytes() + self.appearances.as_ref().map_or(0, Appearances::bytes)
    }

    /// Hands out what changed since the last call: key and encoded value, [`None`] for what is gone.
    pub fn drain_changes(&mut self, sink: Sink<'_>) {
        for symbol in self.removed.drain(..) {
            if !self.subjects.contains_key(&symbol) {
                sink(&key(SUBJECT, symbol.0), None);
            }
        }
        for slot in self.slots.iter_mut().flatten().filter(|slot| slot.unsaved) {
            slot.unsaved = false;
            slot.saved_before = true;
            let mut writer = start(&mut self.buffer);
            writer.unsigned(slot.group.into());
            write_subject(&mut writer, &slot.fields);
            slot.cells.write(&mut writer);
            sink(&key(SUBJECT, slot.symbol.0), Some(&self.buffer));
        }
        if let Some(appearances) = &mut self.appearances {
            appearances.drain_changes(ACCOUNT, self.newest, &mut self.buffer, sink);
        }
        self.symptoms.drain_changes(SYMPTOM, &mut self.buffer, sink);
    }

    /// Puts back one key of a checkpoint. Called before the first event.
    pub fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(), CorruptState> {
        let (tag, number) = parse_key(key)?;
        match (tag, &mut self.appearances) {
            (SUBJECT, _) => {
                let mut reader = open(value)?;
                let group = u8::try_from(reader.unsigned()?).map_err(|_| CorruptState)?;
                let (symbol, fields) = (Symbol(number), read_subject(&mut reader)?);
                let keeps = self.counted.sampling.as_ref().map_or(Keeps::Nothing, |sampling| sampling.keeps);
                let cells = Cells::read(keeps, &mut reader)?;
                reader.end()?;
                let slot =
                    Slot { symbol, group, fields, cells, unsent: true, unsaved: false, saved_before: true };
                let index = self.put(slot);
                self.unsent.push(index);
                Ok(())
            }
            (ACCOUNT, Some(appearances)) => appearances.restore(number, value),
            (SYMPTOM, _) => self.symptoms.restore(number, value),
            _ => Err(CorruptState),
        }
    }
}

impl Counted {
    fn concerns(&self, event: &Event<'_>, groups: &[Vec<TextField>]) -> bool {
        if !self.filter.holds(event) || !self.among.holds(event) {
            return false;
        }
        // A list names the values of the one field of its subjects.
        let (Some(listed), [field]) = (&self.listed, groups.first().map_or(&[][..], Vec::as_slice)) else {
            return true;
        };
        listed.binary_search(&event.symbol(*field)).is_ok()
    }
}
