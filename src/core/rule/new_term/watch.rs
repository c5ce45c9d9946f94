//! `new_term` at work: what a subject has shown before, and what an event shows for the first time.

use crate::core::codec::{CorruptState, Reader, Sink, Writer};
use crate::core::event::{Event, Facts, Place, Symbol};
use crate::core::rule::table::{Keep, Small, State, Table, Watch};
use crate::core::rule::verdict::{Evidence, Judged, Moment, Verdict};
use crate::core::stats::geodesy::Spot;
use crate::core::time::{Span, Time};

use super::{History, MOST_FIELDS, NewTerm, Novelty};

/// Values that are remembered per subject, over all fields of the rule. Beyond it the one that was seen longest ago goes,
/// and is new again when it returns.
const MOST_KNOWN: usize = 48;

/// Events of one subject that may still be re-judged. Beyond it the oldest is settled early.
const MOST_RECENT: usize = 64;

const SUBJECT: u8 = b's';

/// The state of a new-term rule in one shard.
#[derive(Debug)]
pub struct NewTermWatch {
    settings: NewTerm,
    subjects: Table<Past>,
    observed: usize,
    given_up: u64,
}

/// What a subject has shown.
#[derive(Clone, Debug, Default)]
struct Past {
    /// The first and the last settled event of the history, and how many there are.
    first: Time,
    last: Time,
    settled: u32,
    known: Small<Known, 3>,
    /// Events that something may still be put before, in the order of time.
    recent: Small<Shown, 1>,
}

/// A value and when it was last shown, among settled events.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    value: Symbol,
    seen: Time,
}

/// How much is known of a subject. One that was silent for a whole window starts anew, as a stranger.
#[derive(Clone, Copy, Debug)]
struct Acquaintance {
    first: Time,
    last: Time,
    events: u32,
}

impl Acquaintance {
    fn is_over(&self, time: Time, window: Span) -> bool {
        self.events > 0 && time.since(self.last) >= window
    }

    fn add(&mut self, time: Time, window: Span) {
        if self.events == 0 || self.is_over(time, window) {
            (self.first, self.events) = (time, 0);
        }
        self.last = time;
        self.events = self.events.saturating_add(1);
    }
}

impl Past {
    fn history(&self) -> Acquaintance {
        Acquaintance { first: self.first, last: self.last, events: self.settled }
    }
}

/// What one event shows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Shown {
    time: Time,
    found: bool,
    values: [Symbol; MOST_FIELDS],
}

impl NewTermWatch {
    pub fn new(settings: NewTerm) -> Self {
        Self { settings, subjects: Table::default(), observed: 0, given_up: 0 }
    }

    /// What the event shows of the rule's fields; [`None`] where it says nothing about them.
    fn shown(&self, event: &Event<'_>) -> Option<Shown> {
        let mut values = [Symbol::MISSING; MOST_FIELDS];
        match &self.settings.of {
            Novelty::Place { radius_km, .. } => {
                let place = event.place.filter(|place| place.accuracy_km <= radius_km.max(VAGUE_KM))?;
                values[0] = spot_value(place);
            }
            Novelty::Values { fields, every } => {
                let mut combination = Symbol(NAMESPACE);
                for (position, field) in fields.iter().enumerate() {
                    let mut value = event.symbol(*field);
                    if value == Symbol::MISSING {
                        if !self.settings.missing_fires {
                            return None;
                        }
                        value = Symbol(NOTHING);
                    }
                    // The same text in two fields is two values.
                    let value = value.with(Symbol(position as u64));
                    combination = combination.with(value);
                    if *every && let Some(place) = values.get_mut(position) {
                        *place = value;
                    }
                }
                if !every {
                    values[0] = combination;
                }
            }
        }
        Some(Shown { time: event.time, found: false, values })
    }
}

/// A place that is known no better than this says nothing about where somebody was: it is neither judged nor remembered.
const VAGUE_KM: f64 = 200.0;

/// Stands for a field that the event lacks, where the rule takes that for a value.
const NOTHING: u64 = 3;
const NAMESPACE: u64 = 0x6e65_775f_7465_726d;

impl NewTerm {
    /// Whether `shown` is new, given what was settled and the events before it.
    fn is_new(&self, past: &Past, before: &[Shown], shown: &Shown) -> bool {
        let mut history = past.history();
        for other in before.iter().filter(|other| other.time < shown.time) {
            history.add(other.time, self.window);
        }
        if history.is_over(shown.time, self.window) {
            return false;
        }
        let enough = match self.min_history {
            History::Events(least) => history.events >= least && history.events > 0,
            History::Since(span) => history.events > 0 && shown.time.since(history.first) >= span,
        };
        if !enough {
            return false;
        }
        match &self.of {
            Novelty::Values { .. } => shown
                .values
                .iter()
                .filter(|value| **value != Symbol::MISSING)
                .all(|value| !self.is_known(past, before, shown.time, |other| other == *value)),
            Novelty::Place { radius_km, last } => {
                let spot = Spot(shown.values[0].0);
                let near = |other: Symbol| spot.least_distance_km(Spot(other.0)) <= *radius_km;
                let recent = before.iter().filter(|other| other.time < shown.time).count();
                // The settled places are in the order of their last visit; recent ones come after them.
                let settled = past.known.len().saturating_sub(last.saturating_sub(recent));
                let in_window = |seen: Time| shown.time.since(seen) < self.window;
                let among_settled = past.known.iter().skip(settled);
                let among_recent = before.iter().rev().filter(|other| other.time < shown.time).take(*last);
                !among_settled.filter(|known| in_window(known.seen)).any(|known| near(known.value))
                    && !among_recent.filter(|other| in_window(other.time)).any(|other| near(other.values[0]))
            }
        }
    }

    /// Judges the events of one instant anew; whether one of them was new so far, and whether one is now.
    fn judge_again(&self, past: &mut Past, from: usize, to: usize) -> (bool, bool) {
        let (mut was_found, mut is_found) = (false, false);
        for position in from..to {
            let Some(shown) = past.recent.get(position).copied() else { break };
            let before = past.recent.get(..from).unwrap_or_default();
            let found = self.is_new(past, before, &shown);
            was_found |= shown.found;
            is_found |= found;
            if let Some(shown) = past.recent.get_mut(position) {
                shown.found = found;
            }
        }
        (was_found, is_found)
    }

    fn is_known(&self, past: &Past, before: &[Shown], time: Time, same: impl Fn(Symbol) -> bool) -> bool {
        past.known.iter().any(|known| time.since(known.seen) < self.window && same(known.value))
            || before.iter().any(|other| {
                other.time < time
                    && time.since(other.time) < self.window
                    && other.values.iter().any(|value| *value != Symbol::MISSING && same(*value))
            })
    }

    /// Moves what nothing can be put before any more from the events to the summary; returns how much was given up.
    fn settle(&self, past: &mut Past, settled: Time) -> u64 {
        let ready = past.recent.iter().take_while(|shown| shown.time < settled).count();
        let ready = ready.max(past.recent.len().saturating_sub(MOST_RECENT));
        let mut given_up = 0;
        for position in 0..ready {
            let Some(shown) = past.recent.get(position).copied() else { break };
            if past.history().is_over(shown.time, self.window) {
                past.known.truncate(0);
            }
            let mut history = past.history();
            history.add(shown.time, self.window);
            (past.first, past.last, past.settled) = (history.first, history.last, history.events);
            for value in shown.values.into_iter().filter(|value| *value != Symbol::MISSING) {
                let same = |known: &Known| match &self.of {
                    Novelty::Values { .. } => known.value == value,
                    Novelty::Place { radius_km, .. } => {
                        Spot(known.value.0).distance_km(Spot(value.0)) <= *radius_km / 4.0
                    }
                };
                if let Some(position) = past.known.iter().position(same) {
                    past.known.remove(position);
                }
                if past.known.len() >= self.most_known() {
                    past.known.remove(0);
                    given_up += u64::from(matches!(self.of, Novelty::Values { .. }));
                }
                past.known.push(Known { value, seen: shown.time });
            }
        }
        past.recent.drop_front(ready);
        given_up
    }

    fn most_known(&self) -> usize {
        match self.of {
            Novelty::Values { .. } => MOST_KNOWN,
            Novelty::Place { last, .. } => last.clamp(1, MOST_KNOWN),
        }
    }
}

impl Watch for NewTermWatch {
    fn observe(
        &mut self,
        subject: Symbol,
        starts: bool,
        event: &Event<'_>,
        moment: Moment,
        out: &mut Vec<Judged>,
    ) {
        if !starts || moment.late {
            return;
        }
        let Some(shown) = self.shown(event) else { return };
        self.observed += 1;
        let (slot, _) = self.subjects.find_or_insert(subject);
        let Some(past) = self.subjects.change(slot) else { return };
        self.given_up += self.settings.settle(past, moment.settled);
        let position = past.recent.partition_point(|other| other.time <= shown.time);
        past.recent.insert(position, shown);
        // Events of one instant are one finding: what is new in any of them is new at that time.
        let mut from = past.recent.partition_point(|other| other.time < shown.time);
        while let Some(time) = past.recent.get(from).map(|shown| shown.time) {
            let to = past.recent.partition_point(|other| other.time <= time);
            let (was_found, is_found) = self.settings.judge_again(past, from, to);
            let verdict = match (is_found, was_found) {
                (true, false) => {
                    let samples = u64::from(past.settled) + from as u64;
                    let evidence = Evidence { value: 1.0, limit: 1.0, samples, approximate: false };
                    Some(Verdict::Found { since: time, evidence })
                }
                (false, true) => Some(Verdict::Withdrawn { since: time }),
                (true, true) | (false, false) => None,
            };
            out.extend(verdict.map(|verdict| Judged { subject, verdict }));
            from = to;
        }
    }

    fn next_due(&self) -> Option<Time> {
        None
    }

    fn advance(&mut self, _moment: Moment, _out: &mut Vec<Judged>) {}

    fn sweep(&mut self, moment: Moment) {
        let visits = 2 * std::mem::take(&mut self.observed) + 16;
        let (settings, given_up) = (&self.settings, &mut self.given_up);
        self.subjects.sweep(visits, |_, past| {
            let before = (past.recent.len(), past.known.len());
            *given_up += settings.settle(past, moment.settled);
            let expired = moment.settled - settings.window;
            past.known.retain(|known| known.seen > expired);
            if past.recent.is_empty() && past.last <= expired {
                return Keep::Forget;
            }
            past.recent.shrink();
            past.known.shrink();
            if before == (past.recent.len(), past.known.len()) { Keep::Unchanged } else { Keep::Changed }
        });
    }

    fn facts(&self, _subject: Symbol) -> Option<&Facts> {
        None
    }

    fn drain_changes(&mut self, sink: Sink<'_>) {
        self.subjects.drain_changes(SUBJECT, sink);
    }

    fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(), CorruptState> {
        match key.split_first() {
            Some((&SUBJECT, key)) => self.subjects.restore(key, value).map(drop),
            _ => Err(CorruptState),
        }
    }

    fn subjects(&self) -> usize {
        self.subjects.len()
    }

    fn bytes(&self) -> usize {
        self.subjects.bytes()
    }

    fn given_up(&self) -> u64 {
        self.given_up
    }
}

impl State for Past {
    const VERSION: u8 = 1;

    fn encode(&self, to: &mut Writer<'_>) {
        to.time(self.first);
        to.time(self.last);
        to.unsigned(u64::from(self.settled));
        to.unsigned(self.known.len() as u64);
        for known in self.known.iter() {
            to.symbol(known.value);
            to.time(known.seen);
        }
        to.unsigned(self.recent.len() as u64);
        for shown in self.recent.iter() {
            to.time(shown.time);
            to.bool(shown.found);
            let used = shown.values.iter().filter(|value| **value != Symbol::MISSING).count();
            to.unsigned(used as u64);
            for value in shown.values.iter().take(used) {
                to.symbol(*value);
            }
        }
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, CorruptState> {
        let mut past =
            Self { first: from.time()?, last: from.time()?, settled: from.unsigned32()?, ..Self::default() };
        for _ in 0..from.count()? {
            past.known.push(Known { value: from.symbol()?, seen: from.time()? });
        }
        for _ in 0..from.count()? {
            let mut shown = Shown { time: from.time()?, found: from.bool()?, ..Shown::default() };
            for position in 0..from.count()? {
                *shown.values.get_mut(position).ok_or(CorruptState)? = from.symbol()?;
            }
            past.recent.push(shown);
        }
        Ok(past)
    }

    fn heap_bytes(&self) -> usize {
        self.known.heap_bytes() + self.recent.heap_bytes()
    }
}

/// A place as a value; only one at the south pole, on the date line and known to the metre, has the value of nothing.
fn spot_value(place: Place) -> Symbol {
    Symbol(Spot::new(place.latitude, place.longitude, place.accuracy_km).0)
}
