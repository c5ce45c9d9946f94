//! Rule sets that take over from each other between two events: whatever stays finds what it would have found, and whatever
//! is new finds what it would have found had it always been there.

use std::collections::BTreeSet;

use super::*;
use crate::core::effect::IncidentId;
use crate::core::incident::journal::Turn;
use crate::core::rule::OnRemove;
use hearing::HEARING;
use kinds::VALUES;
use reconciling::CHECKS;

const CHANNELS: &str = "
name: channel-drop
topics: orders
group_by: [channel]
detect: { kind: ratio, of: 'type == \"order.failed\"', among: 'type in [\"order.paid\", \"order.failed\"]',
          above: 20%, window: 2m, min_samples: 8, confidence: 50% }
keep_firing_for: 1m
incident: { cooldown: 0s }
notice: { template: channel_trouble, to: affected, recovered: trouble_over }
---
name: silent-channel
topics: orders
group_by: [channel]
detect: { kind: flatline, window: 40s }
keep_firing_for: 30s
incident: { cooldown: 1m }
---
name: failing
topics: orders
detect: { kind: frequency, count: 'type == \"order.failed\"', at_least: 2, window: 3m }
keep_firing_for: 1m
incident: { cooldown: 1m, covered_by: [channel-drop], wait: 10s }
notice: { template: topup_failing, to: account, recovered: delivery_done, corrected: delivery_was_fine }
---
name: late
topics: orders
group_by: [order_id]
detect: { kind: deadline, start: 'type == \"order.paid\"', end: 'type == \"order.delivered\"', within: 1m }
incident: { close_after: 10m }
notice: { template: delivery_late, to: account }
---
name: more
topics: orders
detect: { kind: spike, count: 'type == \"order.paid\"', window: 1m, reference: 3m, height: 2, min_reference: 1 }
incident: { close_after: 5m, cooldown: 0s }
---
name: slow
topics: orders
group_by: [channel]
detect: { kind: metric, agg: p90, pair: { key: order_id, start: 'type == \"order.paid\"', end: 'type == \"order.delivered\"' },
          window: 3m, above: 40s, min_samples: 3 }
keep_firing_for: 1m
incident: { cooldown: 0s }
---
name: new-channel
topics: orders
detect: { kind: new_term, fields: [channel], window: 8m, min_history: 2 }
incident: { close_after: 5m, cooldown: 0s }
";

/// Orders on three channels, of which each has its bad minutes.
fn channels(random: &mut Random, count: usize, length: i64) -> Vec<(i64, String)> {
    let mut events = Vec::new();
    for order in 0..count {
        let (account, channel, second) = (random.below(6), random.below(3), random.below(length));
        let bad = (second / 300 + channel) % 3 == 0;
        let mut add = |after: i64, kind: &str| {
            let second = second + after;
            let text = format!("order.{kind} a{account} channel=c{channel} order_id=o{order} fault=channel");
            events.push((second, text));
        };
        if bad && random.below(2) == 0 {
            add(0, "failed");
            continue;
        }
        add(0, "paid");
        if random.below(6) > 0 {
            add(if bad { 30 + random.below(60) } else { random.below(20) }, "delivered");
        }
    }
    events.sort();
    events
}

/// A finding: rule, subject, when it was made, the event time that it belongs to.
type Found = (String, String, Time, Time);

/// An engine in the midst of a world, with what came of it so far.
struct Course {
    engine: Engine,
    now: BTreeMap<u32, Time>,
    found: Vec<Found>,
    effects: Vec<Effect>,
}

const SHARDS: [u32; 2] = [0, 1];

impl Course {
    fn new(rules: &Arc<RuleSet>) -> Self {
        let mut engine = Engine::new(Arc::clone(rules), &SHARDS);
        engine.keep_journal();
        Self { engine, now: BTreeMap::new(), found: Vec::new(), effects: Vec::new() }
    }

    fn play(&mut self, events: &[(i64, String)], first: usize) {
        for (number, (second, written)) in (first..).zip(events) {
            let mut event = event(number, *second, written);
            let shard = u32::from(event.text(TextField::AccountId).unwrap().ends_with(['1', '3', '5']));
            let now = self.now.entry(shard).or_insert(Time::MIN);
            *now = event.time.max(*now);
            self.engine.observe(shard, &mut event, *now);
            self.pass();
        }
    }

    /// Brings all shards to one time, if asked: events that wait for a slower shard are in no checkpoint.
    fn level(&mut self, wanted: bool) {
        if wanted {
            let until = self.now.values().max().map_or(0, |now| now.since(at(0)).as_millis() / 1_000);
            self.rest(until);
        }
    }

    fn pass(&mut self) {
        let scope = self.now.values().min().copied().unwrap_or(Time::MIN);
        self.engine.advance_scope(if self.now.len() == SHARDS.len() { scope } else { Time::MIN });
        self.take();
    }

    /// Lets time run on to a second.
    fn rest(&mut self, until: i64) {
        let from = self.now.values().max().map_or(0, |now| now.since(at(0)).as_millis() / 1_000);
        for second in from..=until {
            for shard in SHARDS {
                let now = self.now.entry(shard).or_insert(Time::MIN);
                *now = at(second).max(*now);
                self.engine.advance(shard, *now);
            }
            self.pass();
        }
    }

    fn take(&mut self) {
        let rules = Arc::clone(self.engine.rules());
        for note in self.engine.drain_notes() {
            if let Turn::Found { since, .. } = note.turn {
                let subject: Vec<&str> = note.subject.0.iter().map(|(_, value)| value.as_str()).collect();
                let rule = rules.rules[usize::from(note.rule)].name.clone();
                self.found.push((rule, subject.join("/"), note.at, since));
            }
        }
        self.effects.extend(self.engine.drain_effects());
    }

    /// Goes over to other rules, filled from these events.
    fn swap(&mut self, rules: &Arc<RuleSet>, history: &[(i64, String)]) {
        let change = self.engine.change_to(rules);
        let mut warm = Course::new(&Arc::new(change.to_run(rules)));
        warm.engine.hush();
        warm.play(history, 0);
        assert_eq!(warm.effects, [], "nobody hears of history");
        let warmed = change.needs_history().then(|| Box::new(warm.engine));
        self.engine.swap(Successor { rules: Arc::clone(rules), warmed, history_since: None });
        self.engine.keep_journal();
        self.take();
    }

    /// Writes a checkpoint into `store` and, if asked, goes on with what is read back from it.
    fn checkpoint(&mut self, store: &mut BTreeMap<(u32, Vec<u8>), Vec<u8>>, restart: bool) {
        self.engine.drain_changes(&mut |record: Record<'_>| {
            let key = (record.shard, record.key.to_vec());
            match record.value {
                Some(value) => drop(store.insert(key, value.to_vec())),
                None => drop(store.remove(&key)),
            }
        });
        if restart {
            let mut engine = Engine::new(Arc::clone(self.engine.rules()), &SHARDS);
            engine.resume(self.engine.marks());
            for ((shard, key), value) in &*store {
                engine.restore(*shard, key, value).unwrap();
            }
            engine.keep_journal();
            self.engine = engine;
        }
    }
}

/// Which rules of a set the old one has, too, and which of these say something else there.
struct Roles {
    old: Arc<RuleSet>,
    kept: BTreeSet<String>,
}

fn roles(random: &mut Random, rules: &RuleSet) -> Roles {
    let (mut old, mut kept) = (Vec::new(), BTreeSet::new());
    for rule in &rules.rules {
        let mut rule = rule.clone();
        match random.below(3) {
            0 => drop(kept.insert(rule.name.clone())),
            1 => rule.version ^= 1,
            _ => continue,
        }
        old.push(rule);
    }
    for place in 0..2 {
        let mut gone = rules.rules[place].clone();
        gone.name = format!("{}-gone", ["a", "z"][place]);
        gone.incident.on_remove = [OnRemove::Resolve, OnRemove::Keep][place];
        old.push(gone);
    }
    Roles { old: Arc::new(RuleSet::new(old)), kept }
}

/// The steps of each ticket are numbered without gaps from the one that opens it, and only what is open ends.
fn assert_tickets_are_whole(effects: &[Effect], seed: u64) {
    let mut tickets: BTreeMap<IncidentId, (u32, bool)> = BTreeMap::new();
    for effect in effects {
        match &effect.kind {
            EffectKind::Ticket { revision, step, .. } => {
                let (last, open) = tickets.entry(effect.incident).or_insert((0, false));
                assert_eq!(*revision, *last + 1, "seed {seed}: {}", line(effect));
                let opens = matches!(step, TicketStep::Opened | TicketStep::Reopened);
                assert!(
                    opens != *open || matches!(step, TicketStep::Updated),
                    "seed {seed}: {}",
                    line(effect)
                );
                *last = *revision;
                *open = opens || matches!(step, TicketStep::Updated);
            }
            EffectKind::Affected { .. } | EffectKind::Notice { .. } | EffectKind::Proposal(_) => {
                assert!(tickets.contains_key(&effect.incident), "seed {seed}: no ticket: {}", line(effect));
            }
        }
    }
}

fn sorted(found: &[Found]) -> Vec<Found> {
    let mut found = found.to_vec();
    found.sort();
    found
}

/// Swaps at random points of random worlds, with and without a restart right after, against the same rules all along.
fn assert_swaps_change_nothing(text: &str, world: impl Fn(&mut Random) -> Vec<(i64, String)>, least: usize) {
    let rules = rules(text);
    let mut compared: BTreeMap<String, usize> = BTreeMap::new();
    for seed in 0..6 {
        let random = &mut Random(seed);
        let events = world(random);
        let until = events.last().unwrap().0 + 300;
        let cut = events.len() / 4 + random.below(events.len() as i64 / 2) as usize;
        let Roles { old, kept } = roles(random, &rules);

        for restart in [false, true] {
            let mut always = Course::new(&rules);
            always.play(&events[..cut], 0);
            always.level(restart);
            always.found.clear();
            always.play(&events[cut..], cut);
            always.rest(until);
            for (rule, ..) in always.found.iter().filter(|(rule, ..)| !restart && !kept.contains(rule)) {
                *compared.entry(rule.clone()).or_default() += 1;
            }

            let mut whole_old = Course::new(&old);
            whole_old.play(&events[..cut], 0);
            whole_old.level(restart);
            whole_old.play(&events[cut..], cut);
            whole_old.rest(until);

            let mut store = BTreeMap::new();
            let mut swapped = Course::new(&old);
            swapped.play(&events[..cut / 2], 0);
            swapped.checkpoint(&mut store, false);
            swapped.play(&events[cut / 2..cut], cut / 2);
            swapped.level(restart);
            swapped.found.clear();
            swapped.swap(&rules, &events[..cut]);
            swapped.checkpoint(&mut store, restart);
            swapped.play(&events[cut..], cut);
            swapped.rest(until);

            let (ours, theirs) = (sorted(&swapped.found), sorted(&always.found));
            assert_eq!(ours, theirs, "seed {seed}, cut {cut}, restart {restart}, kept {kept:?}");
            assert_tickets_are_whole(&swapped.effects, seed);
            // What explains a rule's findings may have changed beside it; without that its tickets are the same.
            let alone = |effect: &&Effect| {
                let rule = rules.find(&effect.rule).filter(|rule| kept.contains(&rule.name));
                rule.is_some_and(|rule| {
                    rule.incident.covered_by.is_empty()
                        && rule.detect.hears().all(|heard| kept.contains(heard))
                })
            };
            let tickets = |effects: &[Effect]| -> BTreeMap<String, Vec<String>> {
                let mut lines: BTreeMap<String, Vec<String>> = BTreeMap::new();
                for effect in effects.iter().filter(alone) {
                    let key = format!("{} {:?}", effect.rule, effect.subject);
                    lines.entry(key).or_default().push(line(effect));
                }
                lines
            };
            let covers = |effect: &Effect| {
                rules
                    .rules
                    .iter()
                    .any(|rule| rule.incident.covered_by.iter().any(|cover| cover.rule == effect.rule))
            };
            let plain = |effects: &[Effect]| -> Vec<Effect> {
                effects.iter().filter(|effect| !covers(effect)).cloned().collect()
            };
            assert_eq!(
                tickets(&plain(&swapped.effects)),
                tickets(&plain(&whole_old.effects)),
                "seed {seed}, cut {cut}, restart {restart}"
            );
        }
    }
    for rule in &rules.rules {
        let count = compared.get(&rule.name).copied().unwrap_or(0);
        assert!(count >= least, "too easy: {} findings of {}: {compared:?}", count, rule.name);
    }
}

#[test]
fn whatever_comes_or_goes_beside_it_a_rule_on_channels_or_orders_finds_the_same() {
    assert_swaps_change_nothing(CHANNELS, |random| channels(random, 220, 1_500), 5);
}

#[test]
fn whatever_comes_or_goes_beside_it_a_rule_on_values_finds_the_same() {
    assert_swaps_change_nothing(VALUES, |random| kinds::logins(random, 300, 1_800), 10);
}

#[test]
fn whatever_comes_or_goes_beside_it_a_check_finds_the_same() {
    assert_swaps_change_nothing(CHECKS, |random| reconciling::orders(random, 400, 1_800), 5);
}

#[test]
fn whatever_comes_or_goes_beside_it_a_rule_that_hears_others_finds_the_same() {
    assert_swaps_change_nothing(HEARING, |random| hearing::events(random, 200, 3_000), 5);
}

/// Plays these events by the old rules, swaps, and plays the others by the new ones; everything that anybody hears.
fn told(
    old: &Arc<RuleSet>,
    new: &Arc<RuleSet>,
    before: &[(i64, &str)],
    after: &[(i64, &str)],
) -> Vec<String> {
    let owned = |events: &[(i64, &str)]| -> Vec<(i64, String)> {
        events.iter().map(|(second, text)| (*second, (*text).to_owned())).collect()
    };
    let (before, after) = (owned(before), owned(after));
    let mut course = Course::new(old);
    course.play(&before, 0);
    course.swap(new, &before);
    course.play(&after, before.len());
    course.rest(1_000);
    assert_tickets_are_whole(&course.effects, 0);
    course.effects.iter().map(line).collect()
}

const FAILURES: [(i64, &str); 3] = [
    (0, "order.failed a1 fault=channel"),
    (10, "order.failed a1 fault=channel"),
    (20, "order.failed a1 fault=channel"),
];

fn other() -> Arc<RuleSet> {
    rules(DEADLINE)
}

#[test]
fn a_new_rule_counts_what_was_before_it_and_what_was_true_already_opens_silently() {
    let new = rules(FAILING);
    let lines = told(&other(), &new, &FAILURES[..2], &FAILURES[2..]);
    assert_eq!(lines[0], "20 ticket.opened failing a1 since 20", "{lines:#?}");
    let again = [
        (30, "order.failed a1 fault=channel"),
        (40, "order.delivered a1"),
        (50, "order.failed a1 fault=channel"),
        (60, "order.failed a1 fault=channel"),
        (70, "order.failed a1 fault=channel"),
    ];
    let lines = told(&other(), &new, &FAILURES, &again);
    assert_eq!(
        lines[..3],
        ["70 ticket.opened failing a1 since 70", "70 affected a1", "70 notice opened topup_failing a1"],
        "nobody hears of what was true already, nor of its end, and of the next time as of the first: {lines:#?}"
    );
}

#[test]
fn what_a_new_rule_found_of_single_events_is_past_and_the_next_one_is_told() {
    let any = "name: payee\ntopics: logins\nwhere: 'type == \"account.payee_changed\"'\ndetect: { kind: any }\n\
               notice: { template: payee, to: account }";
    let lines =
        told(&other(), &rules(any), &[(0, "account.payee_changed a1")], &[(60, "account.payee_changed a1")]);
    assert_eq!(lines, ["60 ticket.opened payee a1 since 60", "60 affected a1", "60 notice opened payee a1"]);
}

#[test]
fn when_a_rule_goes_it_says_what_becomes_of_its_open_tickets() {
    let keep = rules(&FAILING.replace("incident: {", "incident: { on_remove: keep,"));
    let lines = told(&rules(FAILING), &other(), &FAILURES, &[]);
    assert_eq!(lines.last().map(String::as_str), Some("20 ticket.resolved failing a1 rule_changed"));
    assert_eq!(lines.len(), 4, "nobody is told that all is well: {lines:#?}");
    let lines = told(&keep, &other(), &FAILURES, &[(30, "order.delivered a1")]);
    assert_eq!(lines.len(), 3, "staff have it: {lines:#?}");
    let paused = rules(&FAILING.replace("topics:", "state: paused\ntopics:"));
    let lines = told(&rules(FAILING), &paused, &FAILURES, &[(30, "order.failed a1 fault=channel")]);
    assert_eq!(lines.last().map(String::as_str), Some("20 ticket.resolved failing a1 rule_changed"));
}

#[test]
fn the_ticket_of_a_rule_that_has_changed_goes_on_if_its_condition_still_holds_and_ends_otherwise() {
    let (two, four) =
        (FAILING.replace("at_least: 3", "at_least: 2"), FAILING.replace("at_least: 3", "at_least: 4"));
    let lines = told(&rules(FAILING), &rules(&two), &FAILURES, &[(30, "order.delivered a1")]);
    assert_eq!(
        lines[3..],
        ["30 ticket.resolved failing a1 recovered", "30 notice recovered delivery_done a1"],
        "{lines:#?}"
    );
    let lines = told(&rules(FAILING), &rules(&four), &FAILURES, &[(30, "order.delivered a1")]);
    assert_eq!(lines[3..], ["20 ticket.resolved failing a1 rule_changed"], "{lines:#?}");
}

#[test]
fn where_history_begins_too_late_a_rule_is_quiet_until_it_would_have_been_whole() {
    let rules = rules(FAILING);
    let mut course = Course::new(&other());
    course.play(&[(0, "order.failed a1 fault=channel".to_owned())], 0);
    let change = course.engine.change_to(&rules);
    let warmed = Some(Box::new(Engine::new(Arc::new(change.to_run(&rules)), &SHARDS)));
    course.engine.swap(Successor { rules: Arc::clone(&rules), warmed, history_since: Some(at(0)) });
    let quiet_until = course.engine.marks()[0].quiet_until;
    assert_eq!(quiet_until, at(0) + rules.rules[0].history(&rules));
    let end = quiet_until.since(at(0)).as_millis() / 1_000;
    for (first, count) in [(end - 100, 0), (end + 3_000, 1)] {
        let fails: Vec<(i64, String)> =
            (0..3).map(|number| (first + number, format!("order.failed a{first} fault=channel"))).collect();
        course.play(&fails, usize::try_from(first).unwrap());
        let opened = course.effects.iter().filter(|effect| line(effect).contains("ticket.opened")).count();
        assert_eq!(opened, count, "at {first}");
    }
}
