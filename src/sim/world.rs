//! A world from its settings: slot by slot, so that its length costs no memory.

use std::collections::BTreeSet;

use crate::core::time::{Span, Time};

use super::Settings;
use super::accounts::Account;
use super::arrival::{self, Arrival, Form, Road};
use super::customers::Customer;
use super::dice::{Dice, Purpose};
use super::logins::KNOWN_AFTER;
use super::look_alikes::LookAlikes;
use super::plan::orders_per_minute;
use super::record::{Record, account_name, order_name};
use super::scene::{Past, SLOT, Scene};
use super::trouble::{Plan, Planted};
use super::truth::{Entry, Ledger, Problem, Touched, Truth};

#[derive(Debug)]
pub struct World {
    settings: Settings,
    accounts: Vec<Account>,
    plan: Plan,
    look_alikes: LookAlikes,
    /// Accounts whose habits were known before the world begins.
    known: BTreeSet<u32>,
}

impl World {
    /// What is at hand while an account lives through a slot.
    fn scene<'w>(
        &'w self,
        account: &'w Account,
        past: &'w mut Past,
        ledger: &'w mut Ledger,
        out: &'w mut Vec<Record>,
        dice: Dice,
    ) -> Scene<'w> {
        let Self { settings, plan, look_alikes, .. } = self;
        Scene { settings, plan, look_alikes, account, past, ledger, out, dice }
    }

    pub fn new(settings: Settings) -> Self {
        let accounts = accounts(&settings);
        let plan = Plan::draw(&settings, &accounts);
        Self::with_plan(settings, accounts, plan)
    }

    /// A world in which exactly these problems are planted.
    pub fn planted(settings: Settings, planted: Vec<Planted>) -> Self {
        let accounts = accounts(&settings);
        Self::with_plan(settings, accounts, Plan::new(planted))
    }

    fn with_plan(settings: Settings, accounts: Vec<Account>, plan: Plan) -> Self {
        let look_alikes = LookAlikes::draw(&settings, &accounts, orders_per_minute(&accounts));
        Self::staged(settings, accounts, plan, look_alikes, BTreeSet::new())
    }

    /// A world of which everything is given.
    pub fn staged(
        settings: Settings,
        accounts: Vec<Account>,
        plan: Plan,
        look_alikes: LookAlikes,
        known: BTreeSet<u32>,
    ) -> Self {
        Self { settings, accounts, plan, look_alikes, known }
    }

    fn past_of(&self, account: &Account) -> Past {
        let logins = if self.known.contains(&account.id) { KNOWN_AFTER } else { 0 };
        Past { logins, ..Past::default() }
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    pub fn customers(&self) -> impl Iterator<Item = Customer> {
        self.accounts.iter().map(|account| Customer::of(&self.settings, account))
    }

    /// The honest logins of these accounts in the days before the world begins, in order of arrival: what a platform that
    /// has been running for a while knows of them.
    pub fn earlier_logins(&self, accounts: &BTreeSet<u32>, days: u32) -> Vec<Arrival> {
        let mut telling = Telling::new(self);
        let mut arrivals = Vec::new();
        let start = self.settings.start;
        let mut slot = start - Span::from_mins(i64::from(days) * 24 * 60);
        let mut number = 0;
        while slot < start {
            number += 1;
            for record in telling.earlier(accounts, slot, number) {
                // They have long arrived, each once.
                arrivals.push(Arrival { at: record.time, record, form: Form::Whole });
            }
            slot += SLOT;
        }
        arrivals.retain(|arrival| arrival.at < start);
        arrival::sort(&mut arrivals);
        arrivals
    }

    /// Hands out every line in the order of arrival and returns the truth about them. An error of the sink ends it.
    pub fn tell<E>(&self, mut sink: impl FnMut(&Arrival) -> Result<(), E>) -> Result<Truth, E> {
        let mut telling = Telling::new(self);
        while let Some(arrivals) = telling.next_slot() {
            for arrival in &arrivals {
                sink(arrival)?;
            }
        }
        Ok(telling.truth())
    }
}

fn accounts(settings: &Settings) -> Vec<Account> {
    (0..settings.accounts).map(|id| Account::new(settings, id)).collect()
}

/// The first event number of what happened before a world begins.
const EARLIER_NUMBERS: u32 = 1_000_000;

/// A world that is being told.
struct Telling<'w> {
    world: &'w World,
    pasts: Vec<Past>,
    ledger: Ledger,
    road: Road,
    /// What arrives in the current slot, in the next, and so on.
    pending: Vec<Vec<Arrival>>,
    slot: usize,
    counts: Counts,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    events: u64,
    duplicates: u64,
    junk: u64,
}

impl<'w> Telling<'w> {
    fn new(world: &'w World) -> Self {
        let slots = world.settings.length.as_millis().div_euclid(SLOT.as_millis()).max(0) as usize + 2;
        Self {
            world,
            pasts: world.accounts.iter().map(|account| world.past_of(account)).collect(),
            ledger: Ledger::default(),
            road: Road::new(world.settings.seed),
            pending: vec![Vec::new(); slots],
            slot: 0,
            counts: Counts::default(),
        }
    }

    fn earlier(&mut self, accounts: &BTreeSet<u32>, slot: Time, number: u64) -> Vec<Record> {
        let world = self.world;
        let mut records = Vec::new();
        for (account, past) in world.accounts.iter().zip(&mut self.pasts) {
            if accounts.contains(&account.id) {
                let dice = Dice::new(world.settings.seed, Purpose::Earlier, u64::from(account.id), number);
                // Numbers of their own, far above those that the world itself will use.
                past.events = past.events.max(EARLIER_NUMBERS);
                world.scene(account, past, &mut self.ledger, &mut records, dice).log_in(slot);
            }
        }
        records
    }

    /// The lines of the next slot, in order of arrival.
    fn next_slot(&mut self) -> Option<Vec<Arrival>> {
        if self.slot >= self.pending.len() {
            return None;
        }
        self.live();
        let mut arrivals = self.pending.get_mut(self.slot).map(std::mem::take)?;
        arrival::sort(&mut arrivals);
        for arrival in &arrivals {
            match arrival.form {
                Form::Whole => self.counts.events += 1,
                Form::Copy => self.counts.duplicates += 1,
                Form::Junk(_) => self.counts.junk += 1,
            }
        }
        self.slot += 1;
        Some(arrivals)
    }

    fn slot_start(&self) -> Time {
        self.world.settings.start + Span::from_millis(SLOT.as_millis() * self.slot as i64)
    }

    /// Lets every account live through the current slot and sends what happens on its way.
    fn live(&mut self) {
        let world = self.world;
        let start = self.slot_start();
        if start >= world.settings.end() {
            return;
        }
        let mut records: Vec<Record> = Vec::new();
        for (account, past) in world.accounts.iter().zip(&mut self.pasts) {
            let stream =
                |purpose| Dice::new(world.settings.seed, purpose, u64::from(account.id), self.slot as u64);
            let dice = stream(Purpose::Logins);
            let mut scene = world.scene(account, past, &mut self.ledger, &mut records, dice);
            scene.log_in(start);
            scene.dice = stream(Purpose::Orders);
            scene.buy(start);
        }
        self.road.next_slot();
        let (origin, last) = (world.settings.start, self.pending.len() - 1);
        for record in records {
            self.road.send(record, &mut |arrival| {
                let slot = arrival.at.since(origin).as_millis().div_euclid(SLOT.as_millis()).max(0) as usize;
                if let Some(pending) = self.pending.get_mut(slot.min(last)) {
                    pending.push(arrival);
                }
            });
        }
    }

    fn truth(self) -> Truth {
        let settings = self.world.settings;
        let problems = self
            .world
            .plan
            .planted
            .iter()
            .enumerate()
            .filter_map(|(index, planted)| Some(problem(index, planted, self.ledger.entry(index)?)))
            .collect();
        Truth {
            seed: settings.seed,
            from: settings.start,
            to: settings.end(),
            accounts: settings.accounts,
            events: self.counts.events,
            duplicates: self.counts.duplicates,
            junk: self.counts.junk,
            problems,
            look_alikes: self.world.look_alikes.describe(&settings, &self.world.accounts),
            complaints_without_cause: self.ledger.without_cause,
        }
    }
}

fn problem(index: usize, planted: &Planted, entry: &Entry) -> Problem {
    let mut subject = planted.trouble.subject();
    if planted.trouble.is_of_an_order() {
        for (account, met) in &entry.touched {
            subject
                .extend(met.orders.iter().map(|order| ("order_id".to_owned(), order_name(*account, *order))));
        }
    }
    let mut complaints = entry.complaints.clone();
    complaints.sort_by(|a, b| (a.at, &a.account_id).cmp(&(b.at, &b.account_id)));
    Problem {
        id: format!("p{}", index + 1),
        kind: planted.trouble.kind(),
        subject,
        from: planted.from,
        to: planted.to,
        strength: planted.trouble.strength(),
        affected: entry
            .touched
            .iter()
            .map(|(account, met)| Touched {
                account_id: account_name(*account),
                since: met.since,
                until: met.until.filter(|until| *until > planted.to),
                order_ids: met.orders.iter().map(|order| order_name(*account, *order)).collect(),
            })
            .collect(),
        complaints,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::sim::market::channel_at;
    use crate::sim::trouble::Trouble;
    use crate::sim::truth::ProblemKind;

    type Told = (Time, serde_json::Value);

    fn small(seed: u64, clean: bool) -> Settings {
        Settings { seed, accounts: 800, length: Span::from_mins(24 * 60), clean, ..Settings::default() }
    }

    /// Every readable line with its time of arrival, and the truth.
    fn told(world: &World) -> (Vec<Told>, Truth) {
        let mut lines = Vec::new();
        let mut line = Vec::new();
        let truth = world.tell(|arrival| {
            line.clear();
            arrival.write(&mut line);
            if let Ok(event) = serde_json::from_slice(&line)
                && !matches!(arrival.form, Form::Junk(_))
            {
                lines.push((arrival.at, event));
            }
            Ok::<(), ()>(())
        });
        (lines, truth.expect("the sink never fails"))
    }

    fn time_of(event: &serde_json::Value) -> Time {
        super::super::truth::parse_time(event["time"].as_str().expect("time")).expect("RFC 3339")
    }

    fn text<'a>(event: &'a serde_json::Value, field: &str) -> &'a str {
        event[field].as_str().unwrap_or_default()
    }

    #[test]
    fn the_same_seed_tells_the_same_and_another_seed_something_else() {
        let bytes = |seed| {
            let mut all = Vec::new();
            let truth = World::new(small(seed, false)).tell(|arrival| {
                arrival.write(&mut all);
                Ok::<(), ()>(())
            });
            (all, serde_json::to_string(&truth.expect("told")).expect("writes"))
        };
        assert!(bytes(3) == bytes(3));
        assert!(bytes(3).0 != bytes(4).0);
    }

    #[test]
    fn lines_come_in_order_of_arrival_with_disorder_of_at_most_a_minute() {
        let settings = Settings { accounts: 2_500, ..small(2, true) };
        let (lines, truth) = told(&World::new(settings));
        let mut seen = BTreeSet::new();
        let (mut before, mut newest, mut latest) = (Time::MIN, Time::MIN, Span::ZERO);
        for (at, event) in &lines {
            assert!(*at >= before, "arrivals run backward at {at}");
            before = *at;
            let time = time_of(event);
            if seen.insert((text(event, "account_id").to_owned(), text(event, "id").to_owned())) {
                latest = latest.max(newest.since(time));
                newest = newest.max(time);
            }
        }
        assert_eq!(seen.len() as u64, truth.events);
        assert_eq!(lines.len() as u64, truth.events + truth.duplicates);
        assert!(latest > Span::from_secs(2) && latest <= Span::from_secs(62), "{latest}");
        assert!(truth.junk > 0 && truth.duplicates > truth.events / 200);
    }

    #[test]
    fn a_planted_outage_shows_in_the_events_and_everybody_it_touched_is_in_the_truth() {
        let settings = Settings { accounts: 8_000, length: Span::from_mins(14 * 60), ..small(5, false) };
        let from = settings.start + Span::from_mins(12 * 60);
        let to = from + Span::from_mins(60);
        let trouble = Trouble::Outage { channel: 0, region: Some(0), share: 0.7 };
        let (lines, truth) = told(&World::planted(settings, vec![Planted::steady(trouble, from, to)]));
        let mut counts: BTreeMap<bool, (u32, u32)> = BTreeMap::new();
        let mut failed_inside = BTreeSet::new();
        for (_, event) in &lines {
            let here = text(event, "channel") == channel_at(0).name && text(event, "region") == "guangdong";
            let time = time_of(event);
            let inside = from <= time && time < to;
            let (failed, paid) = counts.entry(inside).or_default();
            let code = text(event, "error_code");
            let is_channels = code.starts_with("CHANNEL") || code.starts_with("ACQ");
            match text(event, "type") {
                "order.paid" if here => *paid += 1,
                "order.failed" if here && is_channels => {
                    *failed += 1;
                    if inside {
                        failed_inside.insert(text(event, "account_id").to_owned());
                    }
                }
                _ => {}
            }
        }
        let share = |inside| {
            let (failed, paid) = counts[&inside];
            f64::from(failed) / f64::from(failed + paid)
        };
        assert!((0.55..0.8).contains(&share(true)), "{counts:?}");
        assert!(share(false) < 0.03, "{counts:?}");
        let affected: BTreeSet<String> =
            truth.problems[0].affected.iter().map(|touched| touched.account_id.clone()).collect();
        assert!(failed_inside.is_subset(&affected));
        assert!(truth.problems[0].complaints.iter().all(|c| affected.contains(&c.account_id)));
    }

    #[test]
    fn a_clean_world_plants_nothing_and_keeps_what_looks_like_trouble() {
        let (_, truth) = told(&World::new(small(8, true)));
        assert!(truth.problems.iter().all(|problem| problem.kind == ProblemKind::Hiccup));
        for kind in [
            "wrong_passwords",
            "traveller",
            "vpn",
            "poor_geolocation",
            "shared_office",
            "own_change",
            "late_but_settled",
        ] {
            assert!(truth.look_alikes.iter().any(|look_alike| look_alike.kind == kind), "{kind}");
        }
    }
}
