//! `new_term` against a model that knows all events of a subject beforehand.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::core::event::{EventType, Place, Symbol};
use crate::core::rule::table::Watch;
use crate::core::rule::table::testing::{Given, Pair, Random, at, disordered, given, seconds, told};
use crate::core::rule::verdict::{Judged, Moment};
use crate::core::stats::geodesy::Spot;
use crate::core::time::Time;

use TextField::{DeviceId, GeoCountry};

const DAY: i64 = 86_400;

fn rule(fields: &[TextField], min_history: u32) -> NewTerm {
    NewTerm {
        of: Novelty::Values { fields: fields.to_vec(), every: false },
        window: seconds(30 * DAY),
        min_history: History::Events(min_history),
        missing_fires: false,
        ignore_networks: vec![],
    }
}

fn places(radius_km: f64, last: usize) -> NewTerm {
    NewTerm { of: Novelty::Place { radius_km, last }, ..rule(&[], 1) }
}

fn login(time: i64, texts: &[(TextField, &str)]) -> Given {
    given(1, EventType::LoginSucceeded, at(time), texts)
}

fn country(time: i64, country: &str) -> Given {
    login(time, &[(GeoCountry, country)])
}

fn place(time: i64, latitude: f64, longitude: f64, accuracy_km: f64) -> Given {
    let mut given = login(time, &[]);
    given.event.place = Some(Place { latitude, longitude, accuracy_km });
    given
}

fn lines(said: &[Judged]) -> Vec<String> {
    told(said, |_| String::new())
}

fn check(settings: NewTerm, events: &[Given], expected: &[&str]) {
    let new = || Box::new(NewTermWatch::new(settings.clone(), seconds(0), seconds(120))) as Box<dyn Watch>;
    let mut pair = Pair::new(&new, seconds(120));
    for event in events {
        pair.observe(event);
        pair.sweep();
        pair.restart();
    }
    assert_eq!(lines(&pair.said.all), expected);
}

#[test]
fn a_value_is_new_until_it_was_seen_and_after_a_window_without_it() {
    let mut settings = rule(&[GeoCountry], 1);
    settings.window = seconds(100);
    let events = [
        country(0, "CN"),
        country(50, "CN"),
        country(60, "US"),
        country(70, "US"),
        country(140, "CN"),
        country(160, "CN"),
        country(170, "US"),
        country(200, "DE"),
        country(270, "US"),
    ];
    // 140 is 90 after 50; 170 is the window after 70, whose far edge is outside; and 270 that after 170.
    check(settings, &events, &["found 60", "found 170", "found 200", "found 270"]);
}

#[test]
fn nothing_is_new_before_there_is_a_history() {
    let events = [country(0, "CN"), country(1, "US"), country(2, "DE"), country(3, "FR")];
    check(rule(&[GeoCountry], 3), &events, &["found 3"]);
    check(rule(&[GeoCountry], 0), &events, &["found 1", "found 2", "found 3"]);
    let mut settings = rule(&[GeoCountry], 0);
    settings.min_history = History::Since(seconds(2));
    check(settings, &events, &["found 2", "found 3"]);
}

#[test]
fn a_pause_of_a_whole_window_ends_the_history() {
    let mut settings = rule(&[GeoCountry], 2);
    settings.window = seconds(100);
    let events =
        [country(0, "CN"), country(1, "CN"), country(101, "US"), country(102, "DE"), country(103, "FR")];
    check(settings, &events, &["found 103"]);
}

#[test]
fn several_fields_are_new_together_or_each_by_itself() {
    let event = |time, country, device| login(time, &[(GeoCountry, country), (DeviceId, device)]);
    let events = [event(0, "CN", "a"), event(1, "US", "b"), event(2, "CN", "b"), event(3, "DE", "c")];
    check(rule(&[GeoCountry, DeviceId], 2), &events, &["found 2", "found 3"]);
    let mut settings = rule(&[GeoCountry, DeviceId], 2);
    settings.of = Novelty::Values { fields: vec![GeoCountry, DeviceId], every: true };
    check(settings, &events, &["found 3"]);
}

#[test]
fn a_missing_field_means_nothing_or_a_value_of_its_own() {
    let events = [country(0, "CN"), login(1, &[]), login(2, &[]), country(3, "US")];
    check(rule(&[GeoCountry], 1), &events, &["found 3"]);
    let mut settings = rule(&[GeoCountry], 1);
    settings.missing_fires = true;
    check(settings, &events, &["found 1", "found 3"]);
    // What is not looked at is no history.
    check(rule(&[GeoCountry], 3), &events, &[]);
}

#[test]
fn an_earlier_event_that_arrives_later_makes_known_what_was_new() {
    let events = [country(0, "CN"), country(50, "US"), country(40, "US")];
    check(rule(&[GeoCountry], 1), &events, &["found 50", "found 40", "withdrawn 50"]);
    // It may also complete the history that a later one lacked.
    let events = [country(0, "CN"), country(50, "US"), country(40, "CN")];
    check(rule(&[GeoCountry], 2), &events, &["found 50"]);
    let mut filtered = country(40, "US");
    filtered.starts = false;
    check(rule(&[GeoCountry], 1), &[country(0, "CN"), country(50, "US"), filtered], &["found 50"]);
    check(
        rule(&[GeoCountry], 1),
        &[country(0, "CN"), country(500, "US"), country(300, "US")],
        &["found 500"],
    );
}

#[test]
fn a_place_is_new_when_it_is_near_none_of_the_last() {
    let events = [
        place(0, 40.0, 116.0, 0.0),
        place(1, 40.1, 116.0, 0.0),
        place(2, 40.5, 116.0, 0.0),
        place(3, 41.5, 116.0, 0.0),
        place(4, 41.5, 116.0, 0.0),
        place(5, 42.5, 116.0, 100.0),
    ];
    // 11 km, 44 km, 111 km, the same, and 111 km less the 100 that it may be off.
    check(places(20.0, 20), &events, &["found 2", "found 3"]);
    check(places(50.0, 20), &events, &["found 3"]);
    // With but two remembered, the first is forgotten when the third comes.
    let events =
        [place(0, 1.0, 1.0, 0.0), place(1, 2.0, 2.0, 0.0), place(2, 3.0, 3.0, 0.0), place(3, 1.0, 1.0, 0.0)];
    check(places(20.0, 2), &events, &["found 1", "found 2", "found 3"]);
    check(places(20.0, 3), &events, &["found 1", "found 2"]);
    check(places(20.0, 3), &[place(0, 1.0, 1.0, 0.0), login(1, &[]), country(2, "CN")], &[]);
}

#[test]
fn a_place_that_is_too_vague_says_nothing() {
    let events = [
        place(0, 31.23, 121.47, 5.0),
        place(1, 39.90, 116.40, 2_000.0),
        place(2, 39.90, 116.40, 10.0),
        place(3, 39.95, 116.30, 10.0),
        place(4, 31.23, 121.47, 5.0),
    ];
    check(places(20.0, 20), &events, &["found 2"]);
}

#[test]
fn a_known_device_abroad_and_a_new_device_at_home_are_no_news_where_each_must_be_new() {
    let event = |time, country, device| login(time, &[(GeoCountry, country), (DeviceId, device)]);
    let mut settings = rule(&[], 2);
    settings.of = Novelty::Values { fields: vec![GeoCountry, DeviceId], every: true };
    let events = [
        event(0, "CN", "d1"),
        event(10, "CN", "d1"),
        event(20, "SG", "d1"),
        event(30, "CN", "d2"),
        event(40, "US", "d9"),
        event(50, "US", "d9"),
    ];
    check(settings, &events, &["found 40"]);
}

#[test]
fn what_lacks_a_field_makes_the_others_known_where_each_must_be_new() {
    let event = |time, country, device| login(time, &[(GeoCountry, country), (DeviceId, device)]);
    let order = |time, device| login(time, &[(DeviceId, device)]);
    let mut settings = rule(&[], 2);
    settings.of = Novelty::Values { fields: vec![GeoCountry, DeviceId], every: true };
    let events = [
        order(0, "phone"),
        event(1, "CN", "laptop"),
        // Two orders and a login are not yet two logins.
        event(2, "US", "stranger"),
        event(3, "SG", "phone"),
        event(4, "DE", "stranger's friend"),
        order(5, "unheard of"),
    ];
    check(settings, &events, &["found 4"]);
}

#[test]
fn above_its_bound_the_value_not_seen_for_longest_is_forgotten_and_counted() {
    let mut watch = NewTermWatch::new(rule(&[GeoCountry], 1), seconds(0), seconds(120));
    let mut out = Vec::new();
    for step in 0..40 {
        let time = step * 1_000;
        let moment = Moment { settled: at(time - 120), now: at(time), late: false };
        watch.observe(Symbol(1), true, &country(time, &step.to_string()).event, moment, &mut out);
    }
    assert_eq!((out.len(), watch.given_up()), (39, 7));
    watch.sweep(Moment { settled: at(40_000), now: at(40_000), late: false });
    assert!(watch.bytes() < 2_000, "{} bytes", watch.bytes());
}

#[test]
fn a_new_subject_costs_at_most_200_bytes_and_goes_after_a_window() {
    let mut watch = NewTermWatch::new(rule(&[GeoCountry], 1), seconds(0), seconds(120));
    let mut out = Vec::new();
    let moment = Moment { settled: at(-120), now: at(0), late: false };
    let count = 100_000;
    for subject in 1..=count {
        watch.observe(Symbol(subject).with(Symbol(5)), true, &country(0, "CN").event, moment, &mut out);
    }
    let bytes = watch.bytes() / count as usize;
    assert!(bytes <= 200, "{bytes} bytes a subject");
    let sweep = |watch: &mut NewTermWatch, time| {
        (0..count / 16 + 1)
            .for_each(|_| watch.sweep(Moment { settled: at(time), now: at(time), late: false }));
    };
    sweep(&mut watch, 30 * DAY - 1);
    assert_eq!(watch.subjects(), count as usize);
    sweep(&mut watch, 30 * DAY);
    assert_eq!(watch.subjects(), 0);
}

/// The findings of one subject, from all its events at once.
fn model(settings: &NewTerm, events: &[&Given]) -> BTreeSet<Time> {
    let window = settings.window;
    let elsewhere =
        |given: &Given| settings.ignore_networks.contains(&given.event.symbol(TextField::GeoNetwork));
    let value = |given: &Given, field: TextField| match field {
        GeoCountry if elsewhere(given) => Symbol::MISSING,
        field => given.event.symbol(field),
    };
    let spot = |given: &Given| {
        given.event.place.map(|place| Spot::new(place.latitude, place.longitude, place.accuracy_km))
    };
    let lacks = |given: &&&Given| match &settings.of {
        Novelty::Place { .. } => given.event.place.is_none() || elsewhere(given),
        Novelty::Values { fields, .. } => {
            !settings.missing_fires && fields.iter().any(|field| value(given, *field) == Symbol::MISSING)
        }
    };
    // Where each field must be new by itself, an event that lacks some of them makes the others known.
    let teaches = |given: &&&Given| {
        !lacks(given)
            || matches!(&settings.of, Novelty::Values { every: true, .. } if !settings.missing_fires)
    };
    let mut events: Vec<_> = events.iter().filter(teaches).collect();
    events.sort_by_key(|given| given.event.time);
    let mut found = BTreeSet::new();
    for given in events.iter().filter(|given| !lacks(given)) {
        let time = given.event.time;
        let before: Vec<_> = events.iter().filter(|other| other.event.time < time).collect();
        // The history reaches back to the last pause.
        let (mut history, mut next) = (Vec::new(), time);
        for other in before.iter().rev().filter(|other| !lacks(other)) {
            if next.since(other.event.time) >= window {
                break;
            }
            history.push(other.event.time);
            next = other.event.time;
        }
        let enough = match settings.min_history {
            History::Events(count) => history.len() >= (count as usize).max(1),
            History::Since(span) => history.last().is_some_and(|first| time.since(*first) >= span),
        };
        let recent: Vec<_> = before.iter().filter(|other| other.event.time > time - window).collect();
        let new = match &settings.of {
            Novelty::Values { fields, every: true } => fields
                .iter()
                .all(|field| recent.iter().all(|other| value(other, *field) != value(given, *field))),
            Novelty::Values { fields, every: false } => recent
                .iter()
                .all(|other| fields.iter().any(|field| value(other, *field) != value(given, *field))),
            Novelty::Place { radius_km, last } => {
                let mut seen = BTreeMap::new();
                for other in &recent {
                    seen.insert(spot(other), other.event.time);
                }
                let mut seen: Vec<_> = seen.into_iter().map(|(spot, time)| (time, spot)).collect();
                seen.sort_by(|one, other| other.cmp(one));
                let near = |other: &Spot| spot(given).unwrap().least_distance_km(*other) <= *radius_km;
                !seen.iter().take(*last).any(|(_, other)| other.as_ref().is_some_and(near))
            }
        };
        if enough && new {
            found.insert(time);
        }
    }
    found
}

#[test]
fn through_a_tunnel_a_device_becomes_known_and_a_country_does_not() {
    let of = Novelty::Values { fields: vec![GeoCountry, DeviceId], every: true };
    let settings = NewTerm { of, ignore_networks: vec![Symbol::of("vpn")], ..rule(&[], 1) };
    let at = |time, country, device| login(time, &[(GeoCountry, country), (DeviceId, device)]);
    let tunnel = login(10, &[(GeoCountry, "NL"), (DeviceId, "laptop"), (TextField::GeoNetwork, "vpn")]);
    let events = [at(0, "CN", "phone"), tunnel.clone(), at(20, "NL", "laptop"), at(30, "FR", "other")];
    check(settings.clone(), &events, &["found 30"]);
    let events = [at(0, "CN", "phone"), tunnel, at(20, "NL", "other")];
    check(settings, &events, &["found 20"]);
}

fn random_rule(random: &mut Random) -> NewTerm {
    let mut settings = match random.below(4) {
        0 => rule(&[GeoCountry], 0),
        1 => rule(&[GeoCountry, DeviceId], 0),
        2 => {
            let of = Novelty::Values { fields: vec![GeoCountry, DeviceId], every: true };
            NewTerm { of, ..rule(&[], 0) }
        }
        _ => places(random.between(1, 300) as f64, random.between(1, 6) as usize),
    };
    settings.window = seconds(random.between(20, 400));
    settings.missing_fires = random.percent(30);
    settings.ignore_networks = if random.percent(40) { vec![Symbol::of("vpn")] } else { vec![] };
    settings.min_history = if random.percent(50) {
        History::Events(random.below(5) as u32)
    } else {
        History::Since(seconds(random.below(60)))
    };
    settings
}

fn random_login(random: &mut Random, length: i64) -> Given {
    let countries = ["CN", "US", "DE", "FR", "GB"];
    let mut texts = Vec::new();
    if random.percent(90) {
        texts.push((GeoCountry, countries[random.below(5) as usize]));
    }
    if random.percent(90) {
        texts.push((DeviceId, countries[random.below(4) as usize]));
    }
    if random.percent(30) {
        texts.push((TextField::GeoNetwork, "vpn"));
    }
    let mut given = login(random.below(length), &texts);
    if random.percent(90) {
        let (latitude, longitude) = (random.below(6) as f64, random.below(2) as f64);
        given.event.place = Some(Place { latitude, longitude, accuracy_km: random.below(3) as f64 * 40.0 });
    }
    given.subject = Symbol(random.between(1, 2) as u64);
    given
}

#[test]
fn any_order_of_arrival_within_the_lateness_gives_the_findings_of_the_model() {
    let (mut findings, mut withdrawn) = (0, 0);
    for seed in 0..2_000 {
        let mut random = Random::new(seed);
        let settings = random_rule(&mut random);
        let lateness = seconds(random.between(0, 60));
        let length = random.between(30, 300);
        let events: Vec<_> = (0..random.between(2, 30)).map(|_| random_login(&mut random, length)).collect();
        let new = || Box::new(NewTermWatch::new(settings.clone(), seconds(0), lateness)) as Box<dyn Watch>;
        let arrivals = disordered(&mut random, events.clone(), lateness);
        let pair = Pair::new(&new, lateness).run(&mut random, &arrivals, true);
        let mut expected = BTreeSet::new();
        for subject in [Symbol(1), Symbol(2)] {
            let own: Vec<_> = events.iter().filter(|given| given.subject == subject).collect();
            expected.extend(model(&settings, &own).into_iter().map(|time| (subject, time)));
        }
        assert_eq!(pair.said.found, expected, "seed {seed}, {settings:?}");
        findings += expected.len();
        withdrawn += pair.said.withdrawn;
    }
    assert!(findings > 5_000 && withdrawn > 200, "{findings} {withdrawn}");
}
