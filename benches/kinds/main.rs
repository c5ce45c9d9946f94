//! What a subject costs in bytes in each rule that is shipped, and what an event costs in each kind: by how many events a
//! window holds, by how long it is, and with many sequences open. The latter are the processor's time of an event, beside its
//! ratio to the first of its line; all come from one run.
//!
//! `cargo bench --bench kinds` prints all, `cargo bench --bench kinds -- metric` the kinds with that in their name.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::unwrap_used, reason = "a benchmark that can't go on stops")]

mod cases;

use std::fs::read_to_string;

use forewarn::core::event::Event;
use forewarn::core::rule::Rule;
use forewarn::core::rule::scope::{ScopeCounter, ScopeJudge};
use forewarn::core::rule::verdict::Moment;
use forewarn::core::time::{Span, Time};

use cases::{BUSY, Case, Cost, RULES, SKETCHES, Worked, dearest, event, of_busy, of_new, rule};

/// Rules that are summed over partitions.
const SUMMED: [(&str, &str); 5] = [
    (
        "summed frequency",
        "group_by: [channel]\ndetect: { kind: frequency, at_least: 1000000, window: WINDOW }",
    ),
    (
        "summed sum",
        "group_by: [channel]\ndetect: { kind: metric, agg: sum, field: amount, window: WINDOW, above: 1000000000 }",
    ),
    (
        "summed max",
        "group_by: [channel]\ndetect: { kind: metric, agg: max, field: amount, window: WINDOW, above: 1000000000 }",
    ),
    (
        "summed p95",
        "group_by: [channel]\ndetect: { kind: metric, agg: p95, field: amount, window: WINDOW, above: 1000000000 }",
    ),
    (
        "summed distinct",
        "group_by: [channel]\ndetect: { kind: cardinality, field: ip, window: WINDOW, above: 4000 }",
    ),
];

const EVENTS: u64 = 40_000;
const PREPARED: u64 = 1_000;

/// Nanoseconds that this thread has run.
fn spent() -> u64 {
    let figures = read_to_string("/proc/thread-self/schedstat").unwrap();
    figures.split_whitespace().next().unwrap().parse().unwrap()
}

fn at(millis: u64) -> Time {
    Time::from_millis(1_790_000_000_000 + millis as i64)
}

/// Processor time per event of what `work` does with events that are this far apart.
fn per_event(rule: &Rule, gap: u64, warm: u64, mut work: impl FnMut(&Event<'static>)) -> f64 {
    let mut prepared: Vec<Event<'static>> = (0..PREPARED).map(|n| event(rule, 1, n, at(0))).collect();
    let (mut n, mut cost) = (0, 0);
    while n < warm + EVENTS {
        let started = spent();
        for (offset, event) in prepared.iter_mut().enumerate() {
            event.time = at((n + offset as u64) * gap);
            work(event);
        }
        if n >= warm {
            cost += spent() - started;
        }
        n += PREPARED;
    }
    cost as f64 / EVENTS as f64
}

/// Of a window of so many milliseconds with so many events in it.
fn cost(written: &str, window: u64, events: u64) -> Option<f64> {
    let rule = rule(written, &format!("{}s", window / 1_000));
    let (gap, warm) = ((window / events).max(1), (2 * events).next_multiple_of(PREPARED));
    if let Some(mut worked) = Worked::new(rule.clone()).filter(|_| !written.contains("[channel]")) {
        let mut swept = 0;
        return Some(per_event(&rule, gap, warm, |event| {
            worked.observe(event);
            // The engine sweeps once in a second.
            if event.time.as_millis() / 1_000 != swept {
                swept = event.time.as_millis() / 1_000;
                let moment = worked.moment(event.time);
                worked.watch.sweep(moment);
            }
        }));
    }
    let (mut counter, mut judge) = (ScopeCounter::new(&rule)?, ScopeJudge::new(&rule)?);
    let (mut out, mut judged) = (Vec::new(), 0);
    Some(per_event(&rule, gap, warm, |event| {
        let settled = event.time - Span::from_mins(2);
        let moment = Moment { settled, now: event.time, late: false };
        counter.observe(event, moment);
        if event.time.as_millis() / 1_000 != judged {
            judged = event.time.as_millis() / 1_000;
            counter.flush(&mut |subject, partial| judge.merge(0, subject, partial));
            judge.judge(event.time, settled, &mut out);
            counter.sweep(moment);
            out.clear();
        }
    }))
}

fn line(name: &str, costs: impl Iterator<Item = Option<f64>>) {
    let costs: Vec<f64> = costs.flatten().collect();
    let Some(first) = costs.first() else { return };
    let told = costs.iter().map(|cost| format!("{cost:7.0} ns ({:4.2})", cost / first));
    println!("{name:32} {}", told.collect::<Vec<_>>().join("  "));
}

/// Whose events are looked at while sequences are under way.
#[derive(Clone, Copy, Debug)]
enum Whose {
    /// Of subjects of which nothing is under way.
    Others,
    /// Of those of which something is, or of as many others.
    Open,
}

/// What an event costs while so many sequences are under way.
fn with_open(open: u64, whose: Whose) -> f64 {
    const MANY: u64 = 100_000;
    let (_, written) = RULES.iter().find(|(name, _)| *name == "sequence").unwrap();
    let rule = rule(written, "10d");
    let mut worked = Worked::new(rule.clone()).unwrap();
    for subject in 0..open {
        worked.observe(&event(&rule, subject, 1, at(subject)));
    }
    let begun = MANY;
    let subject_of = |n: u64| match whose {
        Whose::Others => MANY + n % 5_000,
        Whose::Open => n * 7_919 % MANY,
    };
    let events: Vec<Event<'static>> =
        (0..20_000).map(|n| event(&rule, subject_of(n), n, at(begun + n * 10))).collect();
    let started = spent();
    for (n, event) in (0_u64..).zip(&events) {
        worked.observe(event);
        if n % 100 == 0 {
            let moment = worked.moment(event.time);
            worked.watch.sweep(moment);
        }
    }
    (spent() - started) as f64 / events.len() as f64
}

/// Bytes of a new subject and of a busy one, in each kind and in each rule that is shipped.
fn bytes() {
    println!("\nbytes of a new subject and of a busy one, in each kind and each shipped rule");
    let kinds = RULES.iter().map(|(name, written)| Case::made_up(name, written));
    for case in kinds.chain(Case::shipped()) {
        let name = &case.name;
        let Some(place) = dearest(&case, || 0) else {
            println!("{name:32} summed over partitions");
            continue;
        };
        let new = of_new(&case, place, 10_000, || 0).unwrap().most() / 10_000;
        let busy = BUSY.into_iter().filter_map(|busy| of_busy(&case, busy, || 0)).map(Cost::most);
        let told = if case.keeps_sketch() { " (with a sketch)" } else { "" };
        println!("{name:32} {new:5} {:6}{told}", busy.max().unwrap_or(0));
    }
}

fn main() {
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let all = || {
        let all = RULES.iter().chain(&SKETCHES).chain(&SUMMED);
        all.filter(|(name, _)| name.contains(&wanted))
    };
    const MINUTE: u64 = 60_000;
    if "bytes".contains(&wanted) {
        bytes();
    }
    println!("\nan event, with 10, 100, 1000 and 10000 events in a window of 10 minutes");
    for (name, written) in all() {
        line(name, [10, 100, 1_000, 10_000].into_iter().map(|events| cost(written, 10 * MINUTE, events)));
    }
    println!("\nan event, in windows of 1 hour, 1 day, 7 days and 30 days with 1000 events");
    for (name, written) in all() {
        let windows = [60 * MINUTE, 1_440 * MINUTE, 10_080 * MINUTE, 43_200 * MINUTE];
        line(name, windows.into_iter().map(|window| cost(written, window, 1_000)));
    }
    if "sequence".contains(&wanted) {
        println!("\nan event, with no and with 100000 sequences open");
        for (name, whose) in [("of others", Whose::Others), ("of those", Whose::Open)] {
            line(name, [0, 100_000].into_iter().map(|open| Some(with_open(open, whose))));
        }
    }
}
