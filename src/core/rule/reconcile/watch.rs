//! `reconcile` at work: each event is put where it belongs in the history of its order or card, and what comes at or
//! after it is judged again.

use rust_decimal::prelude::ToPrimitive;

use crate::core::codec::{CorruptState, Reader, Sink, Writer};
use crate::core::event::{Event, EventType, NumberField, Symbol, TextField};
use crate::core::rule::table::{Keep, SWEPT_AT_LEAST, Table, Watch};
use crate::core::rule::verdict::{Judged, Moment, Verdict};
use crate::core::time::Time;

use super::history::{Entry, History};
use super::judge::is_in_time;
use super::{Check, REMEMBERED, Reconcile};

/// Orders or cards that are remembered. One more is not, and is counted.
const MOST_SUBJECTS: usize = 1 << 22;
const SUBJECT: u8 = b's';
const REFUSED: u8 = b'r';

/// The state of such a check in one shard.
#[derive(Debug)]
pub struct ReconcileWatch {
    settings: Reconcile,
    subjects: Table<History>,
    most: usize,
    /// The newest event whose subject was not remembered. What is heard of later may have begun with it.
    refused: Time,
    refused_changed: bool,
    given_up: u64,
}

/// What an event is to a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// It may be a finding; with its key or order.
    Judged(u64),
    /// It is held against others; with what it says.
    Said(i64),
}

impl Role {
    fn entry(self, time: Time) -> Entry {
        match self {
            Self::Judged(value) => Entry::judged(time, value),
            Self::Said(value) => Entry::said(time, value),
        }
    }
}

impl ReconcileWatch {
    pub fn new(settings: Reconcile) -> Self {
        Self {
            settings,
            subjects: Table::default(),
            most: MOST_SUBJECTS,
            refused: Time::MIN,
            refused_changed: false,
            given_up: 0,
        }
    }

    /// The same, with room for fewer subjects.
    #[cfg(test)]
    pub fn with_room_for(self, most: usize) -> Self {
        Self { most, ..self }
    }

    /// What the event says, before it is judged by it.
    fn said(&self, event: &Event<'_>) -> Option<i64> {
        let types = self.settings.ending_types();
        if !types.contains(event.event_type) {
            return None;
        }
        match self.settings.check {
            Check::ManyKeys => event.number(NumberField::Quantity)?.trunc().to_i64().filter(|keys| *keys > 1),
            Check::PaymentAfterExpiry => event.expires_at.map(Time::as_millis),
            Check::DeliveredAfterRefund => Some(event.time.as_millis()),
            Check::KeySoldTwice | Check::PaidWithoutKey | Check::KeyWithoutPayment => None,
        }
    }

    /// The key or order that an event is about, where it is one that is judged.
    fn judged(&self, event: &Event<'_>) -> Option<u64> {
        let present = |field| Some(event.symbol(field)).filter(|symbol| *symbol != Symbol::MISSING);
        match (self.settings.check, event.event_type) {
            (Check::ManyKeys, EventType::OrderDelivered) => present(TextField::CardId).map(|card| card.0),
            (Check::KeySoldTwice, EventType::OrderDelivered) => {
                present(TextField::OrderId).or_else(|| present(TextField::AccountId)).map(|order| order.0)
            }
            (Check::PaymentAfterExpiry, EventType::OrderPaid)
            | (Check::DeliveredAfterRefund, EventType::OrderDelivered) => Some(0),
            _ => None,
        }
    }

    /// Whether something may be wrongly found of a subject whose beginning is not known.
    fn needs_beginning(&self) -> bool {
        matches!(self.settings.check, Check::ManyKeys | Check::PaymentAfterExpiry)
    }

    /// The slot of a subject, a new one if there is room.
    fn slot_of(&mut self, subject: Symbol, time: Time) -> Option<u32> {
        if let Some(slot) = self.subjects.find(subject) {
            return Some(slot);
        }
        if self.subjects.len() >= self.most {
            self.given_up += 1;
            self.refused_changed |= time > self.refused;
            self.refused = self.refused.max(time);
            return None;
        }
        let (slot, _) = self.subjects.find_or_insert(subject);
        let within = self.settings.within.max(REMEMBERED);
        if self.refused > time - within && self.needs_beginning() {
            self.given_up += 1;
            self.subjects.change(slot)?.pardon();
        }
        Some(slot)
    }

    /// Takes one role of an event; says what is to be found and withdrawn at its instant and after it.
    fn take(
        &mut self,
        subject: Symbol,
        role: Role,
        time: Time,
        moment: Moment,
        mut say: impl FnMut(Verdict),
    ) {
        let settings = self.settings;
        let Some(slot) = self.slot_of(subject, time) else { return };
        let Some(history) = self.subjects.change(slot) else { return };
        settings.settle(history, moment.settled);
        history.keep_for(time);
        if let (Role::Said(expiry), Check::PaymentAfterExpiry) = (role, settings.check) {
            history.keep_for(Time::from_millis(expiry));
        }
        let entry = role.entry(time);
        if moment.late {
            // It opens nothing, but what it says is known from now on.
            match role {
                Role::Said(said) => history.learn(said),
                Role::Judged(_) if settings.check == Check::PaymentAfterExpiry => {
                    if is_in_time(history, &entry) {
                        history.pardon();
                    }
                }
                Role::Judged(_) => {}
            }
            return;
        }
        if !history.insert(entry) {
            self.given_up += 1;
            if let (Role::Said(said), true) = (role, settings.check != Check::DeliveredAfterRefund) {
                history.learn(said);
            }
            return;
        }
        let mut position = history.position(time);
        while let Some(since) = history.entries().get(position).map(Entry::time) {
            let end = history.end_of(position);
            let mut instant = history.entries().get(position..end).into_iter().flatten();
            if instant.any(Entry::is_judged) {
                let found = settings.find(history, since);
                let was = history.set_found(position, end, found.is_some());
                let again = since == time && matches!(role, Role::Judged(_));
                match found {
                    Some(evidence) if !was || again => say(Verdict::Found { since, evidence }),
                    None if was => say(Verdict::Withdrawn { since }),
                    _ => {}
                }
            }
            position = end;
        }
    }
}

impl Watch for ReconcileWatch {
    fn observe(
        &mut self,
        subject: Symbol,
        starts: bool,
        event: &Event<'_>,
        moment: Moment,
        out: &mut Vec<Judged>,
    ) {
        if subject == Symbol::MISSING {
            return;
        }
        // What an event says goes first: it may be what it is judged by.
        let said = self.said(event).map(Role::Said);
        let judged = if starts { self.judged(event).map(Role::Judged) } else { None };
        for role in said.into_iter().chain(judged) {
            self.take(subject, role, event.time, moment, |verdict| out.push(Judged { subject, verdict }));
        }
    }

    fn sweep(&mut self, moment: Moment) {
        let (settings, settled) = (self.settings, moment.settled);
        self.subjects.sweep(SWEPT_AT_LEAST, |_, history| {
            let (entries, known) = (history.entries().len(), history.known());
            settings.settle(history, settled);
            if history.is_over(settled - settings.remembers(history)) {
                return Keep::Forget;
            }
            history.shrink();
            let unchanged = history.entries().len() == entries && history.known() == known;
            if unchanged { Keep::Unchanged } else { Keep::Changed }
        });
    }

    fn drain_changes(&mut self, sink: Sink<'_>) {
        if std::mem::take(&mut self.refused_changed) {
            let mut value = Vec::new();
            Writer(&mut value).time(self.refused);
            sink(&[REFUSED], Some(&value));
        }
        self.subjects.drain_changes(SUBJECT, sink);
    }

    fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(), CorruptState> {
        match key.split_first() {
            Some((&SUBJECT, key)) => self.subjects.restore(key, value).map(drop),
            Some((&REFUSED, [])) => {
                let mut reader = Reader(value);
                self.refused = reader.time()?;
                reader.end()
            }
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
