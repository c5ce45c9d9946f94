//! What the tests of the detection kinds share: random worlds, orders of arrival within a lateness, checkpoints at
//! any moment, and the findings that stand in the end.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::Watch;
use crate::core::event::{Event, EventType, Symbol, TextField, TextSet};
use crate::core::rule::verdict::{Evidence, Judged, Moment, Verdict};
use crate::core::time::{Span, Time};

/// The instant from which tests count.
pub fn at(seconds: i64) -> Time {
    Time::from_millis(1_790_000_000_000 + seconds * 1_000)
}

pub fn seconds(seconds: i64) -> Span {
    Span::from_secs(seconds)
}

/// Random numbers that are the same on every run.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xD1B5_4A32_D192_ED03)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, limit: i64) -> i64 {
        (self.next() % limit.max(1) as u64) as i64
    }

    pub fn between(&mut self, least: i64, most: i64) -> i64 {
        least + self.below(most - least + 1)
    }

    pub fn percent(&mut self, share: i64) -> bool {
        self.below(100) < share
    }
}

/// An event as a watch gets it.
#[derive(Clone, Debug)]
pub struct Given {
    pub subject: Symbol,
    pub starts: bool,
    pub event: Event<'static>,
}

pub fn given(subject: u64, event_type: EventType, time: Time, texts: &[(TextField, &str)]) -> Given {
    let mut event = Event::new(event_type, time);
    let mut fields = TextSet::EMPTY;
    for (field, text) in texts {
        event.set_text(*field, Cow::Owned((*text).to_owned()));
        fields = fields.or(TextSet::of(*field));
    }
    event.symbolize(fields);
    Given { subject: Symbol(subject), starts: true, event }
}

/// Brings events into an order in which each is late by at most `lateness`.
pub fn disordered(random: &mut Random, mut events: Vec<Given>, lateness: Span) -> Vec<Given> {
    let share = random.between(40, 100);
    let mut keyed: Vec<_> = events
        .drain(..)
        .map(|given| {
            let delay = if random.percent(share) { random.below(lateness.as_millis() + 1) } else { 0 };
            ((given.event.time.as_millis() + delay, random.next()), given)
        })
        .collect();
    keyed.sort_by_key(|(key, _)| *key);
    keyed.into_iter().map(|(_, given)| given).collect()
}

/// What is said in the course of a run.
#[derive(Debug, Default)]
pub struct Said {
    pub all: Vec<Judged>,
    /// The findings that stand.
    pub found: BTreeSet<(Symbol, Time)>,
    pub withdrawn: usize,
}

impl Said {
    fn take(&mut self, judged: &[Judged]) {
        for one in judged {
            match one.verdict {
                Verdict::Found { since, .. } => drop(self.found.insert((one.subject, since))),
                Verdict::Withdrawn { since } => {
                    assert!(self.found.remove(&(one.subject, since)), "withdrawn without a finding: {one:?}");
                    self.withdrawn += 1;
                }
                _ => {}
            }
        }
        self.all.extend_from_slice(judged);
    }

    pub fn of(&self, subject: Symbol) -> impl DoubleEndedIterator<Item = Verdict> {
        self.all.iter().filter(move |judged| judged.subject == subject).map(|judged| judged.verdict)
    }
}

/// What was said, a line each; `shown` is what matters of a finding's evidence.
pub fn told(said: &[Judged], shown: impl Fn(Evidence) -> String) -> Vec<String> {
    let second = |time: Time| time.since(at(0)).as_secs_f64();
    let line = |judged: &Judged| match judged.verdict {
        Verdict::Found { since, evidence } => format!("found {}{}", second(since), shown(evidence)),
        Verdict::Withdrawn { since } => format!("withdrawn {}", second(since)),
        Verdict::Cleared { at, healthy: true } => format!("healthy {}", second(at)),
        Verdict::Cleared { at, healthy: false } => format!("quiet {}", second(at)),
        Verdict::Resolved { at } => format!("resolved {}", second(at)),
        Verdict::Joined { .. } => "joined".to_owned(),
    };
    said.iter().map(line).collect()
}

/// A watch, and beside it one that is now and then thrown away and put back from its checkpoint: both must say the same.
pub struct Pair<'a> {
    new: &'a dyn Fn() -> Box<dyn Watch>,
    lasting: Box<dyn Watch>,
    restored: Box<dyn Watch>,
    records: BTreeMap<Vec<u8>, Vec<u8>>,
    pub said: Said,
    lateness: Span,
    newest: Time,
}

impl<'a> Pair<'a> {
    pub fn new(new: &'a dyn Fn() -> Box<dyn Watch>, lateness: Span) -> Self {
        Self {
            new,
            lasting: new(),
            restored: new(),
            records: BTreeMap::new(),
            said: Said::default(),
            lateness,
            newest: Time::MIN,
        }
    }

    fn moment(&self) -> Moment {
        Moment { settled: self.newest - self.lateness, now: self.newest, late: false }
    }

    /// Judges what is due before the event's time, as when time passes evenly.
    pub fn wait_for(&mut self, given: &Given) {
        self.newest = self.newest.max(given.event.time - Span::from_millis(1));
        self.advance();
    }

    pub fn observe(&mut self, given: &Given) -> Vec<Judged> {
        let late = given.event.time < self.newest - self.lateness;
        self.newest = self.newest.max(given.event.time);
        let moment = Moment { late, ..self.moment() };
        let (mut one, mut other) = (Vec::new(), Vec::new());
        self.lasting.observe(given.subject, given.starts, &given.event, moment, &mut one);
        self.restored.observe(given.subject, given.starts, &given.event, moment, &mut other);
        assert_eq!(one, other, "a restored watch says something else");
        self.said.take(&one);
        one
    }

    /// Judges what is due, each at its own moment.
    pub fn advance(&mut self) -> Vec<Judged> {
        let all = self.said.all.len();
        while let Some(due) = self.lasting.next_due().filter(|due| *due <= self.newest) {
            let moment = Moment { now: due, ..self.moment() };
            let (mut one, mut other) = (Vec::new(), Vec::new());
            self.lasting.advance(moment, &mut one);
            self.restored.advance(moment, &mut other);
            assert_eq!(one, other, "a restored watch says something else");
            self.said.take(&one);
            assert!(self.lasting.next_due().is_none_or(|next| next > due), "no progress at {due}");
        }
        self.said.all.split_at(all).1.to_vec()
    }

    pub fn sweep(&mut self) {
        let moment = self.moment();
        self.lasting.sweep(moment);
        self.restored.sweep(moment);
    }

    /// Writes a checkpoint and goes on from it.
    pub fn restart(&mut self) {
        let records = &mut self.records;
        self.restored.drain_changes(&mut |key, value| match value {
            Some(value) => drop(records.insert(key.to_vec(), value.to_vec())),
            None => drop(records.remove(key)),
        });
        self.restored = (self.new)();
        for (key, value) in &self.records {
            self.restored.restore(key, value).unwrap();
        }
    }

    /// Gives events in this order, lets time pass evenly before each and for so long after the last.
    pub fn play(mut self, events: &[Given], pass: Span) -> Self {
        for event in events {
            self.wait_for(event);
            self.observe(event);
            self.advance();
            self.restart();
        }
        self.pass(pass);
        self
    }

    pub fn pass(&mut self, span: Span) {
        self.newest += span;
        self.advance();
    }

    pub fn watch(&self) -> &dyn Watch {
        &*self.lasting
    }

    /// Everything at random moments, then time until nothing can be due any more.
    pub fn run(mut self, random: &mut Random, events: &[Given], restarts: bool) -> Self {
        let (waits, advances, sweeps) = (random.percent(50), random.between(20, 100), random.between(0, 100));
        for given in events {
            if waits {
                self.wait_for(given);
            }
            self.observe(given);
            if random.percent(advances) {
                self.advance();
            }
            if random.percent(sweeps) {
                self.sweep();
            }
            if restarts && random.percent(30) {
                self.restart();
            }
        }
        self.pass(Span::from_mins(60 * 24 * 30));
        self
    }
}
