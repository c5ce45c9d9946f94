//! `cardinality` against models that count anew at each moment.

use std::collections::BTreeSet;

use super::*;
use crate::core::event::{EventType, Symbol};
use crate::core::rule::table::testing::{Given, Pair, Random, at, disordered, given, seconds, told};
use crate::core::rule::verdict::{Judged, Moment, Verdict};
use crate::core::time::Time;

fn rule(side: Side, limit: u32, window: i64) -> Cardinality {
    Cardinality { field: TextField::CardId, window: seconds(window), side, limit: limit.into() }
}

fn shown(subject: u64, time: i64, card: &str) -> Given {
    let texts = [(TextField::CardId, card), (TextField::DeviceId, "d7"), (TextField::AccountId, "a1")];
    let texts = if card.is_empty() { &texts[1..] } else { &texts[..] };
    given(subject, EventType::CardRedeemed, at(time), texts)
}

fn lines(said: &[Judged]) -> Vec<String> {
    told(said, |evidence| format!(" ({} {})", evidence.value, evidence.limit))
}

fn watch(settings: &Cardinality, grace: Span) -> Box<dyn Watch> {
    settings.watch(&[TextField::DeviceId], grace, seconds(120))
}

/// Gives values of one subject in this order, lets time pass, and expects these verdicts.
fn check(settings: &Cardinality, events: &[(i64, &str)], pass: i64, expected: &[&str]) {
    let new = || watch(settings, seconds(5));
    let mut pair = Pair::new(&new, seconds(120));
    for (time, card) in events {
        let event = shown(1, *time, card);
        pair.wait_for(&event);
        pair.observe(&event);
        pair.advance();
        pair.restart();
        pair.sweep();
    }
    pair.pass(seconds(pass));
    assert_eq!(lines(&pair.said.all), expected);
}

#[test]
fn more_values_than_the_limit_are_found_and_the_end_is_when_the_oldest_leaves() {
    let events = [(0, "a"), (10, "b"), (20, "a"), (30, ""), (40, "c"), (50, "d")];
    check(&rule(Side::Above, 2, 100), &events, 500, &["found 40 (3 2)", "found 50 (4 2)", "quiet 120"]);
    check(&rule(Side::Above, 4, 100), &events, 500, &[]);
}

#[test]
fn fewer_values_than_the_limit_are_found_when_one_leaves_and_the_end_is_when_another_comes() {
    // From 100 on, the first of two has left; the second goes on to be shown.
    let events = [(0, "a"), (10, "b"), (90, "b"), (150, "b"), (160, "a")];
    let expected = ["found 100 (1 2)", "found 150 (1 2)", "healthy 160"];
    check(&rule(Side::Below, 2, 100), &events, 80, &expected);
}

#[test]
fn nothing_is_said_of_too_few_before_a_whole_window_has_passed() {
    check(&rule(Side::Below, 2, 100), &[(0, "a"), (50, "a")], 44, &[]);
    check(&rule(Side::Below, 2, 100), &[(0, "a"), (50, "a")], 54, &[]);
    check(&rule(Side::Below, 2, 100), &[(0, "a"), (50, "a")], 55, &["found 100 (1 2)"]);
    check(&rule(Side::Below, 2, 100), &[(0, "a"), (50, "a"), (99, "b")], 55, &[]);
}

#[test]
fn what_is_silent_altogether_is_not_too_few_and_begins_anew() {
    let events = [(0, "a"), (50, "a"), (200, "a"), (290, "a")];
    let expected = ["found 100 (1 2)", "quiet 150", "found 300 (1 2)", "quiet 390"];
    check(&rule(Side::Below, 2, 100), &events, 500, &expected);
}

#[test]
fn too_few_are_judged_a_grace_later_so_that_ordinary_disorder_finds_nothing() {
    let new = || watch(&rule(Side::Below, 2, 100), seconds(5));
    let mut pair = Pair::new(&new, seconds(120));
    for event in [shown(1, 0, "a"), shown(1, 90, "b"), shown(2, 104, "x"), shown(1, 99, "a")] {
        pair.observe(&event);
        pair.advance();
    }
    assert_eq!(lines(&pair.said.all), [""; 0]);
    pair.pass(seconds(80));
    assert_eq!(lines(&pair.said.all), [""; 0], "until 190 there are two");
}

#[test]
fn a_value_that_arrives_late_withdraws_what_it_disproves() {
    let events = [(0, "a"), (90, "b"), (140, "b"), (99, "a"), (150, "a")];
    let expected = ["found 100 (1 2)", "found 140 (1 2)", "withdrawn 100", "withdrawn 140", "healthy 99"];
    check(&rule(Side::Below, 2, 100), &events, 40, &expected);
}

#[test]
fn an_event_beyond_its_lateness_shows_nothing() {
    let events = [(0, "a"), (90, "b"), (180, "b"), (260, "b"), (100, "a")];
    let expected = ["found 100 (1 2)", "found 180 (1 2)", "found 260 (1 2)"];
    check(&rule(Side::Below, 2, 100), &events, 0, &expected);
}

#[test]
fn a_limit_may_depend_on_a_value_of_the_subject() {
    for (device, above) in [("d7", 1), ("d8", 3)] {
        let limit = WholeLimit::by(TextField::DeviceId, [(device, 1)].into_iter(), 3);
        let settings = Cardinality { limit: limit.clone(), ..rule(Side::Above, 9, 100) };
        let events = [(0, "a"), (1, "b"), (2, "c"), (3, "d")];
        let expected = ["found 1 (2 1)", "found 2 (3 1)", "found 3 (4 1)"];
        let expected = if above == 1 { &expected[..] } else { &["found 3 (4 3)"] };
        check(&settings, &events, 10, expected);
        let settings = Cardinality { limit, ..rule(Side::Below, 9, 100) };
        let expected = if above == 1 { &[][..] } else { &["found 100 (2 3)"] };
        check(&settings, &[(0, "a"), (1, "b"), (90, "b"), (91, "a")], 20, expected);
    }
}

#[test]
fn what_is_found_by_time_passing_has_the_names_of_its_subject() {
    let mut watch = watch(&rule(Side::Below, 2, 100), seconds(5));
    let mut out = Vec::new();
    let moment = |second: i64| Moment { settled: at(second - 120), now: at(second), late: false };
    watch.observe(Symbol(1), true, &shown(1, 0, "a").event, moment(0), &mut out);
    watch.observe(Symbol(1), true, &shown(1, 50, "a").event, moment(50), &mut out);
    assert_eq!((watch.next_due(), watch.facts(Symbol(1))), (Some(at(105)), None));
    watch.advance(moment(105), &mut out);
    assert_eq!(lines(&out), ["found 100 (1 2)"]);
    let facts = watch.facts(Symbol(1)).unwrap();
    assert_eq!((facts.text(TextField::DeviceId), facts.account_id.as_str()), (Some("d7"), "a1"));
    assert_eq!(facts.text(TextField::CardId), None, "what differs from event to event");
}

/// What is true of one subject, asked moment by moment.
struct Model<'a> {
    shown: Vec<(Time, Symbol)>,
    settings: &'a Cardinality,
}

impl Model<'_> {
    fn values(&self, time: Time) -> usize {
        let window = self.settings.window;
        let within = self.shown.iter().filter(|(shown, _)| *shown <= time && *shown > time - window);
        within.map(|(_, value)| *value).collect::<BTreeSet<_>>().len()
    }

    /// Since when there was no pause of a whole window.
    fn run(&self, time: Time) -> Option<Time> {
        let mut times: Vec<Time> =
            self.shown.iter().map(|(shown, _)| *shown).filter(|shown| *shown <= time).collect();
        times.sort();
        let mut first = times.last().copied().filter(|last| *last > time - self.settings.window)?;
        for earlier in times.iter().rev() {
            if first.since(*earlier) >= self.settings.window {
                break;
            }
            first = *earlier;
        }
        Some(first)
    }

    fn holds(&self, time: Time) -> bool {
        let (values, limit) = (self.values(time), self.settings.limit.most() as usize);
        match self.settings.side {
            Side::Above => values > limit,
            Side::Below => {
                let whole = self.run(time).is_some_and(|first| first + self.settings.window <= time);
                values < limit && whole
            }
        }
    }

    fn found(&self) -> BTreeSet<Time> {
        let events: BTreeSet<Time> = self.shown.iter().map(|(time, _)| *time).collect();
        let mut found: BTreeSet<Time> = events.iter().copied().filter(|time| self.holds(*time)).collect();
        if self.settings.side == Side::Below {
            let later = events.iter().map(|time| *time + self.settings.window);
            let begins = |time: &Time| self.holds(*time) && !self.holds(*time - Span::from_millis(1));
            found.extend(later.filter(begins));
        }
        found
    }

    /// When trouble ends, and whether an event ends it.
    fn ends(&self) -> Vec<(Time, bool)> {
        let moments = self.shown.iter().flat_map(|(time, _)| [*time, *time + self.settings.window]);
        let moments: BTreeSet<Time> = moments.collect();
        let is_end = |time: &Time| !self.holds(*time) && self.holds(*time - Span::from_millis(1));
        let ends = moments.into_iter().filter(is_end);
        ends.map(|end| (end, self.run(end).is_some_and(|first| first != end))).collect()
    }
}

#[test]
fn any_order_of_arrival_within_the_lateness_gives_the_findings_of_the_model() {
    let (mut findings, mut withdrawn, mut ends) = ([0, 0], [0, 0], [0, 0]);
    for seed in 0..3_000 {
        let mut random = Random::new(seed);
        let below = usize::from(seed % 2 == 0);
        let side = if below == 1 { Side::Below } else { Side::Above };
        let least = if below == 1 { 2 } else { 1 };
        let settings = rule(side, random.between(least, 4) as u32, random.between(5, 60));
        let length = random.between(40, 300);
        let cards = random.between(2, 6);
        let events: Vec<_> = (0..random.between(4, 50))
            .map(|_| {
                let card =
                    if random.percent(90) { format!("c{}", random.below(cards)) } else { String::new() };
                let (subject, starts) = (random.between(1, 2) as u64, random.percent(95));
                Given { starts, ..shown(subject, random.below(length), &card) }
            })
            .collect();
        let lateness = seconds(if random.percent(15) { 0 } else { random.between(1, 30) });
        let patient = random.percent(50);
        let grace = if patient { lateness + seconds(1) } else { seconds(random.below(5)) };
        let new = || watch(&settings, grace);
        let arrivals = disordered(&mut random, events.clone(), lateness);
        let pair = Pair::new(&new, lateness).run(&mut random, &arrivals, true);
        for subject in [Symbol(1), Symbol(2)] {
            let own = events.iter().filter(|given| given.subject == subject && given.starts);
            let shown = own.map(|given| (given.event.time, given.event.symbol(TextField::CardId)));
            let shown = shown.filter(|(_, card)| *card != Symbol::MISSING).collect();
            let model = Model { shown, settings: &settings };
            let stands = pair.said.found.iter().filter(|(found, _)| *found == subject);
            let stands: BTreeSet<Time> = stands.map(|(_, time)| *time).collect();
            assert_eq!(stands, model.found(), "seed {seed}, {subject:?}, {settings:?}");
            findings[below] += stands.len();
            let last = pair.said.of(subject).rfind(|said| !matches!(said, Verdict::Withdrawn { .. }));
            let Some((end, healthy)) = model.ends().last().copied() else { continue };
            assert!(matches!(last, Some(Verdict::Cleared { .. })), "seed {seed}: {last:?}");
            let vanished = pair
                .said
                .of(subject)
                .any(|said| matches!(said, Verdict::Withdrawn { since } if since >= end));
            // In order, each end is told as it is; an end that shows late may have been told already, by what came after it.
            if below == 1 && arrivals.is_sorted_by_key(|given| given.event.time) {
                let told = pair.said.of(subject).filter_map(|said| match said {
                    Verdict::Cleared { at, healthy } => Some((at, healthy)),
                    _ => None,
                });
                let told: Vec<_> = told.collect();
                assert_eq!(told, model.ends(), "seed {seed}, {settings:?}");
                ends[1] += told.iter().filter(|(_, healthy)| *healthy).count();
            }
            if patient && !vanished && below == 1 {
                assert_eq!(last, Some(Verdict::Cleared { at: end, healthy }), "seed {seed}, {settings:?}");
                ends[0] += 1;
            }
        }
        assert_eq!(pair.watch().given_up(), 0, "seed {seed}");
        withdrawn[below] += pair.said.withdrawn;
    }
    assert!(findings.iter().all(|count| *count > 5_000), "{findings:?}");
    assert!(withdrawn[1] > 200 && ends.iter().all(|count| *count > 100), "{withdrawn:?} {ends:?}");
}

#[test]
fn a_busy_subject_is_bounded_and_counts_what_it_gives_up() {
    let mut watch = watch(&rule(Side::Below, 3, 3_600), seconds(5));
    let mut out = Vec::new();
    for time in 0..20_000_i64 {
        let moment = Moment { settled: at(time - 40), now: at(time), late: false };
        watch.advance(moment, &mut out);
        watch.observe(Symbol(1), true, &shown(1, time, &format!("c{}", time % 9)).event, moment, &mut out);
    }
    assert_eq!((out.len(), watch.given_up()), (0, 0));
    watch.sweep(Moment { settled: at(19_960), now: at(19_999), late: false });
    assert!(watch.bytes() < 2_048, "{} bytes with the tables of a watch", watch.bytes());
    for time in 20_000..21_000 {
        let moment = Moment { settled: at(19_000), now: at(time), late: false };
        watch.observe(Symbol(1), true, &shown(1, time, &format!("c{}", time % 9)).event, moment, &mut out);
    }
    assert!(watch.given_up() > 500 && out.is_empty(), "{} {}", watch.given_up(), out.len());
    watch.sweep(Moment { settled: at(20_960), now: at(20_999), late: false });
    assert!(watch.bytes() < 2_560, "{} bytes with the tables of a watch", watch.bytes());
}

#[test]
fn a_new_subject_costs_at_most_200_bytes_and_an_idle_one_nothing() {
    for side in [Side::Above, Side::Below] {
        let mut watch = watch(&rule(side, 3, 600), seconds(5));
        let (mut out, count) = (Vec::new(), 100_000);
        for subject in 1..=count {
            let moment = Moment { settled: at(-120), now: at(0), late: false };
            let event = shown(1, 0, "a").event;
            watch.observe(Symbol(subject).with(Symbol(1)), true, &event, moment, &mut out);
        }
        let timers = if side == Side::Below { 16 } else { 0 };
        let bytes = watch.bytes() / count as usize;
        assert!(bytes <= 200 + timers, "{bytes} bytes a subject");
        let moment = Moment { settled: at(10_000), now: at(10_120), late: false };
        watch.advance(moment, &mut out);
        for _ in 0..(count / 16) {
            watch.sweep(moment);
        }
        assert_eq!((watch.subjects(), watch.next_due()), (0, None), "{side:?}");
    }
}
