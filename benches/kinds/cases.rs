//! One rule of each kind (of some, in each of their forms), and events of one subject that keep it busy. Shared by the
//! test of what a subject costs in memory and the bench of what an event costs in time.

use std::collections::BTreeMap;
use std::fs::{read_dir, read_to_string};

use forewarn::core::event::{Event, EventType, Facts, Fault, NumberField, Place, Symbol, TextField, TextSet};
use forewarn::core::rule::parse::examples::TestEvent;
use forewarn::core::rule::parse::{LoadOptions, LoadedRule, load};
use forewarn::core::rule::reconcile::Check;
use forewarn::core::rule::samples::Agg;
use forewarn::core::rule::scope::is_summed;
use forewarn::core::rule::table::{Overheard, Watch};
use forewarn::core::rule::verdict::{Judged, Moment};
use forewarn::core::rule::{Detect, Rule, RuleSet, subject_key, watch_for};
use forewarn::core::time::{Span, Time};
use rust_decimal::Decimal;

/// The rules that are judged per subject; the window of each is `WINDOW`, that of reference too.
pub const RULES: [(&str, &str); 24] = [
    ("any", "group_by: [account_id]\ndetect: { kind: any }"),
    ("frequency", "group_by: [account_id]\ndetect: { kind: frequency, at_least: 40, window: WINDOW }"),
    (
        "frequency with reset",
        "group_by: [account_id]\ndetect: { kind: frequency, at_least: 40, window: WINDOW, reset: true }",
    ),
    (
        "frequency of different values",
        "group_by: [account_id]\ndetect: { kind: frequency, at_least: 40, distinct: ip, window: WINDOW }",
    ),
    (
        "cardinality above",
        "group_by: [account_id]\ndetect: { kind: cardinality, field: ip, window: WINDOW, above: 20 }",
    ),
    (
        "cardinality below",
        "group_by: [account_id]\ndetect: { kind: cardinality, field: ip, window: WINDOW, below: 20 }",
    ),
    (
        "metric count",
        "group_by: [account_id]\ndetect: { kind: metric, agg: count, window: WINDOW, above: 30 }",
    ),
    (
        "metric sum",
        "group_by: [account_id]\ndetect: { kind: metric, agg: sum, field: amount, window: WINDOW, above: 900 }",
    ),
    (
        "metric avg",
        "group_by: [account_id]\ndetect: { kind: metric, agg: avg, field: amount, window: WINDOW, above: 990 }",
    ),
    (
        "metric stddev",
        "group_by: [account_id]\ndetect: { kind: metric, agg: stddev, field: amount, window: WINDOW, above: 1 }",
    ),
    (
        "metric max",
        "group_by: [account_id]\ndetect: { kind: metric, agg: max, field: amount, window: WINDOW, above: 990 }",
    ),
    (
        "metric min",
        "group_by: [account_id]\ndetect: { kind: metric, agg: min, field: amount, window: WINDOW, below: 10 }",
    ),
    (
        "metric last",
        "group_by: [account_id]\ndetect: { kind: metric, agg: last, field: amount, window: WINDOW, above: 990 }",
    ),
    ("spike", "group_by: [account_id]\ndetect: { kind: spike, window: WINDOW, height: 3, direction: both }"),
    (
        "spike of a sum",
        "group_by: [account_id]\ndetect: { kind: spike, agg: sum, field: amount, window: WINDOW, height: 3 }",
    ),
    (
        "deadline",
        "group_by: [order_id]\ndetect: { kind: deadline, key: order_id, start: 'type == \"order.paid\"', end: 'type == \"order.delivered\"', within: WINDOW }",
    ),
    (
        "new_term",
        "group_by: [account_id]\ndetect: { kind: new_term, fields: [ip], window: WINDOW, min_history: 1 }",
    ),
    (
        "new_term of places",
        "group_by: [account_id]\ndetect: { kind: new_term, place: geo, radius_km: 20, window: WINDOW, last: 20 }",
    ),
    ("change", "group_by: [account_id]\ndetect: { kind: change, fields: [device_id, ip], window: WINDOW }"),
    (
        "travel",
        "group_by: [account_id]\ndetect: { kind: travel, faster_than_kmh: 900, further_than_km: 100 }",
    ),
    ("reconcile", "detect: { kind: reconcile, check: many_keys, within: WINDOW }"),
    (
        "sequence",
        "group_by: [account_id]\ndetect: { kind: sequence, within: WINDOW, steps: [{ name: a, when: 'type == \"order.paid\"' }, { name: b, when: 'type == \"order.refunded\" and ip == a.ip' }] }",
    ),
    (
        "sequence with a last not",
        "group_by: [account_id]\ndetect: { kind: sequence, within: WINDOW, steps: [{ name: a, when: 'type == \"order.paid\"' }, { name: b, when: 'type == \"order.refunded\"', not: true }] }",
    ),
    (
        "correlation",
        "group_by: [account_id]\ndetect: { kind: correlation, of: [one, other], type: temporal, window: WINDOW }",
    ),
];

/// Kinds that keep a sketch, or as many values as they must tell apart.
pub const SKETCHES: [(&str, &str); 2] = [
    (
        "metric p95",
        "group_by: [account_id]\ndetect: { kind: metric, agg: p95, field: amount, window: WINDOW, above: 990 }",
    ),
    (
        "metric distinct",
        "group_by: [account_id]\ndetect: { kind: metric, agg: distinct, field: ip, window: WINDOW, above: 100 }",
    ),
];

pub fn rule(written: &str, window: &str) -> Rule {
    let topics = if written.contains("kind: travel") || written.contains("place: geo") {
        "topics: logins\n"
    } else if written.contains("kind: reconcile") || written.contains("not: true") {
        "topics: orders\n"
    } else {
        "topics: [orders, logins]\n"
    };
    let text = format!("name: x\n{topics}{}\n", written.replace("WINDOW", window));
    let loaded = load(&text, "rules/x.yaml", &LoadOptions::default());
    let told = loaded.map_err(|errors| errors.iter().map(|error| error.render("error")).collect::<String>());
    let loaded: Vec<LoadedRule> = told.unwrap();
    let set = RuleSet::new(loaded.into_iter().map(|loaded| loaded.rule).collect());
    set.rules.into_iter().next().unwrap()
}

/// The `n`th event of a subject, which shows a value of each field that may be new, and whose type is one of those that
/// the rule counts.
pub fn event(rule: &Rule, subject: u64, n: u64, time: Time) -> Event<'static> {
    let kind = rule.detect.kind();
    let logins = kind == "travel" || kind == "new_term" || kind == "cardinality";
    let event_type = match kind {
        _ if logins => EventType::LoginSucceeded,
        "sequence" | "deadline" => EventType::OrderPaid,
        "reconcile" => EventType::OrderDelivered,
        _ => EventType::OrderFailed,
    };
    let mut event = Event::new(event_type, time);
    event.fault = Fault::Channel;
    // Two towns, so that no login is impossible and some are far apart.
    let latitude = 30.0 + (n % 40) as f64 * 0.9;
    event.place = Some(Place { latitude, longitude: 114.0, accuracy_km: 5.0 });
    event.set_number(NumberField::Amount, Decimal::new((n * 7_919 % 100_000) as i64, 2));
    event.set_number(NumberField::Quantity, Decimal::ONE);
    let n_of = |many: u64| n % many;
    for (field, text) in [
        (TextField::Id, format!("e{subject}-{n}")),
        (TextField::AccountId, format!("a{subject}")),
        (TextField::OrderId, format!("o{subject}")),
        (TextField::CardId, format!("card-{subject}-{n}")),
        (TextField::Kind, "topup".to_owned()),
        (TextField::Product, format!("p{}", n_of(7))),
        (TextField::Supplier, format!("s{}", n_of(3))),
        (TextField::Channel, "alipay".to_owned()),
        (TextField::Region, "east".to_owned()),
        (TextField::Currency, "CNY".to_owned()),
        (TextField::ErrorCode, "E_TIMEOUT".to_owned()),
        (TextField::Ip, format!("10.{}.{}.1", n_of(1_000) / 200, n_of(200))),
        (TextField::DeviceId, format!("device-{}", n_of(50))),
        (TextField::GeoCountry, "CN".to_owned()),
        (TextField::GeoCity, format!("city-{}", n_of(40))),
    ] {
        event.set_text(field, text.into());
        event.symbolize(TextSet::of(field));
    }
    event
}

/// A rule and the events to keep it busy with.
pub struct Case {
    pub name: String,
    pub rule: Rule,
    /// As long as the rule looks back, and half as long again.
    pub span: Span,
    /// Of its own tests, those that it lets in; none: those of [`event`].
    shown: Vec<TestEvent>,
}

impl Case {
    pub fn made_up(name: &str, written: &str) -> Self {
        Self {
            name: name.to_owned(),
            rule: rule(written, "10m"),
            span: Span::from_mins(15),
            shown: Vec::new(),
        }
    }

    /// Each rule that is shipped, whichever they are.
    pub fn shipped() -> Vec<Self> {
        let mut tests = BTreeMap::new();
        let mut rules = Vec::new();
        for file in read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/rules")).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "yaml") {
                continue;
            }
            let text = read_to_string(&path).unwrap();
            for loaded in load(&text, &path.display().to_string(), &LoadOptions::default()).unwrap() {
                tests.insert(loaded.rule.name.clone(), loaded.tests);
                rules.push(loaded.rule);
            }
        }
        let set = RuleSet::new(rules);
        let case = |rule: &Rule| {
            let span = Span::from_millis(rule.history(&set).as_millis() * 3 / 4);
            let steps = tests.get(&rule.name).into_iter().flatten();
            let steps = steps.flat_map(|test| test.history.iter().chain(&test.events));
            let events = steps.filter_map(|step| step.event.as_deref());
            let shown = events.filter(|shown| begins(rule, &event_of(shown, Time::MIN))).cloned().collect();
            Self { name: rule.name.clone(), rule: rule.clone(), span: span.max(Span::from_mins(15)), shown }
        };
        set.rules.iter().map(case).collect()
    }

    /// Whether it keeps a sketch, or as many values as it must tell apart, which a busy subject may cost beyond the bound.
    pub fn keeps_sketch(&self) -> bool {
        let agg = match &self.rule.detect {
            Detect::Metric(metric) => metric.agg,
            Detect::Spike(spike) => spike.agg,
            _ => return false,
        };
        matches!(agg, Agg::Quantile(_) | Agg::Distinct | Agg::ModeCount)
    }

    /// The places of events that differ in their type: what a subject may begin with.
    pub fn beginnings(&self) -> Vec<usize> {
        let mut types = Vec::new();
        let mut places = Vec::new();
        for (place, shown) in self.shown.iter().enumerate() {
            if !types.contains(&shown.event_type) {
                types.push(shown.event_type);
                places.push(place);
            }
        }
        if places.is_empty() { vec![0] } else { places }
    }

    /// The `n`th event of a subject; of those of the tests, the one in this place. Every other one shows a new value of what
    /// no condition asks for.
    pub fn event(&self, place: usize, subject: u64, n: u64, time: Time) -> Event<'static> {
        if self.shown.is_empty() {
            return event(&self.rule, subject, n, time);
        }
        let mut event = event_of(self.shown.get(place % self.shown.len()).unwrap(), time);
        event.set_text(TextField::Id, format!("e{subject}-{n}").into());
        let mut group = self.rule.groups.first().cloned().unwrap_or_default();
        // A deadline is about its key, whoever's it is.
        if let Detect::Deadline(deadline) = &self.rule.detect {
            group.push(deadline.key);
        }
        let mut change = |field: TextField, text: String| {
            let before = event.text(field).map(str::to_owned);
            event.set_text(field, text.into());
            event.symbolize(TextSet::of(field));
            if let Some(before) = before.filter(|_| !lets_in(&self.rule, &event)) {
                event.set_text(field, before.into());
                event.symbolize(TextSet::of(field));
            }
        };
        for field in &group {
            let text = match field {
                TextField::Ip => format!("10.{}.{}.{}", subject >> 16, subject >> 8 & 255, subject & 255),
                _ => format!("{}{subject}", field.as_str().get(..1).unwrap_or_default()),
            };
            change(*field, text);
        }
        if n % 2 == 1 {
            for (field, text) in [
                (TextField::AccountId, format!("a{n}")),
                (TextField::OrderId, format!("o{n}")),
                (TextField::CardId, format!("card-{n}")),
                (TextField::Ip, format!("10.{}.{}.1", n % 1_000 / 200, n % 200)),
                (TextField::DeviceId, format!("device-{}", n % 50)),
                (TextField::Product, format!("p{}", n % 7)),
                (TextField::GeoCity, format!("city-{}", n % 40)),
            ] {
                if !group.contains(&field) {
                    change(field, text);
                }
            }
            if let Some(place) = &mut event.place {
                place.latitude = 30.0 + (n % 40) as f64 * 0.9;
            }
            event.set_number(NumberField::Amount, Decimal::new((n * 7_919 % 100_000) as i64, 2));
        }
        event
    }
}

fn event_of(shown: &TestEvent, time: Time) -> Event<'static> {
    let fault = if shown.event_type.is_failure() { Fault::Channel } else { Fault::None };
    let mut event = shown.event("e", time, fault).to_owned();
    event.symbolize(TextSet::ALL);
    event
}

/// What may begin something. An order ends once, and is not kept busy by that.
fn begins(rule: &Rule, event: &Event<'_>) -> bool {
    let starts = match &rule.detect {
        Detect::Deadline(deadline) => deadline.start.holds(event),
        Detect::Reconcile(reconcile) if reconcile.check.is_absence() => {
            let key_first = reconcile.check == Check::KeyWithoutPayment;
            event.event_type == if key_first { EventType::OrderDelivered } else { EventType::OrderPaid }
        }
        _ => true,
    };
    starts && lets_in(rule, event)
}

fn lets_in(rule: &Rule, event: &Event<'_>) -> bool {
    rule.topics.contains(event.event_type) && rule.filter.holds(event)
}

/// A rule at work in one shard, as the engine drives it.
pub struct Worked {
    pub rule: Rule,
    pub watch: Box<dyn Watch>,
    pub judged: Vec<Judged>,
    lateness: Span,
}

impl Worked {
    /// [`None`] for kinds that are counted and summed instead.
    pub fn new(rule: Rule) -> Option<Self> {
        let watch = watch_for(&rule).filter(|_| !is_summed(&rule))?;
        Some(Self { watch, judged: Vec::new(), lateness: rule.lateness, rule })
    }

    pub fn moment(&self, now: Time) -> Moment {
        Moment { settled: now - self.lateness, now, late: false }
    }

    /// Takes an event at its time, after what is due before it.
    pub fn observe(&mut self, event: &Event<'_>) {
        let moment = self.moment(event.time);
        if self.watch.next_due().is_some_and(|due| due <= event.time) {
            self.watch.advance(moment, &mut self.judged);
        }
        let group = self.rule.groups.first().map_or(&[][..], Vec::as_slice);
        let subject = subject_key(group, event).unwrap_or(Symbol::MISSING);
        let starts = lets_in(&self.rule, event);
        self.watch.observe(subject, starts, event, moment, &mut self.judged);
        // Where it listens, each of the others has found something of the event.
        let mut hears = self.rule.detect.hears().peekable();
        if hears.peek().is_some() {
            let facts = Facts::of(event);
            for rule in hears {
                let heard =
                    Overheard { rule, since: event.time, withdrawn: false, opening: false, facts: &facts };
                self.watch.overhear(subject, &heard, moment, &mut self.judged);
            }
        }
        self.judged.clear();
    }

    /// Bytes are counted on a full sweep; nothing is old enough to go in it.
    fn measured(&mut self, now: Time) -> usize {
        self.measured_at(Moment { settled: Time::MIN, now, late: false });
        self.watch.bytes()
    }

    fn measured_at(&mut self, moment: Moment) {
        // Two rounds: one that is under way, and one from the beginning.
        for _ in 0..2 * self.watch.subjects() / 16 + 4 {
            self.watch.sweep(moment);
        }
    }
}

/// What a rule holds by its own account and by the allocator's.
#[derive(Clone, Copy, Default)]
pub struct Cost {
    pub own: usize,
    pub allocated: usize,
}

impl Cost {
    pub fn most(self) -> usize {
        self.own.max(self.allocated)
    }
}

fn at(millis: i64) -> Time {
    Time::from_millis(1_790_000_000_000 + millis)
}

/// Many subjects with one event each, the one in this place; [`None`] where the rule is summed. `held` is what the allocator
/// says.
pub fn of_new(case: &Case, place: usize, subjects: u64, held: fn() -> isize) -> Option<Cost> {
    let rule = case.rule.clone();
    let before = held();
    let mut worked = Worked::new(rule)?;
    for subject in 0..subjects {
        // All within a minute, so that none is settled or swept away.
        let event = case.event(place, subject, subject, at(subject as i64 % 60_000));
        worked.observe(&event);
    }
    let own = worked.measured(at(60_000));
    Some(Cost { own, allocated: (held() - before).max(0) as usize })
}

/// The dearest of what a subject may begin with.
pub fn dearest(case: &Case, held: fn() -> isize) -> Option<usize> {
    let costs = case.beginnings().into_iter().filter_map(|place| {
        let cost = of_new(case, place, 1_000, held)?;
        Some((cost.own, place))
    });
    costs.max().map(|(_, place)| place)
}

/// How many events in how much of what a rule looks back on: sparse, as many as are kept one by one, far more, and close
/// together.
pub const BUSY: [(u64, i64); 3] = [(90, 1), (1_000, 1), (400, 8)];

/// Subjects that are busy at once: what they share is no part of what one costs.
const TOGETHER: u64 = 8;

/// The most that a subject came to hold in the course of many events.
pub fn of_busy(case: &Case, (events, part): (u64, i64), held: fn() -> isize) -> Option<Cost> {
    let mut worked = Worked::new(case.rule.clone())?;
    let span = case.span.as_millis() / part;
    let step = |n: u64| span * n as i64 / events as i64;
    let go = |worked: &mut Worked, subject: u64, n: u64, start: i64| {
        let event = case.event(n as usize, subject, n, at(start + step(n)));
        worked.observe(&event);
        if n.is_multiple_of(7) {
            let moment = worked.moment(event.time);
            worked.watch.sweep(moment);
        }
    };
    // Another one before them, so that the room for work is there.
    for n in 0..events {
        go(&mut worked, 0, n, 0);
    }
    let start = span + case.span.as_millis() * 2;
    let moment = Moment { settled: at(start), now: at(start), late: false };
    worked.watch.advance(moment, &mut worked.judged);
    worked.judged.clear();
    worked.measured_at(moment);
    let before = Cost { own: worked.watch.bytes(), allocated: held().max(0) as usize };
    let mut most = Cost::default();
    for n in 0..events {
        for subject in 1..=TOGETHER {
            go(&mut worked, subject, n, start);
        }
        let own = worked.watch.bytes().saturating_sub(before.own) / TOGETHER as usize;
        let allocated = (held().max(0) as usize).saturating_sub(before.allocated) / TOGETHER as usize;
        most = Cost { own: most.own.max(own), allocated: most.allocated.max(allocated) };
    }
    Some(most)
}
