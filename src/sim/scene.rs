//! What is at hand while one customer's events of one slot of time are made up.

use crate::core::event::EventType;
use crate::core::time::{Span, Time};

use super::Settings;
use super::accounts::Account;
use super::dice::Dice;
use super::look_alikes::LookAlikes;
use super::market::HOUR;
use super::record::{Body, Record};
use super::trouble::Plan;
use super::truth::Ledger;

/// What is remembered of an account from one slot to the next.
#[derive(Clone, Copy, Debug, Default)]
pub struct Past {
    pub events: u32,
    pub orders: u32,
    pub logins: u32,
    pub logins_abroad: u32,
}

/// The slots in which a world is made; each is a whole number of hours.
pub const SLOT: Span = Span::from_millis(6 * HOUR.as_millis());

pub struct Scene<'w> {
    pub settings: &'w Settings,
    pub plan: &'w Plan,
    pub look_alikes: &'w LookAlikes,
    pub account: &'w Account,
    pub past: &'w mut Past,
    pub ledger: &'w mut Ledger,
    pub out: &'w mut Vec<Record>,
    pub dice: Dice,
}

impl Scene<'_> {
    /// Says that something happened; what happens after the world's end is not told.
    pub fn tell(&mut self, time: Time, event_type: EventType, body: Body) {
        if time >= self.settings.end() {
            return;
        }
        let number = self.past.events;
        self.past.events += 1;
        self.out.push(Record { time, account: self.account.id, number, event_type, body });
    }

    /// The moments of a slot at which something happens that happens so often on a mean day.
    pub fn moments(&mut self, slot: Time, per_day: f64) -> Vec<Time> {
        let mut moments = Vec::new();
        let mut hour = slot;
        // What would happen after the world's end need not be made up.
        while hour < slot + SLOT && hour < self.settings.end() {
            let mean = per_day / 24.0 * super::market::busyness(hour, self.account.shift);
            for _ in 0..self.dice.poisson(mean) {
                moments.push(hour + self.dice.seconds(0.0, 3_600.0));
            }
            hour += HOUR;
        }
        moments.sort_unstable();
        moments
    }
}
