//! Kinds that are summed over partitions: any order of arrival within lateness, any split over shards, any restart leave
//! the findings of a model that looks at all events of each window anew.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use super::support::{Order, World, at, decimal, rule};
use crate::core::event::TextField::{AccountId, Channel, Ip};
use crate::core::event::{Event, EventType, Field, NumberField, Symbol, TextSet, TypeSet};
use crate::core::rule::cardinality::Cardinality;
use crate::core::rule::condition::Condition;
use crate::core::rule::frequency::Frequency;
use crate::core::rule::limit::WholeLimit;
use crate::core::rule::metric::{Bound, Metric, Sampled};
use crate::core::rule::samples::Agg;
use crate::core::rule::scope::{Side, is_summed, slice_key};
use crate::core::rule::spike::{Direction, Spike};
use crate::core::rule::table::testing::Random;
use crate::core::rule::verdict::{Evidence, Verdict};
use crate::core::rule::{Audience, Detect, Limit, NoticePolicy, Rule};
use crate::core::time::{Span, Time};

const LATENESS: i64 = 20_000;
const END: i64 = 400;
const CHANNELS: [&str; 2] = ["alipay", "wechat"];

#[derive(Clone, Debug)]
struct Paid {
    millis: i64,
    account: u32,
    channel: &'static str,
    amount: Decimal,
    ip: i64,
    failed: bool,
    delay: i64,
    late: bool,
}

impl Paid {
    fn event(&self) -> Event<'static> {
        let Self { millis, account, channel, failed, .. } = *self;
        let order = Order { millis, account, channel, region: "east", product: "card", failed };
        let mut event = order.event();
        event.set_number(NumberField::Amount, self.amount);
        event.set_text(Ip, format!("10.0.0.{}", self.ip).into());
        event.symbolize(TextSet::of(Ip));
        event
    }
}

/// Payments that come in waves, so that windows fill and empty.
fn payments(random: &mut Random) -> Vec<Paid> {
    let count = random.between(40, 400);
    let waves: Vec<i64> = (0..4).map(|_| random.between(0, 300)).collect();
    let one = |random: &mut Random| {
        let wave = waves[random.below(4) as usize];
        let millis = (wave * 1_000 + random.below(30_000)).min(330_000);
        Paid {
            // Half of the events lie on whole seconds, where the edges of windows are.
            millis: if random.percent(50) { millis / 1_000 * 1_000 } else { millis },
            account: random.below(30) as u32,
            channel: CHANNELS[random.below(2) as usize],
            amount: Decimal::new(random.between(-20, 300), random.below(2) as u32),
            ip: random.below(40),
            failed: random.percent(40),
            delay: if random.percent(50) { 0 } else { random.below(LATENESS) },
            late: random.percent(2),
        }
    };
    (0..count).map(|_| one(random)).collect()
}

fn failed() -> Condition {
    Condition::TypeIn(TypeSet::of(EventType::OrderFailed))
}

fn frequency() -> Frequency {
    Frequency {
        count: failed(),
        at_least: Some(6.into()),
        at_most: None,
        window: Span::from_secs(20),
        distinct: None,
        unless: None,
        reset: false,
    }
}

fn metric(agg: Agg, bound: Bound, limit: &str) -> Metric {
    let field = Field::Number(NumberField::Amount);
    Metric {
        agg,
        of: if agg == Agg::Count { Sampled::Events } else { Sampled::Field(field) },
        window: Span::from_secs(20),
        bound,
        limit: Limit::One(decimal(limit)),
        min_samples: 2,
    }
}

fn spike(agg: Agg, direction: Direction) -> Spike {
    Spike {
        count: Condition::Always,
        agg,
        field: (agg != Agg::Count).then_some(Field::Number(NumberField::Amount)),
        window: Span::from_secs(15),
        reference: Span::from_secs(30),
        height: decimal("2"),
        direction,
        min_reference: 2,
        min_current: 1,
    }
}

fn cardinality(side: Side, limit: WholeLimit) -> Detect {
    Detect::Cardinality(Cardinality { field: Ip, window: Span::from_secs(20), side, limit })
}

fn rules() -> Vec<Rule> {
    use Agg::{Avg, Count, Distinct, Max, Min, Quantile, Stddev, Sum};
    let by = Limit::By {
        field: Channel,
        values: BTreeMap::from([("alipay".to_owned(), decimal("700"))]),
        default: decimal("1100"),
    };
    let by_channel = WholeLimit::by(Channel, [("alipay", 9)].into_iter(), 15);
    let median = Quantile(decimal("0.5"));
    let kinds = [
        Detect::Frequency(frequency()),
        Detect::Frequency(Frequency { distinct: Some(AccountId), ..frequency() }),
        Detect::Frequency(Frequency { at_least: Some(3.into()), at_most: Some(5.into()), ..frequency() }),
        Detect::Metric(Metric { limit: by, ..metric(Sum, Bound::Above, "0") }),
        Detect::Metric(metric(Sum, Bound::AtMost, "60")),
        Detect::Metric(metric(Count, Bound::Below, "4")),
        Detect::Metric(metric(Avg, Bound::Above, "110")),
        Detect::Metric(metric(Min, Bound::AtLeast, "3")),
        Detect::Metric(metric(Max, Bound::AtLeast, "280")),
        Detect::Metric(metric(median, Bound::Above, "60")),
        Detect::Metric(metric(Quantile(decimal("0.9")), Bound::Above, "230.5")),
        Detect::Metric(metric(Stddev, Bound::Below, "70")),
        Detect::Metric(metric(Distinct, Bound::NotEqual, "9")),
        cardinality(Side::Above, by_channel),
        cardinality(Side::Below, 5.into()),
        Detect::Spike(spike(Count, Direction::Up)),
        Detect::Spike(spike(Count, Direction::Both)),
        Detect::Spike(spike(Avg, Direction::Down)),
        Detect::Spike(spike(Max, Direction::Up)),
        Detect::Spike(spike(Distinct, Direction::Up)),
    ];
    let mut rules: Vec<Rule> = kinds.into_iter().map(|detect| rule(&[&[Channel]], detect)).collect();
    rules.push(rule(&[&[]], Detect::Frequency(Frequency { at_least: Some(9.into()), ..frequency() })));
    rules
}

/// What the values of a window come to, computed from nothing.
fn value_of(agg: Agg, values: &mut [Decimal]) -> Option<f64> {
    values.sort();
    let number = values.len() as f64;
    let floats: Vec<f64> = values.iter().map(|value| value.to_f64().unwrap()).collect();
    let sum: f64 = values.iter().sum::<Decimal>().to_f64().unwrap();
    if values.is_empty() {
        return None;
    }
    Some(match agg {
        Agg::Count => number,
        Agg::Sum => sum,
        Agg::Avg => sum / number,
        Agg::Min => floats[0],
        Agg::Max => floats[floats.len() - 1],
        Agg::Quantile(share) => {
            let rank = (number - 1.0) * share.to_f64().unwrap();
            let (low, high) = (floats[rank.floor() as usize], floats[rank.ceil() as usize]);
            low + (high - low) * rank.fract()
        }
        Agg::Stddev => {
            let mean = sum / number;
            (floats.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / number).sqrt()
        }
        Agg::Distinct => values.iter().collect::<BTreeSet<_>>().len() as f64,
        _ => unreachable!("not among the rules"),
    })
}

/// The events of a subject as the rule samples them.
fn samples(rule: &Rule, paid: &[&Paid]) -> Vec<(i64, Decimal)> {
    let hash = |event: &Event<'_>, field| Decimal::from(event.symbol(field).0);
    let mut samples: Vec<(i64, Decimal)> = Vec::new();
    for paid in paid {
        let event = paid.event();
        let value = match &rule.detect {
            Detect::Frequency(_) if !paid.failed => continue,
            Detect::Frequency(Frequency { distinct: Some(field), .. }) => hash(&event, *field),
            Detect::Cardinality(_) => hash(&event, Ip),
            _ => paid.amount,
        };
        samples.push((paid.millis, value));
    }
    samples.sort();
    samples
}

/// Whether the rule holds of a subject with these samples at a second; also how near the limit it was, as a share.
fn holds(rule: &Rule, channel: &str, samples: &[(i64, Decimal)], second: i64) -> (bool, f64) {
    let within = |from: i64, to: i64| -> Vec<Decimal> {
        let inside = samples.iter().filter(|(at, _)| *at > from * 1_000 && *at <= to * 1_000);
        inside.map(|(_, value)| *value).collect()
    };
    // Since which second the subject has been heard of without a gap as long as the rule looks back.
    let whole = |reach: i64| {
        let mut begun: Option<(i64, i64)> = None;
        for (at, _) in samples {
            let entry = (at + 999).div_euclid(1_000);
            if entry > second {
                break;
            }
            begun = match begun {
                Some((begun, latest)) if entry - latest < reach => Some((begun, entry)),
                _ => Some((entry, entry)),
            };
        }
        begun.is_some_and(|(begun, _)| begun + reach <= second)
    };
    let near = |value: f64, limit: f64| ((value - limit) / limit.abs().max(1.0)).abs();
    match &rule.detect {
        Detect::Frequency(detect) => {
            let agg = if detect.distinct.is_some() { Agg::Distinct } else { Agg::Count };
            let value = value_of(agg, &mut within(second - 20, second)).unwrap_or(0.0) as u32;
            let least = detect.at_least.as_ref().map_or(1, |limit| limit.at(Symbol::of(channel)));
            let most = detect.at_most.as_ref().map_or(u32::MAX, |limit| limit.at(Symbol::of(channel)));
            (least <= value && value <= most, 1.0)
        }
        Detect::Cardinality(detect) => {
            let value = value_of(Agg::Distinct, &mut within(second - 20, second)).unwrap_or(0.0) as u32;
            let limit = detect.limit.at(Symbol::of(channel));
            let below = 0 < value && value < limit && whole(20);
            (if detect.side == Side::Above { value > limit } else { below }, 1.0)
        }
        Detect::Metric(detect) => {
            let mut values = within(second - 20, second);
            let limit = match &detect.limit {
                Limit::One(limit) => *limit,
                Limit::By { values, default, .. } => values.get(channel).copied().unwrap_or(*default),
            };
            let limit = limit.to_f64().unwrap();
            let little = matches!(detect.bound, Bound::Below | Bound::AtMost);
            if values.len() < 2 || little && !whole(20) {
                return (false, 1.0);
            }
            let value = value_of(detect.agg, &mut values).unwrap();
            let beyond = match detect.bound {
                Bound::Above => value > limit,
                Bound::AtLeast => value >= limit,
                Bound::Below => value < limit,
                Bound::AtMost => value <= limit,
                Bound::Equal => value == limit,
                Bound::NotEqual => value != limit,
            };
            (beyond, near(value, limit))
        }
        Detect::Spike(detect) => {
            let (mut now, mut then) = (within(second - 15, second), within(second - 45, second - 15));
            if now.is_empty() || then.len() < 2 || !whole(45) {
                return (false, 1.0);
            }
            let value = value_of(detect.agg, &mut now).unwrap();
            let usual = value_of(detect.agg, &mut then).unwrap();
            let usual = if detect.agg == Agg::Count { usual / 2.0 } else { usual };
            let up = value > 0.0 && usual >= 0.0 && value >= 2.0 * usual;
            let down = usual > 0.0 && 2.0 * value <= usual;
            let beyond = match detect.direction {
                Direction::Up => up,
                Direction::Down => down,
                Direction::Both => up || down,
            };
            (beyond, near(value, 2.0 * usual).min(near(2.0 * value, usual)))
        }
        _ => unreachable!("not among the rules"),
    }
}

fn subject_of(rule: &Rule, paid: &Paid) -> Symbol {
    slice_key(&rule.groups, 0, &paid.event()).unwrap()
}

/// Runs the payments as they arrive; judges and restarts where chance says so.
fn run(rule: &Rule, shards: u32, payments: &[Paid], random: &mut Random) -> World {
    let mut arrivals: Vec<&Paid> = payments.iter().collect();
    arrivals.sort_by_key(|paid| (paid.millis + paid.delay, paid.account));
    let mut world = World::new(rule.clone(), shards);
    let mut newest = 0;
    for paid in arrivals {
        let settled = Time::from_millis(paid.millis + paid.delay - LATENESS);
        world.observe_event(paid.account, &paid.event(), settled, paid.late);
        newest = newest.max(paid.millis);
        if random.percent(40) {
            // Shards are judged behind, at, and (a shard that is read to its end) ahead of the newest event.
            world.judge(Time::from_millis(newest + random.between(-6_000, 6_000)), settled);
        }
        if random.percent(4) {
            world.restart();
        }
    }
    world.judge(at(END), at(END - 20));
    world
}

#[test]
fn settled_findings_are_those_of_looking_at_each_window_anew() {
    let mut found = vec![0; rules().len()];
    let mut withdrawn = 0;
    for seed in 0..30 {
        let mut random = Random::new(seed);
        let payments = payments(&mut random);
        for (which, rule) in rules().iter().enumerate() {
            assert!(is_summed(rule), "rule {which}");
            let shards = random.between(1, 4) as u32;
            let world = run(rule, shards, &payments, &mut random);
            let settled: BTreeSet<(Time, Symbol)> = world.settled_findings().into_iter().collect();
            let mut subjects: BTreeMap<Symbol, Vec<&Paid>> = BTreeMap::new();
            for paid in payments.iter().filter(|paid| !paid.late) {
                subjects.entry(subject_of(rule, paid)).or_default().push(paid);
            }
            let judged = world.judge.last_judged();
            for (subject, paid) in &subjects {
                let samples = samples(rule, paid);
                for second in 0..=judged.as_millis() / 1_000 {
                    let (expected, near) = holds(rule, paid[0].channel, &samples, second);
                    let stands = settled.contains(&(at(second), *subject));
                    // Where a value lies on the limit itself, the model's fractions are not to be trusted.
                    assert!(
                        expected == stands || near < 1e-9,
                        "seed {seed}, rule {which}, {shards} shards, {} at {second}: {expected}",
                        paid[0].channel
                    );
                    found[which] += u32::from(stands);
                }
            }
            let wrong = |judged: &&crate::core::rule::verdict::Judged| {
                matches!(judged.verdict, Verdict::Withdrawn { .. })
            };
            withdrawn += world.said.iter().filter(wrong).count();
        }
    }
    assert!(found.iter().all(|found| *found >= 100), "{found:?}");
    assert!(withdrawn >= 100, "{withdrawn} withdrawn");
}

/// Many payments in half an hour, with as many different addresses and amounts as a sketch is needed for.
fn busy(random: &mut Random, count: i64) -> Vec<Paid> {
    let one = |random: &mut Random| Paid {
        millis: random.below(1_800_000),
        account: random.below(5_000) as u32,
        channel: "alipay",
        amount: Decimal::new(random.between(1, 3_000_000), 2),
        ip: random.below(20_000),
        failed: random.percent(30),
        delay: 0,
        late: false,
    };
    let mut payments: Vec<Paid> = (0..count).map(|_| one(random)).collect();
    payments.sort_by_key(|paid| paid.millis);
    payments
}

/// What was found of busy subjects, with its evidence.
fn found(rule: &Rule, shards: u32, payments: &[Paid]) -> Vec<(Time, Evidence)> {
    let mut world = World::new(rule.clone(), shards);
    let mut second = 0;
    for paid in payments {
        while paid.millis > second * 1_000 {
            world.judge(at(second), at(second - 120));
            second += 10;
        }
        world.observe_event(paid.account, &paid.event(), at(second - 130), false);
    }
    world.judge(at(1_800), at(1_700));
    let found = world.said.iter().filter_map(|judged| match judged.verdict {
        Verdict::Found { since, evidence } => Some((since, evidence)),
        _ => None,
    });
    found.collect()
}

#[test]
fn over_busy_subjects_sketches_answer_within_their_error_and_say_so_however_many_the_shards() {
    let mut random = Random::new(1);
    let payments = busy(&mut random, 20_000);
    let window = Span::from_mins(10);
    let measures: [(Agg, Field, f64); 7] = [
        (Agg::Count, Field::Number(NumberField::Amount), 0.0),
        (Agg::Sum, Field::Number(NumberField::Amount), 1e-12),
        (Agg::Max, Field::Number(NumberField::Amount), 0.0),
        (Agg::Stddev, Field::Number(NumberField::Amount), 1e-9),
        (Agg::Quantile(decimal("0.5")), Field::Number(NumberField::Amount), 0.01),
        (Agg::Quantile(decimal("0.99")), Field::Number(NumberField::Amount), 0.01),
        (Agg::Distinct, Field::Text(Ip), 0.1),
    ];
    for (agg, field, allowed) in measures {
        let of = if agg == Agg::Count { Sampled::Events } else { Sampled::Field(field) };
        let settings = Metric { of, window, ..metric(agg, Bound::Above, "1") };
        let rule = rule(&[&[Channel]], Detect::Metric(settings));
        let of_one = found(&rule, 1, &payments);
        assert!(of_one.len() > 150, "{agg:?}: {}", of_one.len());
        assert_eq!(of_one, found(&rule, 8, &payments), "{agg:?}");
        for (time, evidence) in of_one.iter().skip(100).step_by(20) {
            let (from, to) = (time.as_millis() - 600_000, time.as_millis());
            let inside = payments.iter().filter(|paid| paid.millis > from && paid.millis <= to);
            let mut values: Vec<Decimal> = inside
                .map(|paid| if agg == Agg::Distinct { Decimal::from(paid.ip) } else { paid.amount })
                .collect();
            let exact = value_of(agg, &mut values).unwrap();
            let error = (evidence.value - exact).abs() / exact;
            assert!(error <= allowed, "{agg:?}: {} for {exact}", evidence.value);
            assert_eq!(evidence.samples, values.len() as u64);
            let sketched = matches!(agg, Agg::Quantile(_) | Agg::Distinct);
            assert_eq!(evidence.approximate, sketched, "{agg:?}");
        }
    }
}

#[test]
fn in_a_long_window_the_far_edge_moves_in_sixtieths_and_the_evidence_says_so() {
    let mut random = Random::new(2);
    let payments = busy(&mut random, 3_000);
    let settings = Metric { window: Span::from_mins(25), ..metric(Agg::Count, Bound::Above, "1") };
    let rule = rule(&[&[Channel]], Detect::Metric(settings));
    let found = found(&rule, 3, &payments);
    let last = found.last().unwrap();
    let within = |minutes: i64| {
        let from = last.0.as_millis() - minutes * 60_000;
        payments.iter().filter(|paid| paid.millis > from && paid.millis <= last.0.as_millis()).count() as f64
    };
    assert!(last.1.approximate);
    assert!(within(25) <= last.1.value && last.1.value <= within(26), "{:?}", last.1);
}

#[test]
fn a_subject_is_bounded_however_many_events_it_has_and_forgotten_when_it_is_over() {
    let mut random = Random::new(3);
    let frame = |agg, field| {
        let settings = Metric {
            of: Sampled::Field(field),
            window: Span::from_mins(10),
            ..metric(agg, Bound::Above, "1000000000000")
        };
        rule(&[&[Channel]], Detect::Metric(settings))
    };
    let amount = Field::Number(NumberField::Amount);
    for (agg, field, most) in [
        (Agg::Sum, amount, 20_000),
        (Agg::Quantile(decimal("0.9")), amount, 600_000),
        (Agg::Distinct, Field::Text(Ip), 600_000),
    ] {
        let mut sizes = Vec::new();
        for count in [4_000, 40_000] {
            let mut world = World::new(frame(agg, field), 2);
            let mut second = 0;
            let mut largest = 0;
            for paid in busy(&mut random, count) {
                while paid.millis > second * 1_000 {
                    world.judge(at(second), at(second - 120));
                    second += 10;
                    let shards: usize = world.counters.iter().map(|counter| counter.bytes()).sum();
                    largest = largest.max(world.judge.bytes() + shards);
                }
                world.observe_event(paid.account, &paid.event(), at(second - 130), false);
            }
            sizes.push(largest);
            world.judge(at(1_800), at(1_680));
            for second in (1_800..8_000).step_by(10) {
                world.judge(at(second), at(second - 120));
            }
            assert_eq!(world.judge.subjects(), 0, "{agg:?}");
            assert!(world.counters.iter().all(|counter| counter.subjects() == 0), "{agg:?}");
        }
        assert!(sizes[1] < most, "{agg:?}: {sizes:?}");
    }
}

#[test]
fn those_whose_events_make_up_the_trouble_are_remembered_as_having_met_it() {
    let accounts = |rule: &Rule, payments: &[(i64, u32, i64)]| {
        let mut world = World::new(rule.clone(), 2);
        for (second, account, amount) in payments {
            let paid = Paid {
                millis: second * 1_000,
                account: *account,
                channel: "alipay",
                amount: Decimal::from(*amount),
                ip: 1,
                failed: true,
                delay: 0,
                late: false,
            };
            world.observe_event(*account, &paid.event(), at(-200), false);
            world.judge(at(*second), at(-200));
        }
        let found = world.said.iter().find_map(|judged| match judged.verdict {
            Verdict::Found { since, .. } => Some((judged.subject, since)),
            _ => None,
        });
        let (subject, since) = found.expect("a finding");
        let started = world.judge.started_at(subject, since).unwrap();
        let met = world.counters.iter().flat_map(|counter| counter.symptoms_after(subject, started));
        met.map(|facts| facts.account_id.to_string()).collect::<BTreeSet<String>>()
    };
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<String>>();
    let many = Detect::Frequency(Frequency { at_least: Some(3.into()), ..frequency() });
    // The window of 20 s that has three ends at second 50; that of second 10 has left it.
    let payments = [(10, 1, 5), (40, 2, 5), (41, 3, 5), (50, 4, 5)];
    assert_eq!(accounts(&rule(&[&[Channel]], many), &payments), names(&["a2", "a3", "a4"]));
    // Of values that are too large, those who had such a value.
    let large = Detect::Metric(metric(Agg::Avg, Bound::Above, "100"));
    let payments = [(10, 1, 50), (11, 2, 120), (12, 3, 900)];
    assert_eq!(accounts(&rule(&[&[Channel]], large), &payments), names(&["a2", "a3"]));
    // Of a sum everybody has a part, who is remembered only where they are to be told.
    let sum = Detect::Metric(metric(Agg::Sum, Bound::Above, "100"));
    let payments = [(10, 1, 50), (11, 2, 60), (12, 3, 60)];
    assert_eq!(accounts(&rule(&[&[Channel]], sum.clone()), &payments), names(&[]));
    let mut telling = rule(&[&[Channel]], sum);
    telling.notice =
        Some(NoticePolicy { template: "t".into(), to: Audience::Affected, recovered: None, corrected: None });
    assert_eq!(accounts(&telling, &payments), names(&["a1", "a2", "a3"]));
}

#[test]
fn what_depends_on_order_or_has_thin_subjects_is_not_summed() {
    let every = |detect: Detect| rule(&[&[Channel]], detect);
    assert!(is_summed(&every(Detect::Frequency(frequency()))));
    let no = [
        rule(&[&[Ip]], Detect::Frequency(frequency())),
        rule(&[&[Channel, Ip]], Detect::Frequency(frequency())),
        rule(&[&[Channel, AccountId]], Detect::Frequency(frequency())),
        every(Detect::Frequency(Frequency { unless: Some(failed()), ..frequency() })),
        every(Detect::Frequency(Frequency { reset: true, ..frequency() })),
        every(Detect::Metric(metric(Agg::Last, Bound::Above, "1"))),
        every(Detect::Metric(metric(Agg::ModeCount, Bound::Above, "1"))),
        every(Detect::Any),
    ];
    for (which, rule) in no.iter().enumerate() {
        assert!(!is_summed(rule), "rule {which}");
    }
}
