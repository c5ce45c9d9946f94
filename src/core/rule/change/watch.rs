//! `change` at work: each event against what its subject showed last, and again what comes after it when it arrives late.

use crate::core::codec::{CorruptState, Sink};
use crate::core::event::{Event, Symbol};
use crate::core::rule::table::{Keep, SWEPT_AT_LEAST, Table, Watch};
use crate::core::rule::verdict::{Evidence, Judged, Moment, Verdict};
use crate::core::time::{Span, Time};

use super::Change;
use super::past::{MOST_FIELDS, Past, Sighting};

const SUBJECT: u8 = b's';

/// The state of a change rule in one shard.
#[derive(Debug)]
pub struct ChangeWatch {
    settings: Change,
    subjects: Table<Past>,
    given_up: u64,
}

impl ChangeWatch {
    pub fn new(settings: Change, _grace: Span, _lateness: Span) -> Self {
        Self { settings, subjects: Table::default(), given_up: 0 }
    }
}

/// What an event shows of the rule's fields.
fn sightings(settings: &Change, event: &Event<'_>) -> impl Iterator<Item = Sighting> {
    let fields = settings.fields.iter().take(MOST_FIELDS).enumerate();
    fields.filter_map(|(position, field)| {
        let value = event.symbol(*field);
        let shown = value != Symbol::MISSING || settings.missing_fires;
        shown.then(|| Sighting::new(event.time, position, value))
    })
}

/// Judges the instant of an event and those that come next in one of its fields, and says what has changed.
fn judge(past: &mut Past, time: Time, mut fields: u8, window: Span, mut say: impl FnMut(Verdict)) {
    let mut position = past.position(time);
    while position < past.len() && fields != 0 {
        let instant = past.instant(position);
        let Some(since) = instant.first().map(Sighting::time) else { return };
        let (length, own) = (instant.len(), instant.iter().fold(0, |bits, own| bits | 1_u8 << own.field()));
        if since == time || own & fields != 0 {
            let (changes, was) = (past.changes(position, window), past.is_found(position));
            past.set_found(position, changes > 0);
            if changes > 0 && (!was || since == time) {
                let evidence = Evidence { value: changes as f64, limit: 1.0, samples: 2, approximate: false };
                say(Verdict::Found { since, evidence });
            } else if changes == 0 && was {
                say(Verdict::Withdrawn { since });
            }
        }
        if since > time {
            fields &= !own;
        }
        position += length;
    }
}

impl Watch for ChangeWatch {
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
        let fields = sightings(&self.settings, event).fold(0, |bits, own| bits | 1_u8 << own.field());
        if fields == 0 {
            return;
        }
        let (slot, _) = self.subjects.find_or_insert(subject);
        let Some(past) = self.subjects.change(slot) else { return };
        let window = self.settings.window;
        past.settle(moment.settled, window);
        if event.time < past.floor() {
            self.given_up += 1;
            return;
        }
        for sighting in sightings(&self.settings, event) {
            self.given_up += past.insert(sighting);
        }
        judge(past, event.time, fields, window, |verdict| out.push(Judged { subject, verdict }));
    }

    fn sweep(&mut self, moment: Moment) {
        let (window, settled) = (self.settings.window, moment.settled);
        self.subjects.sweep(SWEPT_AT_LEAST, |_, past| {
            if past.newest() <= settled - window {
                return Keep::Forget;
            }
            let before = past.len();
            past.settle(settled, window);
            past.shrink();
            if past.len() < before { Keep::Changed } else { Keep::Unchanged }
        });
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
