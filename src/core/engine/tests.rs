//! What the engine promises, told as rules, events and the effects that follow.

mod calendars;
mod covering;
mod hearing;
mod kinds;
mod meanings;
mod metamorphic;
mod peers;
mod proposing;
mod reconciling;
mod swapping;

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::*;
use crate::core::effect::{EffectKind, Proposed, TicketStep};
use crate::core::event::{EventType, Fault, NumberField, Place};
use crate::core::rule::parse::{self, LoadOptions};
use covering::{COVERED, COVERED_BESIDE, outage};

fn rules(text: &str) -> Arc<RuleSet> {
    let loaded = parse::load(text, "test.yaml", &calendars::options()).unwrap_or_else(|errors| {
        panic!("{}", errors.iter().map(|error| error.render("error")).collect::<Vec<_>>().join("\n"))
    });
    Arc::new(RuleSet::new(loaded.into_iter().map(|loaded| loaded.rule).collect()))
}

fn at(seconds: i64) -> Time {
    Time::from_millis(1_000_000_000 + seconds * 1_000)
}

/// `type account key=value …` at a second.
fn event(number: usize, second: i64, written: &str) -> Event<'static> {
    let mut words = written.split(' ');
    let event_type = EventType::parse(words.next().unwrap()).unwrap();
    let mut event = Event::new(event_type, at(second));
    event.set_text(TextField::Id, Cow::Owned(format!("e{number}")));
    event.set_text(TextField::AccountId, Cow::Owned(words.next().unwrap().to_owned()));
    for word in words {
        let (name, value) = word.split_once('=').unwrap();
        if name == "fault" {
            event.fault = Fault::parse(value).unwrap();
            continue;
        }
        if name == "expires_at" {
            event.expires_at = Some(at(value.parse().unwrap()));
            continue;
        }
        if let Some(field) = NumberField::ALL.into_iter().find(|field| field.as_str() == name) {
            event.set_number(field, value.parse().unwrap());
            continue;
        }
        if name == "place" {
            let numbers: Vec<f64> = value.split(',').map(|number| number.parse().unwrap()).collect();
            event.place =
                Some(Place { latitude: numbers[0], longitude: numbers[1], accuracy_km: numbers[2] });
            continue;
        }
        let field = TextField::ALL.into_iter().find(|field| field.as_str() == name).unwrap();
        event.set_text(field, Cow::Owned(value.to_owned()));
    }
    event
}

/// One effect as a line: second, effect, subject, and what matters of it.
fn line(effect: &Effect) -> String {
    let second = |time: Time| time.since(at(0)).as_millis() as f64 / 1_000.0;
    let subject: Vec<&str> = effect.subject.0.iter().map(|(_, value)| value.as_str()).collect();
    let subject = subject.join("/");
    let at = second(effect.at);
    match &effect.kind {
        EffectKind::Ticket { step, snapshot, .. } => {
            let detail = match step {
                TicketStep::Opened => format!(" since {}", second(snapshot.since)),
                TicketStep::Resolved(reason) => format!(" {}", reason.as_str()),
                TicketStep::Merged(_) => " merged".to_owned(),
                _ => String::new(),
            };
            format!("{at} {} {} {subject}{detail}", step.as_str(), effect.rule)
        }
        EffectKind::Affected { account_id, .. } => format!("{at} affected {account_id}"),
        EffectKind::Proposal(proposal) => {
            let what = match &proposal.what {
                Proposed::Action(name) => name.to_string(),
                Proposed::Compensation(offer) => {
                    offer.as_ref().map_or_else(|why| why.as_str().to_owned(), ToString::to_string)
                }
            };
            format!("{at} {} {what} {}", proposal.effect(), proposal.account_id)
        }
        EffectKind::Notice { account_id, stage, template, .. } => {
            format!("{at} notice {} {template} {account_id}", stage.as_str())
        }
    }
}

/// Feeds one shard in the order given, each event at the shard's newest time, then lets time pass.
fn run(rules: &Arc<RuleSet>, events: &[(i64, &str)], until: i64) -> Vec<String> {
    let mut lines = Vec::new();
    drive(rules, events, until, |engine| lines.extend(engine.drain_effects().map(|effect| line(&effect))));
    lines
}

/// The same, with a look at the engine after each step.
fn drive(
    rules: &Arc<RuleSet>,
    events: &[(i64, impl AsRef<str>)],
    until: i64,
    mut look: impl FnMut(&mut Engine),
) -> Engine {
    let mut engine = Engine::new(Arc::clone(rules), &[0]);
    let mut now = Time::MIN;
    for (number, (second, written)) in events.iter().enumerate() {
        let mut event = event(number, *second, written.as_ref());
        now = now.max(event.time);
        engine.observe(0, &mut event, now);
        engine.advance_scope(now);
        look(&mut engine);
    }
    for second in 0..=until {
        if at(second) > now {
            engine.advance(0, at(second));
            engine.advance_scope(at(second));
            look(&mut engine);
        }
    }
    engine
}

const FAILING: &str = "
name: failing
topics: orders
group_by: [account_id]
detect: { kind: frequency, count: 'type == \"order.failed\" and fault != \"customer\"', at_least: 3, window: 10m,
          unless: 'type == \"order.delivered\"' }
keep_firing_for: 5m
incident: { cooldown: 1h, resolve_when: 'type == \"order.delivered\"' }
notice: { template: topup_failing, to: account, recovered: delivery_done, corrected: delivery_was_fine }
";

#[test]
fn the_third_failure_opens_a_ticket_tells_the_customer_and_the_next_success_ends_it() {
    let lines = run(
        &rules(FAILING),
        &[
            (0, "order.failed a1 fault=channel order_id=o1"),
            (60, "order.failed a1 fault=channel order_id=o2"),
            (90, "order.failed a1 fault=customer order_id=o2"),
            (120, "order.failed a1 fault=channel order_id=o3"),
            (180, "order.failed a1 fault=channel order_id=o4"),
            (200, "order.delivered a1 order_id=o5"),
        ],
        300,
    );
    assert_eq!(
        lines,
        [
            "120 ticket.opened failing a1 since 120",
            "120 affected a1",
            "120 notice opened topup_failing a1",
            "200 ticket.resolved failing a1 recovered",
            "200 notice recovered delivery_done a1",
        ]
    );
}

#[test]
fn a_duplicate_counts_once_and_the_same_id_of_another_account_is_another_event() {
    let rules = rules(FAILING);
    let mut engine = Engine::new(rules, &[0]);
    let mut observe =
        |number, second, written| engine.observe(0, &mut event(number, second, written), at(second));
    assert_eq!(observe(1, 0, "order.failed a1 fault=channel"), Observed::Fresh);
    assert_eq!(observe(1, 0, "order.failed a1 fault=channel"), Observed::Duplicate);
    assert_eq!(observe(1, 0, "order.failed a2 fault=channel"), Observed::Fresh);
}

#[test]
fn a_condition_that_lapses_without_a_success_goes_quiet_and_nobody_is_told_that_all_is_well() {
    let failures: Vec<(i64, &str)> =
        [0, 10, 20].map(|second| (second, "order.failed a1 fault=channel")).to_vec();
    let lines = run(&rules(FAILING), &failures, 1_200);
    assert_eq!(lines.last().map(String::as_str), Some("900 ticket.resolved failing a1 quiet"), "{lines:#?}");
}

#[test]
fn an_event_that_arrives_late_and_shows_that_it_was_never_true_withdraws_and_corrects() {
    let lines = run(
        &rules(FAILING),
        &[
            (0, "order.failed a1 fault=channel"),
            (30, "order.failed a1 fault=channel"),
            (60, "order.failed a1 fault=channel"),
            (45, "order.delivered a1"),
        ],
        100,
    );
    assert_eq!(
        lines,
        [
            "60 ticket.opened failing a1 since 60",
            "60 affected a1",
            "60 notice opened topup_failing a1",
            "60 ticket.withdrawn failing a1",
            "60 notice corrected delivery_was_fine a1",
        ]
    );
}

#[test]
fn an_event_that_disproves_one_finding_after_the_other_withdraws_them_all() {
    let mut failures: Vec<(i64, &str)> =
        [0, 10, 20, 30].map(|second| (second, "order.failed a1 fault=channel")).to_vec();
    failures.push((15, "order.delivered a1"));
    let lines = run(&rules(FAILING), &failures, 600);
    let expected = ["ticket.withdrawn failing a1", "notice corrected delivery_was_fine a1"];
    assert!(expected.iter().all(|end| lines.iter().any(|line| line.ends_with(end))), "{lines:#?}");
    assert!(!lines.iter().any(|line| line.contains("resolved")), "{lines:#?}");
}

#[test]
fn trouble_that_returns_within_the_cooldown_reopens_the_ticket_and_after_it_opens_another() {
    let mut events = Vec::new();
    for start in [0, 1_000, 20_000] {
        for second in [0, 1, 2] {
            events.push((start + second, "order.failed a1 fault=channel"));
        }
        events.push((start + 10, "order.delivered a1"));
    }
    let lines = run(&rules(FAILING), &events, 20_020);
    let tickets: Vec<&str> =
        lines.iter().filter(|line| line.contains("ticket.")).map(String::as_str).collect();
    assert_eq!(
        tickets,
        [
            "2 ticket.opened failing a1 since 2",
            "10 ticket.resolved failing a1 recovered",
            "1002 ticket.reopened failing a1",
            "1010 ticket.resolved failing a1 recovered",
            "20002 ticket.opened failing a1 since 20002",
            "20010 ticket.resolved failing a1 recovered",
        ]
    );
}

#[test]
fn what_was_not_true_of_a_return_leaves_the_trouble_before_it_true() {
    let failed = |second| (second, "order.failed a1 fault=channel");
    let lines = run(
        &rules(FAILING),
        &[
            failed(0),
            failed(1),
            failed(2),
            (10, "order.delivered a1"),
            failed(1_000),
            failed(1_001),
            failed(1_004),
            (1_003, "order.delivered a1"),
        ],
        1_100,
    );
    assert_eq!(
        lines,
        [
            "2 ticket.opened failing a1 since 2",
            "2 affected a1",
            "2 notice opened topup_failing a1",
            "10 ticket.resolved failing a1 recovered",
            "10 notice recovered delivery_done a1",
            "1004 ticket.reopened failing a1",
            "1004 affected a1",
            "1004 ticket.resolved failing a1 quiet",
        ]
    );
}

const DEADLINE: &str = "
name: not-delivered
topics: orders
group_by: [order_id]
detect: { kind: deadline, start: 'type == \"order.paid\"', end: 'type in [\"order.delivered\", \"order.refunded\"]', within: 30m }
grace: 5s
notice: { template: delivery_late, to: account, recovered: delivery_done, corrected: delivery_was_fine }
";

#[test]
fn a_missed_deadline_is_judged_after_its_grace_and_resolves_when_the_goods_come() {
    let lines = run(
        &rules(DEADLINE),
        &[
            (0, "order.paid a1 order_id=o1"),
            (0, "order.paid a2 order_id=o2"),
            (1_799, "order.delivered a2 order_id=o2"),
            (2_000, "order.delivered a1 order_id=o1"),
        ],
        2_100,
    );
    assert_eq!(
        lines,
        [
            "1805 ticket.opened not-delivered o1 since 1800",
            "1805 affected a1",
            "1805 notice opened delivery_late a1",
            "2000 ticket.resolved not-delivered o1 recovered",
            "2000 notice recovered delivery_done a1",
        ]
    );
}

#[test]
fn goods_that_come_between_the_limit_and_the_judgement_open_and_resolve_without_a_word() {
    let lines = run(
        &rules(DEADLINE),
        &[(0, "order.paid a1 order_id=o1"), (1_802, "order.delivered a1 order_id=o1")],
        2_000,
    );
    assert!(lines.iter().all(|line| !line.contains("notice")), "{lines:#?}");
    assert_eq!(lines.iter().filter(|line| line.contains("ticket.")).count(), 2, "{lines:#?}");
}

#[test]
fn restoring_a_checkpoint_at_any_point_changes_nothing() {
    let beside = COVERED_BESIDE.replace("WAIT", "3s");
    let rules = rules(&format!("{COVERED}\n---{DEADLINE}\n---{beside}"));
    let mut events = outage();
    for number in 0..40 {
        events.push((number * 7, format!("order.paid c{number} channel=wechat order_id=d{number}")));
    }
    events.sort();
    let whole =
        run(&rules, &events.iter().map(|(second, text)| (*second, text.as_str())).collect::<Vec<_>>(), 2_500);
    assert!(whole.iter().any(|line| line.contains("not-delivered")), "{whole:#?}");
    for cut in (0..events.len()).step_by(23) {
        let lines = run_restored(&rules, &events, 2_500, cut);
        assert_eq!(lines, whole, "restored after {cut} events");
    }
}

/// As [`run`], with an engine that is put back from its checkpoint after so many events, and after half of them.
fn run_restored(rules: &Arc<RuleSet>, events: &[(i64, String)], until: i64, cut: usize) -> Vec<String> {
    let mut store = BTreeMap::new();
    let mut engine = Engine::new(Arc::clone(rules), &[0]);
    let mut lines = Vec::new();
    let mut now = Time::MIN;
    for (number, (second, written)) in events.iter().enumerate() {
        if number == cut || number == cut / 2 {
            engine.drain_changes(&mut |record: Record<'_>| {
                let key = (record.shard, record.key.to_vec());
                match record.value {
                    Some(value) => drop(store.insert(key, value.to_vec())),
                    None => drop(store.remove(&key)),
                }
            });
            engine = Engine::new(Arc::clone(rules), &[0]);
            for ((shard, key), value) in &store {
                assert_eq!(engine.restore(*shard, key, value), Ok(Restored::Kept));
            }
        }
        let mut event = event(number, *second, written);
        now = now.max(event.time);
        engine.observe(0, &mut event, now);
        engine.advance_scope(now);
        lines.extend(engine.drain_effects().map(|effect| line(&effect)));
    }
    for second in 0..=until {
        if at(second) > now {
            engine.advance(0, at(second));
            engine.advance_scope(at(second));
            lines.extend(engine.drain_effects().map(|effect| line(&effect)));
        }
    }
    lines
}

/// Restored after every so many events, the engine must do what it does without: each rule opens some tickets.
fn assert_restorable(
    rules: &Arc<RuleSet>,
    events: &[(i64, String)],
    until: i64,
    every: usize,
) -> Vec<String> {
    let borrowed: Vec<(i64, &str)> = events.iter().map(|(second, text)| (*second, text.as_str())).collect();
    let whole = run(rules, &borrowed, until);
    for rule in rules.rules.iter().map(|rule| rule.name.as_str()) {
        assert!(count(&whole, "ticket.opened", rule) > 1, "too easy: {rule}");
    }
    for cut in (0..events.len()).step_by(every) {
        assert_eq!(run_restored(rules, events, until, cut), whole, "restored after {cut} events");
    }
    whole
}

/// How often a step of a rule's tickets is among the lines.
fn count(lines: &[String], step: &str, rule: &str) -> usize {
    lines.iter().filter(|line| line.contains(&format!("{step} {rule} "))).count()
}

/// Whatever the order of arrival, the same incidents must stand in the end: of each rule at least so many over sixty
/// worlds, and so many withdrawals in all.
fn assert_order_says_nothing(
    rules: &Arc<RuleSet>,
    world: impl Fn(&mut Random) -> Vec<(i64, String)>,
    least_incidents: usize,
    least_withdrawals: usize,
) {
    let (mut incidents, mut withdrawals) = (BTreeMap::new(), 0);
    for seed in 0..60 {
        let mut random = Random(seed);
        let numbered = (0..).zip(world(&mut random));
        let events: Vec<(usize, i64, String)> =
            numbered.map(|(number, (second, text))| (number, second, text)).collect();
        let (expected, _) = settled(rules, &events);
        let mut arriving: Vec<_> =
            events.iter().map(|event| (event.1 + random.below(100), event.clone())).collect();
        arriving.sort_by_key(|(arrival, event)| (*arrival, event.0));
        let arriving: Vec<_> = arriving.into_iter().map(|(_, event)| event).collect();
        let (standing, withdrawn) = settled(rules, &arriving);
        assert_eq!(without_counterpart(&standing, &expected), Vec::<&Standing>::new(), "seed {seed}");
        assert_eq!(without_counterpart(&expected, &standing), Vec::<&Standing>::new(), "seed {seed}");
        for (name, ..) in &standing {
            *incidents.entry(name.split(' ').next().unwrap().to_owned()).or_insert(0) += 1;
        }
        withdrawals += withdrawn;
    }
    assert_eq!(incidents.len(), rules.rules.len(), "{incidents:?}");
    assert!(incidents.values().all(|count| *count >= least_incidents), "too easy: {incidents:?}");
    assert!(withdrawals >= least_withdrawals, "too easy: {withdrawals} withdrawals");
}

/// Random numbers that are the same on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: i64) -> i64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % limit.max(1) as u64) as i64
    }
}

/// What stands of an incident once all is settled: rule and subject, its first finding, its end.
type Standing = (String, Time, Time);

/// The incidents that stand in the end, and how many were withdrawn.
fn settled(rules: &Arc<RuleSet>, events: &[(usize, i64, String)]) -> (Vec<Standing>, usize) {
    let mut engine = Engine::new(Arc::clone(rules), &[0]);
    let (mut spans, mut withdrawn) = (Vec::new(), 0);
    let mut now = Time::MIN;
    let mut take = |engine: &mut Engine| {
        for effect in engine.drain_effects() {
            if let EffectKind::Ticket { step, snapshot, .. } = &effect.kind {
                match step {
                    TicketStep::Resolved(_) => {
                        let name = format!("{} {:?}", effect.rule, effect.subject);
                        spans.push((name, snapshot.since, effect.at));
                    }
                    TicketStep::Withdrawn => withdrawn += 1,
                    _ => {}
                }
            }
        }
    };
    for (number, second, written) in events {
        let mut event = event(*number, *second, written);
        now = now.max(event.time);
        engine.observe(0, &mut event, now);
        engine.advance_scope(now);
        take(&mut engine);
    }
    for _ in 0..200 {
        now += Span::from_secs(60);
        engine.advance(0, now);
        engine.advance_scope(now);
        take(&mut engine);
    }
    (spans, withdrawn)
}

/// The incidents of `one` that nothing in `other` corresponds to: same rule and subject, overlapping span. An end may be
/// decided before an event arrives that would have put it off, so two incidents may correspond to one.
fn without_counterpart<'a>(one: &'a [Standing], other: &[Standing]) -> Vec<&'a Standing> {
    let overlaps = |(name, since, until): &Standing| {
        other.iter().any(|(other, from, to)| name == other && since <= to && from <= until)
    };
    one.iter().filter(|standing| !overlaps(standing)).collect()
}

#[test]
fn whatever_the_order_of_arrival_within_the_lateness_the_same_incidents_stand_in_the_end() {
    let rules = rules(&format!(
        "{}\n---{}",
        FAILING.replace(
            "incident: { cooldown: 1h, resolve_when: 'type == \"order.delivered\"' }",
            "incident: { cooldown: 0s }"
        ),
        DEADLINE.replace("within: 30m", "within: 3m"),
    ));
    let (mut incidents, mut withdrawals) = (0, 0);
    for seed in 0..150 {
        let mut random = Random(seed);
        let mut events: Vec<(usize, i64, String)> = (0..120_usize)
            .map(|number| {
                let account = random.below(4);
                let order = random.below(30);
                let kind = ["order.paid", "order.delivered", "order.failed", "order.failed"]
                    [random.below(4) as usize];
                let fault = if kind == "order.failed" { " fault=channel" } else { "" };
                (number, random.below(3_600), format!("{kind} a{account} order_id=o{account}x{order}{fault}"))
            })
            .collect();
        events.sort_by_key(|(_, second, _)| *second);
        let (expected, _) = settled(&rules, &events);
        // Each event arrives up to 100 s late, well within the lateness of two minutes.
        let mut arriving: Vec<(i64, (usize, i64, String))> =
            events.iter().map(|event| (event.1 + random.below(100), event.clone())).collect();
        arriving.sort_by_key(|(arrival, event)| (*arrival, event.0));
        let arriving: Vec<_> = arriving.into_iter().map(|(_, event)| event).collect();
        let (standing, withdrawn) = settled(&rules, &arriving);
        assert_eq!(without_counterpart(&standing, &expected), Vec::<&Standing>::new(), "seed {seed}");
        assert_eq!(without_counterpart(&expected, &standing), Vec::<&Standing>::new(), "seed {seed}");
        incidents += standing.len();
        withdrawals += withdrawn;
    }
    assert!(
        incidents >= 100 && withdrawals >= 20,
        "{incidents} incidents, {withdrawals} withdrawals: too easy"
    );
}
